"""The canonical path, held against backends that read paths in ways of their own."""

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.policy import path as path_module
from gateway.policy.path import (
    LIFTABLE_KINDS,
    AmbiguousPath,
    canonicalize_path,
    split_ambiguous_path,
    split_path,
)
from gateway.policy.pattern import PatternError, parse_pattern
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable

# Pieces that paths are attacked with, spelt in every way that some decoder takes for the same.
_CHARACTERS = 'ab./\\;:@%?#&+~ -_Zé가\x00\n\x7f|"<{'
_WIDE = "\uff0e\uff0f\uff3c\u2024\u2025\u2026\u2100\ufe68\uff05"  # NFKC: . / \ . .. ... a/c \ %


def _spellings(character: str) -> st.SearchStrategy[str]:
    """Spells a character raw, escaped in either case, or escaped twice or three times."""
    escaped = "".join(f"%{byte:02X}" for byte in character.encode())
    return st.sampled_from(
        [
            character,
            escaped,
            escaped.lower(),
            escaped.replace("%", "%25"),
            escaped.lower().replace("%", "%2525"),
            "".join(f"%{ord(part):02x}" for part in escaped),
        ]
    )


pieces = st.sampled_from(_CHARACTERS + _WIDE).flatmap(_spellings)
odd_pieces = st.sampled_from(["..", "/../", "//", "..;", "%", "%25", "%u002f", "%zz", "%c0%af"])
# Most pieces are harmless, so that half of the paths are accepted, with the odd one among them.
plain_pieces = st.sampled_from(["/a", "/b.", "c/d", "%41", "%7e", "%20", "%C3%A9", "@", "2e", "2F"])
paths = st.lists(plain_pieces | plain_pieces | plain_pieces | pieces | odd_pieces, max_size=6).map(
    lambda found: "/" + "".join(found)
)
any_text = st.text(st.characters(), max_size=20)


def accepted(path: str) -> str | None:
    try:
        return canonicalize_path(path)
    except AmbiguousPath:
        return None


# --- What backends make of a path: each gives the segments that it acts upon. ---


def _decode(path: str) -> str:
    data = path.encode("utf-8", "surrogateescape")
    return unquote_to_bytes(data).decode("utf-8", "surrogateescape")


