"""The section about what an upstream learns of who asks."""

import pytest

from tests.settings.conftest import VALID, Check


def with_identity(text: str, route: str = VALID) -> str:
    return f"{route}    identity: {text}\n"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("{headers: {X-User: alice}}", "it names no claim; write it as in '{email}'"),
        ('{headers: {X-User: "{email"}}', "a brace has no other one; "),
        ('{headers: {X-Auth-User: "{email}"}}', "X-Auth-User is not for a route to change"),
        ('{headers: {Cookie: "{email}"}}', "services read Cookie as the client's own"),
        ('{headers: {X-User: "u={email}"}}', "a claim could step out of its place in this text"),
        ('{headers: {X-User: "{email}", x-user: "{sub}"}}', "x-user is written twice"),
        ('{headers: {X-User: "{email}"}, encoding: latin1}', "latin1"),
    ],
)
def test_what_cannot_be_said_is_refused(check: Check, text: str, finding: str) -> None:
    [found] = check(with_identity(text))
    assert "routes[0].identity" in found
    assert finding in found


def test_a_header_that_is_edited_too_is_refused(check: Check) -> None:
    text = (
        with_identity('{headers: {X-User: "{email}"}}')
        + "    request_headers: {remove: [x-user]}\n"
    )
    [found] = check(text)
    assert "X-User is written twice" in found


def test_a_public_route_knows_nobody(check: Check) -> None:
    public = VALID.replace('require: {scopes: ["orders:read"]}', "public: true")
    found = check(with_identity('{headers: {X-User: "{email}"}}', public))
    assert any("a public route knows nobody; remove it, or guard the route" in one for one in found)


def test_text_around_claims_is_there_with_percent_encoding(check: Check) -> None:
    assert check(with_identity('{headers: {X-User: "u={email};"}, encoding: percent}')) == []
