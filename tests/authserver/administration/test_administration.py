"""What the command line does to clients and tokens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.authserver.administration import (
    Administration,
    AdministrationError,
    ClientExists,
    NewSecret,
    UnknownClient,
)
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.tables import SCHEMA
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash
from tests.authserver.conftest import ISSUER, Clock
from tests.authserver.people_fixtures import Person
from tests.authserver.stored import insert_token_of

Query = Callable[..., list[tuple[Any, ...]]]
GRANT = ["client_credentials"]


def is_revoked(administration: Administration, token: str, why: str | None = None) -> bool:
    """Says whether a token is revoked; also checks the words for why it is."""
    found = administration.inspect_token(token)
    assert found is not None
    if why is not None:
        assert administration.explain_revocation(found) == why
    return found.is_revoked


def test_a_client_is_registered_and_its_secret_rests_as_a_hash(
    administration: Administration, clock: Clock, query: Query
) -> None:
    added = administration.add_client(
        "shop", grant_types=GRANT, scopes=["orders:write", "orders:read"], may_introspect=True
    )

    assert has_valid_checksum(added.secret, "cs")
    assert query(
        "SELECT id, name, secret_hash, grant_types, scopes, redirect_uris, origins, "
        "may_introspect, disabled_at, created_at FROM clients"
    ) == [
        (
            "shop",
            "",
            token_hash(added.secret),
            "client_credentials",
            "orders:read orders:write",
            "",
            "",
            True,
            None,
            int(clock.now),
        )
    ]
    assert administration.get_client("shop") == added.client
    assert added.secret not in repr(added)


@pytest.mark.parametrize(
    "client_id", ["", "-shop", ".shop", "a b", "a:b", "a/b", "ä", "a\n", "a\0", "x" * 101, "a%20b"]
)
def test_an_id_that_means_something_else_somewhere_is_refused(
    administration: Administration, client_id: str
) -> None:
    with pytest.raises(AdministrationError, match="letters, digits"):
        administration.add_client(client_id, grant_types=GRANT)


def test_a_name_is_given_once(administration: Administration, shop: NewSecret) -> None:
    with pytest.raises(ClientExists, match="shop already"):
        administration.add_client("shop", grant_types=GRANT)
    assert administration.get_client("shop") == shop.client


def test_what_a_client_cannot_be_given_is_refused_with_the_mend(
    administration: Administration,
) -> None:
    with pytest.raises(
        AdministrationError, match=r"scope admin is not declared.*servers\.local\.embedded\.scopes"
    ):
        administration.add_client("a", grant_types=GRANT, scopes=["orders:read", "admin"])
    with pytest.raises(AdministrationError, match="no such grant: password"):
        administration.add_client("a", grant_types=["password"])
    with pytest.raises(AdministrationError, match="needs a grant"):
        administration.add_client("a", grant_types=[])
    with pytest.raises(AdministrationError, match="without a grant"):
        administration.add_client("a", grant_types=[], scopes=["orders:read"], may_introspect=True)
    assert administration.list_clients() == []


def test_clients_are_listed_by_name(administration: Administration) -> None:
    for name in ("b", "a", "C"):
        administration.add_client(name, grant_types=GRANT)
    assert [client.id for client in administration.list_clients()] == ["C", "a", "b"]


def test_rotating_replaces_the_secret_and_nothing_else(
    administration: Administration, shop: NewSecret, query: Query
) -> None:
    token = administration.issue_token("shop").token

    rotated = administration.rotate_client("shop")

    assert rotated.secret != shop.secret
    assert rotated.client == administration.get_client("shop")
    assert rotated.client.secret_hash == token_hash(rotated.secret)
    assert rotated.client.scopes == shop.client.scopes
    found = administration.inspect_token(token)
    assert found is not None
    assert found.revoked_at is None


def test_removing_a_client_revokes_its_tokens_and_no_others(
    administration: Administration, shop: NewSecret
) -> None:
    administration.add_client("other", grant_types=GRANT)
    tokens = [administration.issue_token("shop").token for _ in range(3)]
    other = administration.issue_token("other").token

    assert administration.remove_client("shop") == Revocation(ISSUER, "client", "shop")

    for token in tokens:
        assert is_revoked(administration, token, "its client was removed")
    assert not is_revoked(administration, other)
    with pytest.raises(UnknownClient):
        administration.get_client("shop")
    administration.add_client("shop", grant_types=GRANT)
    assert is_revoked(administration, tokens[0]), "a namesake does not revive them"


def test_revoking_a_client_takes_its_tokens_and_leaves_it_the_right_to_new_ones(
    administration: Administration, shop: NewSecret
) -> None:
    old = administration.issue_token("shop").token
    assert administration.revoke_client("shop") == Revocation(ISSUER, "client", "shop")
    assert is_revoked(administration, old, "its client's tokens were revoked")
    assert not is_revoked(administration, administration.issue_token("shop").token)


def test_a_disabled_client_has_no_tokens_and_gets_none_until_it_is_enabled(
    administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    old = administration.issue_token("shop").token
    assert administration.disable_client("shop") == Revocation(ISSUER, "client", "shop")
    assert administration.get_client("shop").disabled_at == int(clock.now)
    assert is_revoked(administration, old, "its client is disabled")
    with pytest.raises(AdministrationError, match="client shop is disabled"):
        administration.issue_token("shop")

    administration.enable_client("shop")
    assert administration.get_client("shop").disabled_at is None
    assert is_revoked(administration, old), "what was revoked stays so"
    assert not is_revoked(administration, administration.issue_token("shop").token)


def test_removing_an_unknown_client_revokes_nothing(administration: Administration) -> None:
    with pytest.raises(UnknownClient, match="nobody"):
        administration.remove_client("nobody")


def test_an_unknown_client_is_said_to_be_unknown(administration: Administration) -> None:
    for act in (
        administration.get_client,
        administration.rotate_client,
        administration.revoke_client,
        administration.disable_client,
        administration.enable_client,
        administration.remove_client,
        administration.issue_token,
    ):
        with pytest.raises(UnknownClient, match="no client 'nobody'"):
            act("nobody")


def test_a_token_is_issued_in_a_clients_name(
    administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    usual = administration.issue_token("shop")
    special = administration.issue_token(
        "shop", scopes=["orders:read"], lifetime=5, audience=["https://b", "https://a"]
    )

    now = int(clock.now)
    assert has_valid_checksum(usual.token)
    assert usual.record.scope == "orders:read orders:write"
    assert usual.record.expires_at == now + 600
    assert (special.record.scope, special.record.audience) == ("orders:read", "https://a https://b")
    assert special.record.expires_at == now + 5
    assert administration.inspect_token(usual.token) == usual.record
    assert administration.inspect_token(special.token) == special.record
    assert usual.token not in repr(usual)


def test_a_token_that_the_client_could_not_have_got_is_refused(
    administration: Administration, shop: NewSecret, api: NewSecret
) -> None:
    with pytest.raises(AdministrationError, match="may not have the scope admin"):
        administration.issue_token("shop", scopes=["orders:read", "admin"])
    with pytest.raises(AdministrationError, match="lacks the grant client_credentials"):
        administration.issue_token("api")
    for lifetime in (0, -1, 367 * 24 * 3600):
        with pytest.raises(AdministrationError, match="lifetime"):
            administration.issue_token("shop", lifetime=lifetime)
    for audience in ("", "a b", "ü", "a\n"):
        with pytest.raises(AdministrationError, match="audience"):
            administration.issue_token("shop", audience=[audience])


def test_a_scope_that_is_no_longer_declared_is_not_issued(
    without_scopes: AuthorizationServerOptions, shop: NewSecret
) -> None:
    with (
        Administration(without_scopes) as administration,
        pytest.raises(AdministrationError, match="not declared"),
    ):
        administration.issue_token("shop")


def test_a_revoked_token_keeps_its_time_and_gives_its_revocation_again(
    administration: Administration, shop: NewSecret, clock: Clock
) -> None:
    issued = administration.issue_token("shop")
    expected = Revocation(ISSUER, "token", issued.record.hash.hex())

    first = int(clock.now)
    assert administration.revoke_token(issued.token) == expected
    clock.now += 5
    assert administration.revoke_token(issued.token) == expected

    found = administration.inspect_token(issued.token)
    assert found is not None
    assert found.revoked_at == first


@pytest.mark.parametrize(
    "token",
    ["", "x", new_token("at"), new_token("cs"), "ü"],
    ids=["empty", "no form", "unknown", "a client's secret", "no ASCII"],
)
def test_a_token_of_nobody_is_neither_found_nor_revoked(
    administration: Administration, token: str
) -> None:
    assert administration.inspect_token(token) is None
    assert administration.revoke_token(token) is None


def test_opening_says_what_was_done_to_the_database(
    options: AuthorizationServerOptions, empty_database_url: str
) -> None:
    of_an_empty_one = replace(options, database_url=empty_database_url)
    with Administration(of_an_empty_one) as first:
        assert (first.migration.previous, first.migration.current) == (None, SCHEMA)
    with Administration(of_an_empty_one) as second:
        assert not second.migration.has_changed


def test_a_token_of_a_clients_own_lifetime_lives_as_long(administration: Administration) -> None:
    administration.add_client("shop", grant_types=GRANT, access_token_lifetime=30)
    record = administration.issue_token("shop").record
    assert record.expires_at - record.issued_at == 30


def test_a_public_client_has_no_secret_and_none_to_rotate(administration: Administration) -> None:
    added = administration.add_client(
        "app", redirect_uris=["com.example.app:/callback"], is_public=True
    )
    assert added.secret is None
    assert added.client.is_public
    assert administration.get_client("app") == added.client
    with pytest.raises(AdministrationError, match="public: it has no secret"):
        administration.rotate_client("app")
    assert administration.get_client("app").is_public


def test_a_refresh_token_takes_all_that_came_of_its_authorization(
    administration: Administration, desk: NewSecret, database: Database, clock: Clock
) -> None:
    """Its family, and no other one of the same grant; it gives its revocation again."""
    alice = Person(database, clock)
    kept, revoked = new_token("at"), new_token("at")
    refresh_token = new_token("rt")
    for token, given in ((kept, new_token("rt")), (revoked, refresh_token)):
        family = alice.begin_family("desk")
        insert_token_of(database, family, token, given, alice.now)

    expected = Revocation.of_grant(ISSUER, alice.user.id, "desk")
    assert administration.revoke_token(refresh_token) == expected
    assert administration.revoke_token(refresh_token) == expected

    assert is_revoked(
        administration,
        revoked,
        "all that came of its authorization was revoked, as when a code is used twice",
    )
    assert not is_revoked(administration, kept)
    assert administration.revoke_token(new_token("rt")) is None
    with pytest.raises(AdministrationError, match="only access tokens"):
        administration.inspect_token(refresh_token)
