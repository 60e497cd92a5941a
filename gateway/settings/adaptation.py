"""What routes change of requests and answers: held against rules, and compiled."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from gateway.policy.adaptation import Adaptation
from gateway.policy.cors import EVERY_ORIGIN, CorsRules
from gateway.policy.header_edits import compile_edits
from gateway.policy.headers import fold_name
from gateway.policy.identity import IdentityHeaders, parse_template
from gateway.policy.pattern import PatternError
from gateway.policy.rewriting import compile_rewrite
from gateway.settings.adaptation_models import CorsSettings, IdentitySettings
from gateway.settings.draft import Draft, expand_methods
from gateway.settings.findings import KeyPath
from gateway.settings.models import RouteSettings


def compile_adaptation(
    route: RouteSettings, *, adds_fields: bool, identity_names: Collection[str] = ()
) -> Adaptation | None:
    """Compile what a route changes; None when that is nothing.

    `identity_names` are the headers by which any route says who asks: no client sends one anywhere.
    """
    host = route.forward_host
    of_requests, of_answers = route.request_headers, route.response_headers
    adaptation = Adaptation(
        replaces_host=host != "keep",
        host=None if host in ("keep", "upstream") else host.encode("ascii"),
        path=None
        if route.forward_path is None
        else compile_rewrite(route.match.path, route.forward_path),
        request_headers=compile_edits(
            set_={name: value.get_secret_value() for name, value in of_requests.set.items()},
            add={name: value.get_secret_value() for name, value in of_requests.add.items()},
            remove=(*of_requests.remove, *identity_names),
        ),
        response_headers=compile_edits(
            set_=of_answers.set, add=of_answers.add, remove=of_answers.remove
        ),
        cors=None if route.cors is None else _compile_cors(route, route.cors),
        secure_cookies=route.secure_cookies,
        adds_fields=adds_fields,
        identity=_compile_identity(route.identity),
        token_cookie=None if route.token_cookie is None else route.token_cookie.encode("ascii"),
    )
    return None if adaptation == Adaptation() else adaptation


def _compile_identity(identity: IdentitySettings) -> IdentityHeaders | None:
    if not identity.headers:
        return None
    templates = tuple(parse_template(name, text) for name, text in identity.headers.items())
    return IdentityHeaders(templates, identity.encoding)


def _compile_cors(route: RouteSettings, cors: CorsSettings) -> CorsRules:
    of_route = expand_methods(route.match.methods)
    return CorsRules(
        origins=frozenset(cors.origins),
        methods=cors.methods or (None if of_route is None else tuple(sorted(of_route))),
        headers=cors.headers,
        expose=cors.expose,
        credentials=cors.credentials,
        max_age=int(cors.max_age),
    )


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


def check_header_edits(draft: Draft) -> None:
    """A header is set, or added to, or removed, however it is spelt."""
    for index, route in draft.routes():
        for key in ("request_headers", "response_headers"):
            path: KeyPath = ("routes", index, key)
            if draft.has(*path) and draft.is_sound(*path):
                edits = getattr(route, key)
                _check_each_once(draft, path, edits.set, edits.add, edits.remove)
        _check_authorization(draft, index, route)


def _check_each_once(
    draft: Draft, path: KeyPath, set_: Iterable[str], add: Iterable[str], remove: Iterable[str]
) -> None:
    places: list[tuple[str, KeyPath]] = [
        *((name, (*path, "set", name)) for name in set_),
        *((name, (*path, "add", name)) for name in add),
        *((name, (*path, "remove", position)) for position, name in enumerate(remove)),
    ]
    first: dict[bytes, KeyPath] = {}
    for name, place in places:
        earlier = first.setdefault(fold_name(name.encode("ascii")), place)
        if earlier != place:
            line = draft.line(*earlier)
            what = f"{name} stands under {earlier[len(path)]} on line {line} already"
            draft.error(place, "header-edited-twice", what, "name each header once, set replaces")


def _check_authorization(draft: Draft, index: int, route: RouteSettings) -> None:
    """The upstream gets the client's token or credentials of its own, not one for the other."""
    path: KeyPath = ("routes", index, "request_headers")
    if not (draft.is_sound(*path) and draft.is_sound("routes", index, "forward_token")):
        return
    for key in ("set", "add"):
        for name in getattr(route.request_headers, key):
            if route.forward_token and fold_name(name.encode("ascii")) == b"authorization":
                what = "forward_token sends the client's token in this header"
                mend = "remove forward_token, or this"
                draft.error((*path, key, name), "authorization-twice", what, mend)


