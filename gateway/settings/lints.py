"""What works and still is worth a look: each lint is a function over the draft, and warns."""

import stat
from collections.abc import Callable
from typing import Final

from gateway.policy.pattern import ANY_REST, is_parameter, parse_pattern
from gateway.policy.scopes import missing_scopes
from gateway.policy.table import opaque_routes_over, public_routes_of_a_host, weaker_public_routes
from gateway.settings.adaptation import header_secrets
from gateway.settings.addresses import UnixAddress, is_loopback, parse_origin
from gateway.settings.admission import (
    warn_of_networks_that_nobody_is_in,
    warn_of_rates_per_worker,
    warn_of_token_cookies,
)
from gateway.settings.database import has_password
from gateway.settings.document import Scalar
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, quoted, suggest
from gateway.settings.listeners import guard_addresses
from gateway.settings.redis import warn_of_hosts_that_share_nothing, warn_of_plain_redis
from gateway.settings.tls import warn_of_certificates, warn_of_readable_keys

Lint = Callable[[Draft], None]

# The protected resource's metadata (RFC 9728, section 3.1), and all below it.
_OWN_PAGE: Final = (".well-known", "oauth-protected-resource")


def warn_of_weaker_public_routes(draft: Draft) -> None:
    """A public route that covers a guarded one lets its misspelt paths through."""
    positions, routes = draft.matchable_routes()
    covered: dict[int, list[int]] = {}
    for guarded, public in weaker_public_routes(routes):
        covered.setdefault(public, []).append(guarded)
    for public, neighbours in covered.items():
        line = draft.line("routes", positions[neighbours[0]])
        others = f" and {len(neighbours) - 1} more" if len(neighbours) > 1 else ""
        what = (
            "without a token it takes what narrowly misses the guarded route "
            f"on line {line}{others}, such as its path in another case"
        )
        mend = "narrow its path, or guard it too"
        draft.warn(("routes", positions[public], "match"), "weaker-public-route", what, mend)


def warn_of_opaque_routes(draft: Draft) -> None:
    """What a route allows in its paths may make them another route's, to a service that decodes."""
    positions, routes = draft.matchable_routes()
    demands = {
        position: (route.authorization_server, route.require, route.networks)
        for position, route in draft.routes()
    }
    covered: dict[int, list[int]] = {}
    for guarded, opaque in opaque_routes_over(routes):
        if demands[positions[guarded]] != demands[positions[opaque]]:
            covered.setdefault(opaque, []).append(guarded)
    for opaque, neighbours in covered.items():
        line = draft.line("routes", positions[neighbours[0]])
        others = f" and {len(neighbours) - 1} more" if len(neighbours) > 1 else ""
        what = (
            "with what this allows, it takes paths that a service may read as those of the route "
            f"on line {line}{others}, which demands something else"
        )
        mend = "narrow the path of this route, or let both demand the same"
        draft.warn(("routes", positions[opaque], "allow_in_path"), "opaque-route", what, mend)


def warn_of_public_routes_of_a_host(draft: Draft) -> None:
    """A public route of one host lets in, by that host, whom a guarded route of any host stops."""
    positions, routes = draft.matchable_routes()
    for guarded, public, count in public_routes_of_a_host(routes):
        line = draft.line("routes", positions[guarded])
        demand = f"and {count - 1} more demand" if count > 1 else "demands"
        host = routes[public].host
        what = (
            f"on {host} this takes, without a token, all that the guarded route on line {line} "
            f"{demand} one for, and the client picks the host"
        )
        mend = f"give the guarded route a host too, or add one like it for {host}"
        draft.warn(("routes", positions[public], "match"), "public-on-one-host", what, mend)


def warn_of_unreachable_routes(draft: Draft) -> None:
    """No request gets past the page that the gateway itself has."""
    positions, routes = draft.matchable_routes()
    for position, route in zip(positions, routes, strict=True):
        if parse_pattern(route.path)[: len(_OWN_PAGE)] == _OWN_PAGE:
            what = "the gateway answers this path itself (RFC 9728), so the route never matches"
            mend = "remove the route, or change its path"
            draft.warn(("routes", position, "match", "path"), "unreachable-route", what, mend)


def warn_of_kinds_that_never_match(draft: Draft) -> None:
    """What a route allows in its paths only wildcards match, and an empty segment only `**`."""
    for position, route in draft.routes():
        is_clear = draft.is_sound("routes", position, "match", "path")
        if not is_clear or not draft.is_sound("routes", position, "allow_in_path"):
            continue
        pattern = parse_pattern(route.match.path)
        for index, kind in enumerate(route.allow_in_path):
            if pattern[-1:] == (ANY_REST,):
                continue
            if kind == "empty_segment":
                what = "only a last ** matches an empty segment, and the path has none"
            elif not any(map(is_parameter, pattern)):
                what = "only {name} and a last ** match such a segment, and the path has neither"
            else:
                continue
            mend = "remove it, or end the path with /**"
            path: KeyPath = ("routes", position, "allow_in_path", index)
            draft.warn(path, "idle-allow-in-path", what, mend)


