"""The patterns of paths that routes are written in: `/orders/{id}/lines`, `/static/**`."""

import re

from gateway.policy.path import AmbiguousPath, canonicalize_path, split_path

ANY_REST = "**"
_NAME = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_MAXIMUM_SEGMENTS = 64


class PatternError(ValueError):
    """The pattern cannot be used; the text says what is wrong, and the mend."""


def parse_pattern(text: str) -> tuple[str, ...]:
    """Split a pattern into its segments; literals come out as `split_path` gives them.

    `{name}` stands for one segment that is not empty, a last `**` for all that follows, also
    nothing. Raises PatternError.
    """
    if not text.startswith("/"):
        raise PatternError("a path begins with a slash; write it from the root, like /orders/**")
    if text == "/":
        return ()
    if text.endswith("/"):
        raise PatternError(
            f"a pattern does not end with a slash; write {text.rstrip('/') or '/'}, "
            "which covers its trailing-slash form"
        )
    segments = text[1:].split("/")
    if len(segments) > _MAXIMUM_SEGMENTS:
        raise PatternError(f"a pattern has at most {_MAXIMUM_SEGMENTS} segments; end it with /**")
    names: set[str] = set()
    parsed = []
    for index, segment in enumerate(segments):
        if segment == ANY_REST:
            if index != len(segments) - 1:
                raise PatternError("** stands only at the end; use {name} for one segment")
            parsed.append(segment)
        elif is_parameter(segment):
            if segment in names:
                raise PatternError(f"{segment} stands twice; give each its own name")
            names.add(segment)
            parsed.append(segment)
        else:
            parsed.append(_parse_literal(segment))
    return tuple(parsed)


def is_parameter(segment: str) -> bool:
    """Say whether a segment of a pattern is a `{name}`."""
    return _NAME.fullmatch(segment) is not None


def _parse_literal(segment: str) -> str:
    if any(character in segment for character in "{}*"):
        raise PatternError(
            f"{segment!r} mixes text with a wildcard; a segment is either text, "
            "{name} (letters, digits, _) or a last **"
        )
    if "?" in segment or "#" in segment:
        raise PatternError("a pattern is a path only; the query never takes part in matching")
    try:
        canonical = canonicalize_path("/" + segment)
    except AmbiguousPath as error:
        if error.liftable:
            raise PatternError(
                f"no text in a pattern can have this ({error.kind}); cover it with a {{name}} or a "
                "last **, and name it under the route's allow_in_path"
            ) from None
        raise PatternError(
            f"no request can match this: its path is refused ({error.kind}); "
            "write the plain path, with UTF-8 escapes where it is not ASCII"
        ) from None
    [literal] = split_path(canonical) or [""]
    if not literal:
        raise PatternError("the path has an empty segment (//); write each slash once")
    if literal == ANY_REST or is_parameter(literal):
        # Decoded, it could not be told from the wildcard, and would match what it does.
        raise PatternError(
            f"{segment!r} is an escaped wildcard; cover it with a {{name}} or a last **"
        )
    return literal
