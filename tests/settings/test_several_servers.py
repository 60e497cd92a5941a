"""Routes that name several authorization servers."""

import pytest

from tests.settings.conftest import Check

SERVERS = """\
authorization_servers:
  local: {embedded: {scopes: {"orders:read": See}}}
  one: {introspection: {issuer: https://one.example, client_id: g, client_secret: {env: S}}}
  two: {introspection: {issuer: https://two.example, client_id: g, client_secret: {env: S}}}
  jwts: {jwt: {issuer: https://jwts.example, audience: orders}}
  twin: {jwt: {issuer: https://one.example, audience: orders}}
  copy: {jwt: {issuer: https://one.example, audience: other}}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - {name: all, match: {path: /all}, require: {}, authorization_server: two}
  - {name: more, match: {path: /more}, require: {}, authorization_server: [twin]}
  - {name: rest, match: {path: /rest}, require: {}, authorization_server: copy}
"""


def naming(servers: str) -> str:
    return (
        f"{SERVERS}  - {{name: a, match: {{path: /a}}, require: {{}}, "
        f"authorization_server: {servers}}}\n"
    )


@pytest.mark.parametrize("servers", ["[local, one, jwts]", "[one, twin]"])
def test_servers_whose_tokens_differ_can_stand_together(check: Check, servers: str) -> None:
    found = check(naming(servers), {"S": "secret"})
    assert not [one for one in found if "no route uses" not in one]


@pytest.mark.parametrize(
    ("servers", "finding"),
    [
        ("[local, one, two, jwts]", 'nobody can tell opaque tokens of "one" and "two" apart'),
        ("[twin, one, copy]", '"twin" and "copy" check JWTs of one issuer; name one of them'),
        ("[local, one, jwts, none]", 'there is no authorization_server "none"'),
        ("[local, local]", "stands twice in the list"),
        ("[]", "the list is empty; name one, or leave the key out"),
    ],
)
def test_servers_that_cannot_stand_together_are_refused(
    check: Check, servers: str, finding: str
) -> None:
    found = [one for one in check(naming(servers), {"S": "secret"}) if "routes[3]" in one]
    assert len(found) == 1
    assert finding in found[0]
