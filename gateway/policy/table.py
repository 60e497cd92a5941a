"""The route table: host first, then the path segment by segment, then the method.

Literal segments go before `{name}`, `{name}` before a last `**`, compared from the left. A plain
search would have to come back from dead ends, and a table written for it (or a request chosen for
it) could make that cost the number of routes. So the table is compiled once into a deterministic
automaton: a state is the ordered list of pattern nodes that can still win, and a look-up takes one
step per segment of the path, whatever the number of routes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gateway.policy.path import split_ambiguous_path, split_path
from gateway.policy.pattern import ANY_REST, is_parameter, parse_pattern
from gateway.policy.routes import Route

# A table that nobody writes by hand; it bounds the memory that compiling may take.
_MAXIMUM_SIZE = 1_000_000


class RouteConflict(ValueError):  # noqa: N818 - names what the routes do
    """Routes of equal rank overlap; `conflicts` has pairs of their positions (later, earlier)."""

    def __init__(self, conflicts: tuple[tuple[int, int], ...]) -> None:
        self.conflicts = conflicts
        super().__init__(f"{len(conflicts)} pairs of routes overlap at equal rank")


class TableTooLarge(ValueError):  # noqa: N818 - names what the table is
    """The patterns are so intertwined that their automaton would not fit into memory."""


class _Leaf:
    """The routes of one host and one path pattern, told apart by their methods."""

    __slots__ = ("allow", "by_method", "otherwise")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.by_method: dict[str, Route] = {}
        self.otherwise: Route | None = None
        for route in routes:
            if route.methods is None:
                self.otherwise = route
            else:
                self.by_method.update(dict.fromkeys(route.methods, route))
        self.allow = frozenset(self.by_method)


@dataclass(slots=True)
class _Node:
    """A node of the tree of patterns, before compilation."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    end: list[tuple[int, Route]] = field(default_factory=list)
    rest: list[tuple[int, Route]] = field(default_factory=list)


class _State:
    """A state of the automaton. `fallback` is the best `**` seen so far, also matching nothing."""

    __slots__ = ("end", "fallback", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _State] = {}
        self.parameter: _State | None = None
        self.end: _Leaf | None = None
        self.fallback: _Leaf | None = None


class RouteTable:
    """An immutable table of routes. Raises RouteConflict and TableTooLarge."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        trees: dict[str | None, _Node] = {None: _Node()}
        for index, route in enumerate(self.routes):
            _insert(trees.setdefault(route.host, _Node()), index, route)
        conflicts = tuple(sorted(pair for tree in trees.values() for pair in _conflicts(tree)))
        if conflicts:
            raise RouteConflict(conflicts)
        compiler = _Compiler()
        self._any_host = compiler.compile(trees.pop(None))
        # A host of its own goes before none, yet what it lacks may still be found under none. Two
        # automata one after the other: joined, each host would take a copy of what all share.
        self._hosts = {host: compiler.compile(tree) for host, tree in trees.items()}

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that routes name."""
        return frozenset(host for host in self._hosts if host is not None)

    def match(
        self, host: str | None, path: str, method: str, *, is_ambiguous: bool = False
    ) -> Route | frozenset[str] | None:
        """Find the route of a request.

        Takes a normalised host, a canonical path and the method as sent; `is_ambiguous` when that
        path is one which only some routes may allow. Gives the route; or the methods that the
        chosen path pattern has, when this one is not among them; or None.
        """
        leaf = self._find(host, path, is_ambiguous=is_ambiguous)
        if leaf is None:
            return None
        return leaf.by_method.get(method) or leaf.otherwise or leaf.allow

    def routes_of_path(
        self, host: str | None, path: str, *, is_ambiguous: bool = False
    ) -> list[Route]:
        """Give the routes of the pattern that a canonical path chooses, whatever the method."""
        leaf = self._find(host, path, is_ambiguous=is_ambiguous)
        if leaf is None:
            return []
        routes = dict.fromkeys((*leaf.by_method.values(), leaf.otherwise))
        return [route for route in routes if route is not None]

    def _find(self, host: str | None, path: str, *, is_ambiguous: bool) -> _Leaf | None:
        if is_ambiguous:
            segments, walk = split_ambiguous_path(path), _walk_ambiguous
        else:
            segments, walk = split_path(path), _walk
        start = self._hosts.get(host, self._any_host)
        leaf = walk(start, segments)
        if leaf is None and start is not self._any_host:
            return walk(self._any_host, segments)
        return leaf


def _walk(state: _State, segments: list[str]) -> _Leaf | None:
    for segment in segments:
        following = state.literals.get(segment) or state.parameter
        if following is None:
            return state.fallback
        state = following
    return state.end or state.fallback


