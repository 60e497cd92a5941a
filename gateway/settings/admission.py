"""What routes look at beside the token: compiled, and what is wrong or odd about it."""

from collections.abc import Sequence

from gateway.policy.admission import Admission
from gateway.policy.cors import EVERY_ORIGIN
from gateway.policy.rate_limits import RateLimit, RateLimits, arrange
from gateway.policy.scopes import has_wildcard_word
from gateway.policy.token_cookie import TokenCookie
from gateway.settings.addresses import UnixAddress, first_with_port
from gateway.settings.draft import Draft
from gateway.settings.findings import KeyPath, quoted
from gateway.settings.listeners import guard_addresses
from gateway.settings.models import GatewaySettings, RouteSettings
from gateway.settings.quantities import format_duration
from gateway.settings.route_models import RateLimitSettings, SharedRateLimitSettings


def compile_admission(route: RouteSettings, settings: GatewaySettings) -> Admission | None:
    """Give what a route looks at beside the token; None for nothing."""
    admission = Admission(
        networks=route.networks,
        rates=_compile_rates(route, settings),
        token_cookie=_compile_cookie(route),
    )
    return None if admission == Admission() else admission


def _compile_cookie(route: RouteSettings) -> TokenCookie | None:
    if route.token_cookie is None:
        return None
    # All the pages there are is no list of friends.
    origins = frozenset(route.cors.origins if route.cors is not None else ()) - {EVERY_ORIGIN}
    return TokenCookie(route.token_cookie, origins)


def check_token_cookies(draft: Draft) -> None:
    """Only a route that asks for a token takes one from a cookie."""
    for index, _ in draft.routes():
        path: KeyPath = ("routes", index, "token_cookie")
        if draft.has(*path) and draft.is_guarded(index) is False:
            what = "a public route asks for no token"
            mend = "remove token_cookie, or guard the route"
            draft.error(path, "token-cookie-on-public", what, mend)


def warn_of_token_cookies(draft: Draft) -> None:
    """A browser sends a cookie whoever's page asks, and to whatever its path covers."""
    for index, _ in draft.routes():
        path: KeyPath = ("routes", index, "token_cookie")
        if draft.has(*path) and draft.is_sound(*path) and draft.is_guarded(index):
            what = (
                "browsers add the cookie to requests of any page, and to those for other routes, "
                "whose services see the token"
            )
            mend = "prefer the Authorization header, or set it Secure, HttpOnly, SameSite, by path"
            draft.warn(path, "token-in-cookie", what, mend)


def _compile_rates(route: RouteSettings, settings: GatewaySettings) -> RateLimits | None:
    limits = [
        _compile_limit(shared, f"all-{shared.per}", "")
        for shared in settings.rate_limits
        if shared.per == "address" or not route.public
    ]
    limits += [_compile_limit(limit, limit.per, route.name) for limit in route.rate_limits]
    return arrange(limits) if limits else None


def _compile_limit(
    limit: RateLimitSettings | SharedRateLimitSettings, name: str, counted_for: str
) -> RateLimit:
    amount, window = limit.limit.amount, limit.limit.window
    return RateLimit(f"{name}-{format_duration(window)}", limit.per, amount, window, counted_for)


def check_rate_limits(draft: Draft) -> None:
    """No limit says the same as another, and only where there are tokens are they counted."""
    if draft.is_sound("rate_limits"):
        _check_twins(draft, ("rate_limits",), draft.settings.rate_limits)
    for index, route in draft.routes():
        path: KeyPath = ("routes", index, "rate_limits")
        if not draft.is_sound(*path):
            continue
        _check_twins(draft, path, route.rate_limits)
        for position, limit in enumerate(route.rate_limits):
            if draft.is_guarded(index) is False and limit.per in ("client", "person"):
                what = f"a public route asks for no token, so it knows no {limit.per}"
                mend = "count per address or route, or guard the route"
                draft.error((*path, position, "per"), "rate-limit-without-token", what, mend)


def _check_twins(
    draft: Draft, path: KeyPath, limits: Sequence[RateLimitSettings | SharedRateLimitSettings]
) -> None:
    first: dict[tuple[str, int], int] = {}
    for position, limit in enumerate(limits):
        earlier = first.setdefault((limit.per, limit.limit.window), position)
        if earlier != position:
            what = f"line {draft.line(*path, earlier)} bounds the same in the same time"
            draft.error((*path, position), "duplicate-rate-limit", what, "keep the lower one")


def warn_of_rates_per_worker(draft: Draft) -> None:
    """What several processes count by themselves is as many times as much."""
    if not draft.is_sound("workers") or draft.settings.workers == 1 or draft.has("redis"):
        return
    places: list[KeyPath] = [("rate_limits",)]
    places += [("routes", index, "rate_limits") for index, _ in draft.routes()]
    for path in places:
        if draft.has(*path) and draft.is_sound(*path):
            what = "each worker counts by itself, so up to so many times as many requests pass"
            mend = "add redis, set workers: 1, or divide the limits by the number of workers"
            draft.warn(path, "rate-limits-per-worker", what, mend)
            return


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
