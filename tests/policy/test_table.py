"""The route table, held against a plain reading of the contract."""

import sys
import time
from dataclasses import replace
from itertools import combinations, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.routes import Requirement, Route
from gateway.policy.table import (
    RouteConflict,
    RouteTable,
    TableTooLarge,
    opaque_routes_over,
    public_routes_of_a_host,
    weaker_public_routes,
)

HOSTS = [None, "a.example", "b.example"]
WORDS = ["a", "b", "c"]
METHODS = ["GET", "POST", "PUT"]


def route(path, host=None, methods=None, name="", is_public=False):
    return Route(
        name or f"{host}{path}{sorted(methods or [])}",
        host,
        path,
        None if methods is None else frozenset(methods),
        "upstream",
        requirement=None if is_public else Requirement(),
    )


# --- The contract's words, read naively ---


def segments_of(path: str) -> list[str]:
    """Gives the segments; a literal covers its trailing-slash form."""
    return [segment for segment in path.split("/") if segment]


def matches(pattern: list[str], path: list[str]) -> bool:
    """`{name}` is one non-empty segment; `**` is all that follows, also nothing."""
    if pattern and pattern[-1] == "**":
        return len(path) >= len(pattern) - 1 and matches(pattern[:-1], path[: len(pattern) - 1])
    return len(pattern) == len(path) and all(
        wanted.startswith("{") or wanted == found
        for wanted, found in zip(pattern, path, strict=True)
    )


def rank(pattern: list[str]) -> list[int]:
    """Literal before `{name}` before a last `**`, and what ends here before what takes the rest."""
    kinds = [2 if one == "**" else 1 if one.startswith("{") else 0 for one in pattern]
    return kinds if 2 in kinds else [*kinds, -1]


def naive_match(routes, host, path, method):
    """Host first (exact before none), then the path, then the method."""
    asked = segments_of(path)
    for wanted_host in (host, None) if host is not None else (None,):
        found = [
            one
            for one in routes
            if one.host == wanted_host and matches(segments_of(one.path), asked)
        ]
        if found:
            break
    else:
        return None
    best = min(rank(segments_of(one.path)) for one in found)
    chosen = [one for one in found if rank(segments_of(one.path)) == best]
    for one in chosen:
        if one.methods is not None and method in one.methods:
            return one
    for one in chosen:
        if one.methods is None:
            return one
    return frozenset[str]().union(*(one.methods for one in chosen))


def shape(path: str) -> list[str]:
    return ["{}" if segment.startswith("{") else segment for segment in segments_of(path)]


def naive_conflicts(routes):
    """Equal rank that overlaps: the same host and shape, and a method that both name or neither."""
    return {
        (later, earlier)
        for later in range(len(routes))
        for earlier in range(later)
        if routes[later].host == routes[earlier].host
        and shape(routes[later].path) == shape(routes[earlier].path)
        and (
            routes[later].methods is routes[earlier].methods is None
            or (routes[later].methods or set()) & (routes[earlier].methods or set())
        )
    }


@st.composite
def patterns(draw):
    segments = draw(st.lists(st.sampled_from([*WORDS, *WORDS, "{}"]), max_size=4))
    if draw(st.booleans()):
        segments.append("**")
    return "/" + "/".join(
        f"{{p{index}}}" if segment == "{}" else segment for index, segment in enumerate(segments)
    )


routes_of_any_kind = st.lists(
    st.builds(
        route,
        patterns(),
        st.sampled_from(HOSTS),
        st.none() | st.sets(st.sampled_from(METHODS), min_size=1),
        is_public=st.booleans(),
    ),
    max_size=14,
)
requests = st.tuples(
    st.sampled_from([*HOSTS, "c.example"]),
    st.lists(st.sampled_from([*WORDS, "d"]), max_size=5).map(lambda found: "/" + "/".join(found)),
    st.sampled_from(["", "/"]),
    st.sampled_from([*METHODS, "DELETE"]),
)


