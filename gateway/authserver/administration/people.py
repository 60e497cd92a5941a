"""What is done to people."""

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.authserver.administration.clients import UnknownClient
from gateway.authserver.administration.opened import AdministrationError, Opened
from gateway.authserver.people.passwords import hash_password
from gateway.authserver.records import users
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.grants import GrantedClient, delete_grant, list_grants
from gateway.authserver.records.users import User, normalize_name
from gateway.policy.interfaces import Revocation


class UserExists(AdministrationError):  # noqa: N818 - says what is, like FileExistsError's text
    """The name is taken."""


class UnknownUser(AdministrationError):  # noqa: N818
    """There is nobody of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no user {name!r}; `gateway user list` shows those that exist")


class PeopleAdministration(Opened):
    """People: who signs in, and allows clients to act for them. Names are taken in any case."""

    def add_user(self, name: str, password: str) -> User:
        """Add a person.

        Raises:
            UserExists: the name is taken.
            AdministrationError: the name or the password is not possible.
        """
        try:
            name = normalize_name(name)
        except ValueError as error:
            raise AdministrationError(str(error)) from None
        password_hash = _hash(password)
        try:
            with self._database.transaction() as connection:
                return users.insert_user(connection, name, password_hash, self._now())
        except IntegrityError:
            raise UserExists(
                f"there is a user {name} already; change the password with gateway user passwd"
            ) from None

    def list_users(self) -> list[User]:
        """Give everybody in the order of their names."""
        with self._database.transaction() as connection:
            return users.list_users(connection)

    def get_user(self, name: str) -> User:
        """Give one person.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            return _find(connection, name)

    def list_grants(self, name: str) -> list[GrantedClient]:
        """Give what a person allows to whom.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            return list_grants(connection, _find(connection, name).id)

    def set_password(self, name: str, password: str) -> Revocation:
        """Give a person another password, which ends all sessions and tokens.

        Gives what to publish.

        Raises:
            UnknownUser: there is nobody of that name.
            AdministrationError: the password is not possible.
        """
        user = self.get_user(name)
        password_hash = _hash(password)
        with self._database.transaction() as connection:
            if not users.set_password(connection, user.id, password_hash):
                raise UnknownUser(name)
        return self._revocation_of(user)

    def revoke_user(self, name: str) -> Revocation:
        """End all sessions and tokens of a person. Gives what to publish.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            user = _find(connection, name)
            if not users.revoke_user(connection, user.id):
                raise UnknownUser(name)
        return self._revocation_of(user)

    def revoke_grant(self, name: str, client_id: str) -> Revocation:
        """Take back what a person allowed a client. Gives what to publish.

        What has been taken back already gives its Revocation again: perhaps not every worker heard.

        Raises:
            UnknownUser: there is nobody of that name.
            UnknownClient: there is no such client.
        """
        with self._database.transaction() as connection:
            user = _find(connection, name)
            if not delete_grant(connection, user.id, client_id) and not find_client(
                connection, client_id
            ):
                raise UnknownClient(client_id)
        return Revocation.of_grant(self._options.issuer, user.id, client_id)

    def disable_user(self, name: str) -> Revocation:
        """Let a person not sign in, and end all sessions and tokens. Gives what to publish.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            user = _find(connection, name)
            if not users.disable_user(connection, user.id, self._now()):
                raise UnknownUser(name)
        return self._revocation_of(user)

    def enable_user(self, name: str) -> None:
        """Let a person sign in again; what was ended stays so.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            if not users.enable_user(connection, _find(connection, name).id):
                raise UnknownUser(name)

    def remove_user(self, name: str) -> Revocation:
        """Remove a person, with all that they allowed. Gives what to publish.

        Raises:
            UnknownUser: there is nobody of that name.
        """
        with self._database.transaction() as connection:
            user = _find(connection, name)
            if not users.delete_user(connection, user.id):
                raise UnknownUser(name)
        return self._revocation_of(user)

    def _revocation_of(self, user: User) -> Revocation:
        return Revocation(self._options.issuer, "person", user.id)


def _find(connection: Connection, name: str) -> User:
    try:
        user = users.find_user_by_name(connection, normalize_name(name))
    except ValueError:
        user = None
    if user is None:
        raise UnknownUser(name)
    return user


def _hash(password: str) -> str:
    try:
        return hash_password(password)
    except ValueError as error:
        raise AdministrationError(str(error)) from None
