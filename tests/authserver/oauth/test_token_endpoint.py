"""POST /oauth2/token: client credentials (RFC 6749, section 4.4)."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records import clients
from gateway.authserver.server import EmbeddedServer
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash
from tests.authserver.conftest import Clock, Endpoints, Surroundings

Query = Callable[..., list[tuple[Any, ...]]]


async def test_a_client_gets_a_token_by_basic_credentials(
    endpoints: Endpoints, shop: NewSecret, surroundings: Surroundings
) -> None:
    answer = await endpoints.issue(shop, scope="orders:read")

    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 600
    assert answer.json["scope"] == "orders:read"
    assert has_valid_checksum(str(answer.json["access_token"]))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert surroundings.issued == ["client_credentials"]


async def test_a_client_gets_a_token_by_credentials_in_the_form(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    answer = await endpoints.issue(client_id="shop", client_secret=shop.secret)
    assert answer.status == 200


async def test_the_token_rests_as_a_hash_with_what_was_granted(
    endpoints: Endpoints, shop: NewSecret, query: Query, clock: Clock
) -> None:
    token = str((await endpoints.issue(shop, scope="orders:read")).json["access_token"])

    (row,) = query(
        "SELECT hash, client_id, scope, audience, issued_at, expires_at, revoked_at"
        " FROM access_tokens"
    )

    now = int(clock.now)
    assert row == (token_hash(token), "shop", "orders:read", "", now, now + 600, None)
    assert token not in "".join(
        str(value)
        for table in ("clients", "access_tokens")
        for value in query(f"SELECT * FROM {table}")
    )


@pytest.mark.parametrize("form", [{}, {"scope": ""}])
async def test_without_a_scope_the_client_gets_all_of_its_own(
    endpoints: Endpoints, shop: NewSecret, form: dict[str, str]
) -> None:
    answer = await endpoints.issue(shop, **form)
    assert answer.json["scope"] == "orders:read orders:write"


@pytest.mark.parametrize(
    "scope",
    [
        "admin",
        "orders:read admin",
        " ",
        "orders:read  orders:write",
        " orders:read",
        "orders:read\u00a0orders:write",
        'orders:"read"',
        "Orders:Read",
    ],
)
async def test_a_scope_that_is_malformed_or_not_the_clients_gives_no_token_at_all(
    endpoints: Endpoints, shop: NewSecret, scope: str, query: Query
) -> None:
    answer = await endpoints.issue(shop, scope=scope)

    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")
    assert query("SELECT * FROM access_tokens") == []


async def test_a_client_that_was_registered_without_scopes_gets_a_token_without(
    endpoints: Endpoints, administration: Administration
) -> None:
    plain = administration.add_client("plain", grant_types=["client_credentials"])

    answer = await endpoints.issue(plain)

    assert answer.status == 200
    assert "scope" not in answer.json


async def test_a_scope_that_is_no_longer_declared_is_no_longer_granted(
    without_scopes: AuthorizationServerOptions, shop: NewSecret, surroundings: Surroundings
) -> None:
    """Neither when it is asked for, nor as a token that silently has no scope."""
    server = EmbeddedServer(without_scopes, surroundings.publish, surroundings.count_issued)
    async with TestClient(TestServer(server.application())) as client:
        endpoints = Endpoints(client)
        assert (await endpoints.issue(shop)).json["error"] == "invalid_scope"
        assert (await endpoints.issue(shop, scope="orders:read")).json["error"] == "invalid_scope"
    await server.close()


async def test_an_unknown_client_and_a_wrong_secret_read_the_same(
    endpoints: Endpoints, shop: NewSecret, surroundings: Surroundings
) -> None:
    wrong = await endpoints.post(
        "/oauth2/token", {"grant_type": "client_credentials"}, basic=("shop", new_token("cs"))
    )
    unknown = await endpoints.post(
        "/oauth2/token", {"grant_type": "client_credentials"}, basic=("nobody", shop.secret)
    )
    nobody = await endpoints.issue()

    assert wrong.status == unknown.status == nobody.status == 401
    assert wrong.body == unknown.body == nobody.body
    assert wrong.json["error"] == "invalid_client"
    for answer in (wrong, unknown, nobody):
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge == 'Basic realm="http://127.0.0.1:8081", charset="UTF-8"'
    assert surroundings.issued == []


def test_an_unknown_client_costs_the_work_of_a_wrong_secret(
    shop: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = clients.hmac.compare_digest

    def record(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(clients.hmac, "compare_digest", record)
    assert not clients.is_secret_of(None, shop.secret)
    assert not clients.is_secret_of(shop.client, new_token("cs"))
    assert clients.is_secret_of(shop.client, shop.secret)
    assert compared == [(32, 32)] * 3


def test_nobody_has_no_secret(shop: NewSecret, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the one that unknown clients are compared with."""
    monkeypatch.setattr(clients, "_NOBODY", token_hash(shop.secret))
    assert not clients.is_secret_of(None, shop.secret)