def without_conflicts(routes):
    """Drops the later of each two routes that overlap."""
    dropped: set[int] = set()
    for later, earlier in sorted(naive_conflicts(routes)):
        if earlier not in dropped:
            dropped.add(later)
    return [one for index, one in enumerate(routes) if index not in dropped]


@given(routes=routes_of_any_kind, asked=st.lists(requests, min_size=1, max_size=12))
def test_the_table_finds_what_the_contract_says(routes, asked):
    """For any routes and requests: the route, the methods of a 405, or none, as read naively."""
    routes = without_conflicts(routes)
    table = RouteTable(routes)
    for host, path, slash, method in asked:
        spelt = path if path == "/" else path + slash
        assert table.match(host, spelt, method) == naive_match(routes, host, path, method)


SMALL = [
    "/" + "/".join([*segments, *rest])
    for segments in [(), *product(["a", "{p}"]), *product(["a", "{p}"], ["a", "{q}"])]
    for rest in ([], ["**"])
]
PATHS = ["/" + "/".join(path) for length in range(4) for path in product("ab", repeat=length)]


def test_every_small_table_finds_what_the_contract_says():
    """All tables of three short patterns, all short paths: no dead end, no wrong turn."""
    for patterns in combinations(SMALL, 3):
        routes = [route(pattern) for pattern in patterns]
        table = RouteTable(routes)
        for path in PATHS:
            assert table.match(None, path, "GET") == naive_match(routes, None, path, "GET")


def test_one_place_reached_two_ways_falls_back_by_the_way_that_was_taken():
    """What a less specific `**` offers on one way it does not offer on another."""
    routes = [route("/a/{y}/c"), route("/{x}/b/**"), route("/{x}/{y}/d/**"), route("/a/{y}/d/e")]
    table = RouteTable(routes)
    for path in ("/a/b/d", "/a/z/d", "/a/b/c/d", "/a/z/c/d", "/a/b/d/f", "/a/z/d/f", "/a/z/d/e"):
        assert table.match(None, path, "GET") == naive_match(routes, None, path, "GET")


@given(routes=routes_of_any_kind)
def test_routes_of_equal_rank_that_overlap_are_an_error(routes):
    """Every route that overlaps an earlier one is named, and only true overlaps are."""
    expected = naive_conflicts(routes)
    if not expected:
        assert RouteTable(routes).routes == tuple(routes)
        return
    with pytest.raises(RouteConflict) as caught:
        RouteTable(routes)
    assert set(caught.value.conflicts) <= expected
    assert {later for later, _ in caught.value.conflicts} == {later for later, _ in expected}


def naive_covers(wide: list[str], narrow: list[str]) -> bool:
    """All that the narrow pattern matches, the wide one matches, too."""
    for position, segment in enumerate(wide):
        if segment == "**":
            return True
        if position >= len(narrow) or narrow[position] == "**":
            return False
        if segment != "{}" and segment != narrow[position]:
            return False
    return len(wide) == len(narrow)


@given(routes=routes_of_any_kind)
def test_public_routes_that_cover_a_guarded_one_are_found(routes):
    """Exactly the public patterns that cover a guarded one, on its host or any, and rank below."""
    assert weaker_public_routes(routes) == [
        (guarded, public)
        for guarded, one in enumerate(routes)
        for public, other in enumerate(routes)
        if not one.is_public
        and other.is_public
        and other.host in (None, one.host)
        and shape(other.path) != shape(one.path)
        and naive_covers(shape(other.path), shape(one.path))
    ]


@given(routes=routes_of_any_kind, opaque=st.sets(st.integers(0, 9)))
def test_guarded_routes_that_cover_another_and_allow_ambiguities_are_found(routes, opaque):
    """Exactly those; public ones that do are found with all the other weaker ones."""
    routes = [
        replace(one, allow_in_path=frozenset({"semicolon"} if index in opaque else ()))
        for index, one in enumerate(routes)
    ]
    assert opaque_routes_over(routes) == [
        (guarded, other)
        for guarded, one in enumerate(routes)
        for other, over in enumerate(routes)
        if not one.is_public
        and not over.is_public
        and over.allow_in_path
        and over.host in (None, one.host)
        and shape(over.path) != shape(one.path)
        and naive_covers(shape(over.path), shape(one.path))
    ]