def warn_of_undeclared_scopes(draft: Draft) -> None:
    """No token of the embedded server can have a scope that it does not declare."""
    declared = {
        name: tuple(embedded.scopes)
        for name, embedded in draft.embedded()
        if draft.is_sound("authorization_servers", name, "embedded", "scopes")
    }
    names = draft.names("authorization_servers")
    only = names[0] if len(names) == 1 else None
    for index, route in draft.routes():
        path: KeyPath = ("routes", index, "require")
        sound = draft.is_sound(*path) and draft.is_sound("routes", index, "authorization_server")
        servers = (route.authorization_server or ((only,) if only else ())) if sound else ()
        # Of several, another one may have it.
        server = servers[0] if len(servers) == 1 else None
        if server not in declared or route.require is None:
            continue
        for key in ("scopes", "any_scope"):
            for position, scope in enumerate(getattr(route.require, key)):
                if missing_scopes(
                    frozenset({scope}),
                    frozenset(declared[server]),
                    has_wildcards=route.require.scope_matching == "wildcard",
                ):
                    what = f"the authorization server {quoted(server)} has no scope {quoted(scope)}"
                    otherwise = "declare it under its scopes"
                    mend = suggest(scope, declared[server], otherwise)
                    draft.warn((*path, key, position), "undeclared-scope", what, mend)


def warn_of_unused_names(draft: Draft) -> None:
    """What no route uses was probably meant for one."""
    for section, key in (
        ("upstreams", "upstream"),
        ("authorization_servers", "authorization_server"),
    ):
        names = draft.names(section)
        used = _used_names(draft, section, key)
        if used is None or not used <= set(names):
            continue  # the one that a route fails to name is probably among the unused
        for name in names:
            if name not in used:
                what = f"no route uses {quoted(name)}"
                finding_id = f"unused-{key.replace('_', '-')}"
                draft.warn((section, name), finding_id, what, "remove it, or name it in a route")


def _used_names(draft: Draft, section: str, key: str) -> set[str] | None:
    """Give the names that routes use, by naming or implying them; None when that is not clear."""
    names = draft.names(section)
    used: set[str] = set()
    has_routes = False
    for index, route in draft.routes():
        has_routes = True
        is_clear = draft.is_whole("routes", index) and draft.is_guarded(index) is not None
        if not is_clear or not draft.is_sound("routes", index, key):
            return None
        if draft.has("routes", index, key):
            named = getattr(route, key)
            used.update((named,) if isinstance(named, str) else named)
        elif section == "upstreams" or draft.is_guarded(index):
            used.update(names)
    return used if has_routes else None


def warn_of_exposed_admin(draft: Draft) -> None:
    """The admin port is for the operator's machine."""
    if draft.is_sound("admin_listen") and not is_loopback(draft.settings.admin_listen.host):
        what = f"{draft.settings.admin_listen} can be reached from other machines"
        mend = "listen on 127.0.0.1, or keep strangers off the port with a firewall"
        draft.warn(("admin_listen",), "admin-exposed", what, mend)


def warn_of_nameless_clients(draft: Draft) -> None:
    """Who connects by a unix socket has no address, and says whose it has only when believed."""
    if not draft.is_sound("trusted_proxies") or "unix" in draft.settings.trusted_proxies:
        return
    for path, address in guard_addresses(draft):
        if isinstance(address, UnixAddress):
            what = "nobody who connects to the socket is believed, so clients have no address"
            mend = "add unix to trusted_proxies, if a proxy of your own connects"
            draft.warn(path, "unix-not-trusted", what, mend)


def warn_of_plain_public_url(draft: Draft) -> None:
    """Bearer tokens need TLS on the way (RFC 6750, section 5.3)."""
    if draft.has("public_url") and draft.is_sound("public_url"):
        origin = parse_origin(draft.settings.public_url)
        if not origin.is_secure:
            what = "clients send their tokens over plain http, readable on the way"
            mend = f"write https://{origin.host}, with tls here or before the gateway"
            draft.warn(("public_url",), "public-url-plain-http", what, mend)


def warn_of_plain_secrets(draft: Draft) -> None:
    """A secret in the file is read by everybody who reads the file."""
    secrets: list[KeyPath] = [
        ("authorization_servers", name, "introspection", key)
        for name in draft.names("authorization_servers")
        for key in ("client_secret", "bearer_token")
    ]
    secrets += [
        ("authorization_servers", name, "embedded", "database")
        for name, embedded in draft.embedded()
        if draft.is_sound("authorization_servers", name, "embedded", "database")
        and has_password(embedded.database.get_secret_value())
    ]
    secrets += [("redis", "password"), ("redis", "secret")]
    secrets += header_secrets(draft)
    plain = [
        path for path in secrets if draft.is_sound(*path) and isinstance(draft.node(*path), Scalar)
    ]
    if not plain:
        return
    for path in plain:
        what = "the secret stands in the file itself"
        draft.warn(path, "plain-secret", what, "write {env: NAME} or {file: PATH}")
    try:
        mode = draft.reading.file.stat().st_mode
    except OSError:  # it was there a moment ago
        return
    if mode & stat.S_IROTH:
        what = "this file holds a secret, and every user of this machine can read it"
        draft.warn(plain[0], "world-readable-secret", what, "run chmod o-r on it")


LINTS: Final[tuple[Lint, ...]] = (
    warn_of_weaker_public_routes,
    warn_of_opaque_routes,
    warn_of_public_routes_of_a_host,
    warn_of_unreachable_routes,
    warn_of_kinds_that_never_match,
    warn_of_undeclared_scopes,
    warn_of_unused_names,
    warn_of_exposed_admin,
    warn_of_nameless_clients,
    warn_of_networks_that_nobody_is_in,
    warn_of_rates_per_worker,
    warn_of_token_cookies,
    warn_of_plain_public_url,
    warn_of_plain_secrets,
    warn_of_plain_redis,
    warn_of_hosts_that_share_nothing,
    warn_of_certificates,
    warn_of_readable_keys,
)
