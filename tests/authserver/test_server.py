"""EmbeddedServer as the guard sees it: who a token is, and what an outage looks like."""

import asyncio
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.server import EmbeddedServer
from gateway.authserver.storage.database import DatabaseUnavailable
from gateway.policy.interfaces import AuthorizationServerUnavailable, Introspector
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import new_token
from tests.authserver.conftest import ISSUER, Clock, Endpoints, Surroundings, sqlite_only

ROOT = Path(__file__).parents[2]


async def test_an_active_token_is_a_client_and_never_a_person(
    server: EmbeddedServer, administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    """RFC 9700, section 4.15: a client's name must not become a subject."""
    introspector: Introspector = server
    issued = administration.issue_token(
        "shop", scopes=["orders:read"], audience=["https://a.example"]
    )

    now = int(clock.now)
    assert await introspector.introspect(issued.token) == Token(
        issuer=ISSUER,
        client_id="shop",
        subject=None,
        username=None,
        scopes=frozenset({"orders:read"}),
        audience=("https://a.example",),
        expires_at=now + 600,
        claims={
            "active": True,
            "scope": "orders:read",
            "client_id": "shop",
            "token_type": "Bearer",
            "iat": now,
            "exp": now + 600,
            "iss": ISSUER,
            "aud": "https://a.example",
        },
    )


async def test_the_guard_and_a_foreign_gateway_are_told_the_same(
    server: EmbeddedServer,
    endpoints: Endpoints,
    administration: Administration,
    shop: NewSecret,
    api: NewSecret,
) -> None:
    token = administration.issue_token("shop").token
    said = await server.introspect(token)
    assert isinstance(said, Token)
    assert said.claims == (await endpoints.introspect(api, token)).json


async def test_a_token_lives_until_the_second_of_its_expiry(
    server: EmbeddedServer, administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    issued = administration.issue_token("shop", lifetime=10)

    clock.now = issued.record.expires_at - 0.001
    assert isinstance(await server.introspect(issued.token), Token)
    clock.now = issued.record.expires_at
    assert await server.introspect(issued.token) == Inactive(Reason.EXPIRED_TOKEN)


async def test_the_reason_of_a_dead_token_is_the_operators_to_know(
    server: EmbeddedServer, administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    administration.add_client("gone", grant_types=["client_credentials"])
    orphan = administration.issue_token("gone").token
    revoked = administration.issue_token("shop").token
    administration.remove_client("gone")
    administration.revoke_token(revoked)

    assert await server.introspect(orphan) == Inactive(Reason.REVOKED_TOKEN)
    assert await server.introspect(revoked) == Inactive(Reason.REVOKED_TOKEN)
    assert await server.introspect(new_token("at")) == Inactive(Reason.INACTIVE_TOKEN)
    clock.now += 3600
    assert await server.introspect(revoked) == Inactive(Reason.REVOKED_TOKEN)


async def test_a_removed_client_that_comes_back_does_not_wake_its_old_tokens(
    server: EmbeddedServer, administration: Administration, shop: NewSecret
) -> None:
    token = administration.issue_token("shop").token
    administration.remove_client("shop")
    administration.add_client("shop", grant_types=["client_credentials"])
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


async def test_a_revocation_by_another_process_is_seen_by_the_next_question(
    server: EmbeddedServer,
    administration: Administration,
    options: AuthorizationServerOptions,
    shop: NewSecret,
) -> None:
    token = administration.issue_token("shop").token
    assert isinstance(await server.introspect(token), Token)

    program = (
        "import sys\n"
        "from gateway.authserver.administration import Administration\n"
        "from gateway.authserver.options import AuthorizationServerOptions\n"
        "options = AuthorizationServerOptions('local', 'http://127.0.0.1', sys.argv[1], 1, {})\n"
        "with Administration(options) as administration:\n"
        "    assert administration.revoke_token(sys.stdin.read())\n"
    )
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, options.database_url],
        input=token,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )

    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


@pytest.mark.parametrize(
    "token",
    ["", "x", "gw_at_", new_token("cs"), "ü" * 55, "\0", "%s", "a" * 1_000_000, "\udcff"],
    ids=[
        "empty",
        "one letter",
        "a prefix",
        "a client's secret",
        "no ASCII",
        "NUL",
        "percent",
        "long",
        "a surrogate",
    ],
)
async def test_what_has_not_the_form_of_a_token_costs_no_look_up(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.delattr(server, "_lookup")
    assert await server.introspect(token) == Inactive(Reason.INACTIVE_TOKEN)


@sqlite_only("the file can be taken away")
async def test_a_database_that_has_gone_is_an_outage_and_never_an_inactive_token(
    server: EmbeddedServer, administration: Administration, shop: NewSecret, database_file: Path
) -> None:
    known, unasked = (administration.issue_token("shop").token for _ in range(2))
    assert isinstance(await server.introspect(known), Token)
    away = database_file.with_name("away.db")
    shutil.move(database_file, away)

    for token in (known, unasked, new_token("at")):
        with pytest.raises(AuthorizationServerUnavailable, match="No such file"):
            await server.introspect(token)

    shutil.move(away, database_file)
    assert isinstance(await server.introspect(known), Token)


async def test_after_closing_it_answers_nothing(
    options: AuthorizationServerOptions, surroundings: Surroundings
) -> None:
    server = EmbeddedServer(options, surroundings.publish, surroundings.count_issued)
    await server.close()
    with pytest.raises(AuthorizationServerUnavailable, match="closed"):
        await server.introspect(new_token("at"))


async def test_a_database_that_cannot_be_opened_stops_the_start(
    options: AuthorizationServerOptions, surroundings: Surroundings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    broken = replace(options, database_url=f"sqlite:///{tmp_path}/file/a.db")
    with pytest.raises(DatabaseUnavailable):
        EmbeddedServer(broken, surroundings.publish, surroundings.count_issued)


async def test_a_callback_that_nobody_would_await_stops_the_start(
    options: AuthorizationServerOptions, surroundings: Surroundings
) -> None:
    async def count(_: str) -> None: ...

    async def log(*_: object) -> None: ...

    with pytest.raises(TypeError, match="count"):
        EmbeddedServer(options, surroundings.publish, count)
    with pytest.raises(TypeError, match="log"):
        EmbeddedServer(options, surroundings.publish, surroundings.count_issued, log)


def test_the_room_is_empty_until_a_server_is_asked_for() -> None:
    """A gateway without an embedded server does not pay for SQLAlchemy, Alembic and Authlib."""
    program = (
        "import sys, gateway.authserver, gateway.authserver.options\n"
        "print(sorted({'sqlalchemy', 'alembic', 'authlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == "[]\n"
