"""A person who has allowed clients what they asked for, without a browser: through the records."""

import base64
import hashlib
import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gateway.authserver.oauth import grant_types
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.devices import approve_device, deny_device, find_device_request
from gateway.authserver.records.families import AuthorizationCode, Family, begin_family, insert_code
from gateway.authserver.records.grants import allow, delete_grant
from gateway.authserver.records.users import User, insert_user
from gateway.authserver.storage.database import Database
from gateway.policy.tokenformat import new_token, token_hash
from tests.authserver.conftest import Answer, Endpoints

if TYPE_CHECKING:
    from gateway.authserver.administration import NewSecret

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]
CALLBACK = "https://desk.example/callback"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Person:
    """Alice, who says yes."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database = database
        self._clock = clock
        with database.transaction() as connection:
            self.user: User = insert_user(connection, "alice", "no password", self.now)

    @property
    def now(self) -> int:
        return int(self._clock())

    def begin_family(
        self, client_id: str, scope: str = "orders:read orders:write", audience: str = ""
    ) -> Family:
        """Allows the client this."""
        with self.database.transaction() as connection:
            client = find_client(connection, client_id)
            assert client is not None
            grant = allow(connection, self.user.id, client_id, scope, self.now)
            return begin_family(
                connection,
                grant,
                client,
                self.user.epoch,
                scope=scope,
                audience=audience,
                now=self.now,
                expires_at=self.now + 60,
            )

    def authorize(
        self,
        client_id: str,
        scope: str = "orders:read orders:write",
        audience: str = "",
        *,
        redirect_uri: str | None = CALLBACK,
        code_challenge: str = CHALLENGE,
    ) -> str:
        """Allows the client this, and gives the code that it is sent."""
        family = self.begin_family(client_id, scope, audience)
        code = new_token("ac")
        with self.database.transaction() as connection:
            insert_code(
                connection,
                AuthorizationCode(
                    hash=token_hash(code),
                    family_id=family.id,
                    client_id=client_id,
                    redirect_uri=redirect_uri,
                    code_challenge=code_challenge,
                    expires_at=self.now + 60,
                ),
            )
        return code

    def take_back(self, client_id: str) -> None:
        with self.database.transaction() as connection:
            assert delete_grant(connection, self.user.id, client_id)

    def approve(self, user_code: str) -> bool:
        """Says yes to a device."""
        with self.database.transaction() as connection:
            request = find_device_request(connection, user_code, self.now)
        assert request is not None
        family = self.begin_family(request.client_id, request.scope, request.audience)
        with self.database.transaction() as connection:
            return approve_device(connection, request, family.id, self.now)

    def deny(self, user_code: str) -> bool:
        """Says no to a device."""
        with self.database.transaction() as connection:
            request = find_device_request(connection, user_code, self.now)
            assert request is not None
            return deny_device(connection, request, self.now)


def read_all_before_any_claims(
    monkeypatch: pytest.MonkeyPatch, finder: str, *, requests: int = 8
) -> None:
    """Holds so many requests, as many as run at once, until each has looked up what it is about."""
    find = getattr(grant_types, finder)
    barrier = threading.Barrier(requests)
    calls = itertools.count()

    def find_and_wait(*arguments: object) -> object:
        found = find(*arguments)
        if next(calls) < requests:
            barrier.wait(10)
        return found

    monkeypatch.setattr(grant_types, finder, find_and_wait)


async def ask(
    endpoints: Endpoints, client: "NewSecret", path: str = "/oauth2/token", **form: str
) -> Answer:
    """Asks an endpoint as the client: by its secret, or by its name if it has none."""
    if client.secret is None:
        return await endpoints.post(path, {"client_id": client.client.id, **form})
    return await endpoints.post(path, form, basic=client)


async def redeem(
    endpoints: Endpoints, client: "NewSecret", code: str, /, **changes: str | None
) -> Answer:
    """Redeems a code; a change of None leaves a parameter out."""
    form: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return await ask(
        endpoints, client, **{name: value for name, value in form.items() if value is not None}
    )


async def refresh(endpoints: Endpoints, client: "NewSecret", token: object, **form: str) -> Answer:
    """Uses a refresh token."""
    return await ask(
        endpoints, client, grant_type="refresh_token", refresh_token=str(token), **form
    )
