"""What routes change of their requests: held against rules, and compiled."""

from gateway.policy.adaptation import Adaptation
from gateway.policy.pattern import PatternError
from gateway.policy.rewriting import compile_rewrite
from gateway.settings.draft import Draft
from gateway.settings.models import RouteSettings


def compile_adaptation(route: RouteSettings) -> Adaptation | None:
    """Compile what a route changes; None when that is nothing."""
    host = route.forward_host
    adaptation = Adaptation(
        replaces_host=host != "keep",
        host=None if host in ("keep", "upstream") else host.encode("ascii"),
        path=None
        if route.forward_path is None
        else compile_rewrite(route.match.path, route.forward_path),
    )
    return None if adaptation == Adaptation() else adaptation


def check_forward_path(draft: Draft) -> None:
    """What the upstream gets is written with what the pattern captures."""
    for index, route in draft.routes():
        path = ("routes", index, "forward_path")
        if not draft.has(*path) or not draft.is_sound(*path):
            continue
        if not draft.is_sound("routes", index, "match") or route.forward_path is None:
            continue
        try:
            compile_rewrite(route.match.path, route.forward_path)
        except PatternError as error:
            what, _, mend = str(error).partition("; ")
            draft.error(path, "invalid-forward-path", what, mend)
