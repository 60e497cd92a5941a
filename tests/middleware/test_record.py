"""The books: one line and the right counts for every outcome, and never a new series."""

import secrets

import pytest

from tests.proxy.stage import OK, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"


def series_names(stage: Stage) -> set[str]:
    stage.gateway.metrics.settle()
    text = stage.gateway.metrics.expose().decode()
    return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}


async def test_forwarded_request_is_counted_and_logged(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"PUT /orders/1?secret HTTP/1.1\r\nHost: api.example.com:80\r\n"
        b"Authorization: Bearer reader\r\nContent-Length: 2\r\n\r\nhi"
    )
    client.sees_dates = True
    service = await stage.accept()
    await service.head()
    service.send(OK)
    answer = await client.answer()
    await stage.settled_series(
        "gateway_requests_total", {'method="PUT",route="orders",status="200"': 1}
    )
    assert stage.series("gateway_refusals_total") == {}
    assert stage.series("gateway_token_rejections_total") == {}
    assert stage.series("gateway_upstream_duration_seconds_count") == {'upstream="orders"': 1}
    assert stage.series("gateway_request_duration_seconds_count") == {'upstream="orders"': 1}
    (entry,) = await stage.log()
    assert 0 < entry.pop("upstream_ms") <= entry.pop("duration_ms")
    assert len(entry.pop("request_id")) == 24
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "peer": "127.0.0.1",
        "method": "PUT",
        "host": "api.example.com",
        "path": "/orders/1",
        "route": "orders",
        "outcome": "allowed",
        "status": 200,
        "bytes_received": 2,
        "bytes_sent": len(answer.head) + 2,
        "client_id": "client-1",
        "subject": "5c1f",
        "upstream": "orders",
        "server": f"127.0.0.1:{stage.service.port}",
    }


async def test_status_of_the_service_is_the_status_that_counts(stage: Stage) -> None:
    await stage.open()
    await stage.pass_through(GET, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    await stage.settled_series(
        "gateway_requests_total", {'method="GET",route="public",status="503"': 1}
    )
    assert (await stage.log())[0]["outcome"] == "allowed"


async def test_streamed_answer_is_counted_in_full(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    client.sees_dates = True
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
    head = await client.head()
    service.send(b"x" * 200_000)
    await client.exactly(200_000)
    assert (await stage.log())[0]["bytes_sent"] == len(head) + 200_000


@pytest.mark.parametrize(
    ("request_bytes", "family", "labels"),
    [
        (
            b"GET /orders/1 HTTP/1.1\r\nHost: h\r\n\r\n",
            "gateway_token_rejections_total",
            'reason="missing_token",route="orders"',
        ),
        (
            b"GET /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer outage\r\n\r\n",
            "gateway_token_rejections_total",
            'reason="authorization_server_unavailable",route="orders"',
        ),
        (
            b"GET /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer revoked\r\n\r\n",
            "gateway_token_rejections_total",
            'reason="revoked_token",route="orders"',
        ),
        (
            b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n",
            "gateway_refusals_total",
            'reason="no_route",route="-"',
        ),
        (
            b"nonsense\r\n\r\n",
            "gateway_refusals_total",
            'reason="malformed_request",route="-"',
        ),
    ],
)
async def test_refusal_is_counted_once_under_its_reason(
    stage: Stage, request_bytes: bytes, family: str, labels: str
) -> None:
    await stage.open()
    before = series_names(stage)
    await stage.ask(request_bytes)
    await stage.settled_series(family, {labels: 1})
    other = {"gateway_token_rejections_total", "gateway_refusals_total"} - {family}
    assert stage.series(other.pop()) == {}
    # It was there with 0 from the start, so that rate() sees the first one.
    assert f"{family}{{{labels}}}" in before


async def test_strangers_make_no_new_series(stage: Stage) -> None:
    """Ten thousand random methods, paths and hosts count where the first of their kind did."""
    await stage.open()

    def requests(count: int, methods: list[bytes]) -> bytes:
        return b"".join(
            b"%b /%b HTTP/1.1\r\nHost: %b.example\r\nAuthorization: Bearer %b\r\n\r\n"
            % (
                methods[number % len(methods)],
                [b"orders/", b""][number // 2 % 2] + secrets.token_hex(4).encode(),
                secrets.token_hex(4).encode(),
                secrets.token_hex(8).encode(),
            )
            for number in range(count)
        )

    async def ask(count: int, *methods: bytes) -> None:
        client = await stage.client(requests(count, [b"GET", *methods]))
        for _ in range(count):
            assert (await client.answer()).status in (401, 404)
        client.close()
        # A method that no parser knows, too.
        nonsense = b"%b / HTTP/1.1\r\nHost: h\r\n\r\n" % secrets.token_hex(4).upper().encode()
        await stage.ask(nonsense)

    await ask(20, b"PROPFIND")
    before = series_names(stage)
    for _ in range(10):
        await ask(1000, b"PROPFIND", b"LINK", b"M-SEARCH", b"PURGE", b"SOURCE")
    assert series_names(stage) == before
    total = sum(stage.series("gateway_requests_total").values())
    assert total == 20 + 10_000 + 11


async def test_refusals_alone_are_logged_where_that_is_asked_for(stage: Stage) -> None:
    await stage.open(access_log="refusals")
    await stage.pass_through(GET)
    await stage.ask(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
    assert [entry["reason"] for entry in await stage.log()] == ["no_route"]


async def test_path_of_a_stranger_injects_no_line_into_the_log(stage: Stage) -> None:
    await stage.open()
    await stage.ask(b'GET /a%0d%0a{"status":200}"\\ HTTP/1.1\r\nHost: h\r\n\r\n')
    (entry,) = await stage.log()
    assert entry["reason"] in ("ambiguous_path", "malformed_request")
