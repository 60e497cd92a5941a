"""The rules that join several keys: each is a function over the draft, and reports errors."""

import ipaddress
from collections.abc import Callable
from typing import Final

from gateway.policy.table import RouteConflict, RouteTable, TableTooLarge
from gateway.settings.adaptation import (
    check_cors,
    check_forward_path,
    check_header_edits,
    check_identity,
)
from gateway.settings.admission import check_rate_limits, check_scope_matching, check_token_cookies
from gateway.settings.completion import derive_origin, locate_database, locate_state_dir
from gateway.settings.database import SQLITE_SCHEME
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, join_words, quoted, suggest
from gateway.settings.foreign_servers import check_authentication, check_choice, check_keys
from gateway.settings.listeners import (
    check_listeners,
    check_public_url,
    check_unix_sockets,
    check_upstreams,
    guard_origins,
)
from gateway.settings.redis import check_redis
from gateway.settings.tls import (
    check_certificates,
    check_introspection_tls,
    check_upstream_tls,
)

Rule = Callable[[Draft], None]

_KINDS_OF_SERVERS: Final = ("embedded", "introspection", "jwt")


def check_trusted_proxies(draft: Draft) -> None:
    """Several networks together must not make up the whole internet."""
    if not draft.is_sound("trusted_proxies"):
        return
    networks = draft.settings.trusted_proxies
    v4 = [item for item in networks if isinstance(item, ipaddress.IPv4Network)]
    v6 = [item for item in networks if isinstance(item, ipaddress.IPv6Network)]
    merged = [
        *(network.prefixlen for network in ipaddress.collapse_addresses(v4)),
        *(network.prefixlen for network in ipaddress.collapse_addresses(v6)),
    ]
    for prefix_length in merged:
        if prefix_length == 0:
            what = "together these networks are the whole internet"
            mend = "name only the addresses of your own proxies"
            draft.error(("trusted_proxies",), "trusted-network-too-wide", what, mend)


def check_authorization_servers(draft: Draft) -> None:
    """Each is embedded or foreign, and one at most is embedded."""
    first_embedded: str | None = None
    for name in draft.names("authorization_servers"):
        path: KeyPath = ("authorization_servers", name)
        if not draft.is_whole(*path):
            continue  # it has its finding
        kinds = [kind for kind in _KINDS_OF_SERVERS if draft.has(*path, kind)]
        if not kinds:
            what = "nothing says what kind of authorization server this is"
            mend = f"add {join_words(_KINDS_OF_SERVERS, 'or')}"
            draft.error(path, "invalid-authorization-server", what, mend)
        elif len(kinds) > 1:
            what = f"an authorization server is of one kind, not {join_words(kinds, 'and')}"
            mend = "keep one of them"
            draft.error(path, "invalid-authorization-server", what, mend)
        if "embedded" in kinds:
            if first_embedded is None:
                first_embedded = name
                continue
            line = draft.line("authorization_servers", first_embedded)
            what = f"{quoted(first_embedded)} on line {line} is embedded already"
            draft.error((*path, "embedded"), "second-embedded-server", what, "keep one of them")


def check_embedded_issuer(draft: Draft) -> None:
    """The embedded server has an origin of its own, known to its clients."""
    for name, embedded in draft.embedded():
        path: KeyPath = ("authorization_servers", name, "embedded")
        if not draft.is_sound(*path, "listen") or not draft.is_sound(*path, "issuer"):
            continue
        if draft.has(*path, "issuer"):
            issuer, place = embedded.issuer, (*path, "issuer")
        else:
            derived = derive_origin(
                embedded.listen, has_tls=draft.has(*path, "tls"), must_be_secure=True
            )
            if derived is None:
                what = f"listening on {embedded.listen} does not say how clients reach it"
                mend = "add issuer with its https origin"
                draft.error((*path, "listen"), "missing-issuer", what, mend)
                continue
            issuer, place = derived, (*path, "listen")
            if not draft.has("public_url"):
                continue  # both follow from listeners, which are told apart by a rule of their own
        if issuer in guard_origins(draft):
            key = "public_url" if draft.has("public_url") else "listen"
            what = f"the issuer and {key} are one origin, shared with the pages that are guarded"
            draft.error(place, "issuer-shares-origin", what, "give the issuer an origin of its own")


def check_database_path(draft: Draft) -> None:
    """A SQLite database's whole path can be written as a URL."""
    for name, embedded in draft.embedded():
        path: KeyPath = ("authorization_servers", name, "embedded", "database")
        if not draft.is_sound(*path) or not draft.is_sound("state_dir"):
            continue
        state_dir = locate_state_dir(draft.settings, draft.reading.folder)
        url = embedded.database.get_secret_value()
        if url.startswith(SQLITE_SCHEME) and {"?", "#"} & set(locate_database(url, state_dir)):
            what = f"the folder {quoted(str(state_dir))} has a ? or # in its path"
            draft.error(path, "invalid-database", what, "set state_dir to a folder without them")