def _decode_lenient_unicode(path: str) -> str:
    return _decode(re.sub(r"%u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), path))


def _remove_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[: max(1, len(kept) - 1)]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


BACKENDS: dict[str, Callable[[str], str]] = {
    "decodes once": _decode,
    "decodes twice": lambda path: _decode(_decode(path)),
    "decodes three times": lambda path: _decode(_decode(_decode(path))),
    "knows %u": _decode_lenient_unicode,
    "removes dots, then decodes": lambda path: _decode(_remove_dots(path)),
    "decodes, then removes dots": lambda path: _remove_dots(_decode(path)),
    "merges slashes": lambda path: re.sub(r"/+", "/", _decode(path)),
    "merges before decoding": lambda path: _decode(re.sub(r"/+", "/", path)),
    "takes a backslash for a slash": lambda path: _remove_dots(_decode(path).replace("\\", "/")),
    "strips parameters": lambda path: _remove_dots(_decode(re.sub(r";[^/]*", "", path))),
    "strips parameters after decoding": lambda path: _remove_dots(
        re.sub(r";[^/]*", "", _decode(path))
    ),
    "stops at NUL": lambda path: _decode(path).split("\0")[0],
    "takes a decoded ? or # for the end": lambda path: re.split(r"[?#]", _decode(path))[0],
    "cuts lines": lambda path: re.split(r"[\r\n]", _decode(path))[0],
}


def judged(canonical: str) -> list[str]:
    """Gives the segments that the route table goes by."""
    return split_path(canonical)


def read_by(backend: str, path: str) -> list[str]:
    segments = BACKENDS[backend](path).split("/")[1:]
    return segments[:-1] if segments[-1] == "" else segments


@pytest.mark.parametrize("backend", BACKENDS)
@given(path=paths)
@example(path="/a/%2e%2E/b")
@example(path="/a/..;/b")
@example(path="/a/%252e%252e/b")
@example(path="/a/%25%32%65%25%32%65/b")
@example(path="/%EF%BC%8E%EF%BC%8E/b")
@example(path="/a%EF%BC%8Fb")
@example(path="/a%E2%84%80b")
@example(path="/a%00b")
@example(path="/a%3Fb")
@example(path="/a%3bb")
@example(path="/a%5C..%5Cb")
@example(path="//b")
@example(path="/a%0Ab")
@example(path="/%u002e%u002e/b")
def test_every_backend_reads_the_path_that_was_judged(backend, path):
    """What is accepted, each plausible backend reads as the very segments that routes matched."""
    canonical = accepted(path)
    if canonical is not None:
        assert read_by(backend, canonical) == judged(canonical)


@given(path=paths)
@example(path="/%EF%BC%8E%EF%BC%8E/b")
@example(path="/a/.%E2%80%A4/b")
@example(path="/a%EF%BC%8Fb")
@example(path="/a%E2%84%80b")
@example(path="/%E2%80%A5/b")
@example(path="/a%EF%BC%BCb")
def test_a_backend_that_folds_characters_meets_no_slash_and_no_dot_segment(path):
    """A full-width slash or dot gives it no other segments than those judged, folded each."""
    canonical = accepted(path)
    if canonical is not None:
        folded = unicodedata.normalize("NFKC", _decode(canonical)).replace("\\", "/")
        read = _remove_dots(folded).rstrip("/").split("/")[1:]
        assert read == [unicodedata.normalize("NFKC", segment) for segment in judged(canonical)]


def spelt(word: str) -> st.SearchStrategy[str]:
    return st.tuples(*map(_spellings, word)).map("".join)


@given(
    spelling=st.sampled_from(["/admin", "/a@b", "/x y", "/가", "/a/b", "/a|b", "/a%41b"]).flatmap(
        spelt
    ),
    slash=st.sampled_from(["", "/"]),
)
def test_no_two_spellings_of_a_path_go_to_different_routes(spelling, slash):
    """A path has one route in every spelling that is accepted and that a backend takes for it."""
    table = RouteTable(
        [
            Route("rest", None, "/**", None, "u"),
            *(
                Route(path, None, path, None, "u")
                for path in ("/admin", "/a@b", "/x%20y", "/%EA%B0%80", "/a/b", "/a%7Cb")
            ),
        ]
    )
    canonical = accepted(spelling + slash)
    if canonical is None:
        return
    route = table.match(None, canonical, "GET")
    for backend in BACKENDS:
        meant = quote("/" + "/".join(read_by(backend, canonical)), safe="/@")
        assert table.match(None, canonicalize_path(meant), "GET") is route


@given(path=paths | any_text | any_text.map(lambda text: "/" + text))
def test_the_canonical_path_is_its_own_canonical_path(path):
    """Canonicalising twice changes nothing."""
    canonical = accepted(path)
    if canonical is not None:
        assert canonicalize_path(canonical) == canonical


@given(path=paths | any_text | any_text.map(lambda text: "/" + text))
@example(path="/\ud800")
@example(path="/%ED%A0%80")
@example(path="")
def test_nothing_but_ambiguous_path_is_ever_raised(path):
    """Any text at all, lone surrogates too, is either a canonical ASCII path or AmbiguousPath."""
    canonical = accepted(path)
    if canonical is not None:
        assert re.fullmatch(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-F]{2})*", canonical)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_folding_one_by_one_finds_what_folding_the_whole_finds(text):
    """A segment whose NFKC form holds a slash or is a dot segment is refused, marks and all."""
    folded = unicodedata.normalize("NFKC", text)
    if "/" in folded or "\\" in folded or folded in (".", ".."):
        assert accepted("/" + quote(text, safe="")) is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("orders", "no_leading_slash"),
        ("", "no_leading_slash"),
        ("/public/../admin", "dot_segment"),
        ("/public/%2e%2e/admin", "dot_segment"),
        ("/public/.%2E/admin", "dot_segment"),
        ("/public/.", "dot_segment"),
        ("/public/..%2fadmin", "dot_segment"),
        ("/public/a%2f..", "dot_segment"),
        ("/public/..%5cadmin", "dot_segment"),
        ("/a%2Fb", "encoded_slash"),
        ("/a%5cb", "encoded_slash"),
        ("/a\\b", "backslash"),
        ("/..\\b", "backslash"),
        ("/a%2Fb;c", "encoded_slash, semicolon"),
        ("//admin", "empty_segment"),
        ("/a//b", "empty_segment"),
        ("/a//", "empty_segment"),
        ("//", "empty_segment"),
        ("/public/..;/admin", "dot_segment"),
        ("/public/.;x=1/admin", "dot_segment"),
        ("/public/a;../admin", "dot_segment"),
        ("/public/%2e%2e%3b/admin", "dot_segment"),
        ("/public/..%3Fx", "dot_segment"),
        ("/public/..%23x", "dot_segment"),
        ("/public/.%2F%2f.", "dot_segment"),
        ("/admin;x=1", "semicolon"),
        ("/admin%3Bx=1", "encoded_reserved"),
        ("/a%3fb", "encoded_reserved"),
        ("/a%23b", "encoded_reserved"),
        ("/public#/../admin", "fragment"),
        ("/%252e%252e%252f", "double_encoding"),
        ("/%25%32%65", "double_encoding"),
        ("/%25u0061", "double_encoding"),
        ("/admin%00.css", "control_character"),
        ("/a%0d%0ab", "control_character"),
        ("/a%7Fb", "control_character"),
        ("/a b", "control_character"),
        ("/a\tb", "control_character"),
        ("/%c0%af", "non_utf8"),
        ("/%B0%A1", "non_utf8"),
        ("/%ED%A0%80", "non_utf8"),
        ("/..%c0%afadmin", "dot_segment"),
        ("/%c0%ae%c0%ae/admin", "dot_segment"),
        ("/%c0%ae%e0%80%ae/admin", "dot_segment"),
        ("/..%c1%9cadmin", "dot_segment"),
        ("/a%c0%80b", "control_character"),
        ("/%B0%EF%BC%8F", "compatibility_slash"),
        ("/é", "non_ascii"),
        ("/\udcc3\udca9", "non_ascii"),
        ("/%EF%BC%8F", "compatibility_slash"),
        ("/a%2Fb%EF%BC%8F", "compatibility_slash"),
        ("/%EF%BC%8E%EF%BC%8E", "dot_segment"),
        ("/%EF%BC%8E%EF%BC%8E;x", "dot_segment"),
        ("/a%B0;%E2%80%A5", "dot_segment"),
        ("/%E2%80%A5", "dot_segment"),
        ("/%", "broken_escape"),
        ("/%2", "broken_escape"),
        ("/%zz", "broken_escape"),
        ("/%u0061", "broken_escape"),
    ],
)
def test_what_is_ambiguous_is_refused_by_its_kind(path, kind):
    with pytest.raises(AmbiguousPath) as caught:
        canonicalize_path(path)
    assert caught.value.kind == kind


