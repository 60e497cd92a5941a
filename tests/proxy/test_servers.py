"""Several servers behind one upstream: who gets a request, who is left out, who waits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

import gateway.proxy.health
import gateway.proxy.resolving
import gateway.proxy.upstream
from gateway.proxy.server import ServerOrigin
from gateway.proxy.upstream import Upstream, UpstreamLimits
from tests.proxy.stage import OK, PATIENCE, Peer, Seen, Service, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


@asynccontextmanager
async def services(count: int) -> AsyncIterator[list[Service]]:
    several = [Service() for _ in range(count)]
    for service in several:
        await service.open()
    try:
        yield several
    finally:
        for service in several:
            service.close()


@pytest.fixture
async def pair() -> AsyncIterator[list[Service]]:
    async with services(2) as several:
        yield several


def label(service: Service) -> str:
    return f"127.0.0.1:{service.port}"


async def open_before(stage: Stage, several: list[Service], **members: object) -> None:
    servers = [f"http://{label(service)}" for service in several]
    await stage.open(upstreams={"orders": {"servers": servers, **members}})


def count(service: Service | None, result: str, times: float = 1) -> dict[str, float]:
    server = "-" if service is None else label(service)
    return {f'result="{result}",server="{server}",upstream="orders"': times}


async def assert_counts(stage: Stage, *counts: dict[str, float]) -> None:
    expected = {labels: value for one in counts for labels, value in one.items()}
    await stage.settled_series("gateway_upstream_requests_total", expected)


async def is_up(stage: Stage, service: Service, *, expected: bool) -> None:
    labels = f'server="{label(service)}",upstream="orders"'
    async with asyncio.timeout(PATIENCE):
        # A scrape has no event to wait for.
        while stage.series("gateway_upstream_up").get(labels, 0.0) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def answer_once(service: Service, client: Peer) -> None:
    """Let a service answer on a new connection, which it closes."""
    peer = await service.accept()
    await peer.head()
    peer.send(CLOSING)
    assert (await client.answer()).status == 200
    await peer.rest_until_broken()


async def answer_on(service: Service, client: Peer) -> None:
    """Let a service answer the request that a new connection brings."""
    peer = await service.accept()
    await peer.head()
    peer.send(OK)
    assert (await client.answer()).status == 200


# Who gets a request.


async def test_requests_go_to_the_server_that_has_fewer_of_them(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair)
    clients = [await stage.client(GET) for _ in range(6)]
    for service in pair:
        for _ in range(3):
            peer = await service.accept()
            await peer.head()
            peer.send(OK)
    for client in clients:
        assert (await client.answer()).status == 200
    assert all(service.is_untouched for service in pair)
    await assert_counts(stage, *(count(service, "answered", 3) for service in pair))


async def test_of_many_servers_none_is_forgotten(stage: Stage) -> None:
    """Of two at random the less busy one: over many requests each of five gets its share."""
    async with services(5) as several:
        await open_before(stage, several)
        for _ in range(50):
            await stage.client(GET)
        async with asyncio.timeout(PATIENCE):
            while sum(len(service.peers) for service in several) < 50:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert all(5 <= len(service.peers) <= 15 for service in several)


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two servers with equally many requests the first is picked."""
    monkeypatch.setattr(gateway.proxy.upstream, "random", lambda: 0.0)


@pytest.mark.usefixtures("in_order")
async def test_request_whose_server_refuses_connections_goes_to_the_other(
    stage: Stage, pair: list[Service]
) -> None:
    """Also one that may not be repeated: nothing of it has gone anywhere."""
    await open_before(stage, pair)
    gone, there = pair
    gone.close()
    client = await stage.client(POST)
    peer = await there.accept()
    await peer.head()
    assert await peer.exactly(4) == b"body"
    peer.send(OK)
    assert (await client.answer()).status == 200
    await assert_counts(stage, count(gone, "unavailable"), count(there, "answered"))


@pytest.mark.usefixtures("in_order")
async def test_each_server_is_tried_once_and_then_it_is_a_502(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair)
    for service in pair:
        service.close()
    answer = await stage.ask(GET)
    assert (answer.status, answer.reason) == (502, "upstream_unavailable")
    await assert_counts(stage, *(count(service, "unavailable") for service in pair))