def check_route_names(draft: Draft) -> None:
    """A name is one route's: it is a label in metrics and logs."""
    first: dict[str, int] = {}
    for index, route in draft.routes():
        if not draft.is_sound("routes", index, "name"):
            continue
        earlier = first.setdefault(route.name, index)
        if earlier != index:
            line = draft.line("routes", earlier, "name")
            what = f"the name {quoted(route.name)} is taken by the route on line {line}"
            draft.error(
                ("routes", index, "name"), "duplicate-name", what, "give each route its own"
            )


def check_route_access(draft: Draft) -> None:
    """A route has exactly one of require and public."""
    for index, _ in draft.routes():
        path: KeyPath = ("routes", index)
        if not draft.is_whole(*path):
            continue  # it has its finding
        has_require, has_public = draft.has(*path, "require"), draft.has(*path, "public")
        if has_require and has_public:
            what = "a route cannot be public and demand a token"
            mend = "remove public to guard it, or require to open it"
            draft.error((*path, "public"), "require-and-public", what, mend)
        elif not has_require and not has_public:
            what = "nothing says who may pass"
            mend = "add require: {} for any valid token, or public: true"
            draft.error(path, "require-or-public", what, mend)
        if has_public and draft.has(*path, "forward_token"):
            what = "a public route demands no token that could be forwarded"
            mend = "remove forward_token, or guard the route"
            draft.error((*path, "forward_token"), "forward-token-on-public", what, mend)


def check_upgrades(draft: Draft) -> None:
    """A WebSocket begins with a GET, and only what switches can be bounded as a tunnel."""
    for index, route in draft.routes():
        path: KeyPath = ("routes", index)
        if not draft.is_whole(*path):
            continue  # it has its finding
        if draft.has(*path, "tunnels") and not draft.has(*path, "upgrade"):
            what = "no connection of this route can switch to another protocol"
            mend = "add upgrade: [websocket], or remove tunnels"
            draft.error((*path, "tunnels"), "tunnels-without-upgrade", what, mend)
        if draft.has(*path, "upgrade") and draft.is_sound(*path, "match"):
            methods = route.match.methods
            if methods is not None and "GET" not in methods:
                what = "a WebSocket begins with GET, which this route does not take"
                mend = "add GET to match.methods, or remove upgrade"
                draft.error((*path, "upgrade"), "upgrade-without-get", what, mend)


def check_references(draft: Draft) -> None:
    """What a route names is defined, and what it leaves out is clear."""
    for index, route in draft.routes():
        path: KeyPath = ("routes", index)
        if not draft.is_whole(*path):
            continue  # it has its finding
        if draft.is_sound(*path, "upstream"):
            upstream = route.upstream if draft.has(*path, "upstream") else None
            _check_reference(draft, (*path, "upstream"), upstream, "upstreams")
        servers = route.authorization_server
        key_path: KeyPath = (*path, "authorization_server")
        if draft.is_sound(*key_path) and (servers or draft.is_guarded(index)):
            for name in servers or (None,):
                _check_reference(draft, key_path, name, "authorization_servers")
            check_choice(draft, key_path, servers)


def _check_reference(draft: Draft, path: KeyPath, name: str | None, section: str) -> None:
    known = draft.names(section)
    key = str(path[-1])
    if not known and draft.has(section) and not draft.is_whole(section):
        return  # it has its finding, and may have lost the very name that is missing here
    if name is not None:
        if name not in known:
            what = f"there is no {key} {quoted(name)}"
            mend = suggest(name, known, f"define it under {section}, or use {_one_of(known)}")
            draft.error(path, f"unknown-{key.replace('_', '-')}", what, mend)
    elif len(known) > 1:
        what = f"the route does not say which {key}"
        draft.error(path, f"missing-{key.replace('_', '-')}", what, f"add {key}: {_one_of(known)}")
    elif not known and not draft.has(section) and section == "authorization_servers":
        what = "a guarded route needs an authorization server and the file has none"
        draft.error(path, "missing-authorization-server", what, f"add {section}")


def _one_of(known: tuple[str, ...]) -> str:
    shown = [quoted(name) for name in known[:5]]
    return join_words(shown, "or") if shown else "one that is defined"


def check_overlaps(draft: Draft) -> None:
    """No request could go to either of two routes."""
    positions, routes = draft.matchable_routes()
    try:
        RouteTable(routes)
    except RouteConflict as conflict:
        for later, earlier in conflict.conflicts:
            line = draft.line("routes", positions[earlier])
            what = f"the route on line {line} has the same host, path and method"
            mend = "change one of them, or name different methods"
            draft.error(("routes", positions[later], "match"), "routes-overlap", what, mend)
    except TableTooLarge:
        what = "the path patterns are too intertwined to compile"
        draft.error(("routes",), "routes-too-large", what, "use fewer {name} segments and **")


RULES: Final[tuple[Rule, ...]] = (
    check_public_url,
    check_unix_sockets,
    check_trusted_proxies,
    check_authorization_servers,
    check_embedded_issuer,
    check_database_path,
    check_certificates,
    check_upstream_tls,
    check_introspection_tls,
    check_authentication,
    check_keys,
    check_redis,
    check_listeners,
    check_upstreams,
    check_route_names,
    check_route_access,
    check_scope_matching,
    check_rate_limits,
    check_token_cookies,
    check_upgrades,
    check_references,
    check_overlaps,
    check_forward_path,
    check_header_edits,
    check_identity,
    check_cors,
)
