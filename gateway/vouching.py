"""Everyone who vouches for tokens, as a configuration names them, and the folder of their state."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from gateway.introspection.announcing import announce
from gateway.introspection.calls import CallLimits, ServerCalls
from gateway.introspection.choosing import ChosenIntrospector
from gateway.introspection.circuit import STATES, CircuitBreaker
from gateway.introspection.client_authentication import (
    Authenticate,
    bearer_token,
    client_secret_basic,
    client_secret_post,
    private_key_jwt,
)
from gateway.introspection.coalescing import CachedIntrospector, RememberingServer
from gateway.introspection.discovery import IssuerMetadata
from gateway.introspection.json_web_keys import JsonWebKeys, KeySetOfFile, KeySetOfServer
from gateway.introspection.jwt_access_tokens import JwtIntrospector, JwtRules
from gateway.introspection.rfc7662 import HttpIntrospector
from gateway.policy.choosing import ServerChoice
from gateway.policy.interfaces import Introspector
from gateway.serving import StartFailure
from gateway.settings import (
    AuthorizationServerSettings,
    ClientTlsSettings,
    GatewaySettings,
    IntrospectionSettings,
    JwtSettings,
    UnusablePair,
    is_endpoint_of,
    issuer_of,
    load_client_context,
    load_signing_key,
)
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.authserver.server import EmbeddedServer
    from gateway.introspection.fleet.feed import RevocationStream


def _ignore(*_: object) -> None:
    """Take no note."""


@asynccontextmanager
async def open_introspectors(
    settings: GatewaySettings,
    metrics: Metrics | None = None,
    log_request: Callable[[str, str, str, int, float], None] = _ignore,
    stream: "RevocationStream | None" = None,
) -> AsyncIterator[dict[str, Introspector]]:
    """Open everyone who vouches for tokens, by the names of the configuration.

    The embedded server, if there is one, is among them and can be told by its `application`; it
    tells other hosts of revocations by `stream`. Raises StartFailure.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        introspectors: dict[str, Introspector] = {}
        circuits: dict[str, CircuitBreaker] = {}
        for name, server in settings.authorization_servers.items():
            if server.introspection is not None:
                asked = server.introspection
                client = _make_client(name, asked)
                stack.push_async_callback(client.close)
                introspectors[name] = circuit = CircuitBreaker(name, client)
                stack.push_async_callback(circuit.close)
                circuits[name] = circuit
            elif server.jwt is not None:
                checker = _make_checker(name, server.jwt)
                stack.push_async_callback(checker.close)
                introspectors[name] = checker
            else:
                embedded = await asyncio.to_thread(
                    _open_embedded, name, settings, metrics, log_request, stream
                )
                stack.push_async_callback(embedded.close)
                introspectors[name] = embedded
        _add_gauge(metrics, circuits)
        yield introspectors


def _make_client(name: str, asked: IntrospectionSettings) -> HttpIntrospector:
    calls = _make_calls(name, asked, asked.calls)
    try:
        authenticate = _authentication(asked)
    except UnusablePair as unusable:
        raise StartFailure(f"authorization server {name!r}: {unusable.problem}") from None
    if asked.url is None:
        metadata = IssuerMetadata(
            calls,
            asked.issuer,
            "introspection_endpoint",
            partial(is_endpoint_of, issuer=asked.issuer),
        )
        find_url = metadata.url
    else:
        find_url = partial(_known, asked.url)
    return HttpIntrospector(
        calls, issuer=asked.issuer, find_url=find_url, authenticate=authenticate
    )


def _make_calls(name: str, asked: IntrospectionSettings | JwtSettings, calls: int) -> ServerCalls:
    limits = CallLimits(asked.timeouts.connect, asked.timeouts.total, calls)
    tls = asked.tls or ClientTlsSettings()
    try:
        return ServerCalls(limits, load_client_context(tls.ca, tls.certificate, tls.key))
    except UnusablePair as unusable:
        raise StartFailure(f"authorization server {name!r}: {unusable.problem}") from None