# --- What a route may allow ---


def allowable(path: str) -> AmbiguousPath | None:
    """What is said of a path that some route may allow; None of every other one."""
    try:
        canonicalize_path(path)
    except AmbiguousPath as error:
        return error if error.liftable else None
    return None


# Rich in what can be allowed, so that most of the paths are.
opaque_pieces = st.sampled_from(
    ["%2F", "%2f", "%5C", ";", ";x=1", "%3F", "%23", "%3b", "//", "%B0%A1", "%E9", "%C0%AF", "%F0"]
)
opaque_paths = st.lists(plain_pieces | opaque_pieces | opaque_pieces | pieces, max_size=6).map(
    lambda found: "/" + "".join(found)
)


@pytest.mark.parametrize(
    ("path", "canonical", "liftable"),
    [
        ("/a%2fb", "/a%2Fb", {"encoded_slash"}),
        ("/a%5cb", "/a%5Cb", {"encoded_slash"}),
        ("/http:%2F%2Fa.example%2Fb", "/http:%2F%2Fa.example%2Fb", {"encoded_slash"}),
        ("/%61;v=1.0/b", "/a;v=1.0/b", {"semicolon"}),
        ("/;", "/;", {"semicolon"}),
        ("//a", "//a", {"empty_segment"}),
        ("/a//", "/a//", {"empty_segment"}),
        ("/a%3fb%23c%3bd", "/a%3Fb%23c%3Bd", {"encoded_reserved"}),
        ("/%b0%a1%20", "/%B0%A1%20", {"non_utf8"}),
        ("/%C0%AF%C0%CC", "/%C0%AF%C0%CC", {"non_utf8"}),  # EUC-KR, not the overlong slash
        ("/caf%e9|;", "/caf%E9%7C;", {"non_utf8", "semicolon"}),
        ("//a%2F;%3f%ff", "//a%2F;%3F%FF", set(LIFTABLE_KINDS)),
        ("/..a%2Fb..", "/..a%2Fb..", {"encoded_slash"}),
    ],
)
def test_what_a_route_may_allow_has_one_spelling_too(path, canonical, liftable):
    error = allowable(path)
    assert error is not None
    assert (error.canonical, error.liftable) == (canonical, liftable)
    assert error.kind == ", ".join(kind for kind in LIFTABLE_KINDS if kind in liftable)