@pytest.mark.usefixtures("in_order")
async def test_request_that_met_a_closed_connection_is_repeated_at_the_less_busy_server(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair)
    client = await stage.client(GET)
    first = await pair[0].accept()
    await first.head()
    first.send(OK)
    await client.answer()
    client.send(GET)
    await first.head()
    first.reset()
    await answer_on(pair[0], client)
    await assert_counts(stage, count(pair[0], "answered", 2) | count(pair[0], "unavailable"))


async def test_request_is_repeated_on_a_new_connection_only(stage: Stage) -> None:
    """Whatever took away one that was kept may have taken the others."""
    await stage.open()
    clients = [await stage.client(GET) for _ in range(2)]
    kept = [await stage.accept() for _ in range(2)]
    for peer in kept:
        await peer.head()
        peer.send(OK)
    for client in clients:
        await client.answer()
    clients[0].send(GET)
    heads = [asyncio.create_task(peer.head()) for peer in kept]
    await asyncio.wait(heads, return_when=asyncio.FIRST_COMPLETED)
    [asked] = [peer for peer, head in zip(kept, heads, strict=True) if head.done()]
    asked.reset()
    fresh = await stage.accept()
    await fresh.head()
    fresh.send(OK)
    assert (await clients[0].answer()).status == 200
    for head in heads:
        head.cancel()


