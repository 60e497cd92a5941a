"""Routes that look at more than the token: at the network that a request comes from, for one."""

from copy import deepcopy

import pytest

from gateway.policy.rejection import Reason
from tests.proxy.stage import Stage

HERE = {"networks": ["127.0.0.0/8", "::1"]}
ELSEWHERE = {"networks": ["192.0.2.0/24"]}
BEHIND_PROXY = {"trusted_proxies": ["127.0.0.1"]}


def guarded(**keys: object) -> dict[str, object]:
    return {
        "name": "orders",
        "match": {"path": "/orders/**"},
        "require": {"scopes": ["orders:read"]},
        **deepcopy(keys),  # what stands twice in a configuration would become an anchor
    }


def public(**keys: object) -> dict[str, object]:
    return {"name": "public", "match": {"path": "/public/**"}, "public": True, **deepcopy(keys)}


TOKEN = b"Authorization: Bearer reader"


def get(path: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b %b HTTP/1.1\r\nHost: api.example.com\r\n%b\r\n" % (method, path, lines)


@pytest.mark.parametrize("request_", [get(b"/orders/1", TOKEN), get(b"/public/1")])
async def test_a_client_of_the_networks_passes(stage: Stage, request_: bytes) -> None:
    await stage.open(routes=[guarded(**HERE), public(**HERE)])
    _, answer = await stage.pass_through(request_)
    assert answer.status == 200


async def test_another_client_is_refused_and_nobody_is_asked_about_its_token(stage: Stage) -> None:
    await stage.open(routes=[guarded(**ELSEWHERE), public(**ELSEWHERE)])
    for request in (get(b"/orders/1", TOKEN), get(b"/orders/1"), get(b"/public/1")):
        answer = await stage.ask(request)
        assert (answer.status, answer.reason) == (403, "network_not_allowed")
        assert b"127.0.0.1" not in answer.body
    assert stage.tokens.asked == []
    assert stage.service.is_untouched
    assert stage.series("gateway_refusals_total") == {
        'reason="network_not_allowed",route="orders"': 2.0,
        'reason="network_not_allowed",route="public"': 1.0,
    }
    assert stage.series("gateway_token_rejections_total") == {}
    [first, *_] = await stage.log()
    assert first["detail"] == "its address is 127.0.0.1"


async def test_the_networks_do_not_stand_in_for_a_token(stage: Stage) -> None:
    await stage.open(routes=[guarded(**HERE)])
    assert (await stage.ask(get(b"/orders/1"))).reason == "missing_token"


async def test_a_stranger_cannot_claim_an_address(stage: Stage) -> None:
    await stage.open(routes=[public(**ELSEWHERE)])
    answer = await stage.ask(get(b"/public/1", b"X-Forwarded-For: 192.0.2.7"))
    assert answer.reason == "network_not_allowed"


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        (b"192.0.2.7", True),
        (b"6.6.6.6, 192.0.2.7, 127.0.0.1", True),
        (b"192.0.2.7, 6.6.6.6", False),
        (b"192.0.2.7, unknown", False),
    ],
)
async def test_behind_a_proxy_its_word_counts(stage: Stage, line: bytes, passes: bool) -> None:
    await stage.open(routes=[public(**ELSEWHERE)], **BEHIND_PROXY)
    request = get(b"/public/1", b"X-Forwarded-For: " + line)
    if passes:
        assert (await stage.pass_through(request))[1].status == 200
    else:
        assert (await stage.ask(request)).reason == "network_not_allowed"


async def test_the_destination_of_a_move_is_held_against_its_own_networks(stage: Stage) -> None:
    vault = public(name="vault", match={"path": "/public/vault/**"}, **ELSEWHERE)
    await stage.open(routes=[public(), vault])
    request = get(b"/public/a", b"Destination: /public/vault/a", method=b"MOVE")
    assert (await stage.ask(request)).reason == "network_not_allowed"


async def test_metrics_start_the_refusals_that_a_route_can_meet_at_zero(stage: Stage) -> None:
    await stage.open(routes=[guarded(), public(**ELSEWHERE)])
    text = stage.gateway.metrics.expose().decode()
    of_public = 'gateway_refusals_total{reason="network_not_allowed",route="public"} 0.0'
    assert of_public in text
    assert text.count(f'reason="{Reason.NETWORK_NOT_ALLOWED}"') == 1
