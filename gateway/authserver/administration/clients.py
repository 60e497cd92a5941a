"""What is done to clients."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from gateway.authserver.administration.opened import AdministrationError, Opened
from gateway.authserver.administration.registration import Registration
from gateway.authserver.records import clients
from gateway.authserver.records.clients import Client
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import new_token, token_hash


class ClientExists(AdministrationError):  # noqa: N818 - says what is, like FileExistsError's text
    """The client_id is taken."""


class UnknownClient(AdministrationError):  # noqa: N818
    """There is no such client."""

    def __init__(self, client_id: str) -> None:
        super().__init__(
            f"there is no client {client_id!r}; `gateway client list` shows those that exist"
        )


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A client and its secret in clear, for the one time that anybody sees it.

    A public client has none.
    """

    client: Client
    secret: str | None

    def __repr__(self) -> str:
        return f"NewSecret({self.client.id})"


class ClientAdministration(Opened):
    """Clients: who may ask for tokens."""

    def add_client(  # noqa: PLR0913 - all that a client has
        self,
        client_id: str,
        *,
        grant_types: Collection[str] = (),
        scopes: Collection[str] = (),
        name: str = "",
        redirect_uris: Collection[str] = (),
        origins: Collection[str] = (),
        is_public: bool = False,
        may_introspect: bool = False,
        access_token_lifetime: int | None = None,
        refresh_token_lifetime: int | None = None,
        has_refresh_token: bool = True,
    ) -> NewSecret:
        """Register a client and, unless it is public, make its secret. See Registration.

        Raises:
            ClientExists: the client_id is taken.
            AdministrationError: something of it is not possible.
        """
        registration = Registration(
            client_id,
            grant_types=grant_types,
            scopes=scopes,
            name=name,
            redirect_uris=redirect_uris,
            origins=origins,
            is_public=is_public,
            may_introspect=may_introspect,
            access_token_lifetime=access_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
            has_refresh_token=has_refresh_token,
        )
        registration.check()
        self._check_declared(registration.scopes)
        secret = None if registration.is_public else new_token("cs")
        client = Client(
            id=registration.client_id,
            secret_hash=None if secret is None else token_hash(secret),
            grant_types=registration.complete_grant_types(),
            scopes=frozenset(registration.scopes),
            may_introspect=registration.may_introspect,
            created_at=self._now(),
            epoch=clients.new_epoch(),
            name=registration.name,
            redirect_uris=frozenset(registration.redirect_uris),
            origins=frozenset(registration.origins),
            access_token_lifetime=registration.access_token_lifetime,
            refresh_token_lifetime=registration.refresh_token_lifetime,
        )
        try:
            with self._database.transaction() as connection:
                clients.insert_client(connection, client)
        except IntegrityError:
            raise ClientExists(
                f"there is a client {client.id} already; rotate its secret, or remove it first"
            ) from None
        return NewSecret(client, secret)

    def list_clients(self) -> list[Client]:
        """Give all clients in the order of their ids."""
        with self._database.transaction() as connection:
            return clients.list_clients(connection)

    def get_client(self, client_id: str) -> Client:
        """Give one client.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            client = clients.find_client(connection, client_id)
        if client is None:
            raise UnknownClient(client_id)
        return client

    def rotate_client(self, client_id: str) -> NewSecret:
        """Make a new secret in place of the old one. The client's tokens stay as they are.

        Raises:
            UnknownClient: there is none of that name.
            AdministrationError: it is a public client, which has no secret.
        """
        client = self.get_client(client_id)
        if client.is_public:
            raise AdministrationError(f"client {client_id} is public: it has no secret to rotate")
        secret = new_token("cs")
        with self._database.transaction() as connection:
            if not clients.replace_secret(connection, client_id, token_hash(secret)):
                raise UnknownClient(client_id)
        return NewSecret(replace(client, secret_hash=token_hash(secret)), secret)

    def revoke_client(self, client_id: str) -> Revocation:
        """Revoke every token that was issued to a client. Gives what to publish.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            if not clients.revoke_client(connection, client_id):
                raise UnknownClient(client_id)
        return Revocation(self._options.issuer, "client", client_id)

    def disable_client(self, client_id: str) -> Revocation:
        """Let a client get no tokens, and revoke those it has. Gives what to publish.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            if not clients.disable_client(connection, client_id, self._now()):
                raise UnknownClient(client_id)
        return Revocation(self._options.issuer, "client", client_id)

    def enable_client(self, client_id: str) -> None:
        """Let a client get tokens again; those that were revoked stay so.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            if not clients.enable_client(connection, client_id):
                raise UnknownClient(client_id)

    def remove_client(self, client_id: str) -> Revocation:
        """Remove a client, and with it all its tokens. Gives what to publish.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            if not clients.delete_client(connection, client_id):
                raise UnknownClient(client_id)
        return Revocation(self._options.issuer, "client", client_id)