@given(path=opaque_paths | paths | any_text.map(lambda text: "/" + text))
def test_the_spelling_of_what_may_be_allowed_is_its_own(path):
    """Canonicalising twice changes nothing, neither the bytes nor the kinds."""
    error = allowable(path)
    if error is not None:
        again = allowable(error.canonical)
        assert again is not None
        assert (again.canonical, again.liftable) == (error.canonical, error.liftable)


@pytest.mark.parametrize("backend", BACKENDS)
@given(path=opaque_paths)
@example(path="/a/..;/b")
@example(path="/a/..%2Fb")
@example(path="/a%3B/.%3Fb")
@example(path="/a;/%2E.;x/b")
def test_no_backend_reads_a_dot_segment_in_what_may_be_allowed(backend, path):
    """However it splits, decodes and strips: what stands before is never walked out of."""
    error = allowable(path)
    if error is not None:
        read = re.split(r"[/\\]", BACKENDS[backend](error.canonical))
        assert not {".", ".."} & set(read)
        folded = unicodedata.normalize("NFKC", _decode(error.canonical))
        assert not {".", ".."} & set(re.split(r"[/\\;?#]", folded))


@given(path=opaque_paths)
@example(path="/a%2Fb")
@example(path="/a;b")
@example(path="//a")
@example(path="/%B0")
def test_what_is_allowed_never_is_a_literal(path):
    """Each ambiguous segment is one, and no literal of any pattern; the others are as ever."""
    error = allowable(path)
    if error is None:
        return
    parts = error.canonical.removesuffix("/").split("/")[1:]
    segments = split_ambiguous_path(error.canonical)
    assert len(segments) == len(parts)
    for part, segment in zip(parts, segments, strict=True):
        if part and accepted("/" + part) is not None:
            assert [segment] == split_path("/" + part)
        else:
            assert segment == (f"/{part}" if part else "")
            with pytest.raises(PatternError):
                parse_pattern(f"/{part or '/'}")
            with suppress(PatternError):
                assert segment not in parse_pattern(f"/{unquote(part)}")


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/a%2Fb/c%20d", ["/a%2Fb", "c d"]),
        ("/a;b/", ["/a;b"]),
        ("//a", ["", "a"]),
        ("/a//", ["a", ""]),
        ("//", [""]),
        ("/%B0%A1/%EA%B0%80", ["/%B0%A1", "가"]),
    ],
)
def test_ambiguous_segments_are_marked(path, segments):
    assert split_ambiguous_path(path) == segments


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("/%61dmin", "/admin"),
        ("/%7Euser", "/~user"),
        ("/a%2db%5F", "/a-b_"),
        ("/a%20b", "/a%20b"),
        ("/a%40b", "/a%40b"),
        ("/a%ea%b0%80", "/a%EA%B0%80"),
        ("/orders/", "/orders/"),
        ("/ADMIN", "/ADMIN"),
        ("/admin.", "/admin."),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
        ("/..a/b..", "/..a/b.."),
        ("/a|b", "/a%7Cb"),
        ('/"<>^`{}[]', "/%22%3C%3E%5E%60%7B%7D%5B%5D"),
        ("/100%25", "/100%25"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ],
)
def test_what_is_clear_passes_in_its_one_spelling(path, canonical):
    assert canonicalize_path(path) == canonical


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", []),
        ("/a", ["a"]),
        ("/a/", ["a"]),
        ("/%40a/b%20c/", ["@a", "b c"]),
        ("/100%25", ["100%"]),
    ],
)
def test_segments_are_what_a_backend_reads(path, segments):
    assert split_path(path) == segments


