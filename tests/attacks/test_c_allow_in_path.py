"""What a route allows in its paths stays opaque, and opens nothing else (`allow_in_path`)."""

import pytest

from tests.attacks.wire import GET, ask, bearer, refused
from tests.proxy.stage import Stage

EVERYTHING = ["encoded_slash", "semicolon", "empty_segment", "encoded_reserved", "non_utf8"]


def route(name: str, path: str, *kinds: str, guarded: bool = False, **more: object) -> object:
    methods = more.pop("methods", None)
    return {
        "name": name,
        "match": {"path": path} if methods is None else {"path": path, "methods": methods},
        **({"require": {"scopes": ["orders:write"]}} if guarded else {"public": True}),
        **({"allow_in_path": list(kinds)} if kinds else {}),
        **more,
    }


ROUTES = [
    route("strict", "/strict/**"),
    route("slash", "/slash/{id}", "encoded_slash"),
    route("lines", "/slash/{id}/lines", "encoded_slash", guarded=True),
    route("semicolon", "/semicolon/{id}", "semicolon"),
    route("literal", "/semicolon/admin", guarded=True),
    route("empty", "/empty/**", "empty_segment"),
    route("reserved", "/reserved/{id}", "encoded_reserved"),
    route("korean", "/korean/{id}", "non_utf8"),
    route("any", "/any/**", *EVERYTHING),
    route("one", "/one/{id}/x", *EVERYTHING),
    route("guarded", "/guarded/**", *EVERYTHING, guarded=True),
    route("read", "/methods/{id}", "semicolon", methods=["GET"]),
    route("write", "/methods/{id}", methods=["POST"]),
]

ALLOWED = [
    ("/slash/a%2Fb", "/slash/a%2Fb"),
    ("/slash/a%2fb/", "/slash/a%2Fb/"),
    ("/slash/http:%2f%2Fa.example%2F?x=%2f..", "/slash/http:%2F%2Fa.example%2F?x=%2f.."),
    ("/slash/a%5cb", "/slash/a%5Cb"),
    ("/slash/%61%2Fb", "/slash/a%2Fb"),
    ("/semicolon/a;v=1", "/semicolon/a;v=1"),
    ("/semicolon/admin;x", "/semicolon/admin;x"),
    ("/semicolon/;", "/semicolon/;"),
    ("/empty//evil/x", "/empty//evil/x"),
    ("/empty//", "/empty//"),
    ("/empty/a///b", "/empty/a///b"),
    ("/reserved/a%3fb%23c%3Bd", "/reserved/a%3Fb%23c%3Bd"),
    ("/korean/%b0%a1", "/korean/%B0%A1"),
    ("/korean/%C0%AF%C0%CC", "/korean/%C0%AF%C0%CC"),
    ("/korean/caf%E9", "/korean/caf%E9"),
    ("/any/a;b//%2F%3f/%ff/", "/any/a;b//%2F%3F/%FF/"),
    ("/any/..a;b/c..%2F...", "/any/..a;b/c..%2F..."),
    ("/one/a%2Fx%2Fb/x", "/one/a%2Fx%2Fb/x"),
]


@pytest.mark.parametrize(("target", "forwarded"), ALLOWED)
async def test_c23_what_the_chosen_route_allows_arrives_as_it_was_judged(
    stage: Stage, target: str, forwarded: str
) -> None:
    """Byte by byte, but for the case of its escapes; the authority is the client's Host."""
    await stage.open(routes=ROUTES)
    seen, answer = await stage.pass_through(ask(target.encode()))
    assert answer.status == 200
    assert seen.line == b"GET %b HTTP/1.1" % forwarded.encode()
    assert seen.values(b"Host") == [b"h"]