def test_the_names_of_parameters_make_no_route_weaker():
    """A public POST beside a guarded GET of one pattern is no neighbour below it."""
    routes = [
        route("/orders/{id}", methods=["GET"]),
        route("/orders/{number}", methods=["POST"], is_public=True),
    ]
    assert weaker_public_routes(routes) == []


def naive_methods(routes, one):
    """What a route takes of its pattern: what it names, or what the others there leave."""
    beside = [
        other.methods or set()
        for other in routes
        if other.host == one.host and shape(other.path) == shape(one.path)
    ]
    return one.methods or {*METHODS, "HEAD"}.difference(*beside)


def naive_opens(routes, public, guarded) -> bool:
    """Whether a public pattern is the best of its host for all that a guarded one matches."""
    covering = [
        rank(segments_of(other.path))
        for other in routes
        if other.host == public.host and naive_covers(shape(other.path), shape(guarded.path))
    ]
    return (
        naive_covers(shape(public.path), shape(guarded.path))
        and rank(segments_of(public.path)) == min(covering)
        and not naive_methods(routes, public).isdisjoint(naive_methods(routes, guarded))
    )


@given(routes=routes_of_any_kind)
def test_public_routes_of_a_host_that_open_a_guarded_one_are_found(routes):
    """Exactly where all that a guarded pattern without host matches goes to a public one there."""
    routes = without_conflicts(routes)
    opened = {
        public: [
            guarded
            for guarded, one in enumerate(routes)
            if not one.is_public and one.host is None and naive_opens(routes, other, one)
        ]
        for public, other in enumerate(routes)
        if other.is_public and other.host is not None
    }
    assert public_routes_of_a_host(routes) == [
        (guarded[0], public, len(guarded)) for public, guarded in opened.items() if guarded
    ]


@pytest.mark.parametrize(
    ("guarded", "public", "beside", "is_opened"),
    [
        ("/adm/**", "/**", [], True),
        ("/adm/**", "/adm/**", [], True),
        ("/adm/{id}", "/adm/{number}", [], True),
        ("/adm/{id}", "/adm/%7B%7D", [], False),
        ("/adm/{id}", "/adm/{number}", ["/adm/%7B%7D"], True),
        ("/adm/**", "/adm/open", [], False),
        ("/adm/**", "/**", ["/adm/**"], False),
        ("/adm/users", "/**", ["/adm/**"], False),
        ("/adm/**", "/**", ["/adm/users"], True),
        ("/a/b/c", "/a/**", ["/{x}/b/**"], True),
    ],
)
def test_a_host_of_its_own_goes_before_a_guarded_route_without_host(
    guarded, public, beside, is_opened
):
    """The client picks Host; a guarded route for that host mends it, as a host of its own does."""
    site = "a.example"
    of_the_host = [route(path, host=site) for path in beside]
    routes = [route(guarded), route(public, host=site, is_public=True), *of_the_host]
    assert public_routes_of_a_host(routes) == ([(0, 1, 1)] if is_opened else [])
    assert public_routes_of_a_host([route(guarded, host=site), *routes[1:]]) == []


@pytest.mark.parametrize(
    ("guarded", "public", "is_opened"),
    [
        (["GET"], None, True),
        (None, ["GET"], True),
        (None, None, True),
        (["GET", "PUT"], ["POST", "PUT"], True),
        (["GET"], ["POST"], False),
    ],
)
def test_a_public_route_of_a_host_opens_only_its_own_methods(guarded, public, is_opened):
    """On a host whose pattern lacks a method that method is 405, which lets nobody in."""
    routes = [
        route("/adm/**", methods=guarded),
        route("/**", host="a.example", methods=public, is_public=True),
    ]
    assert bool(public_routes_of_a_host(routes)) is is_opened