def _make_checker(name: str, checked: JwtSettings) -> JwtIntrospector:
    """Make who checks JWTs; nothing is fetched before the first one comes."""
    close = None
    if checked.jwks is not None:
        load = KeySetOfFile(name, checked.jwks, checked.algorithms).load
    else:
        calls = _make_calls(name, checked, 1)
        close = calls.close
        if checked.jwks_uri is None:
            is_acceptable = partial(is_endpoint_of, issuer=checked.issuer)
            find_url = IssuerMetadata(calls, checked.issuer, "jwks_uri", is_acceptable).url
        else:
            find_url = partial(_known, checked.jwks_uri)
        load = KeySetOfServer(name, calls, find_url).load
    rules = JwtRules(
        checked.issuer,
        checked.audience,
        frozenset(checked.algorithms),
        checked.token_type,
        checked.leeway,
    )
    keys = JsonWebKeys(name, load, refresh=checked.refresh, maximum_age=checked.maximum_age)
    return JwtIntrospector(rules, keys, close=close)


async def _known(url: str) -> str:
    return url


def _authentication(asked: IntrospectionSettings) -> Authenticate:
    """Give how the gateway says who it is. Raises UnusablePair."""
    client_id = asked.client_id or ""
    if asked.authentication == "bearer_token":
        return bearer_token(_reveal(asked.bearer_token))
    if asked.authentication == "private_key_jwt":
        assert asked.private_key is not None  # noqa: S101 - for the type checker: a rule saw to it
        return private_key_jwt(client_id, load_signing_key(asked.private_key), asked.issuer)
    if asked.authentication == "client_secret_post":
        return client_secret_post(client_id, _reveal(asked.client_secret))
    return client_secret_basic(client_id, _reveal(asked.client_secret))


def _reveal(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


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
    stream: "RevocationStream | None",
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
            partial(announce, settings.state_dir, stream),
            metrics.tokens_issued.count,
            log_request,
            count_sign_in=metrics.sign_ins.count,
        )
    except (DatabaseUnavailable, ValueError) as error:
        raise StartFailure(f"database of authorization server {name!r}: {error}") from error


def source_of(server: AuthorizationServerSettings) -> bytes:
    """Give the digest of who is asked and with which credentials, the same on every host.

    What it was called in the configuration does not count.
    """
    if server.jwt is not None:
        checked = server.jwt
        # All that makes a verdict; the leeway is in it.
        parts: list[object] = [
            "jwt",
            checked.issuer,
            checked.audience,
            checked.jwks_uri,
            None if checked.jwks is None else str(checked.jwks),
            *checked.algorithms,
            checked.token_type,
            checked.leeway,
        ]
    elif server.introspection is None:
        assert server.embedded is not None  # noqa: S101 - for the type checker: it is one of both
        parts = ["embedded", server.embedded.issuer]
    else:
        asked = server.introspection
        key = asked.private_key
        parts = [
            "introspection",
            asked.issuer,
            asked.url,
            asked.authentication,
            asked.client_id,
            _reveal(asked.client_secret),
            _reveal(asked.bearer_token),
            None if key is None else hashlib.sha256(key.read_bytes()).hexdigest(),
        ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def with_choices(
    settings: GatewaySettings, members: Mapping[str, CachedIntrospector]
) -> dict[str, RememberingServer]:
    """Give who vouches by what routes call them: each by itself, and several by their names.

    Those of which one is not among `members` are left out.
    """
    found: dict[str, RememberingServer] = dict(members)
    for names in {route.authorization_server for route in settings.routes}:
        if len(names) > 1 and members.keys() >= set(names):
            servers = {name: settings.authorization_servers[name] for name in names}
            chosen = {name: members[name] for name in names}
            issuers = {name: issuer_of(server) for name, server in servers.items()}
            found[", ".join(names)] = ChosenIntrospector(_choice(servers), chosen, issuers)
    return found


def _choice(servers: Mapping[str, AuthorizationServerSettings]) -> ServerChoice:
    def first(names: Iterable[str]) -> str | None:
        return next(iter(names), None)  # rules have seen to it that there is no second one

    return ServerChoice(
        embedded=first(name for name, one in servers.items() if one.embedded is not None),
        # Who checks JWTs of an issuer here goes before who asks it, whom its opaque tokens are for.
        by_issuer={
            issuer_of(one): name
            for name, one in sorted(servers.items(), key=lambda item: item[1].jwt is not None)
            if one.embedded is None
        },
        opaque=first(name for name, one in servers.items() if one.introspection is not None),
    )


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