NOT_ALLOWED = [
    # Not on this route, or not all of it.
    *("/strict/a%2Fb", "/strict/a;b", "/strict//b", "/strict/a%3F", "/strict/%B0"),
    *("/slash/a;b", "/slash/a%2Fb;c", "/slash//", "/semicolon/a%2Fb", "/semicolon/a%3Bb"),
    *("/empty/a;b", "/empty//a;b", "/reserved/a;b", "/korean/%B0%2F", "//any/a", "/any%2Fa"),
    # No route at all, or only a literal.
    *("/nothing/a;b", "/nothing//", "/semicolon/admin/;", "/semicolon;/admin", "/any;/a"),
    # An empty segment is none for a name.
    *("/one//x", "/slash//lines", "/semicolon//"),
    # Where somebody could read a dot segment, on every route.
    *("/any/..;/x", "/any/..;x", "/any/.;/x", "/any/;../x", "/any/..%2fx", "/any/x%2F..%2Fy"),
    *("/any/%2e%2e%3b", "/any/..%5cx", "/any/..%3Fx", "/any/.%23", "/any//../x", "/any/.."),
    *("/any/..%c0%afx", "/any/%c0%ae%c0%ae/x", "/any/%EF%BC%8E%EF%BC%8E;/x"),
    # What no route allows.
    *("/any/..\\x", "/any/a\\b", "/any/a%00", "/any/a%0Ab", "/any/%252Fx", "/any/%zz"),
    *("/any/a#b", "/any/a%EF%BC%8Fb", "/any/a;%EF%BC%8Fb", "/any/a%C0%80"),
    # The gateway's own page.
    "/.well-known/oauth-protected-resource//any",
    "/.well-known/oauth-protected-resource/any/%FF",
]


@pytest.mark.parametrize("target", NOT_ALLOWED)
async def test_c23_what_the_chosen_route_does_not_allow_is_a_400_and_reaches_nobody(
    stage: Stage, target: str
) -> None:
    """Whatever token comes with it: nobody is asked about it."""
    everywhere = route("page", "/.well-known/**", *EVERYTHING)
    await stage.open(routes=[*ROUTES, everywhere])
    refusal = await refused(stage, ask(target.encode(), bearer(b"machine")), GET)
    assert (refusal.status, refusal.reason) == (400, "ambiguous_path")
    assert stage.tokens.asked == []


@pytest.mark.parametrize("target", [b"/guarded/a;b", b"/guarded//a%2Fb", b"/slash/a%2Fb/lines"])
async def test_c23_what_is_allowed_needs_a_token_as_every_path(stage: Stage, target: bytes) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(target))).status == 401
    assert (await stage.ask(ask(target, bearer(b"reader")))).status == 403
    assert stage.service.is_untouched
    seen, _ = await stage.pass_through(ask(target, bearer(b"machine")))
    assert seen.line == b"GET %b HTTP/1.1" % target


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        (b"/methods/a;b", b"POST", 400),  # the route of this method does not allow it
        (b"/methods/a;b", b"PUT", 405),  # a path that GET would find
        (b"/methods/a%2Fb", b"PUT", 400),
        (b"/semicolon/a;b", b"TRACE", 405),
        (b"/strict/a;b", b"TRACE", 400),
    ],
)
async def test_c23_a_method_is_refused_only_on_a_path_that_some_route_allows(
    stage: Stage, target: bytes, method: bytes, status: int
) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(target, method=method))).status == status
    await stage.close()
    assert stage.service.is_untouched


async def test_c23_rewritten_path_never_begins_with_two_slashes(stage: Stage) -> None:
    """Many services read `//evil/x` as another host."""
    rewritten = route("cut", "/cut/**", "empty_segment", forward_path="/**")
    await stage.open(routes=[rewritten])
    refusal = await stage.ask(ask(b"/cut//evil/x"))
    assert (refusal.status, refusal.reason) == (400, "ambiguous_path")
    assert stage.service.is_untouched
    seen, _ = await stage.pass_through(ask(b"/cut/a//b"))
    assert seen.line == b"GET /a//b HTTP/1.1"