def test_no_stranger_can_ask_for_the_sorting_of_marks(monkeypatch):
    """Characters are folded one by one: a long run of combining marks takes no quadratic time."""
    lengths = []

    def normalize(form, text):
        lengths.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(path_module, "unicodedata", SimpleNamespace(normalize=normalize))
    assert accepted("/" + quote("\u0300\u0316" * 1000)) is not None
    assert set(lengths) == {1}


# --- Services that read bytes which are no UTF-8, each in its way. ---


def _mask_continuations(data: bytes) -> str:
    """As hand-written decoders do: the first byte says how many follow, none is looked at."""
    read = []
    at = 0
    while at < len(data):
        first = data[at]
        more = next((n for n, least in ((5, 0xFC), (4, 0xF8), (3, 0xF0), (2, 0xE0), (1, 0xC0))
                     if first >= least), 0)  # fmt: skip
        code = first & (0x7F if not more else 0x3F >> more)
        for byte in data[at + 1 : at + 1 + more]:
            code = code << 6 | byte & 0x3F
        if first < 0x80 or (more and at + more < len(data) and first < 0xFE):
            read.append(chr(code) if code < 0x110000 else "\ufffd")
            at += 1 + more
        else:
            at += 1
    return "".join(read)


LAX_DECODERS: dict[str, Callable[[bytes], str]] = {
    "ignores what is no UTF-8": lambda data: data.decode("utf-8", "ignore"),
    "replaces what is no UTF-8": lambda data: data.decode("utf-8", "replace"),
    "ignores what is no ASCII": lambda data: data.decode("ascii", "ignore"),
    "latin-1": lambda data: data.decode("latin-1"),
    "masks, up to six bytes": _mask_continuations,
    "cp949": lambda data: data.decode("cp949", "ignore"),
    "euc-kr": lambda data: data.decode("euc-kr", "ignore"),
}
_lax_pieces = st.sampled_from(
    [
        ".", "..", "/", "a", "n", "%FF", "%80", "%C0", "%E0", "%C0.", "%C0%AE", "%E0%80%AE",
        "%F0%80%80%AE", "%F8%80%80%80%AE", "%FC%80%80%80%80%AE", "%C0n", "%C0%EE", "%A3%AE",
        "%A1%A5", "%B0%A1", "%EF%BC%8E", "%EA%B0%80", "%C1", "%F8", "%FC", ";", "%2F",
    ]
)  # fmt: skip
lax_paths = st.lists(_lax_pieces, max_size=6).map(lambda found: "/" + "".join(found))


@pytest.mark.parametrize("decoder", LAX_DECODERS)
@given(path=lax_paths)
@example(path="/.%FF./x")
@example(path="/%C0%2E%C0%2E/x")
@example(path="/%F8%80%80%80%AE%F8%80%80%80%AE/x")
@example(path="/%FC%80%80%80%80%AE./x")
@example(path="/%C0n%C0n/x")
@example(path="/%A3%AE%A3%AE/x")
@example(path="/%A1%A5/x")
@example(path="/%C0%AE%C0%AE%EF%BC%8E")
def test_no_lax_decoder_reads_a_dot_segment_in_what_a_route_may_allow(decoder, path):
    """Whatever its way with bytes that are no UTF-8, folded or not."""
    try:
        canonical, allowed = path_module.read_path(path)
    except AmbiguousPath:
        return
    if "non_utf8" not in allowed:
        return
    for segment in canonical.split("/"):
        data = unquote_to_bytes(segment)
        # UTF-8 among others is no matter of this rule: it is read in one way.
        if data.isascii() or _is_utf8(data):
            continue
        read = LAX_DECODERS[decoder](data)
        for text in (read, "".join(unicodedata.normalize("NFKC", part) for part in read)):
            assert not {".", ".."} & set(re.split(r"[/\\;?#]", text))


def _is_utf8(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


@pytest.mark.parametrize("path", ["/..%E2%82%A9..", "/..%C2%A5admin", "/..%EF%BF%A6"])
def test_a_sign_that_windows_reads_as_a_backslash_ends_a_segment(path):
    with pytest.raises(AmbiguousPath, match="dot_segment"):
        path_module.read_path(path)


@pytest.mark.parametrize("path", ["/%C0%AF%C0%CC", "/%B0%A1.txt", "/caf%E9", "/a.%B0%A1"])
def test_names_in_other_encodings_stay_allowed(path):
    assert path_module.read_path(path)[1] == {"non_utf8"}