def check_identity(draft: Draft) -> None:
    """Who asks is said on guarded routes, by headers of their own, and no claim steps out."""
    for index, route in draft.routes():
        path: KeyPath = ("routes", index, "identity")
        if not route.identity.headers or not draft.is_sound(*path):
            continue
        if draft.is_guarded(index) is False:
            what = "a public route knows nobody"
            draft.error(path, "identity-of-nobody", what, "remove it, or guard the route")
        edits = route.request_headers
        edited = {
            fold_name(name.encode("ascii")) for name in (*edits.set, *edits.add, *edits.remove)
        }
        first: dict[bytes, str] = {}
        for name, text in route.identity.headers.items():
            place = (*path, "headers", name)
            folded = fold_name(name.encode("ascii"))
            if folded in (b"authorization", b"cookie"):
                what = f"services read {name} as the client's own"
                draft.error(place, "header-not-editable", what, "choose another header")
            if folded in edited or first.setdefault(folded, name) != name:
                what = f"{name} is written twice"
                draft.error(place, "header-edited-twice", what, "name it here or there, once")
            if route.identity.encoding == "utf8" and not parse_template(name, text).is_bare:
                what = "a claim could step out of its place in this text"
                mend = "write one claim alone, as in '{email}', or add encoding: percent"
                draft.error(place, "claim-amid-text", what, mend)


def check_cors(draft: Draft) -> None:
    """Every origin or some, never every one with credentials, and only what the route has."""
    for index, route in draft.routes():
        path: KeyPath = ("routes", index, "cors")
        if route.cors is None or not draft.is_sound(*path):
            continue
        if EVERY_ORIGIN in route.cors.origins:
            if len(route.cors.origins) > 1:
                what = "* is every origin, so the others say nothing"
                draft.error((*path, "origins"), "redundant-origins", what, "keep * or the others")
            if route.cors.credentials:
                what = "no browser takes * together with credentials, and any page could use them"
                mend = "name the origins, or remove credentials"
                draft.error((*path, "credentials"), "credentials-for-all", what, mend)
        is_known = draft.is_sound("routes", index, "match")
        of_route = expand_methods(route.match.methods) if is_known else None
        for position, method in enumerate(route.cors.methods or ()):
            if of_route is not None and method not in of_route:
                what = f"the route does not take {method}"
                mend = "remove it, or add it to match.methods"
                draft.error((*path, "methods", position), "cors-method", what, mend)
        _check_headers_of_cors(draft, index, route)


def _check_headers_of_cors(draft: Draft, index: int, route: RouteSettings) -> None:
    path: KeyPath = ("routes", index, "response_headers")
    if not draft.is_sound(*path):
        return
    edits = route.response_headers
    for key, names in (("set", edits.set), ("add", edits.add), ("remove", edits.remove)):
        for position, name in enumerate(names):
            if name.lower().startswith("access-control-"):
                what = f"cors writes {name}"
                place = position if key == "remove" else name
                draft.error((*path, key, place), "cors-header", what, "remove it, or cors")


_SECRET_NAME: Final = re.compile(
    rb"authorization|cookie|(.*-)?(api|access|secret|subscription)?-?"
    rb"(key|token|secret|password|passwd|credentials?)(-.*)?"
)


def header_secrets(draft: Draft) -> list[KeyPath]:
    """Give the headers of requests whose name says that they are secret."""
    return [
        ("routes", index, "request_headers", key, name)
        for index, route in draft.routes()
        if draft.is_sound("routes", index, "request_headers")
        for key in ("set", "add")
        for name in getattr(route.request_headers, key)
        if _SECRET_NAME.fullmatch(fold_name(name.encode("ascii")))
    ]
