"""What the file leaves out because it follows from the rest, and paths made absolute."""

import os
from pathlib import Path

from pydantic import SecretStr

from gateway.settings.addresses import Address, Origin, is_every_interface, is_loopback
from gateway.settings.authorization_server_models import EmbeddedSettings
from gateway.settings.database import SQLITE_SCHEME
from gateway.settings.models import GatewaySettings, RouteSettings


def derive_origin(listen: Address, *, only_loopback: bool) -> str | None:
    """Give the origin by which a listener is reached over plain http; None when it does not say."""
    if is_every_interface(listen.host) or (only_loopback and not is_loopback(listen.host)):
        return None
    return str(Origin("http", listen.host, listen.port))


def locate_state_dir(settings: GatewaySettings, folder: Path) -> Path:
    """Give the folder for databases and sockets as an absolute path."""
    # As the kernel would follow it: `..` taken off by hand goes wrong behind a symbolic link.
    return Path(os.path.realpath(folder / settings.state_dir))


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
        name: server.model_copy(update={"embedded": _complete_embedded(server.embedded, state_dir)})
        if server.embedded is not None
        else server
        for name, server in settings.authorization_servers.items()
    }
    routes = tuple(_complete_route(route, settings) for route in settings.routes)
    upstreams = {
        name: upstream.model_copy(
            update={"servers": tuple(_locate_server(server, folder) for server in upstream.servers)}
        )
        for name, upstream in settings.upstreams.items()
    }
    update: dict[str, object] = {
        "state_dir": state_dir,
        "authorization_servers": servers,
        "upstreams": upstreams,
        "routes": routes,
    }
    if "public_url" not in settings.model_fields_set:
        update["public_url"] = derive_origin(settings.listen, only_loopback=False)
    # The shapes have read every value; the models have the last word on what came of it.
    return GatewaySettings.model_validate(settings.model_copy(update=update))


def _complete_embedded(embedded: EmbeddedSettings, state_dir: Path) -> EmbeddedSettings:
    url = locate_database(embedded.database.get_secret_value(), state_dir)
    update: dict[str, object] = {"database": SecretStr(url)}
    if "issuer" not in embedded.model_fields_set:
        update["issuer"] = derive_origin(embedded.listen, only_loopback=True)
    return embedded.model_copy(update=update)


def _locate_server(server: str, folder: Path) -> str:
    scheme, _, path = server.partition("unix:")
    return server if scheme else f"unix:{os.path.realpath(folder / path)}"


def _complete_route(route: RouteSettings, settings: GatewaySettings) -> RouteSettings:
    update: dict[str, object] = {}
    if "upstream" not in route.model_fields_set:
        [update["upstream"]] = settings.upstreams
    if route.authorization_server is None and len(settings.authorization_servers) == 1:
        [update["authorization_server"]] = settings.authorization_servers
    return route.model_copy(update=update)
