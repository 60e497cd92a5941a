"""What becomes of the Authorization header on public routes, where nothing is demanded."""

import pytest

from gateway.middleware.judge import judge_token
from gateway.policy.routes import Route
from tests.proxy.stage import Seen, Stage

PASSES = {
    "another scheme": [b"Authorization: Basic eDp5"],
    "a bearer token that is nobody's": [b"Authorization: Bearer stranger"],
    "a bearer token that has expired": [b"Authorization: Bearer outdated-elsewhere"],
}
STOPS = {
    "an active token of ours": [b"Authorization: Bearer reader"],
    "an active token in another case": [b"authorization: bearer reader"],
    "an active token behind another header": [
        b"Authorization: Basic eDp5",
        b"Authorization: Bearer reader",
    ],
    "an active token behind a tab": [b"Authorization: Bearer\treader"],
    "a token that cannot be checked now": [b"Authorization: Bearer outage"],
}


async def see(stage: Stage, fields: list[bytes]) -> Seen:
    await stage.open()
    lines = b"".join(field + b"\r\n" for field in fields)
    seen, answer = await stage.pass_through(b"GET /public/a HTTP/1.1\r\nHost: h\r\n%b\r\n" % lines)
    assert answer.status == 200
    return seen


@pytest.mark.parametrize("fields", PASSES.values(), ids=PASSES.keys())
async def test_an_authorization_that_is_no_token_of_ours_passes_unchanged(
    stage: Stage, fields: list[bytes]
) -> None:
    """A legacy service behind a public route may have its own authentication."""
    seen = await see(stage, fields)
    assert [b"Authorization: " + value for value in seen.values(b"Authorization")] == fields


@pytest.mark.parametrize("fields", STOPS.values(), ids=STOPS.keys())
async def test_a_token_of_ours_never_reaches_the_upstream_of_a_public_route(
    stage: Stage, fields: list[bytes]
) -> None:
    """Nor does what another parser could read as one; and nobody is told who asks."""
    seen = await see(stage, fields)
    assert seen.values(b"Authorization") == []
    assert seen.values(b"X-Auth-Scopes") == []


async def test_without_any_authorization_server_no_token_is_ours() -> None:
    """A gateway of public routes alone leaves a legacy service its own bearer tokens."""
    route = Route("public", None, "/**", None, "legacy", requirement=None)
    judgement = await judge_token(route, ["Bearer its-own"], {})
    assert judgement.rejection is None
    assert judgement.keeps_authorization