def _walk_ambiguous(state: _State, segments: list[str]) -> _Leaf | None:
    """Walk a path that may have empty segments, which only `**` matches."""
    if "" not in segments:
        return _walk(state, segments)
    for segment in segments[: segments.index("")]:
        following = state.literals.get(segment) or state.parameter
        if following is None:
            break
        state = following
    return state.fallback


def _insert(tree: _Node, index: int, route: Route) -> None:
    node = tree
    for segment in parse_pattern(route.path):
        if segment == ANY_REST:
            node.rest.append((index, route))
            return
        if is_parameter(segment):
            node.parameter = node.parameter or _Node()
            node = node.parameter
        else:
            node = node.literals.setdefault(segment, _Node())
    node.end.append((index, route))


def _conflicts(tree: _Node) -> Iterable[tuple[int, int]]:
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        nodes.extend(node.literals.values())
        if node.parameter is not None:
            nodes.append(node.parameter)
        for group in (node.end, node.rest):
            first: dict[str | None, int] = {}
            for index, route in group:
                # Routes without methods take what the others leave, so they meet only each other.
                taken = {first[key] for key in route.methods or (None,) if key in first}
                yield from ((index, earlier) for earlier in taken)
                for key in route.methods or (None,):
                    first.setdefault(key, index)


class _Compiler:
    """Builds the automaton by subset construction, sharing equal states."""

    def __init__(self) -> None:
        self._states: dict[tuple[tuple[int, ...], int], _State] = {}
        self._leaves: dict[int, _Leaf] = {}
        self._kept: list[object] = []  # keeps the nodes alive whose ids are keys
        self._unexpanded: list[tuple[_State, tuple[_Node, ...]]] = []
        self._size = 0

    def compile(self, tree: _Node) -> _State:
        """Compile a tree of patterns into states; gives the first of them."""
        root = self._state((tree,), None)
        while self._unexpanded:
            self._expand(*self._unexpanded.pop())
        return root

    def _state(self, nodes: tuple[_Node, ...], fallback: _Leaf | None) -> _State:
        # What comes after a node with `**` can never win: `**` matches whatever it would.
        for position, node in enumerate(nodes):
            if node.rest:
                nodes = nodes[: position + 1]
                fallback = self._leaf(node.rest)
                break
        key = (tuple(map(id, nodes)), id(fallback))
        known = self._states.get(key)
        if known is not None:
            return known
        state = self._states[key] = _State()
        self._unexpanded.append((state, nodes))
        self._kept.append(nodes)
        self._grow(len(nodes))
        state.fallback = fallback
        for node in nodes:
            if node.end:
                state.end = self._leaf(node.end)
                break
            if node.rest:
                state.end = fallback
                break
        return state

    def _expand(self, state: _State, nodes: tuple[_Node, ...]) -> None:
        parameters = tuple(node.parameter for node in nodes if node.parameter is not None)
        if parameters:
            state.parameter = self._state(parameters, state.fallback)
        literals = dict.fromkeys(literal for node in nodes for literal in node.literals)
        self._grow(len(literals))
        for literal in literals:
            following = []
            for node in nodes:
                if literal in node.literals:
                    following.append(node.literals[literal])
                if node.parameter is not None:
                    following.append(node.parameter)
            state.literals[literal] = self._state(tuple(following), state.fallback)

    def _grow(self, entries: int) -> None:
        self._size += entries
        if self._size > _MAXIMUM_SIZE:
            raise TableTooLarge("the patterns of the routes are too intertwined")

    def _leaf(self, group: list[tuple[int, Route]]) -> _Leaf:
        leaf = self._leaves.get(id(group))
        if leaf is None:
            leaf = self._leaves[id(group)] = _Leaf(route for _, route in group)
            self._kept.append(group)
        return leaf


def weaker_public_routes(routes: Sequence[Route]) -> list[tuple[int, int]]:
    """Find public routes that take what a guarded route's pattern lets slip by a hair.

    Gives pairs of positions (guarded, public): the public pattern covers the guarded one and ranks
    below it, so that another spelling or case of the guarded path would be let in without a token.
    """
    return _guarded_below(routes, [route.is_public for route in routes])


def opaque_routes_over(routes: Sequence[Route]) -> list[tuple[int, int]]:
    """Find guarded routes that take what a service may read as the path of another guarded one.

    Gives pairs of positions (guarded, opaque): the opaque one allows ambiguities in its paths, and
    its pattern covers the guarded one's and ranks below it.
    """
    opaque = [bool(route.allow_in_path) and not route.is_public for route in routes]
    return _guarded_below(routes, opaque)