async def test_repetitions_end_with_their_budget(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that breaks down is not hit twice by all that it gets."""
    monkeypatch.setattr(gateway.proxy.upstream, "_REPEATS_PER_SECOND", 0.0)
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    # Each request earns a fifth of a repetition: after five there is one.
    for _ in range(5):
        await service.head()
        service.send(OK)
        await client.answer()
        client.send(GET)
    await service.head()
    service.reset()
    service = await stage.accept()
    await service.head()
    service.send(OK)
    await client.answer()
    client.send(GET)
    await service.head()
    service.reset()
    assert (await client.answer()).reason == "upstream_unavailable"
    assert stage.service.is_untouched


# Who is left out.


@pytest.mark.usefixtures("in_order")
async def test_server_that_fails_three_times_is_left_out(stage: Stage, pair: list[Service]) -> None:
    await open_before(stage, pair)
    broken, sound = pair
    clients = [await stage.client(GET) for _ in range(2)]
    # One at each; the one at the sound server keeps it the busier one.
    held = await sound.accept()
    for times in range(3):
        peer = await broken.accept()
        await peer.head()
        peer.close()
        assert (await clients[0].answer()).status == 502
        clients[0].close()
        if times < 2:
            await is_up(stage, broken, expected=True)
            clients[0] = await stage.client(GET)
    await is_up(stage, broken, expected=False)
    await answer_on(sound, await stage.client(GET))
    assert broken.is_untouched
    await held.head()
    held.send(OK)
    assert (await clients[1].answer()).status == 200


@pytest.mark.usefixtures("in_order")
async def test_server_that_was_left_out_proves_itself_with_one_request_at_a_time(
    stage: Stage, pair: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.proxy.upstream, "_EJECTION_SECONDS", 0.05)
    await open_before(stage, pair)
    weak, sound = pair
    weak.close()
    for _ in range(3):
        await answer_once(sound, await stage.client(GET))
    await weak.open()
    while weak.is_untouched:
        probing = await stage.client(GET)
        while weak.is_untouched and sound.is_untouched:  # noqa: ASYNC110 - one of two queues
            await asyncio.sleep(0.001)
        if weak.is_untouched:
            await answer_once(sound, probing)
    probe = await weak.accept()
    for _ in range(3):
        await stage.client(GET)
        await sound.accept()
    assert weak.is_untouched
    await probe.head()
    probe.send(CLOSING)
    assert (await probing.answer()).status == 200
    for _ in range(2):
        await stage.client(GET)
        await weak.accept()


@pytest.mark.usefixtures("in_order")
async def test_when_all_have_failed_all_are_tried(stage: Stage, pair: list[Service]) -> None:
    await open_before(stage, pair)
    for service in pair:
        service.close()
    for _ in range(3):
        assert (await stage.ask(GET)).status == 502
    await pair[1].open()
    client = await stage.client(GET)
    await answer_on(pair[1], client)


async def test_only_server_of_an_upstream_is_never_left_out(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.open()
    stage.service.close()
    for _ in range(4):
        assert (await stage.ask(GET)).status == 502
    await stage.service.open()
    await stage.pass_through(GET)
    assert "left out" not in caplog.text


@pytest.mark.usefixtures("in_order")
async def test_failures_count_only_in_a_row(stage: Stage, pair: list[Service]) -> None:
    await open_before(stage, pair)
    unsteady = pair[0]
    for is_failing in (True, True, False, True, True):
        client = await stage.client(GET)
        peer = await unsteady.accept()
        await peer.head()
        if not is_failing:
            peer.send(CLOSING)
        peer.close()
        assert (await client.answer()).status == (502 if is_failing else 200)
        client.close()
    await is_up(stage, unsteady, expected=True)


async def check_peer(service: Service) -> Peer:
    """Take the connection of a health check."""
    peer, _ = await take_check(service)
    return peer


async def take_check(service: Service) -> tuple[Peer, Seen]:
    peer = await service.accept()
    seen = Seen(await peer.head())
    assert seen.line == b"GET /healthz HTTP/1.1"
    return peer, seen


CHECK = {"path": "/healthz", "interval": "100ms", "timeout": "5s"}


async def test_server_that_fails_two_checks_gets_no_requests_until_one_succeeds(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair, health_check=CHECK)
    sick, well = pair
    for _ in range(2):
        peer = await check_peer(sick)
        await is_up(stage, sick, expected=True)
        peer.send(OK.replace(b"200 OK", b"503 No"))
        peer = await check_peer(well)
        peer.send(OK)
    await is_up(stage, sick, expected=False)
    checks = [await check_peer(service) for service in pair]
    clients = [await stage.client(GET) for _ in range(3)]
    for client in clients:
        await answer_on(well, client)
    assert sick.is_untouched
    for peer in checks:
        peer.send(OK.replace(b"200 OK", b"302 Found"))
    await is_up(stage, sick, expected=True)


@pytest.mark.parametrize("host", [None, "shop.internal"])
async def test_check_asks_for_the_server_s_own_host_or_the_one_it_is_given(
    stage: Stage, pair: list[Service], host: str | None
) -> None:
    keys = {} if host is None else {"host": host}
    await open_before(stage, pair[:1], health_check={**CHECK, **keys})
    _, seen = await take_check(pair[0])
    assert seen.values(b"Host") == [(host or label(pair[0])).encode()]


async def test_check_that_is_not_answered_in_time_has_failed(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair, health_check={**CHECK, "timeout": "50ms"})
    await is_up(stage, pair[0], expected=False)
    await is_up(stage, pair[1], expected=False)


# Who waits.


async def test_request_beyond_the_bound_waits_for_a_connection(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair[:1], limits={"connections": 1})
    first = await stage.client(GET)
    peer = await pair[0].accept()
    await peer.head()
    second, third = [await stage.client(GET) for _ in range(2)]
    await stage.settled_series("gateway_upstream_waiting", {'upstream="orders"': 2.0})
    peer.send(OK)
    assert (await first.answer()).status == 200
    for client in (second, third):
        await peer.head()
        peer.send(OK)
        assert (await client.answer()).status == 200
    assert pair[0].is_untouched
    await stage.settled_series("gateway_upstream_waiting", {})


async def test_request_that_finds_no_place_to_wait_is_a_503(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(
        stage, pair[:1], limits={"connections": 1, "waiting": 0}, timeouts={"connect": "60s"}
    )
    first = await stage.client(GET)
    peer = await pair[0].accept()
    refusal = await stage.ask(GET)
    assert (refusal.status, refusal.reason) == (503, "upstream_unavailable")
    assert refusal.fields["retry-after"] == "1"
    await peer.head()
    peer.send(OK)
    assert (await first.answer()).status == 200
    await assert_counts(stage, count(pair[0], "answered"), count(None, "full"))


async def test_request_that_has_waited_for_too_long_is_a_503(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(
        stage, pair[:1], limits={"connections": 1}, timeouts={"connect": "50ms", "response": "1h"}
    )
    first = await stage.client(GET)
    peer = await pair[0].accept()
    assert (await stage.ask(GET)).status == 503
    await peer.head()
    peer.send(OK)
    assert (await first.answer()).status == 200
    await stage.settled_series("gateway_upstream_waiting", {})


async def test_client_that_leaves_the_line_takes_no_place_with_it(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair[:1], limits={"connections": 1})
    first = await stage.client(GET)
    peer = await pair[0].accept()
    await peer.head()
    gone = await stage.client(GET)
    await stage.settled_series("gateway_upstream_waiting", {'upstream="orders"': 1.0})
    gone.reset()
    await stage.settled_series("gateway_upstream_waiting", {})
    peer.send(OK)
    await first.answer()
    first.send(GET)
    await peer.head()
    peer.send(OK)
    assert (await first.answer()).status == 200


async def test_place_that_is_given_as_nobody_wants_it_any_more_is_given_back() -> None:
    origin = ServerOrigin("127.0.0.1:1", b"127.0.0.1:1", host="127.0.0.1", port=1)
    upstream = Upstream("orders", [origin], UpstreamLimits(connections=1, waiting=1), 1.0)
    server = upstream.take_server()
    assert server is not None
    waiting = asyncio.create_task(upstream.wait_for_server((), 10.0))
    while not upstream.count_waiting():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    upstream.release(server, None)
    assert server.in_flight == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert server.in_flight == 0
    await upstream.close()


# Where servers are.


async def test_server_on_a_unix_socket_is_asked_by_the_name_of_this_machine(
    stage: Stage, tmp_path: Path
) -> None:
    service = Service()
    path = tmp_path / "app.sock"
    server = await asyncio.start_unix_server(service._take, path)
    await stage.open(upstreams={"orders": {"servers": [f"unix:{path}"]}})
    client = await stage.client(b"GET /public/a HTTP/1.0\r\n\r\n")
    peer = await service.accept()
    assert Seen(await peer.head()).values(b"host") == [b"localhost"]
    peer.send(OK)
    assert (await client.answer()).status == 200
    labels = f'result="answered",server="unix:{path}",upstream="orders"'
    await stage.settled_series("gateway_upstream_requests_total", {labels: 1.0})
    server.close()
    service.close()


class Names:
    """A name server: what it says can be changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: tuple[str, ...] = ()
        monkeypatch.setattr(gateway.proxy.resolving, "_get_addresses", self.look_up)
        monkeypatch.setattr(gateway.proxy.resolving, "_SECONDS_BETWEEN", 0.01)
        monkeypatch.setattr(gateway.proxy.resolving, "_LEAST_SECONDS_BETWEEN", 0.0)

    async def look_up(self, host: str, port: int) -> tuple[str, ...]:
        assert (host, port > 0) == ("app.internal", True)
        if not self.addresses:
            raise OSError("the name server is away")
        return self.addresses


async def test_name_that_leads_elsewhere_is_followed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections to the old address take no further request, and are not cut off."""
    names = Names(monkeypatch)
    names.addresses = ("127.0.0.1",)
    old, new = Service(), Service()
    await old.open()
    new.port = old.port
    new._server = await asyncio.start_server(new._take, "127.0.0.2", old.port)
    await stage.open(upstreams={"orders": {"servers": [f"http://app.internal:{old.port}"]}})
    idle, busy = await stage.client(GET), await stage.client(GET)
    idle_peer, busy_peer = await old.accept(), await old.accept()
    for peer in (idle_peer, busy_peer):
        await peer.head()
    idle_peer.send(OK)
    busy_peer.send(BEGUN)
    names.addresses = ("127.0.0.2",)
    assert await idle_peer.rest_until_broken() == b""
    busy_peer.send(b"a half")
    one_of_them = {(await idle.head())[:15], (await busy.head())[:15]}
    assert one_of_them == {b"HTTP/1.1 200 OK"}
    assert await busy_peer.rest_until_broken() == b""
    await answer_on(new, await stage.client(GET))
    assert old.is_untouched
    for service in (old, new):
        service.close()


async def test_deadline_holds_for_a_request_whose_address_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    names.addresses = ("127.0.0.1",)
    await stage.service.open()
    server = f"http://app.internal:{stage.service.port}"
    await stage.open(upstreams={"orders": {"servers": [server], "timeouts": {"response": "500ms"}}})
    client = await stage.client(GET)
    await stage.accept()
    names.addresses = ("127.0.0.2",)
    assert (await client.answer()).reason == "upstream_timeout"


async def test_name_that_cannot_be_looked_up_for_a_while_keeps_its_addresses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    names.addresses = ("127.0.0.1",)
    await stage.service.open()
    port = stage.service.port
    await stage.open(upstreams={"orders": {"servers": [f"http://app.internal:{port}"]}})
    names.addresses = ()
    await asyncio.sleep(0.05)
    await stage.pass_through(GET)


async def test_name_without_an_address_is_a_502_until_it_has_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    await stage.service.open()
    port = stage.service.port
    await stage.open(upstreams={"orders": {"servers": [f"http://app.internal:{port}"]}})
    refusal = await stage.ask(GET)
    assert (refusal.status, refusal.reason) == (502, "upstream_unavailable")
    names.addresses = ("127.0.0.1",)
    await stage.pass_through(GET)


# For how long a request may last.


async def test_request_that_takes_too_long_in_all_is_a_504(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair[:1], timeouts={"total": "100ms"})
    assert (await stage.ask(GET)).reason == "upstream_timeout"


async def test_servers_that_take_no_connection_are_tried_no_longer_than_the_whole_may_last(
    stage: Stage,
) -> None:
    """Each may take an hour to connect; that is what the first of them takes all the time for."""
    with ExitStack() as stack:
        servers = []
        for _ in range(3):
            full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            # Its queue takes a connection or two; the one after that waits for ever.
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            servers.append(f"http://127.0.0.1:{full.getsockname()[1]}")
        timeouts = {"connect": "60s", "total": "100ms"}
        await stage.open(upstreams={"orders": {"servers": servers, "timeouts": timeouts}})
        assert (await stage.ask(GET)).reason == "upstream_timeout"
        [(labels, tries)] = stage.series("gateway_upstream_requests_total").items()
        assert 'result="timeout"' in labels
        assert tries == 1


async def test_answer_that_drips_beyond_its_total_is_cut_off(
    stage: Stage, pair: list[Service]
) -> None:
    await open_before(stage, pair[:1], timeouts={"total": "200ms", "idle": "1h"})
    client = await stage.client(GET)
    peer = await pair[0].accept()
    await peer.head()
    peer.send(BEGUN)
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")
    assert await client.rest_until_broken() == b"half"


async def test_route_has_timeouts_of_its_own(stage: Stage, pair: list[Service]) -> None:
    servers = [f"http://{label(pair[0])}"]
    await stage.open(
        upstreams={"orders": {"servers": servers, "timeouts": {"response": "1h"}}},
        routes=[
            {
                "name": "hasty",
                "match": {"path": "/hasty"},
                "public": True,
                "timeouts": {"response": "50ms"},
            },
            {"name": "public", "match": {"path": "/public/**"}, "public": True},
        ],
    )
    patient = await stage.client(GET)
    peer = await pair[0].accept()
    hasty = await stage.ask(GET.replace(b"/public/a", b"/hasty"))
    assert (hasty.status, hasty.reason) == (504, "upstream_timeout")
    await peer.head()
    peer.send(OK)
    assert (await patient.answer()).status == 200


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1025\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n401\r\n"]
)
async def test_route_has_a_bound_on_bodies_of_its_own(stage: Stage, framing: bytes) -> None:
    await stage.open(
        routes=[
            {
                "name": "small",
                "match": {"path": "/small"},
                "public": True,
                "limits": {"body": "1KiB"},
            },
        ],
    )
    post = b"POST /small HTTP/1.1\r\nHost: h\r\n" + framing + b"x" * 1025
    assert (await stage.ask(post)).status == 413
    assert stage.service.is_untouched
