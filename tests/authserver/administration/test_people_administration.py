"""What the command line does to people."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.authserver.administration import (
    Administration,
    AdministrationError,
    NewSecret,
    UnknownClient,
    UnknownUser,
    UserExists,
)
from gateway.authserver.people.passwords import Passwords
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.families import begin_family
from gateway.authserver.records.grants import allow
from gateway.authserver.records.sessions import begin_session, find_session
from gateway.authserver.storage.database import Database
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import new_token
from tests.authserver.conftest import ISSUER, Clock
from tests.authserver.stored import insert_token_of

Query = Callable[..., list[tuple[Any, ...]]]
PASSWORD = "correct horse"


@pytest.fixture
def alice(administration: Administration) -> str:
    """Adds Alice, and gives her subject."""
    return administration.add_user("alice", PASSWORD).id


def sign_in(database: Database, administration: Administration, clock: Clock) -> str:
    """Gives the cookie of a browser in which Alice is signed in."""
    with database.transaction() as connection:
        return begin_session(connection, administration.get_user("alice"), int(clock.now), 3600)


def allow_client(
    database: Database, administration: Administration, clock: Clock, client_id: str
) -> str:
    """Gives an access token that Alice allowed the client."""
    user = administration.get_user("alice")
    now = int(clock.now)
    with database.transaction() as connection:
        client = find_client(connection, client_id)
        assert client is not None
        grant = allow(connection, user.id, client_id, "orders:read", now)
        family = begin_family(
            connection,
            grant,
            client,
            user.epoch,
            scope="orders:read",
            audience="",
            now=now,
            expires_at=now + 600,
        )
    token = new_token("at")
    insert_token_of(database, family, token, None, now)
    return token


def why_revoked(administration: Administration, token: str) -> str | None:
    found = administration.inspect_token(token)
    assert found is not None
    return administration.explain_revocation(found) if found.is_revoked else None


async def test_a_person_is_added_and_the_password_rests_as_argon2id(
    administration: Administration, query: Query
) -> None:
    added = administration.add_user("Alice@Example.com", PASSWORD)
    assert added.name == "alice@example.com"
    assert administration.get_user("ALICE@example.com") == added
    [(stored,)] = query("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$")
    passwords = Passwords()
    assert (await passwords.verify(stored, PASSWORD)).is_right
    passwords.close()
    assert stored not in repr(added)


def test_a_name_is_given_once_in_any_case(administration: Administration, alice: str) -> None:
    with pytest.raises(UserExists, match="a user alice already"):
        administration.add_user("Alice", PASSWORD)
    assert [user.id for user in administration.list_users()] == [alice]


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a\n\nb", "a\0", "x" * 101, "a/b"])
def test_a_name_that_is_none_is_refused(administration: Administration, name: str) -> None:
    with pytest.raises(AdministrationError, match="a name has 1 to 100"):
        administration.add_user(name, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "with\0control"])
def test_a_password_that_is_none_is_refused_by_its_own_rules(
    administration: Administration, alice: str, password: str
) -> None:
    before = administration.get_user("alice")
    with pytest.raises(AdministrationError, match="a password has"):
        administration.add_user("bob", password)
    with pytest.raises(AdministrationError, match="a password has"):
        administration.set_password("alice", password)
    assert administration.list_users() == [before]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (Administration.revoke_user, "lost all tokens"),
        (Administration.disable_user, "lost all tokens"),
        (Administration.remove_user, "its person was removed"),
        (lambda one, name: one.set_password(name, "another password"), "has another password"),
    ],
    ids=["revoke", "disable", "remove", "passwd"],
)
def test_what_ends_a_persons_access_ends_every_token_and_session(
    administration: Administration,
    database: Database,
    clock: Clock,
    alice: str,
    desk: NewSecret,
    app: NewSecret,
    act: Callable[[Administration, str], Revocation],
    words: str,
) -> None:
    tokens = [
        allow_client(database, administration, clock, client_id) for client_id in ("desk", "app")
    ]
    cookie = sign_in(database, administration, clock)

    assert act(administration, "Alice") == Revocation(ISSUER, "person", alice)

    for token in tokens:
        assert words in (why_revoked(administration, token) or "")
    with database.transaction() as connection:
        assert find_session(connection, cookie, clock.now) is None


def test_taking_back_a_grant_ends_that_clients_tokens_alone(
    administration: Administration,
    database: Database,
    clock: Clock,
    alice: str,
    desk: NewSecret,
    app: NewSecret,
) -> None:
    """Other clients' tokens, and the person's sessions, live on; it gives its revocation again."""
    taken, kept = (
        allow_client(database, administration, clock, client_id) for client_id in ("desk", "app")
    )
    cookie = sign_in(database, administration, clock)
    expected = Revocation.of_grant(ISSUER, alice, "desk")

    assert administration.revoke_grant("alice", "desk") == expected
    assert administration.revoke_grant("alice", "desk") == expected

    assert why_revoked(administration, taken) == "the person took the client's access back"
    assert why_revoked(administration, kept) is None
    assert [one.grant.client_id for one in administration.list_grants("alice")] == ["app"]
    with database.transaction() as connection:
        assert find_session(connection, cookie, clock.now) is not None
    with pytest.raises(UnknownClient, match="nobody"):
        administration.revoke_grant("alice", "nobody")


def test_enabling_revives_nothing(
    administration: Administration, database: Database, clock: Clock, alice: str, desk: NewSecret
) -> None:
    token = allow_client(database, administration, clock, "desk")
    administration.disable_user("alice")
    assert administration.get_user("alice").disabled_at == int(clock.now)
    administration.enable_user("alice")
    assert administration.get_user("alice").disabled_at is None
    assert why_revoked(administration, token) is not None


def test_a_namesake_meets_nothing_of_who_was_removed(
    administration: Administration, database: Database, clock: Clock, alice: str, desk: NewSecret
) -> None:
    token = allow_client(database, administration, clock, "desk")
    administration.remove_user("alice")
    again = administration.add_user("alice", PASSWORD)
    assert again.id != alice
    assert why_revoked(administration, token) is not None
    assert administration.list_grants("alice") == []


def test_who_is_unknown_is_said_to_be_unknown(administration: Administration) -> None:
    for act in (
        administration.get_user,
        administration.list_grants,
        administration.revoke_user,
        administration.disable_user,
        administration.enable_user,
        administration.remove_user,
    ):
        for name in ("nobody", "no body", ""):
            with pytest.raises(UnknownUser, match="there is no user"):
                act(name)
    with pytest.raises(UnknownUser):
        administration.set_password("nobody", PASSWORD)
    with pytest.raises(UnknownUser):
        administration.revoke_grant("nobody", "desk")
