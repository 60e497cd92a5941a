"""The client of Redis. It repeats no call: whoever makes one knows better what to do without it."""

from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_MOST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where Redis is, and who asks. `socket` is a unix socket's path, in place of host and port.

    `tls` says whether to speak TLS; `ca` None is the system's idea of whom to trust.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    socket: Path | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def connect(options: RedisOptions) -> Redis:
    """Make a client, which connects when it is first used. Calls are bounded by their callers."""
    return Redis(
        host=options.host,
        port=options.port,
        unix_socket_path=None if options.socket is None else str(options.socket),
        db=options.database,
        username=options.username,
        password=options.password,
        ssl=options.tls,
        ssl_ca_certs=_text(options.ca),
        ssl_certfile=_text(options.certificate),
        ssl_keyfile=_text(options.key),
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        max_connections=_MOST_CONNECTIONS,
        protocol=2,
    )


def open_pool(options: RedisOptions, most: int, patience: float) -> BlockingConnectionPool:
    """Make connections for many callers at a time; who finds none waits so many seconds."""
    made = connect(options).connection_pool
    return BlockingConnectionPool(
        max_connections=most,
        timeout=patience,
        connection_class=made.connection_class,
        **made.connection_kwargs,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