def _guarded_below(routes: Sequence[Route], chosen: Sequence[bool]) -> list[tuple[int, int]]:
    """Give the pairs of guarded routes and chosen ones that cover them and rank below them."""
    patterns = [parse_pattern(route.path) for route in routes]
    trees: dict[str | None, _Node] = {}
    for index, route in enumerate(routes):
        if chosen[index]:
            _insert(trees.setdefault(route.host, _Node()), index, route)
    return sorted(
        (index, other)
        for index, route in enumerate(routes)
        if not route.is_public
        for host in {None, route.host} & trees.keys()
        for other in _covering(trees[host], patterns[index])
        if _shape(patterns[other]) != _shape(patterns[index])
    )


def _covering(tree: _Node, narrow: tuple[str, ...]) -> Iterable[int]:
    """Give the routes of a tree whose patterns match all that a pattern matches."""
    nodes = [tree]
    for segment in narrow:
        yield from (index for node in nodes for index, _ in node.rest)
        if segment == ANY_REST:
            return
        following = [node.parameter for node in nodes]
        if not is_parameter(segment):
            following += [node.literals.get(segment) for node in nodes]
        nodes = [node for node in following if node is not None]
    yield from (index for node in nodes for index, _ in (*node.end, *node.rest))


def _shape(pattern: tuple[str, ...]) -> tuple[str, ...]:
    """Give a pattern with nothing for its parameters, whose names take no part in its rank."""
    return tuple("" if is_parameter(segment) else segment for segment in pattern)


def public_routes_of_a_host(routes: Sequence[Route]) -> list[tuple[int, int, int]]:
    """Find public routes of a host that open guarded routes without one.

    A host of its own goes before none, and the client writes the Host header: where all that a
    guarded pattern matches finds a public pattern of some host first, naming that host takes the
    place of a token. Gives, for each such public route, the position of the first guarded route
    that it opens, its own, and the number of guarded routes that it opens.
    """
    shapes = [_shape(parse_pattern(route.path)) for route in routes]
    methods = _methods_taken(routes, shapes)
    # Sets of guarded routes are the bits of whole numbers: hosts times guarded routes may be tens
    # of millions of pairs, none of which is looked at by itself.
    covered = _guarded_by_shape(routes, shapes)
    taking: dict[str | None, int] = {}
    for index, route in enumerate(routes):
        if route.host is None and not route.is_public:
            for method in methods[index]:
                taking[method] = taking.get(method, 0) | 1 << index
    # What the patterns of a host that went before this one have taken from those without host.
    taken: dict[str, int] = {}
    found = []

    def place(index: int) -> tuple[str, list[int], tuple[str, ...]]:
        return routes[index].host or "", _rank(shapes[index]), shapes[index]

    of_hosts = (index for index, route in enumerate(routes) if route.host is not None)
    for (host, _, shape), leaf in groupby(sorted(of_hosts, key=place), key=place):
        first_here = covered.get(shape, 0) & ~taken.get(host, 0)
        taken[host] = taken.get(host, 0) | first_here
        for public in leaf:
            opened = 0
            for method in methods[public] if routes[public].is_public else ():
                opened |= first_here & taking.get(method, 0)
            if opened:
                lowest = (opened & -opened).bit_length() - 1
                found.append((lowest, public, opened.bit_count()))
    return sorted(found, key=lambda each: each[1])


def _guarded_by_shape(
    routes: Sequence[Route], shapes: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    """Give the guarded routes without host that each shape of a route with a host covers."""
    tree = _Node()
    one_of_each = {shapes[i]: i for i, route in enumerate(routes) if route.host is not None}
    for index in one_of_each.values():
        _insert(tree, index, routes[index])
    covered: dict[tuple[str, ...], int] = {}
    for index, route in enumerate(routes):
        if route.host is None and not route.is_public:
            for other in _covering(tree, parse_pattern(route.path)):
                covered[shapes[other]] = covered.get(shapes[other], 0) | 1 << index
    return covered


def _methods_taken(
    routes: Sequence[Route], shapes: Sequence[tuple[str, ...]]
) -> list[frozenset[str | None]]:
    """Give the methods of each route; one that names none takes what its neighbours leave.

    None stands for all the methods that no route names.
    """
    named: dict[tuple[str | None, tuple[str, ...]], set[str]] = {}
    for route, shape in zip(routes, shapes, strict=True):
        named.setdefault((route.host, shape), set()).update(route.methods or ())
    every: frozenset[str | None] = frozenset({None}).union(*named.values())
    return [
        every - named[route.host, shape] if route.methods is None else route.methods
        for route, shape in zip(routes, shapes, strict=True)
    ]


def _rank(shape: tuple[str, ...]) -> list[int]:
    """Give what shapes that match the same paths are ordered by: the first of them goes first."""
    kinds = [2 if part == ANY_REST else int(not part) for part in shape]
    return kinds if shape[-1:] == (ANY_REST,) else [*kinds, -1]