async def test_a_secret_beyond_ascii_is_only_a_wrong_secret(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    """`compare_digest` raises on such text; digests are compared."""
    for secret in ("pässwörd", "\u202e", "\U0001f511", "a" * 5_000):
        answer = await endpoints.post(
            "/oauth2/token", {"grant_type": "client_credentials"}, basic=("shop", secret)
        )
        assert answer.status == 401
        form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": secret}
        assert (await endpoints.post("/oauth2/token", form)).status == 401


async def test_both_ways_of_authentication_at_once_are_refused(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    answer = await endpoints.issue(shop, client_id="shop", client_secret=shop.secret)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_a_client_without_the_grant_is_told_so(endpoints: Endpoints, api: NewSecret) -> None:
    answer = await endpoints.issue(api)
    assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    ("grant_type", "error"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ('"', "unsupported_grant_type"),
    ],
)
async def test_any_other_grant_is_refused_without_repeating_it(
    endpoints: Endpoints, shop: NewSecret, grant_type: str | None, error: str
) -> None:
    form = {} if grant_type is None else {"grant_type": grant_type}
    answer = await endpoints.post("/oauth2/token", form, basic=shop)

    assert (answer.status, answer.json["error"]) == (400, error)
    assert grant_type in (None, "", '"') or grant_type.encode() not in answer.body


async def test_the_old_secret_is_worthless_after_a_rotation_and_the_tokens_live_on(
    endpoints: Endpoints, administration: Administration, shop: NewSecret, server: EmbeddedServer
) -> None:
    token = str((await endpoints.issue(shop)).json["access_token"])

    rotated = administration.rotate_client("shop")

    assert (await endpoints.issue(shop)).status == 401
    assert (await endpoints.issue(rotated)).status == 200
    assert (await server.introspect(token)).issuer == "http://127.0.0.1:8081"


async def test_a_token_of_a_client_that_is_removed_meanwhile_is_dead_from_birth(
    endpoints: Endpoints,
    administration: Administration,
    shop: NewSecret,
    server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the database says of the client decides, not what was read a moment before."""
    check = clients.is_secret_of

    def remove_after_check(client: clients.Client | None, secret: str) -> bool:
        is_same = check(client, secret)
        administration.remove_client("shop")
        return is_same

    monkeypatch.setattr("gateway.authserver.oauth.oauth_server.is_secret_of", remove_after_check)

    answer = await endpoints.issue(shop)

    token = str(answer.json["access_token"])
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


async def test_a_disabled_client_is_answered_like_an_unknown_one(
    endpoints: Endpoints, administration: Administration, shop: NewSecret
) -> None:
    administration.disable_client("shop")
    disabled = await endpoints.issue(shop)
    unknown = await endpoints.issue(client_id="nobody", client_secret="x")
    assert disabled.status == unknown.status == 401
    assert disabled.body == unknown.body
    administration.enable_client("shop")
    assert (await endpoints.issue(shop)).status == 200


async def test_a_clients_own_lifetime_is_kept(
    endpoints: Endpoints, administration: Administration, query: Query, clock: Clock
) -> None:
    brief = administration.add_client(
        "brief", grant_types=["client_credentials"], access_token_lifetime=5
    )
    assert (await endpoints.issue(brief)).json["expires_in"] == 5
    assert query("SELECT expires_at FROM access_tokens") == [(int(clock.now) + 5,)]


async def test_no_refresh_token_comes_with_client_credentials(
    endpoints: Endpoints, shop: NewSecret, query: Query
) -> None:
    """RFC 6749, section 4.4.3. Not even for a client that has refresh tokens otherwise."""
    query("UPDATE clients SET grant_types = 'client_credentials refresh_token'")
    assert "refresh_token" not in (await endpoints.issue(shop)).json
