"""A configuration as read: perhaps incomplete, and every key with its line."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.policy.routes import Requirement, Route
from gateway.settings.authorization_server_models import EmbeddedSettings
from gateway.settings.document import Entry, Mapping, Mark, Node, Scalar, Sequence
from gateway.settings.findings import KeyPath, Problem, Severity
from gateway.settings.models import GatewaySettings, RouteSettings
from gateway.settings.reading import Reading


@dataclass(frozen=True)
class Draft:
    """What the rules look at.

    `settings` was built without validation: a rule touches only keys that `is_sound` vouches for.
    """

    settings: GatewaySettings
    root: Mapping
    reading: Reading

    def is_sound(self, *path: str | int) -> bool:
        """Say whether the value of a key, given or default, could be read."""
        return self.reading.is_sound(*path)

    def has(self, *path: str | int) -> bool:
        """Say whether the file has the key, whatever its value."""
        return len(self._steps(path)) == len(path)

    def is_whole(self, *path: str | int) -> bool:
        """Say whether a mapping stands there that can be held against rules about its keys."""
        node = self.node(*path)
        return isinstance(node, Mapping) and not node.has_lost_keys

    def node(self, *path: str | int) -> Node | None:
        """Give the value of a key as it stands in the file."""
        steps = self._steps(path)
        if len(steps) < len(path):
            return None
        last = steps[-1] if steps else self.root
        return last.value if isinstance(last, Entry) else last

    def error(self, path: KeyPath, finding_id: str, what: str, mend: str) -> None:
        """Record an error at the nearest place that the file has for the key."""
        self.reading.report(self._mark(path), path, Problem(finding_id, what, mend))

    def refuse(self, path: KeyPath, problem: Problem) -> None:
        """Record an error that somebody else has put into words."""
        self.reading.report(self._mark(path), path, problem)

    def warn(self, path: KeyPath, finding_id: str, what: str, mend: str) -> None:
        """Record a warning at the nearest place that the file has for the key."""
        problem = Problem(finding_id, what, mend)
        self.reading.report(self._mark(path), path, problem, Severity.WARNING)

    def line(self, *path: str | int) -> int:
        """Give the line of the key, to name it in a finding about another."""
        return self._mark(path).line

    def routes(self) -> Iterator[tuple[int, RouteSettings]]:
        """Give every route with its position; none when there is no list of them."""
        yield from enumerate(getattr(self.settings, "routes", ()))

    def is_guarded(self, index: int) -> bool | None:
        """Say whether a route asks for a token; None when the file is not clear about it."""
        if self.has("routes", index, "require") or not self.has("routes", index, "public"):
            return True
        return False if self.is_sound("routes", index, "public") else None

    def embedded(self) -> Iterator[tuple[str, EmbeddedSettings]]:
        """Give every embedded authorization server that could be read, with its name."""
        for name in self.names("authorization_servers"):
            if self.has("authorization_servers", name, "embedded"):
                server = self.settings.authorization_servers[name]
                if server.embedded is not None:
                    yield name, server.embedded

    def names(self, section: str) -> tuple[str, ...]:
        """Give the names that are defined in a section, also those whose value is broken."""
        node = self.node(section)
        return tuple(node.entries) if isinstance(node, Mapping) else ()

    def matchable_routes(self) -> tuple[tuple[int, ...], tuple[Route, ...]]:
        """Give the positions, and the compiled form, of the routes whose match could be read.

        What they refer to is left out: it takes no part in matching.
        """
        positions, routes = [], []
        for index, route in self.routes():
            if self.is_sound("routes", index, "match"):
                match = route.match
                allowed = (
                    route.allow_in_path if self.is_sound("routes", index, "allow_in_path") else ()
                )
                positions.append(index)
                routes.append(
                    Route(
                        name=str(index),
                        host=match.host,
                        path=match.path,
                        methods=expand_methods(match.methods),
                        upstream="",
                        requirement=None if self.is_guarded(index) is False else Requirement(),
                        allow_in_path=frozenset(allowed),
                    )
                )
        return tuple(positions), tuple(routes)

    def _mark(self, path: KeyPath) -> Mark:
        steps = self._steps(path)
        if not steps:
            return self.root.mark
        last = steps[-1]
        if not isinstance(last, Entry):
            return last.mark
        # A value is where to look; a whole section is best shown by its key.
        return last.value.mark if isinstance(last.value, Scalar) else last.key.mark

    def _steps(self, path: KeyPath) -> list[Entry | Node]:
        """Give what the file has along the path, as far as it has it."""
        steps: list[Entry | Node] = []
        node: Node = self.root
        for key in path:
            step: Entry | Node | None = None
            if isinstance(node, Mapping) and isinstance(key, str):
                step = node.entries.get(key)
            elif isinstance(node, Sequence) and isinstance(key, int) and key < len(node.items):
                step = node.items[key]
            if step is None:
                break
            steps.append(step)
            node = step.value if isinstance(step, Entry) else step
        return steps


def expand_methods(methods: tuple[str, ...] | None) -> frozenset[str] | None:
    """Give the methods that a route takes: GET includes HEAD (RFC 9110, section 9.3.2)."""
    if methods is None:
        return None
    return frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())