def test_every_public_route_of_one_pattern_is_found_wherever_it_stands():
    routes = [
        route("/a"),
        route("/a", host="a.example", methods=["GET"], is_public=True),
        route("/b", host="a.example", is_public=True),
        route("/a", host="a.example", methods=["PUT"], is_public=True),
    ]
    assert public_routes_of_a_host(routes) == [(0, 1, 1), (0, 3, 1)]


@pytest.mark.parametrize(
    ("host", "path", "method", "expected"),
    [
        ("api.example", "/orders/7", "GET", "host"),
        ("api.example", "/elsewhere", "GET", "rest"),
        (None, "/orders/7", "GET", "any"),
        ("other.example", "/orders/7", "GET", "any"),
        ("other.example", "/orders/new", "POST", "new"),
        ("other.example", "/orders/new", "GET", frozenset({"POST"})),
        ("other.example", "/orders/new/", "POST", "new"),
        ("other.example", "/john", "GET", "john"),
        ("other.example", "/johnathan", "GET", "rest"),
        ("other.example", "/JOHN", "GET", "rest"),
        ("other.example", "/john./x", "GET", "rest"),
    ],
)
def test_the_path_is_chosen_before_the_method_and_the_host_before_both(
    host, path, method, expected
):
    """A method that the chosen path lacks is 405, never a fall to a less specific path."""
    table = RouteTable(
        [
            route("/orders/**", host="api.example", name="host"),
            route("/orders/{id}", name="any"),
            route("/orders/new", methods=["POST"], name="new"),
            route("/john/**", name="john"),
            route("/**", name="rest"),
        ]
    )
    found = table.match(host, path, method)
    assert (found.name if isinstance(found, Route) else found) == expected


def test_escapes_that_stay_match_what_they_stand_for():
    """`/%40me` and `/@me` are one path to a backend, so one route has both."""
    table = RouteTable([route("/@me", name="me"), route("/**", name="rest")])
    assert table.match(None, "/%40me", "GET").name == "me"


def test_routes_of_a_path_gives_those_of_every_method():
    table = RouteTable(
        [
            route("/a", methods=["GET", "HEAD"], name="read"),
            route("/a", methods=["POST"], name="write"),
            route("/a", name="others"),
            route("/**", name="rest"),
        ]
    )
    assert {one.name for one in table.routes_of_path(None, "/a/")} == {"read", "write", "others"}
    assert table.hosts == frozenset()
    assert RouteTable([]).routes_of_path("h", "/") == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/x;y", "name"),
        ("/a/b;c", "name"),
        ("/a%2Fb", "rest"),
        ("/a;/b", "rest"),
        ("/a/x;y/c", "below"),
        ("/a/x;y/c/d", "any"),
        ("/a/%B0%A1", "name"),
        ("/a//", "any"),
        ("/a//c", "any"),
        ("/a/b//", "any"),
        ("//", "rest"),
        ("//a/b", "rest"),
    ],
)
def test_only_wildcards_match_a_segment_that_is_ambiguous(path, name):
    """Neither a literal that it may be read as nor, where it is empty, a `{name}`."""
    table = RouteTable(
        [
            route("/a/b", name="literal"),
            route("/a/{x}", name="name"),
            route("/a/{x}/c", name="below"),
            route("/a/**", name="any"),
            route("/**", name="rest"),
        ]
    )
    assert table.match(None, path, "GET", is_ambiguous=True).name == name
    assert [one.name for one in table.routes_of_path("h", path, is_ambiguous=True)] == [name]


def test_an_empty_segment_without_a_rest_has_no_route():
    table = RouteTable([route("/{x}"), route("/{x}/{y}", host="h"), route("/a")])
    for path in ("//", "//a", "/a//", "/a//b"):
        for host in (None, "h"):
            assert table.match(host, path, "GET", is_ambiguous=True) is None


# --- The cost of looking up, and of compiling ---


