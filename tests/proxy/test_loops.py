"""Requests that run in a circle are refused by the gateway that had forwarded them."""

import pytest

from gateway.app import StartFailure
from tests.proxy.stage import OK, Stage


def get(*fields: bytes, version: bytes = b"1.1", path: bytes = b"/public/a") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b HTTP/%b\r\nHost: h\r\n%b\r\n" % (path, version, lines)


async def test_the_gateway_adds_its_name_behind_those_of_other_proxies(stage: Stage) -> None:
    await stage.open()
    seen, answer = await stage.pass_through(get(b"Via: 1.0 fred, 1.1 nginx", b"Via: 2 envoy (x)"))
    assert seen.values(b"Via") == [b"1.0 fred, 1.1 nginx", b"2 envoy (x)", stage.via]
    assert "via" not in answer.fields


async def test_it_says_by_which_version_the_request_came(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(get(version=b"1.0"))
    assert seen.values(b"Via") == [stage.via.replace(b"1.1", b"1.0")]


async def test_connection_cannot_name_away_the_gateway_s_name(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(get(b"Connection: close, via", b"Via: 1.1 a"))
    assert seen.values(b"Via") == [stage.via]


@pytest.mark.parametrize("fields", [[b"Via: %b"], [b"Via: 1.1 a", b"vIA: 1.1 b, %b, 1.1 c"]])
async def test_a_request_that_has_been_here_is_refused(stage: Stage, fields: list[bytes]) -> None:
    await stage.open()
    answer = await stage.ask(get(*(field.replace(b"%b", stage.via) for field in fields)))
    assert (answer.status, answer.reason) == (508, "loop_detected")
    assert answer.head.startswith(b"HTTP/1.1 508 Loop Detected\r\n")
    assert stage.service.is_untouched
    expected = {'reason="loop_detected",route="public"': 1.0}
    await stage.settled_series("gateway_refusals_total", expected)


async def test_a_circle_is_found_before_anybody_is_asked_about_its_token(stage: Stage) -> None:
    await stage.open()
    request = get(b"Via: " + stage.via, b"Authorization: Bearer reader", path=b"/orders/1")
    assert (await stage.ask(request)).reason == "loop_detected"
    assert stage.tokens.asked == []


async def test_another_gateway_is_no_circle(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(get(b"Via: 1.1 gateway-0123456789ab"))
    assert seen.values(b"Via") == [b"1.1 gateway-0123456789ab", stage.via]


async def test_a_real_circle_ends_at_its_second_turn(stage: Stage) -> None:
    """The service sends on what it gets, to where it came from."""
    await stage.open()
    client = await stage.client(get())
    service = await stage.accept()
    again = await stage.client(await service.head())
    turned = await again.answer()
    assert turned.status == 508
    service.send(OK)
    assert (await client.answer()).status == 200
    assert stage.service.is_untouched


async def test_a_name_that_was_spoilt_keeps_the_gateway_from_starting(stage: Stage) -> None:
    (stage.folder / "state").mkdir(mode=0o700)
    (stage.folder / "state" / "instance").write_text("spoilt")
    with pytest.raises(StartFailure, match="remove it"):
        await stage.open()
