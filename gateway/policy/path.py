"""The canonical path: what is authorised is what is forwarded.

Rule: the string that `canonicalize_path` gives is the one that routes are matched by and the one
that the upstream receives, so no backend can be shown another path than the guard has judged. A
path that backends are known to read in different ways is refused, never repaired.
"""

import re
import unicodedata
from urllib.parse import unquote, unquote_to_bytes


class AmbiguousPath(ValueError):  # noqa: N818 - the contract's word for it
    """The path can be read in more than one way; `kind` names how."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


# Almost every request is this: plain characters, no segment that begins with a dot.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?")

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_DOUBLE_ESCAPE = re.compile(r"%25(?:[0-9A-Fa-f]{2}|[uU])")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_REFUSED = re.compile(r"[^!-~]|[\\;#?]")
_UNESCAPED = re.compile(r"[^A-Za-z0-9._~!$&'()*+,=:@/%-]")


def canonicalize_path(path: str) -> str:
    """Bring the path of a request target (without its query) to its one spelling.

    Unreserved escapes are decoded, the others get upper-case hex (RFC 3986, section 6.2.2), and
    printable characters that a URI may not hold are escaped. Raises AmbiguousPath.
    """
    if _PLAIN.fullmatch(path):
        return path
    return _canonicalize(path)


def _canonicalize(path: str) -> str:
    if not path.startswith("/"):
        raise AmbiguousPath("no_leading_slash")
    _refuse_raw_characters(path)
    canonical = _ESCAPE.sub(_canonical_escape, path)
    canonical = _UNESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", canonical)
    # Looked for after decoding, since `%25%32%65` becomes `%252e` only now.
    if _DOUBLE_ESCAPE.search(canonical):
        raise AmbiguousPath("double_encoding")
    _refuse_ambiguous_segments(canonical)
    return canonical


_KINDS = {"\\": "encoded_slash", ";": "semicolon", "#": "fragment", "?": "fragment"}


def _refuse_raw_characters(path: str) -> None:
    found = _REFUSED.search(path)
    if found is None:
        return
    character = found[0]
    if character <= " " or character == "\x7f":
        raise AmbiguousPath("control_character")
    if character > "~":
        raise AmbiguousPath("non_ascii")
    raise AmbiguousPath(_KINDS[character])


def _canonical_escape(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        raise AmbiguousPath("broken_escape")
    byte = int(digits, 16)
    if byte in _UNRESERVED:
        return chr(byte)
    if byte < 0x20 or byte == 0x7F:
        raise AmbiguousPath("control_character")
    if byte in b"/\\":
        raise AmbiguousPath("encoded_slash")
    if byte in b"?#;":
        raise AmbiguousPath("encoded_reserved")
    return f"%{digits.upper()}"


def _refuse_ambiguous_segments(path: str) -> None:
    segments = path.split("/")[1:]
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        if not segment:
            if index != last:
                raise AmbiguousPath("empty_segment")
        elif segment in (".", ".."):
            raise AmbiguousPath("dot_segment")
        elif "%" in segment:
            _refuse_ambiguous_text(segment)


def _refuse_ambiguous_text(segment: str) -> None:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise AmbiguousPath("non_utf8") from None
    if text.isascii():
        return
    # A backend that folds compatibility characters reads a full-width slash as a slash. They are
    # folded one by one: sorting the combining marks of a whole text takes quadratic time.
    folded = "".join([unicodedata.normalize("NFKC", character) for character in text])
    if "/" in folded or "\\" in folded or folded in (".", ".."):
        raise AmbiguousPath("encoded_slash")


def split_path(canonical: str) -> list[str]:
    """Split a canonical path into its segments as a backend reads them, without a trailing slash.

    Escapes that the canonical form keeps (`%40`) are decoded here, so that `/%40a` and `/@a`, which
    a backend takes for the same, are the same to the route table. None of them can be a delimiter.
    """
    segments = canonical.split("/")
    del segments[0]
    if not segments[-1]:
        del segments[-1]
    if "%" in canonical:
        return [unquote(segment, errors="strict") for segment in segments]
    return segments
