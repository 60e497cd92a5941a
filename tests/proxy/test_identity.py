"""Headers that say who asks, by templates: from the token alone, whatever clients send."""

import pytest

from tests.proxy.stage import OK, Seen, Stage, token

ROUTES = [
    {
        "name": "orders",
        "match": {"path": "/orders/**"},
        "require": {"scopes": ["orders:read"]},
        "identity": {"headers": {"Remote-User": "{username}", "X-Tenant": "{tenant}"}},
    },
    {"name": "public", "match": {"path": "/public/**"}, "public": True},
    {"name": "plain", "match": {"path": "/plain/**"}, "require": {}},
]
FORGED = [
    b"X-Tenant: forged",
    b"x-tenant: forged",
    b"X_Tenant: forged",
    b"x.tenant: forged",
    b"Remote-User: root",
]


async def see(stage: Stage, path: bytes, *fields: bytes) -> Seen:
    lines = [b"GET %b HTTP/1.1" % path, b"Host: h", b"Authorization: Bearer reader", *fields]
    seen, answer = await stage.pass_through(b"\r\n".join([*lines, b"", b""]))
    assert answer.status == 200
    return seen


async def test_the_service_gets_what_the_token_says(stage: Stage) -> None:
    stage.tokens.answers["reader"] = token("orders:read", subject="5f0c", tenant="acme")
    await stage.open(routes=ROUTES)
    seen = await see(stage, b"/orders/1")
    assert seen.values(b"Remote-User") == [b"sam"]
    assert seen.values(b"X-Tenant") == [b"acme"]
    assert seen.values(b"X-Auth-Subject") == [b"5f0c"]


@pytest.mark.parametrize("path", [b"/orders/1", b"/public/1", b"/plain/1"])
async def test_no_client_says_it_on_any_route(stage: Stage, path: bytes) -> None:
    """In no spelling; also where the token has no such claim, and on routes that say nothing."""
    stage.tokens.answers["reader"] = token("orders:read")
    await stage.open(routes=ROUTES)
    seen = await see(stage, path, *FORGED)
    folded = {name.replace("_", "-").replace(".", "-") for name in seen.names}
    assert not folded & {"x-tenant", "remote-user"}


async def test_no_trailer_says_it(stage: Stage) -> None:
    stage.tokens.answers["reader"] = token("orders:read", tenant="acme")
    await stage.open(routes=ROUTES)
    client = await stage.client(
        b"POST /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer reader\r\n"
        b"Trailer: X-Tenant, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\nX-Tenant: forged\r\nX-Sum: 1\r\n\r\n"
    )
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"X-Tenant") == [b"acme"]
    assert b"forged" not in await service.until(b"X-Sum: 1\r\n\r\n")
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_a_claim_that_would_be_two_headers_is_none(stage: Stage) -> None:
    stage.tokens.answers["reader"] = token("orders:read", tenant="a\r\nX-Admin: 1")
    await stage.open(routes=ROUTES)
    seen = await see(stage, b"/orders/1")
    assert not {"x-tenant", "x-admin"} & set(seen.names)
