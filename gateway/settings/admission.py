"""What routes look at beside the token: compiled, and what is wrong or odd about it."""

from gateway.policy.admission import Admission
from gateway.policy.scopes import has_wildcard_word
from gateway.settings.addresses import UnixAddress, first_with_port
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, quoted
from gateway.settings.listeners import guard_addresses
from gateway.settings.models import RouteSettings


def compile_admission(route: RouteSettings) -> Admission | None:
    """Give what a route looks at beside the token; None for nothing."""
    return Admission(networks=route.networks) if route.networks else None


def check_scope_matching(draft: Draft) -> None:
    """Wildcards are the token's: in what a route demands, a `*` would say less than it seems to."""
    for index, route in draft.routes():
        path: KeyPath = ("routes", index, "require")
        require = route.require if draft.is_sound(*path) and draft.has(*path) else None
        if require is None or require.scope_matching != "wildcard":
            continue
        for key in ("scopes", "any_scope"):
            for position, scope in enumerate(getattr(require, key)):
                if has_wildcard_word(scope):
                    what = f"{quoted(scope)} demands a token with the wildcard itself"
                    mend = "name the scope that is demanded: wildcards are for tokens"
                    draft.error((*path, key, position), "wildcard-demanded", what, mend)
        if not require.scopes and not require.any_scope:
            what = "there are no scopes to be compared"
            mend = "add scopes or any_scope, or remove scope_matching"
            draft.error((*path, "scope_matching"), "scope-matching-without-scopes", what, mend)


def warn_of_networks_that_nobody_is_in(draft: Draft) -> None:
    """Without an address no client is in a network."""
    addresses = [address for _, address in guard_addresses(draft)]
    has_sockets = any(isinstance(address, UnixAddress) for address in addresses)
    if not has_sockets or not draft.is_sound("trusted_proxies"):
        return
    passing = "no request passes" if first_with_port(addresses) is None else "none of them passes"
    for index, _ in draft.routes():
        path: KeyPath = ("routes", index, "networks")
        if draft.has(*path) and "unix" not in draft.settings.trusted_proxies:
            what = f"clients of a unix socket have no address, so {passing}"
            mend = "add unix to trusted_proxies, if a proxy of your own connects"
            draft.warn(path, "networks-without-addresses", what, mend)
