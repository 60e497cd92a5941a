"""Sessions: how they begin, and everything that ends them."""

from collections.abc import Callable

import pytest

from gateway.authserver.records.sessions import (
    Session,
    begin_session,
    end_session,
    find_session,
    is_cookie_value,
    new_cookie_value,
)
from gateway.authserver.records.users import (
    User,
    delete_user,
    disable_user,
    enable_user,
    revoke_user,
    set_password,
)
from gateway.authserver.storage.database import Database
from gateway.policy.tokenformat import token_hash

NOW = 1_800_000_000


@pytest.fixture
def cookie(database: Database, anne: User) -> str:
    with database.transaction() as connection:
        return begin_session(connection, anne, NOW, 3600)


def test_a_session_says_who_is_signed_in(database: Database, anne: User, cookie: str) -> None:
    with database.transaction() as connection:
        assert find_session(connection, cookie, NOW) == Session(anne.id, anne.epoch, "anne")


def test_it_rests_as_its_hash(cookie: str, query: Callable[..., list[tuple[object, ...]]]) -> None:
    (row,) = query("SELECT hash, user_id FROM sessions")
    assert bytes(row[0]) == token_hash(cookie)
    assert cookie not in str(row)


def test_it_ends_with_its_lifetime(database: Database, cookie: str) -> None:
    with database.transaction() as connection:
        assert find_session(connection, cookie, NOW + 3599.9) is not None
        assert find_session(connection, cookie, NOW + 3600) is None


@pytest.mark.parametrize("how", ["revoke", "password", "disable", "delete", "end"])
def test_it_ends_with_what_it_hangs_on(
    database: Database, anne: User, cookie: str, how: str
) -> None:
    with database.transaction() as connection:
        match how:
            case "revoke":
                revoke_user(connection, anne.id)
            case "password":
                set_password(connection, anne.id, "hash")
            case "disable":
                disable_user(connection, anne.id, NOW)
                enable_user(connection, anne.id)  # which brings nothing back
            case "delete":
                delete_user(connection, anne.id)
            case _:
                end_session(connection, cookie)
    with database.transaction() as connection:
        assert find_session(connection, cookie, NOW) is None


def test_a_session_of_a_disabled_person_is_none(database: Database, anne: User) -> None:
    with database.transaction() as connection:
        disable_user(connection, anne.id, NOW)
        # Begun by a sign-in that overlapped, under whatever epoch.
        from gateway.authserver.records.users import find_user

        current = find_user(connection, anne.id)
        assert current is not None
        cookie = begin_session(connection, current, NOW, 3600)
        assert find_session(connection, cookie, NOW) is None


def test_only_values_of_our_form_are_kept_as_a_cookie() -> None:
    assert is_cookie_value(new_cookie_value())
    assert new_cookie_value() != new_cookie_value()
    for text in ("", "x", "x" * 44, "x" * 42 + "ü", "x" * 43 + "\n"):
        assert not is_cookie_value(text)
