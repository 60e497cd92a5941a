"""Everyone who vouches for tokens, as a configuration names them, and the folder of their state."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from gateway.introspection.calls import CallLimits, ServerCalls
from gateway.introspection.circuit import STATES, CircuitBreaker
from gateway.introspection.revocations import publish
from gateway.introspection.rfc7662 import HttpIntrospector
from gateway.policy.interfaces import Introspector
from gateway.serving import StartFailure
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.authserver.server import EmbeddedServer


def _ignore(*_: object) -> None:
    """Take no note."""


@asynccontextmanager
async def open_introspectors(
    settings: GatewaySettings,
    metrics: Metrics | None = None,
    log_request: Callable[[str, str, str, int, float], None] = _ignore,
) -> AsyncIterator[dict[str, Introspector]]:
    """Open everyone who vouches for tokens, by the names of the configuration.

    The embedded server, if there is one, is among them and can be told by its `application`.
    Raises StartFailure.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        introspectors: dict[str, Introspector] = {}
        circuits: dict[str, CircuitBreaker] = {}
        for name, server in settings.authorization_servers.items():
            if server.introspection is not None:
                asked = server.introspection
                limits = asked.timeouts
                client = HttpIntrospector(
                    ServerCalls(CallLimits(limits.connect, limits.total, asked.calls)),
                    issuer=asked.issuer,
                    url=asked.url,
                    client_id=asked.client_id,
                    client_secret=asked.client_secret.get_secret_value(),
                )
                stack.push_async_callback(client.close)
                introspectors[name] = circuit = CircuitBreaker(name, client)
                stack.push_async_callback(circuit.close)
                circuits[name] = circuit
            else:
                embedded = await asyncio.to_thread(
                    _open_embedded, name, settings, metrics, log_request
                )
                stack.push_async_callback(embedded.close)
                introspectors[name] = embedded
        _add_gauge(metrics, circuits)
        yield introspectors


def _add_gauge(metrics: Metrics, circuits: Mapping[str, CircuitBreaker]) -> None:
    metrics.add_gauge(
        "gateway_authorization_server_state",
        "Workers by whether they ask a foreign authorization server, or why they do not",
        ("authorization_server", "state"),
        lambda: [
            ((name, state), int(circuit.state == state))
            for name, circuit in circuits.items()
            for state in STATES
        ],
    )


def _open_embedded(
    name: str,
    settings: GatewaySettings,
    metrics: Metrics,
    log_request: Callable[[str, str, str, int, float], None],
) -> "EmbeddedServer":
    # Imported here: a guard in front of a foreign server loads neither SQLAlchemy nor Authlib.
    from gateway.authserver.metadata import GRANT_TYPES
    from gateway.authserver.options import embedded_options
    from gateway.authserver.server import EmbeddedServer
    from gateway.authserver.storage.database import DatabaseUnavailable

    options = embedded_options(settings)
    assert options is not None  # noqa: S101 - for the type checker: `name` is it
    make_state_dir(settings)
    for result in ("succeeded", "failed", "throttled"):
        metrics.sign_ins.start_at_zero(result)
    for grant_type in GRANT_TYPES:
        metrics.tokens_issued.start_at_zero(grant_type)
    try:
        return EmbeddedServer(
            options,
            partial(publish, settings.state_dir),
            metrics.tokens_issued.count,
            log_request,
            count_sign_in=metrics.sign_ins.count,
        )
    except (DatabaseUnavailable, ValueError) as error:
        raise StartFailure(f"database of authorization server {name!r}: {error}") from error


def find_embedded(
    settings: GatewaySettings, introspectors: Mapping[str, Introspector]
) -> "EmbeddedServer | None":
    """Give the one of them that is the embedded server; None when there is none."""
    for name, server in settings.authorization_servers.items():
        if server.embedded is not None:
            return cast("EmbeddedServer", introspectors[name])
    return None


def make_state_dir(settings: GatewaySettings) -> None:
    """Make the folder of databases and sockets, for its owner alone. Raises StartFailure."""
    try:
        if not settings.state_dir.exists():
            settings.state_dir.mkdir(mode=0o700, parents=True)
            settings.state_dir.chmod(0o700)  # whatever the umask took from it
    except OSError as error:
        raise StartFailure(f"state_dir {settings.state_dir}: {error.strerror}") from error
    status = settings.state_dir.stat()
    if status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0):
        # Whoever may write here could take a worker's place, and with it every revocation.
        raise StartFailure(
            f"state_dir {settings.state_dir}: others may write to it; "
            f"chown it to the gateway's user and chmod 700"
        )
    if not os.access(settings.state_dir, os.W_OK | os.X_OK):
        raise StartFailure(f"state_dir {settings.state_dir}: it is not writable")
