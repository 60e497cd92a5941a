"""The path that an upstream gets in place of the client's, and the way back.

Rule: what was judged is what is forwarded. A captured segment is copied from the canonical path as
it stands there, byte for byte, by its position; all the rest is the operator's, spelt canonically.
So the result has no dot segment, and as many segments as the template says.
"""

import re
from dataclasses import dataclass

from gateway.policy.path import AmbiguousPath, canonicalize_path
from gateway.policy.pattern import ANY_REST, PatternError, is_parameter

_MAXIMUM_SEGMENTS = 64
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[eE]){1,2}(?:/|$)")
# A browser drops some control characters from a URL and reads `\` as a slash.
_MISREAD = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class PathRewrite:
    """A rewrite, compiled from a route's pattern and the template of what the upstream gets.

    `template` has a literal's text, or a captured segment's position; `has_rest` says that all
    behind the pattern's `depth` segments follows. `pattern` and `template_names` are for the way
    back.
    """

    depth: int
    has_rest: bool
    template: tuple[str | int, ...]
    pattern: tuple[str, ...]

    def forward(self, path: str) -> str:
        """Give the upstream's path for a canonical path that the route's pattern matches.

        It ends with a slash exactly when that path does. Raises AmbiguousPath for one that would
        begin with two slashes, which many read as another host.
        """
        segments = path.split("/")[1:]
        written = [part if isinstance(part, str) else segments[part] for part in self.template]
        # What is left without `**` is the empty text behind a trailing slash, or nothing.
        rest = segments[self.depth :]
        result = "/" + "/".join(written + rest)
        if result.startswith("//"):
            raise AmbiguousPath("empty_segment")
        return result

    def backward(self, path: str, asked: str) -> str | None:
        """Give the client's path for one that the upstream names; None when it has none.

        `path` is as the upstream wrote it, without query; `asked` the canonical path of the
        request, which has the segments that the template leaves out.
        """
        segments = path.split("/")[1:]
        length = len(self.template)
        if not self._leads_to(path, segments):
            return None
        captured = {
            part: segment
            for part, segment in zip(self.template, segments, strict=False)
            if isinstance(part, int)
        }
        known = asked.split("/")[1:]
        written = [
            captured.get(position, known[position]) if is_parameter(part) else part
            for position, part in enumerate(self.pattern)
        ]
        result = "/" + "/".join(written + segments[length:])
        # A browser would take the first segment for a host.
        return None if result.startswith("//") else result

    def _leads_to(self, path: str, segments: list[str]) -> bool:
        """Say whether the template can give a path of the upstream."""
        length = len(self.template)
        if _DOT_SEGMENT.search(path) or _MISREAD.search(path) or len(segments) < length:
            return False
        if not self.has_rest and segments[length:] not in ([], [""]):
            return False
        return all(
            bool(segment) if isinstance(part, int) else _is_spelt(segment, part)
            for part, segment in zip(self.template, segments, strict=False)
        )


def compile_rewrite(pattern: str, template: str) -> PathRewrite:
    """Compile the template for a route's pattern, which is sound. Raises PatternError."""
    captures = pattern[1:].split("/") if pattern != "/" else []
    has_rest = captures[-1:] == [ANY_REST]
    if has_rest:
        captures.pop()
    parts = _split_template(template)
    if (parts[-1:] == [ANY_REST]) != has_rest:
        raise PatternError(
            "the path that is matched ends in ** and this does not; end it with /**, too"
            if has_rest
            else "this ends in ** and the path that is matched does not; end both with it, or none"
        )
    if has_rest:
        parts.pop()
    positions = {part: index for index, part in enumerate(captures) if is_parameter(part)}
    compiled: list[str | int] = []
    for part in parts:
        if not is_parameter(part):
            compiled.append(_spell(part))
        elif part not in positions:
            known = ", ".join(positions) or "no names"
            raise PatternError(
                f"{part} is not in the path that is matched, which has {known}; "
                "write what it captures, or plain text"
            )
        elif positions[part] in compiled:
            raise PatternError(f"{part} stands twice; use each name once")
        else:
            compiled.append(positions[part])
    back = tuple(part if is_parameter(part) else _spell(part) for part in captures)
    return PathRewrite(len(captures), has_rest, tuple(compiled), back)


def _split_template(template: str) -> list[str]:
    if not template.startswith("/"):
        raise PatternError("a path begins with a slash; write it from the root, like /legacy/**")
    if template == "/":
        return []
    if template.endswith("/"):
        raise PatternError(
            f"it does not end with a slash; write {template.rstrip('/') or '/'}, to which the "
            "slash at the end of a request's path is added"
        )
    parts = template[1:].split("/")
    if len(parts) > _MAXIMUM_SEGMENTS:
        raise PatternError(f"it has at most {_MAXIMUM_SEGMENTS} segments; end it with /**")
    if ANY_REST in parts[:-1]:
        raise PatternError("** stands only at the end; use {name} for one segment")
    return parts


def _spell(literal: str) -> str:
    """Give a literal segment in its canonical spelling. Raises PatternError."""
    if any(character in literal for character in "{}*"):
        raise PatternError(
            f"{literal!r} mixes text with a wildcard; a segment is either text, "
            "{name} (letters, digits, _) or a last **"
        )
    if "?" in literal or "#" in literal:
        raise PatternError("it is a path only; the query of a request is passed on as it is")
    try:
        spelt = canonicalize_path("/" + literal)[1:]
    except AmbiguousPath as error:
        raise PatternError(
            f"{literal!r} can be read in more than one way ({error.kind}); "
            "write the plain path, with UTF-8 escapes where it is not ASCII"
        ) from None
    if not spelt:
        raise PatternError("the path has an empty segment (//); write each slash once")
    return spelt


def _is_spelt(segment: str, literal: str) -> bool:
    """Say whether a segment, however it is escaped, is a canonical literal."""
    if segment == literal:
        return True
    try:
        return canonicalize_path("/" + segment) == "/" + literal
    except AmbiguousPath:
        return False
