"""The canonical path: what is authorised is what is forwarded.

Rule: the string that `canonicalize_path` gives is the one that routes are matched by and the one
that the upstream receives, so no backend can be shown another path than the guard has judged. A
path that backends are known to read in different ways is refused, never repaired. Some kinds of it
a route may allow (`allow_in_path`), never one in which somebody could read a dot segment.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

LIFTABLE_KINDS: Final = (
    "encoded_slash",
    "semicolon",
    "empty_segment",
    "encoded_reserved",
    "non_utf8",
)
"""The kinds of ambiguity that a route can allow."""


class AmbiguousPath(ValueError):  # noqa: N818 - the contract's word for it
    """The path can be read in more than one way; `kind` names how.

    When a route may take it all the same, `liftable` are the kinds that the route must allow, all
    of them, and `canonical` is the path's one spelling. Else both are empty.
    """

    def __init__(
        self, kind: str, canonical: str = "", liftable: frozenset[str] = frozenset()
    ) -> None:
        self.kind = kind
        self.canonical = canonical
        self.liftable = liftable
        super().__init__(kind)


# Almost every request is this: plain characters, no segment that begins with a dot.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?")

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_DOUBLE_ESCAPE = re.compile(r"%25(?:[0-9A-Fa-f]{2}|[uU])")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_REFUSED = re.compile(r"[^!-~]|[\\#?]")
_UNESCAPED = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")

# What a canonical segment may hold of that which backends take for the end of a segment or path.
_DELIMITER = re.compile(r";|%2F|%5C|%3F|%23|%3B")
_KINDS = {";": "semicolon", "%2F": "encoded_slash", "%5C": "encoded_slash"}
# Won and yen signs too: where they stand for a backslash, Windows reads one in them.
_READ_AS_END = re.compile("[/\\\\;?#\0\u20a9\u00a5]")
# UTF-8 longer than need be: invalid, and read all the same by decoders that know of no such rule.
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}"
    rb"|\xf8[\x80-\x87][\x80-\xbf]{3}|\xfc[\x80-\x83][\x80-\xbf]{4}"
)
# The same to decoders that mask what follows the first byte without a look at it.
_MASKED = re.compile(
    rb"[\xc0-\xdf].|[\xe0-\xef].{2}|[\xf0-\xf7].{3}|[\xf8-\xfb].{4}|[\xfc\xfd].{5}", re.DOTALL
)
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")


def canonicalize_path(path: str) -> str:
    """Bring the path of a request target (without its query) to its one spelling.

    Unreserved escapes are decoded, the others get upper-case hex (RFC 3986, section 6.2.2), and
    printable characters that a URI may not hold are escaped. Raises AmbiguousPath.
    """
    if _PLAIN.fullmatch(path):
        return path
    return _canonicalize(path)


def read_path(path: str) -> tuple[str, frozenset[str]]:
    """Give the one spelling of a path, and the kinds of ambiguity that its route must allow.

    Raises AmbiguousPath for what no route can allow.
    """
    try:
        return canonicalize_path(path), frozenset()
    except AmbiguousPath as error:
        if not error.liftable:
            raise
        return error.canonical, error.liftable


def _canonicalize(path: str) -> str:
    if not path.startswith("/"):
        raise AmbiguousPath("no_leading_slash")
    _refuse_raw_characters(path)
    canonical = _ESCAPE.sub(_canonical_escape, path)
    canonical = _UNESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", canonical)
    # Looked for after decoding, since `%25%32%65` becomes `%252e` only now.
    if _DOUBLE_ESCAPE.search(canonical):
        raise AmbiguousPath("double_encoding")
    kinds = _judge_segments(canonical)
    if kinds:
        words = ", ".join(kind for kind in LIFTABLE_KINDS if kind in kinds)
        raise AmbiguousPath(words, canonical, frozenset(kinds))
    return canonical


def _refuse_raw_characters(path: str) -> None:
    found = _REFUSED.search(path)
    if found is None:
        return
    character = found[0]
    if character <= " " or character == "\x7f":
        raise AmbiguousPath("control_character")
    if character > "~":
        raise AmbiguousPath("non_ascii")
    raise AmbiguousPath("backslash" if character == "\\" else "fragment")


def _canonical_escape(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        raise AmbiguousPath("broken_escape")
    byte = int(digits, 16)
    if byte in _UNRESERVED:
        return chr(byte)
    if byte < 0x20 or byte == 0x7F:
        raise AmbiguousPath("control_character")
    return f"%{digits.upper()}"


def _judge_segments(path: str) -> set[str]:
    """Give the kinds of ambiguity that a route can allow. Raises AmbiguousPath for the others."""
    kinds: set[str] = set()
    segments = path.split("/")[1:]
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        if not segment:
            if index != last:
                kinds.add("empty_segment")
        elif segment in (".", ".."):
            raise AmbiguousPath("dot_segment")
        elif "%" in segment or ";" in segment:
            _judge_text(segment, kinds)
    return kinds


def _judge_text(segment: str, kinds: set[str]) -> None:
    delimiters = _DELIMITER.findall(segment)
    kinds.update([_KINDS.get(delimiter, "encoded_reserved") for delimiter in delimiters])
    data = unquote_to_bytes(segment)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        kinds.add("non_utf8")
        text = _OVERLONG.sub(_read_overlong, data).decode("utf-8", "surrogateescape")
        for reading in _read_laxly(data):
            _refuse_dot_segments(_fold(reading))
    else:
        if text.isascii() and not delimiters:
            return
    folded = _fold(text)
    if any(
        not character.isascii() and ("/" in read or "\\" in read)
        for character, read in zip(text, folded, strict=True)
    ):
        raise AmbiguousPath("compatibility_slash")
    _refuse_dot_segments(folded)


def _fold(text: str) -> list[str]:
    """Fold characters as backends do that read a full-width slash as a slash.

    One by one: sorting the combining marks of a whole text takes quadratic time.
    """
    return [
        character if character.isascii() else unicodedata.normalize("NFKC", character)
        for character in text
    ]


def _refuse_dot_segments(folded: list[str]) -> None:
    """Refuse a text that has one, wherever somebody lets a segment end."""
    if any(part in (".", "..") for part in _READ_AS_END.split("".join(folded))):
        raise AmbiguousPath("dot_segment")


def _read_laxly(data: bytes) -> list[str]:
    """Give what decoders make of bytes that are no UTF-8, when they are no strict ones."""
    return [
        # They leave out what they cannot read, or all that is not ASCII.
        data.decode("utf-8", "ignore"),
        _OVERLONG.sub(_read_overlong, data).decode("utf-8", "ignore"),
        _BEYOND_ASCII.sub(b"", data).decode("ascii"),
        _MASKED.sub(_read_masked, data).decode("utf-8", "ignore"),
        # Older services in Korea, where dots have a full-width form, too.
        data.decode("cp949", "ignore"),
        data.decode("euc-kr", "ignore"),
    ]


def _code_of(data: bytes) -> int:
    """Give the code point of a sequence of UTF-8, however its bytes are marked."""
    code = data[0] & (0xFF >> (len(data) + 1))
    for byte in data[1:]:
        code = code << 6 | byte & 0x3F
    return code


def _read_overlong(match: re.Match[bytes]) -> bytes:
    code = _code_of(match[0])
    if not code:
        raise AmbiguousPath("control_character")
    # In EUC-KR some are syllables, so they are not refused for what they could mean elsewhere.
    return bytes([code]) if code < 0x80 else match[0]


def _read_masked(match: re.Match[bytes]) -> bytes:
    code = _code_of(match[0])
    return chr(code).encode("utf-8", "ignore") if code < 0x110000 else b""


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


def split_ambiguous_path(canonical: str) -> list[str]:
    """Split the canonical form of a path that some route may allow, as `split_path` does.

    A segment that is ambiguous stays as it is behind a slash. No literal of a pattern has one, so
    only a wildcard matches it. An empty segment stays empty, for `**` alone.
    """
    segments = canonical.split("/")[1:]
    if not segments[-1]:
        del segments[-1]
    return [_mark_if_ambiguous(segment) for segment in segments]


def _mark_if_ambiguous(segment: str) -> str:
    if _DELIMITER.search(segment):
        return f"/{segment}"
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return f"/{segment}"
