"""Device codes (RFC 8628): what a device without a browser asks, and what a person says to it."""

import re
import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.authserver.records.clients import Client
from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import clients, device_codes
from gateway.policy.tokenformat import new_token, token_hash

DEVICE_CODE_LIFETIME = 600  # seconds
POLLING_INTERVAL = 5  # seconds
_SLOW_DOWN = 5  # seconds more for who asks too often (RFC 8628, section 3.5)

# No vowels, so no words; and nothing that looks like something else (RFC 8628, section 6.1).
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_OTHER = re.compile(f"[^{_LETTERS}]")


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A device code as it rests. Times are Unix seconds, `interval` seconds."""

    hash: bytes
    user_code_hash: bytes
    client_id: str
    client_epoch: int
    scope: str
    audience: str
    expires_at: int
    interval: int
    polled_at: int | None = None
    family_id: str | None = None
    denied_at: int | None = None
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class NewDeviceCode:
    """The two codes in clear, for the one time that anybody sees them."""

    device_code: str
    user_code: str

    def __repr__(self) -> str:
        return "NewDeviceCode()"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What a person is asked: may the device of that client have this?"""

    hash: bytes
    client_id: str
    scope: str
    audience: str
    expires_at: int


def normalize_user_code(text: str) -> str:
    """Give a user code as it is shown, `XXXX-XXXX`, however a person typed it.

    Case, dashes, spaces and whatever else no code has are of no account (RFC 8628, section 6.1).
    """
    letters = _OTHER.sub("", text.upper())
    return f"{letters[:4]}-{letters[4:]}"


def begin_device_request(
    connection: Connection, client: Client, *, scope: str, audience: str, now: int
) -> NewDeviceCode:
    """Add a pending request of the client's."""
    begin_write(connection)
    while True:
        new = NewDeviceCode(new_token("dc"), _new_user_code())
        record = DeviceCode(
            hash=token_hash(new.device_code),
            user_code_hash=token_hash(new.user_code),
            client_id=client.id,
            client_epoch=client.epoch,
            scope=scope,
            audience=audience,
            expires_at=now + DEVICE_CODE_LIFETIME,
            interval=POLLING_INTERVAL,
        )
        try:
            with connection.begin_nested():
                connection.execute(insert(device_codes).values(asdict(record)))
        except IntegrityError:  # the user code is taken: there are only 20^8
            continue
        return new


def find_device_code(connection: Connection, code_hash: bytes) -> DeviceCode | None:
    """Give the device code, whatever became of it, if it is known."""
    row = connection.execute(select(device_codes).where(device_codes.c.hash == code_hash)).first()
    return DeviceCode(*row) if row is not None else None


def find_device_request(connection: Connection, user_code: str, now: float) -> DeviceRequest | None:
    """Give the request that waits for an answer under that user code, in whatever spelling.

    None as well when it has been answered, has expired, or its client has been revoked or disabled.
    """
    row = connection.execute(
        select(
            device_codes.c.hash,
            device_codes.c.client_id,
            device_codes.c.scope,
            device_codes.c.audience,
            device_codes.c.expires_at,
        )
        .join(clients, clients.c.id == device_codes.c.client_id)
        .where(
            device_codes.c.user_code_hash == token_hash(normalize_user_code(user_code)),
            _is_pending(now),
            clients.c.epoch == device_codes.c.client_epoch,
            clients.c.disabled_at.is_(None),
        )
    ).first()
    return DeviceRequest(*row) if row is not None else None


def approve_device(
    connection: Connection, request: DeviceRequest, family_id: str, now: float
) -> bool:
    """Let the device have the family's tokens; False when it is answered already, or expired."""
    return _decide(connection, request, now, {"family_id": family_id})


def deny_device(connection: Connection, request: DeviceRequest, now: float) -> bool:
    """Let the device have nothing; False when it is answered already, or expired."""
    return _decide(connection, request, now, {"denied_at": int(now)})


def note_poll(connection: Connection, code_hash: bytes, now: int) -> bool:
    """Take note that the device has asked; True when it did so too soon, and has to slow down."""
    begin_write(connection)
    too_soon = connection.execute(
        update(device_codes)
        .where(
            device_codes.c.hash == code_hash,
            device_codes.c.polled_at + device_codes.c.interval > now,
        )
        .values(polled_at=now, interval=device_codes.c.interval + _SLOW_DOWN)
    )
    if too_soon.rowcount == 1:
        return True
    connection.execute(
        update(device_codes).where(device_codes.c.hash == code_hash).values(polled_at=now)
    )
    return False


def claim_device_code(connection: Connection, code_hash: bytes, now: int) -> bool:
    """Use an approved device code; False when somebody has. Of any number at once one gets True.

    It is undone with its transaction: a rolled-back request burns nothing.
    """
    begin_write(connection)
    result = connection.execute(
        update(device_codes)
        .where(
            device_codes.c.hash == code_hash,
            device_codes.c.family_id.is_not(None),
            device_codes.c.used_at.is_(None),
        )
        .values(used_at=now)
    )
    return result.rowcount == 1


def _new_user_code() -> str:
    return normalize_user_code("".join(secrets.choice(_LETTERS) for _ in range(8)))


def _is_pending(now: float) -> ColumnElement[bool]:
    return and_(
        device_codes.c.family_id.is_(None),
        device_codes.c.denied_at.is_(None),
        device_codes.c.expires_at > int(now),
    )


def _decide(
    connection: Connection, request: DeviceRequest, now: float, values: dict[str, object]
) -> bool:
    begin_write(connection)
    result = connection.execute(
        update(device_codes)
        .where(device_codes.c.hash == request.hash, _is_pending(now))
        .values(values)
    )
    return result.rowcount == 1
