"""PostgreSQL: the server's address, its connections, and what it says of a failure.

What this file guards: nobody waits for a server without end, a connection that was lost is not
used again, and no message carries a password or a value.
"""

import re
import select
import shlex
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from gateway.authserver.storage.outage import PATIENCE, DatabaseUnavailable

SCHEMES: Final = ("postgresql://", "postgres://")
_WRONG = (
    "the database must be postgresql://user:password@host:port/name "
    "or postgresql:///name?host=/folder/of/the/socket, with percent-encoding where a part "
    "has '@', ':', '/', '?' or '#' in it, and none but libpq's options behind the '?'"
)

_SERVER = r"(?:[^\[\]@:/?#,]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^@:/?#]*)(?::[^@:/?#]*)?@)?"
    rf"(?P<servers>{_SERVER}(?:,{_SERVER})*)(?:/(?P<name>[^@/?#]*))?(?:\?(?P<options>[^#]*))?"
)
_MISSING = re.compile(r'database "(?P<name>.+)" does not exist$')
_PLACE = re.compile(r"(?:host|port|dbname|user)=.*")

# The server's own classes of failure whose words name no values: connection, transaction state,
# authorization, no such database, conflict between transactions, no such table, resources, state
# of an object, intervention by an operator, system. Others quote what they were given.
_TELLING = frozenset({"08", "25", "28", "3D", "40", "42", "53", "54", "55", "57", "58"})

# A session's settings, as one statement. Sequential scans: all that is asked often is asked by
# key, and a plan that was made while the tables were small is kept and used again when they no
# longer are. Compiling such a plan, which looks costly to the planner, costs more than it does.
_SETTINGS = f"""
SELECT set_config('statement_timeout', '{PATIENCE * 1000:.0f}', false),
       set_config('lock_timeout', '{PATIENCE * 1000:.0f}', false),
       set_config('idle_in_transaction_session_timeout', '{PATIENCE * 5000:.0f}', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
       set_config('enable_seqscan', 'off', false),
       set_config('jit', 'off', false)
"""


def is_postgresql(url: str) -> bool:
    """Say whether the URL is meant for PostgreSQL."""
    return url.startswith(SCHEMES)


def parse_url(url: str) -> dict[str, Any]:
    """Give the connection parameters that the URL names.

    Raises:
        DatabaseUnavailable: it is no URL of a PostgreSQL database. The text does not quote it.
    """
    # The library is more lenient: it would take the rest of a password that has a bare "@" or "/"
    # for a host or a port, and tell everybody that there is no such host.
    if _URL.fullmatch(url) is None:
        raise DatabaseUnavailable(_WRONG)
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        raise DatabaseUnavailable(_WRONG) from None
    if not parameters.get("dbname"):
        raise DatabaseUnavailable(_WRONG)
    return dict(parameters)


def describe_url(url: str) -> str:
    """Give the URL with the user, the server and the database, and nothing else of it."""
    match = _URL.fullmatch(url)
    if match is None:
        return "the PostgreSQL database"
    user = f"{match['user']}@" if match["user"] else ""
    where = [option for option in (match["options"] or "").split("&") if _PLACE.fullmatch(option)]
    options = f"?{'&'.join(where)}" if where else ""
    return f"postgresql://{user}{match['servers']}/{match['name'] or ''}{options}"


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer.

    The server's own time limits do not help where the server, or the network, stands still.
    """

    patience: float | None = (
        PATIENCE + 1
    )  # seconds: the server's limits come first, for they say more

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the server, but not longer than `patience`."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - for callers of wait() to convert
            self.close()
            raise psycopg.OperationalError("the server does not answer") from None


def _connect(parameters: dict[str, Any], *, autocommit: bool = False) -> BoundedConnection:
    defaults = {
        "connect_timeout": int(PATIENCE),
        # Where packets vanish, the system would send them again for a quarter of an hour.
        "tcp_user_timeout": int(PATIENCE * 1000),
        "application_name": "gateway",
    }
    connection = BoundedConnection.connect(
        **{**defaults, **parameters}, client_encoding="utf8", autocommit=True
    )
    try:
        connection.execute(_SETTINGS)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(url: str) -> BoundedConnection:
    """Open a connection whose every statement is a transaction of its own.

    Raises:
        psycopg.Error: it cannot be opened.
        DatabaseUnavailable: it is no URL of a PostgreSQL database.
    """
    return _connect(parse_url(url), autocommit=True)


def connect_for_migration(url: str, lock_timeout: float) -> BoundedConnection:
    """Open a connection whose statements take their time; it waits so many seconds for a lock.

    Raises:
        psycopg.Error: it cannot be opened.
        DatabaseUnavailable: it is no URL of a PostgreSQL database.
    """
    connection = _connect(parse_url(url), autocommit=True)
    try:
        connection.execute(
            "SELECT set_config('statement_timeout', '0', false),"
            f" set_config('lock_timeout', '{lock_timeout * 1000:.0f}', false)"
        )
        connection.autocommit = False
        connection.patience = None
    except BaseException:
        connection.close()
        raise
    return connection


def create_pool(url: str, connections: int) -> Engine:
    """Give a pool of so many connections, in which dead ones are replaced before they are used.

    Raises:
        DatabaseUnavailable: it is no URL of a PostgreSQL database.
    """
    parameters = parse_url(url)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect(parameters),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=PATIENCE,
        hide_parameters=True,  # else the text of an error carries hashes and names
    )
    event.listen(engine, "checkout", _replace_dead)
    return engine


def _replace_dead(connection: BoundedConnection, *_: object) -> None:
    """Have a connection opened anew that the server has closed meanwhile.

    A server that stops says goodbye on every connection, and a dead one's are closed: either way
    there is something to read, where nothing was asked. It costs no round trip.
    """
    if is_dead(connection):
        raise DisconnectionError("the server closed the connection")


def is_dead(connection: BoundedConnection) -> bool:
    """Say whether the server has closed a connection on which nothing is under way."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def describe_error(error: psycopg.Error) -> str:
    """Say in one line what went wrong, without anything that was sent."""
    code = error.sqlstate or error.diag.sqlstate
    name = type(error).__name__
    if code is not None and code[:2] not in _TELLING and code[:2] != "XX":
        return f"{name} ({code})"
    text = ((error.diag.message_primary or str(error)).splitlines() or [""])[0]
    # By its words: a connection that fails has no code of the server's.
    missing = _MISSING.search(text)
    mend = f"; create it first: createdb {shlex.quote(missing['name'])}" if missing else ""
    return f"{name}: {text}{mend}".strip(": ")
