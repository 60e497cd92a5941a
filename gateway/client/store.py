"""What the client role remembers between two commands, in one file for its owner alone.

Rule: the file is read only if nobody else can read it, and a new one takes its place whole or not
at all: a power cut leaves the old tokens or the new ones. Whoever changes it holds the lock, and
reads it anew under the lock.
"""

import asyncio
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from gateway.client.errors import ClientError
from gateway.client.token_endpoint import ClientIdentity, Tokens
from gateway.settings.findings import printable

_VERSION: Final = 1
_MAXIMUM_SIZE: Final = 1024 * 1024
_PATIENCE: Final = 60.0  # seconds: a refresh under way takes at most half of that
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """One person's sign-in at one issuer through one client, and where its token may go.

    Times are Unix seconds. `resources` were asked for at sign-in (RFC 8707): such a token belongs
    there alone. `origins` are the places that the token is known to belong to.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scope: str | None
    obtained_at: float
    expires_at: float | None
    signed_in_at: float
    resources: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What tells accounts apart: issuer and client."""
        return self.issuer, self.client_id

    @property
    def client(self) -> ClientIdentity:
        """Who the client is at the issuer."""
        return ClientIdentity(self.client_id, self.client_secret)

    def with_tokens(self, tokens: Tokens) -> "Account":
        """Give the account after a refresh (RFC 6749, section 6: what is not said stays)."""
        return replace(
            self,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or self.refresh_token,
            scope=self.scope if tokens.scope is None else tokens.scope,
            obtained_at=tokens.obtained_at,
            expires_at=tokens.expires_at,
        )


class CredentialStore:
    """The accounts, the one used last first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "credentials.json"

    def read(self) -> list[Account]:
        """Give all accounts. Raises ClientError when the file may not be trusted or read."""
        if not os.path.lexists(self._folder):
            return []
        self._check_folder()
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from None
        with os.fdopen(descriptor, "rb") as file:
            self._check_file(os.fstat(file.fileno()))
            content = file.read(_MAXIMUM_SIZE + 1)
        try:
            return _decode(content)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ClientError(
                f"{self.path} cannot be understood; remove it, and sign in again: gateway login"
            ) from None

    def write(self, accounts: list[Account]) -> None:
        """Put these accounts in the place of all others, durably; call it under the lock.

        Raises ClientError.
        """
        members = {"version": _VERSION, "accounts": [asdict(account) for account in accounts]}
        content = json.dumps(members, indent=1).encode()
        temporary = None
        try:
            self._make_folder()
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".credentials-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)  # noqa: PTH105 - mkstemp gives a string
            temporary = None
            _sync_folder(self._folder)
        except OSError as error:
            raise self._unusable(error) from None
        finally:
            if temporary is not None:
                with suppress(OSError):
                    Path(temporary).unlink()

    def put(self, account: Account) -> None:
        """Keep an account as the one used last; call it under the lock. Raises ClientError."""
        self.write([account, *(other for other in self.read() if other.key != account.key)])

    def remove(self, account: Account) -> None:
        """Forget an account; call it under the lock. Raises ClientError."""
        self.write([other for other in self.read() if other.key != account.key])

    def find(self, key: tuple[str, str]) -> Account | None:
        """Give the account with this issuer and client. Raises ClientError."""
        return next((account for account in self.read() if account.key == key), None)

    @asynccontextmanager
    async def lock(self, seconds: float = _PATIENCE) -> AsyncIterator[None]:
        """Keep every other command from changing the file until the block ends.

        Raises ClientError when another one holds on to it for too long.
        """
        try:
            self._make_folder()
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._folder / "lock", flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            deadline = time.monotonic() + seconds
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise ClientError(f"another gateway command holds {self._folder}/lock")
                await asyncio.sleep(_POLL)
            yield
        finally:
            os.close(descriptor)  # which gives the lock back

    def _make_folder(self) -> None:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            self._folder.chmod(0o700)  # under any umask
        self._check_folder()

    def _check_folder(self) -> None:
        try:
            status = self._folder.stat()
        except OSError as error:
            raise self._unusable(error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise ClientError(f"{self._folder} is no folder; move it away")
        self._check_owner(self._folder, status, "700")

    def _check_file(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise ClientError(f"{self.path} is no file; move it away")
        self._check_owner(self.path, status, "600")

    def _check_owner(self, path: Path, status: os.stat_result, mode: str) -> None:
        if status.st_uid != os.geteuid():
            raise ClientError(f"{path} belongs to another user; move it away, or be that user")
        if status.st_mode & 0o077:
            raise ClientError(
                f"{path} is open to other users, who may have read the tokens in it; "
                f"close it with chmod {mode} {path}, then gateway logout --all"
            )

    def _unusable(self, error: OSError) -> ClientError:
        where = printable(str(error.filename or self.path))
        return ClientError(f"{where} cannot be used: {error.strerror or error}")


def default_folder(environment: Mapping[str, str]) -> Path:
    """Give where the file lives: `$XDG_STATE_HOME/gateway`, or `~/.local/state/gateway`.

    Raises ClientError when there is no home folder.
    """
    configured = environment.get("XDG_STATE_HOME", "")
    if configured.startswith("/"):  # a relative one is to be ignored, by the XDG specification
        return Path(configured) / "gateway"
    try:
        return Path.home() / ".local" / "state" / "gateway"
    except RuntimeError:
        raise ClientError("there is no home folder: set HOME, or XDG_STATE_HOME") from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(content: bytes) -> list[Account]:
    members = json.loads(content)
    if len(content) > _MAXIMUM_SIZE or members["version"] != _VERSION:
        raise ValueError
    return [_read_account(account) for account in members["accounts"]]


def _read_account(members: dict[str, Any]) -> Account:
    if members.keys() != {member.name for member in fields(Account)}:
        raise ValueError
    for name in ("issuer", "client_id", "access_token"):
        if not isinstance(members[name], str):
            raise TypeError
    lists = {name: tuple(map(str, members[name])) for name in ("resources", "origins")}
    return Account(**(members | lists))
