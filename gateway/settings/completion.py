"""What the file leaves out because it follows from the rest, and paths made absolute."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from gateway.settings.addresses import (
    Address,
    ListenAddress,
    Origin,
    UnixAddress,
    first_beyond_loopback,
    first_with_port,
    is_every_interface,
    is_loopback,
)
from gateway.settings.authorization_server_models import (
    AuthorizationServerSettings,
    EmbeddedSettings,
    IntrospectionSettings,
    JwtSettings,
)
from gateway.settings.database import SQLITE_SCHEME
from gateway.settings.models import GatewaySettings, RouteSettings, UpstreamSettings
from gateway.settings.redis_models import RedisSettings
from gateway.settings.tls_models import ClientTlsSettings, TlsSettings

ClientTls = TypeVar("ClientTls", bound=ClientTlsSettings)


def derive_origin(
    listen: ListenAddress, *, has_tls: bool, must_be_secure: bool = False
) -> str | None:
    """Give the origin by which a listener is reached; None when it does not say.

    `must_be_secure`: neither does it say when strangers would read along.
    """
    if isinstance(listen, UnixAddress):
        return None
    origin = Origin("https" if has_tls else "http", listen.host, listen.port)
    if is_every_interface(listen.host) or (must_be_secure and not origin.is_secure):
        return None
    return str(origin)


def derive_public_url(listen: Sequence[ListenAddress], *, has_tls: bool) -> str | None:
    """Give the origin by which clients reach the guard; None when its listeners do not say.

    The first address with a port says it, unless only this machine reaches that one and others
    reach another.
    """
    first = first_with_port(listen) or listen[0]
    is_here = isinstance(first, Address) and is_loopback(first.host)
    if is_here and first_beyond_loopback(listen) is not None:
        return None
    return derive_origin(first, has_tls=has_tls)


def locate_state_dir(settings: GatewaySettings, folder: Path) -> Path:
    """Give the folder for databases and sockets as an absolute path."""
    # As the kernel would follow it: `..` taken off by hand goes wrong behind a symbolic link.
    return Path(os.path.realpath(folder / settings.state_dir))


def locate_listener(listen: ListenAddress, folder: Path) -> ListenAddress:
    """Give a unix socket by its absolute path; another address as it is."""
    return UnixAddress(str(folder / listen.path)) if isinstance(listen, UnixAddress) else listen


def locate_database(url: str, state_dir: Path) -> str:
    """Give the URL of a SQLite file with an absolute path, taken literally; another as it is."""
    if not url.startswith(SQLITE_SCHEME):
        return url
    return f"{SQLITE_SCHEME}{state_dir / url.removeprefix(SQLITE_SCHEME)}"


def complete(settings: GatewaySettings, folder: Path) -> GatewaySettings:
    """Fill in what follows from the rest; `folder` is where relative paths count from.

    Takes settings that have passed every rule; gives them validated as a whole.
    """
    state_dir = locate_state_dir(settings, folder)
    servers = {
        name: _complete_server(server, state_dir, folder)
        for name, server in settings.authorization_servers.items()
    }
    routes = tuple(_complete_route(route, settings) for route in settings.routes)
    upstreams = {
        name: _complete_upstream(upstream, folder) for name, upstream in settings.upstreams.items()
    }
    update: dict[str, object] = {
        "state_dir": state_dir,
        "listen": tuple(locate_listener(address, folder) for address in settings.listen),
        "authorization_servers": servers,
        "upstreams": upstreams,
        "routes": routes,
        "tls": _complete_tls(settings.tls, folder),
        "redis": _complete_redis(settings.redis, folder),
    }
    if "public_url" not in settings.model_fields_set:
        update["public_url"] = derive_public_url(settings.listen, has_tls=settings.tls is not None)
    # The shapes have read every value; the models have the last word on what came of it.
    return GatewaySettings.model_validate(settings.model_copy(update=update))


def _complete_tls(tls: TlsSettings | None, folder: Path) -> TlsSettings | None:
    if tls is None:
        return None
    # Not resolved: where symbolic links lead changes with each renewal.
    return tls.model_copy(update={"certificate": folder / tls.certificate, "key": folder / tls.key})


def _complete_redis(redis: RedisSettings | None, folder: Path) -> RedisSettings | None:
    if redis is None or redis.tls is None:
        return redis
    return redis.model_copy(update={"tls": locate_files(redis.tls, folder)})


def _complete_server(
    server: AuthorizationServerSettings, state_dir: Path, folder: Path
) -> AuthorizationServerSettings:
    update: dict[str, object] = {}
    if server.embedded is not None:
        update["embedded"] = _complete_embedded(server.embedded, state_dir, folder)
    if server.introspection is not None:
        update["introspection"] = _complete_introspection(server.introspection, folder)
    if server.jwt is not None:
        update["jwt"] = _complete_jwt(server.jwt, folder)
    return server.model_copy(update=update)


def _complete_embedded(
    embedded: EmbeddedSettings, state_dir: Path, folder: Path
) -> EmbeddedSettings:
    url = locate_database(embedded.database.get_secret_value(), state_dir)
    update: dict[str, object] = {
        "database": SecretStr(url),
        "tls": _complete_tls(embedded.tls, folder),
    }
    if "issuer" not in embedded.model_fields_set:
        update["issuer"] = derive_origin(
            embedded.listen, has_tls=embedded.tls is not None, must_be_secure=True
        )
    return embedded.model_copy(update=update)


def _complete_upstream(upstream: UpstreamSettings, folder: Path) -> UpstreamSettings:
    servers = tuple(_locate_server(server, folder) for server in upstream.servers)
    return upstream.model_copy(
        update={"servers": servers, "tls": upstream.tls and locate_files(upstream.tls, folder)}
    )


def _complete_introspection(asked: IntrospectionSettings, folder: Path) -> IntrospectionSettings:
    key = asked.private_key
    return asked.model_copy(
        update={
            "tls": asked.tls and locate_files(asked.tls, folder),
            "private_key": None if key is None else folder / key,
        }
    )


def _complete_jwt(checked: JwtSettings, folder: Path) -> JwtSettings:
    return checked.model_copy(
        update={
            "tls": checked.tls and locate_files(checked.tls, folder),
            "jwks": None if checked.jwks is None else folder / checked.jwks,
        }
    )


def locate_files(tls: ClientTls, folder: Path) -> ClientTls:
    """Give the section with absolute paths."""
    paths = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    return tls.model_copy(
        update={name: folder / path for name, path in paths.items() if path is not None}
    )


def _locate_server(server: str, folder: Path) -> str:
    scheme, _, path = server.partition("unix:")
    return server if scheme else f"unix:{os.path.realpath(folder / path)}"


def _complete_route(route: RouteSettings, settings: GatewaySettings) -> RouteSettings:
    update: dict[str, object] = {}
    if "upstream" not in route.model_fields_set:
        [update["upstream"]] = settings.upstreams
    if not route.authorization_server and len(settings.authorization_servers) == 1:
        update["authorization_server"] = tuple(settings.authorization_servers)
    return route.model_copy(update=update)