def count_instructions(function, *arguments) -> int:
    """Counts the interpreter's instructions: the same on every machine."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(previous)
    return count


def mixed_routes(count: int) -> list[Route]:
    """Makes routes of every kind, also on hosts of their own, and all under common prefixes."""
    kinds = [
        lambda i: route(f"/service{i}/**", name=f"r{i}"),
        lambda i: route(f"/service{i}/{{id}}/x", methods=["GET"], name=f"r{i}"),
        lambda i: route(f"/api/{{version}}/thing{i}/{{id}}", name=f"r{i}"),
        lambda i: route(f"/page{i}", host=f"h{i // 8 % 600}.example", name=f"r{i}"),
        lambda i: route(f"/page{i}/{{x}}/**", host=f"h{i // 8 % 600}.example", name=f"r{i}"),
        lambda i: route(f"/api/v1/thing{i}/latest", name=f"r{i}", is_public=True),
        # Next to thousands of literals, a parameter bears a few dozen routes, as it does in life.
        lambda i: route(f"/{{tenant}}/users/r{i}" if i < 300 else f"/area{i}", name=f"r{i}"),
        lambda i: route(f"/api/{{version}}/thing{i}/**", methods=["PUT"], name=f"r{i}"),
    ]
    return [kinds[index % len(kinds)](index) for index in range(count)]


def test_looking_up_takes_work_by_the_segments_not_by_the_routes():
    """As many instructions among eight thousand routes as among sixteen."""
    few, many = RouteTable(mixed_routes(16)), RouteTable(mixed_routes(8000))
    for host, path in [
        (None, "/api/v1/thing2/7"),
        (None, "/service0/a/b"),
        ("h0.example", "/page3"),
        ("h0.example", "/service1/9/x"),
        ("h0.example", "/no/such/path/anywhere"),
    ]:
        found = few.match(host, path, "GET")
        assert many.match(host, path, "GET") == found
        assert count_instructions(many.match, host, path, "GET") == count_instructions(
            few.match, host, path, "GET"
        )


def test_looking_up_takes_work_in_proportion_to_the_segments():
    """Each further segment costs the same, also where patterns have to be told apart."""
    crossing = [
        route("/" + "/".join("a" if one == own else f"{{p{one}}}" for one in range(10)) + "/**")
        for own in range(10)
    ]
    table = RouteTable(crossing)
    costs = [count_instructions(table.match, None, "/a" * depth, "GET") for depth in range(2, 10)]
    assert len({later - earlier for earlier, later in pairwise(costs)}) == 1


def test_ten_thousand_routes_compile_and_are_linted_within_reason():
    """In a second or two on a slow machine; joined hosts or pairs of routes would take minutes."""
    routes = mixed_routes(10_000)
    started = time.process_time()
    table = RouteTable(routes)
    weaker_public_routes(routes)
    public_routes_of_a_host(routes)
    assert time.process_time() - started < 10
    assert table.match("h1.example", "/page11", "GET").name == "r11"


def test_thousands_of_hosts_over_thousands_of_guarded_routes_are_linted_within_reason():
    """Ten million pairs, none of which may be looked at by itself."""
    routes = [route(f"/api/page{index}/**") for index in range(4000)]
    for index in range(3000):
        routes.append(route("/**", host=f"h{index}.example", is_public=True))
        routes.append(route("/api/page0/**", host=f"h{index}.example"))
    started = time.process_time()
    found = public_routes_of_a_host(routes)
    assert time.process_time() - started < 5
    assert len(found) == 3000
    assert found[0] == (1, 4000, 3999)


def test_routes_that_are_too_intertwined_are_refused_before_memory_is_gone():
    """Patterns whose automaton doubles with each segment raise TableTooLarge, and soon."""
    routes = [
        route("/" + "/".join("a" if one == own else f"{{p{one}}}" for one in range(40)))
        for own in range(40)
    ]
    started = time.process_time()
    with pytest.raises(TableTooLarge):
        RouteTable(routes)
    assert time.process_time() - started < 10
