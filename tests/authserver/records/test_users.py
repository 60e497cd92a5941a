"""Users: names, epochs, and what goes with a person who goes."""

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.authserver.records.clients import insert_client
from gateway.authserver.records.grants import allow, list_grants
from gateway.authserver.records.users import (
    User,
    delete_user,
    disable_user,
    enable_user,
    find_user,
    find_user_by_name,
    insert_user,
    list_users,
    normalize_name,
    rehash_password,
    revoke_user,
    set_password,
)
from gateway.authserver.storage.database import Database
from tests.authserver.conftest import new_client


def test_a_name_has_one_spelling() -> None:
    assert normalize_name(" Anne.B+x@Example.COM ") == "anne.b+x@example.com"


@pytest.mark.parametrize(
    "text",
    ["", " ", "-anne", "an ne", "anné", "\u212a", "a" * 101, "a\0b", "a\nb", "a/b", 'a"b', "안"],
)
def test_what_could_be_mistaken_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="a name has"):
        normalize_name(text)


def test_a_person_is_found_by_id_and_by_name(database: Database) -> None:
    with database.transaction() as connection:
        bert = insert_user(connection, "bert", "hash", 5)
        anne = insert_user(connection, "anne", "hash", 5)
    with database.transaction() as connection:
        assert find_user(connection, anne.id) == anne
        assert find_user_by_name(connection, "anne") == anne
        assert find_user_by_name(connection, "Anne") is None
        assert list_users(connection) == [anne, bert]
    assert anne.id != bert.id
    assert anne.epoch != bert.epoch


def test_a_name_is_taken_once(database: Database, anne: User) -> None:
    with pytest.raises(IntegrityError), database.transaction() as connection:
        insert_user(connection, "anne", "hash", 5)


def test_a_new_password_ends_everything_and_a_newer_hash_nothing(
    database: Database, anne: User
) -> None:
    with database.transaction() as connection:
        assert rehash_password(connection, anne, "newer")
        current = find_user(connection, anne.id)
        assert current is not None
        assert (current.password_hash, current.epoch) == ("newer", anne.epoch)
        assert set_password(connection, anne.id, "other")
        current = find_user(connection, anne.id)
        assert current is not None
        assert current.password_hash == "other"
        assert current.epoch != anne.epoch


def test_a_newer_hash_never_undoes_a_new_password(database: Database, anne: User) -> None:
    with database.transaction() as connection:
        set_password(connection, anne.id, "other")
        assert not rehash_password(connection, anne, "newer hash of the old one")
        current = find_user(connection, anne.id)
    assert current is not None
    assert current.password_hash == "other"


def test_disabling_changes_the_epoch_and_enabling_does_not(database: Database, anne: User) -> None:
    with database.transaction() as connection:
        assert disable_user(connection, anne.id, 7)
        disabled = find_user(connection, anne.id)
        assert enable_user(connection, anne.id)
        enabled = find_user(connection, anne.id)
    assert disabled is not None
    assert enabled is not None
    assert (disabled.disabled_at, enabled.disabled_at) == (7, None)
    assert anne.epoch != disabled.epoch == enabled.epoch


def test_a_person_takes_all_grants_along(database: Database, anne: User) -> None:
    with database.transaction() as connection:
        insert_client(connection, new_client("desk"))
        allow(connection, anne.id, "desk", "a", 1)
        assert delete_user(connection, anne.id)
        assert list_grants(connection, anne.id) == []


def test_nobody_is_changed_by_an_unknown_id(database: Database, anne: User) -> None:
    with database.transaction() as connection:
        assert not set_password(connection, "x", "hash")
        assert not revoke_user(connection, "x")
        assert not disable_user(connection, "x", 1)
        assert not enable_user(connection, "x")
        assert not delete_user(connection, "x")
        assert find_user(connection, anne.id) == anne


def test_a_persons_hash_is_not_in_what_a_log_would_show(anne: User) -> None:
    assert "argon2" not in repr(anne)
