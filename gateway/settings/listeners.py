"""The rules about where the gateway listens, and about who else may be there."""

import os
from itertools import combinations
from typing import Final

from gateway.settings.addresses import (
    Address,
    ListenAddress,
    UnixAddress,
    collide,
    exclude_each_other,
    first_beyond_loopback,
    first_with_port,
    parse_origin,
    reaches,
)
from gateway.settings.completion import derive_origin, derive_public_url, locate_listener
from gateway.settings.document import Sequence
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, render_path

_CIRCLE: Final = "this is where the gateway itself listens, so every request would run in a circle"
_SERVICE: Final = "name the service that stands behind the gateway"
_LONGEST_SOCKET_PATH: Final = 107  # sun_path of unix(7), less the NUL


def guard_addresses(draft: Draft) -> list[tuple[KeyPath, ListenAddress]]:
    """Give each address of `listen` with its place in the file; none where one is broken."""
    if not draft.is_sound("listen"):
        return []
    listen = draft.settings.listen
    if isinstance(draft.node("listen"), Sequence):
        return [(("listen", index), address) for index, address in enumerate(listen)]
    return [(("listen",), address) for address in listen]


def guard_origins(draft: Draft) -> set[str]:
    """Give the origins by which the guard is reached, as far as the file is clear about them."""
    if draft.has("public_url"):
        return {draft.settings.public_url} if draft.is_sound("public_url") else set()
    has_tls = draft.has("tls")
    origins = {derive_origin(address, has_tls=has_tls) for _, address in guard_addresses(draft)}
    return {origin for origin in origins if origin is not None and not origin.endswith(":0")}


def check_public_url(draft: Draft) -> None:
    """Somebody has to say how clients reach the guard where its listeners do not."""
    addresses = guard_addresses(draft)
    if draft.has("public_url") or not addresses:
        return
    listen = draft.settings.listen
    if derive_public_url(listen, has_tls=draft.has("tls")) is None:
        first = first_with_port(listen) or listen[0]
        blamed = first_beyond_loopback(listen) or first
        path = next(path for path, address in addresses if address == blamed)
        both = f"{first} and {blamed}" if first != blamed else first
        what = f"listening on {both} does not say how clients reach the gateway"
        mend = "add public_url with the origin that they use"
        draft.error(path, "missing-public-url", what, mend)


def check_unix_sockets(draft: Draft) -> None:
    """The kernel takes a socket's whole path only up to a length."""
    for path, address in guard_addresses(draft):
        listen = locate_listener(address, draft.reading.folder)
        if isinstance(listen, UnixAddress) and len(os.fsencode(listen.path)) > _LONGEST_SOCKET_PATH:
            what = f"the whole path of this socket is longer than {_LONGEST_SOCKET_PATH} bytes"
            draft.error(path, "invalid-address", what, "choose a shorter one, as under /run")


def check_listeners(draft: Draft) -> None:
    """No two listeners want the same address and port, or the same file."""
    for earlier, later in combinations(_addresses(draft), 2):
        is_guards = earlier[0][0] == later[0][0]
        if not _want_one_place(draft, earlier[1], later[1], is_guards=is_guards):
            continue
        # The default of a key that is not in the file cannot be pointed at.
        (path, address), (other, _) = (later, earlier) if draft.has(*later[0]) else (earlier, later)
        by_default = "" if draft.has(*other) else " by default"
        what = f"{address} is also where {render_path(other)} listens{by_default}"
        keep = "keep one of them"
        mend = "give each its own port"
        if is_guards:
            mend = f"{keep}, or {mend}" if isinstance(address, Address) else keep
        draft.error(path, "listeners-collide", what, mend)


def _want_one_place(
    draft: Draft, one: ListenAddress, other: ListenAddress, *, is_guards: bool
) -> bool:
    if isinstance(one, UnixAddress) or isinstance(other, UnixAddress):
        places = {_place(draft, address) for address in (one, other)}
        return one != other and len(places) == 1
    if is_guards:
        # The same one twice in the list has its finding already.
        return one != other and exclude_each_other(one, other)
    return collide(one, other)


def check_upstreams(draft: Draft) -> None:
    """No server of an upstream is one of the gateway's own ports."""
    for name in draft.names("upstreams"):
        path: KeyPath = ("upstreams", name, "servers")
        if not draft.is_sound(*path):
            continue
        for index, server in enumerate(draft.settings.upstreams[name].servers):
            _check_upstream_server(draft, (*path, index), server)


def _check_upstream_server(draft: Draft, path: KeyPath, server: str) -> None:
    guard = [address for _, address in guard_addresses(draft)]
    if server.startswith("unix:"):
        place = _place(draft, UnixAddress(server.removeprefix("unix:")))
        if any(place == _place(draft, address) for address in guard):
            draft.error(path, "upstream-is-gateway", _CIRCLE, _SERVICE)
        return
    origin = parse_origin(server)
    if draft.is_sound("admin_listen"):
        admin = draft.settings.admin_listen
        if reaches(origin.host, origin.port, admin):
            what = f"this is admin_listen ({admin}), which is never for clients"
            draft.error(path, "upstream-is-admin", what, _SERVICE)
            return
    reaches_guard = any(
        isinstance(address, Address) and reaches(origin.host, origin.port, address)
        for address in guard
    )
    if reaches_guard or server in guard_origins(draft):
        draft.error(path, "upstream-is-gateway", _CIRCLE, _SERVICE)


def _place(draft: Draft, address: ListenAddress) -> str | None:
    """Give the file of a unix socket, whichever way it is spelt; None where there is none."""
    if not isinstance(address, UnixAddress):
        return None
    return os.path.realpath(draft.reading.folder / address.path)


def _addresses(draft: Draft) -> list[tuple[KeyPath, ListenAddress]]:
    addresses = guard_addresses(draft)
    if draft.is_sound("admin_listen"):
        addresses.append((("admin_listen",), draft.settings.admin_listen))
    for name, embedded in draft.embedded():
        path: KeyPath = ("authorization_servers", name, "embedded", "listen")
        if draft.is_sound(*path):
            addresses.append((path, embedded.listen))
    return addresses
