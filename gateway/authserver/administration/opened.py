"""What all administration works on: an open database, and what can be wrong with a wish."""

import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.migration import migrate


class AdministrationError(Exception):
    """What was asked for cannot be done. The text says why, and the mend, for the operator."""


class Opened:
    """An open database of the embedded server.

    It is created or migrated where needed, in a file and in PostgreSQL alike; `migration` says what
    was done. Use it as a context manager, or close it.

    Args:
        options: which server.
        clock: gives the Unix time.

    Raises:
        ValueError: the options name no database.
        DatabaseUnavailable: it cannot be opened, created or migrated. So may every method.
    """

    def __init__(
        self, options: AuthorizationServerOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.migration = migrate(options.database_url)
        self._options = options
        self._clock = clock
        self._database = Database(options.database_url, connections=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _now(self) -> int:
        return int(self._clock())

    def _check_declared(self, scopes: Collection[str]) -> None:
        undeclared = sorted(set(scopes) - self._options.scopes.keys())
        if undeclared:
            raise AdministrationError(
                f"scope {', '.join(undeclared)} is not declared; add it under "
                f"authorization_servers.{self._options.name}.embedded.scopes"
            )
