"""The path that an upstream gets: what was judged, under another prefix, and nothing else."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.policy.path import AmbiguousPath, canonicalize_path
from gateway.policy.pattern import PatternError
from gateway.policy.rewriting import compile_rewrite
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable

NAMES = ["a", "b", "c"]
literals = st.text("abcXYZ019.-_~", min_size=1, max_size=4).filter(lambda it: set(it) != {"."})
# Paths as clients write them: escapes, dots, wild spellings, now and then what is refused.
pieces = st.lists(
    st.sampled_from(["a", "Z", "7", ".", "..", "%2e", "%20", "%C3%A9", "+", "%2F", "é", "~", "-"]),
    min_size=0,
    max_size=4,
).map("".join)


@st.composite
def rewrites(draw):
    """Draws a pattern and a template for it, as texts."""
    captured = draw(st.lists(st.sampled_from(NAMES), unique=True))
    literal = draw(st.lists(literals, max_size=3))
    match = draw(st.permutations([f"{{{name}}}" for name in captured] + literal))
    used = draw(st.lists(st.sampled_from(captured), unique=True)) if captured else []
    written = draw(
        st.permutations([f"{{{name}}}" for name in used] + draw(st.lists(literals, max_size=3)))
    )
    end = ["**"] if draw(st.booleans()) else []
    return "/" + "/".join(match + end), "/" + "/".join(written + end)


@st.composite
def matched_paths(draw, pattern):
    """Draws a canonical path that a pattern matches, or nearly."""
    segments = []
    for segment in pattern[1:].split("/") if pattern != "/" else []:
        if segment == "**":
            segments += draw(st.lists(pieces, max_size=3))
        else:
            segments.append(draw(pieces) if segment.startswith("{") else segment)
    path = "/" + "/".join(segments) + draw(st.sampled_from(["", "/"]))
    try:
        return canonicalize_path(path)
    except AmbiguousPath:
        assume(False)


def matches(pattern, path):
    """Says whether the route table itself finds a route of this pattern for a path."""
    return RouteTable([Route("r", None, pattern, None, "u")]).match(None, path, "GET") is not None


def segments_of(path):
    return [segment for segment in path.split("/") if segment]


@given(st.data())
def test_whatever_is_matched_comes_out_with_the_segments_that_the_template_says(data):
    pattern, template = data.draw(rewrites())
    path = data.draw(matched_paths(pattern))
    assume(matches(pattern, path))
    result = compile_rewrite(pattern, template).forward(path)

    assert result == canonicalize_path(result)  # no dot segment, no empty one, nothing escaped anew
    wanted = segments_of(template)
    captured = dict(zip(segments_of(pattern), segments_of(path), strict=False))
    rest = segments_of(path)[len(segments_of(pattern)) - 1 :] if pattern.endswith("**") else []
    expected = [captured[one] if one.startswith("{") else one for one in wanted if one != "**"]
    assert segments_of(result) == [canonicalize_path(f"/{one}")[1:] for one in expected] + rest
    assert result.endswith("/") == (path.endswith("/") or result == "/")


@given(st.data())
def test_the_way_back_leads_to_where_the_request_came_from(data):
    pattern, template = data.draw(rewrites())
    path = data.draw(matched_paths(pattern))
    assume(matches(pattern, path))
    rewrite = compile_rewrite(pattern, template)
    forwarded = rewrite.forward(path)
    back = rewrite.backward(forwarded, path)
    # Of `/` alone, nobody can say whether there was a slash behind what became of nothing.
    assert back == path or (forwarded == "/" and back == path.rstrip("/") + "/")


@given(st.data(), st.text("/ab.%2e\\\t;:@é", max_size=12))
def test_no_path_that_an_upstream_names_leads_to_another_host_or_out_of_the_pattern(data, named):
    """A browser takes two slashes of any kind for a host, and resolves dot segments by itself."""
    pattern, template = data.draw(rewrites())
    path = data.draw(matched_paths(pattern))
    assume(matches(pattern, path))
    back = compile_rewrite(pattern, template).backward("/" + named, path)
    if back is not None:
        assert back.startswith("/")
        assert not re.match(r"/[/\\]", re.sub(r"[\t\r\n]", "", back))
        assert not {".", ".."} & {one.replace("%2e", ".") for one in back.split("/")}
        for wanted, found in zip(segments_of(pattern), back.split("/")[1:], strict=False):
            assert wanted.startswith(("{", "**")) or found == wanted


@pytest.mark.parametrize(
    ("pattern", "template", "path", "forwarded"),
    [
        ("/shop/**", "/**", "/shop/a/b", "/a/b"),
        ("/shop/**", "/**", "/shop/a/", "/a/"),
        ("/shop/**", "/**", "/shop", "/"),
        ("/shop/**", "/**", "/shop/", "/"),
        ("/shop/**", "/app/**", "/shop", "/app"),
        ("/shop/**", "/app/**", "/shop/", "/app/"),
        ("/**", "/app/**", "/", "/app/"),
        ("/t/{tenant}/**", "/legacy/{tenant}/**", "/t/acme/x", "/legacy/acme/x"),
        ("/{a}/{b}", "/{b}/{a}", "/1/2/", "/2/1/"),
        ("/login", "/cgi-bin/login.pl", "/login", "/cgi-bin/login.pl"),
        ("/", "/start", "/", "/start/"),
        ("/start", "/", "/start", "/"),
        # Byte for byte: an escape that the canonical form keeps is not decoded.
        ("/f/{name}/**", "/{name}/**", "/f/a%20b%40/%C3%A9/c%2Cd", "/a%20b%40/%C3%A9/c%2Cd"),
        ("/f/**", "/my%20files/**", "/f/x", "/my%20files/x"),
        ("/f/**", "/%7euser/**", "/f/x", "/~user/x"),
    ],
)
def test_a_table_of_rewrites(pattern, template, path, forwarded):
    assert compile_rewrite(pattern, template).forward(path) == forwarded


@pytest.mark.parametrize("path", ["/shop//evil.example/x", "/shop//", "/shop///x"])
def test_a_stripped_prefix_never_leaves_two_slashes_in_front(path):
    """Only a route that takes empty segments has such a path; `//evil.example` is a host."""
    with pytest.raises(AmbiguousPath, match="empty_segment"):
        compile_rewrite("/shop/**", "/**").forward(path)
    assert "//" in compile_rewrite("/shop/**", "/app/**").forward(path)


@pytest.mark.parametrize("path", ["/api../admin", "/api%2e/admin", "/api%2E%2e/admin", "/api.%2e"])
def test_a_prefix_is_whole_segments(path):
    """CVE-2026-48020, CVE-2026-40912: `/api..` is no `/api`, so no dot segment is left of it."""
    assert not matches("/api/**", canonicalize_path(path))


@pytest.mark.parametrize(
    ("pattern", "template", "named", "back"),
    [
        ("/shop/**", "/**", "/login", "/shop/login"),
        ("/shop/**", "/**", "/", "/shop/"),
        ("/shop/**", "/app/**", "/app/login", "/shop/login"),
        ("/shop/**", "/app/**", "/app", "/shop"),
        ("/shop/**", "/app/**", "/%61pp/a%2Fb", "/shop/a%2Fb"),
        ("/shop/**", "/app/**", "/application", None),
        ("/shop/**", "/app/**", "/other", None),
        ("/shop/**", "/app/**", "/app/../other", None),
        ("/shop/**", "/app/**", "/app/%2E./other", None),
        ("/shop/**", "/app/**", "/app/a\tb", None),
        ("/**", "/app/**", "/app//evil.example", None),
        ("/**", "/app/**", "/app/\\evil.example", None),
        ("/**", "/app/**", "/app/x//y", "/x//y"),
        ("/t/{tenant}/**", "/legacy/{tenant}/**", "/legacy/other/x", "/t/other/x"),
        ("/t/{tenant}/**", "/legacy/{tenant}/**", "/legacy//x", None),
        ("/t/{tenant}/**", "/**", "/x", "/t/acme/x"),
        ("/t/{tenant}", "/one/{tenant}", "/one/b/more", None),
    ],
)
def test_a_table_of_ways_back(pattern, template, named, back):
    assert compile_rewrite(pattern, template).backward(named, "/t/acme/y") == back


@pytest.mark.parametrize(
    ("pattern", "template", "wrong"),
    [
        ("/a/**", "/b", r"the path that is matched ends in \*\* and this does not; "),
        ("/a", "/b/**", r"this ends in \*\* and the path that is matched does not; "),
        ("/a", "/**", r"this ends in \*\* and the path that is matched does not; "),
        ("/{a}/**", "/{b}/**", r"\{b\} is not in the path that is matched, which has \{a\}"),
        ("/x/**", "/{b}/**", "which has no names"),
        ("/{a}/**", "/{a}/{a}/**", r"\{a\} stands twice; "),
        ("/a/**", "/**/b", r"\*\* stands only at the end; "),
        ("/a/**", "/b/**/", "does not end with a slash; write /b/\\*\\*, to which"),
        ("/a/**", "/b//**", "an empty segment"),
        ("/a/**", "/../**", "can be read in more than one way .dot_segment.; "),
        ("/a/**", "/%2e%2E/**", "can be read in more than one way .dot_segment.; "),
        ("/a/**", "/b%2Fc/**", "can be read in more than one way .encoded_slash.; "),
        ("/a/**", "/b;v=1/**", "can be read in more than one way .semicolon.; "),
        ("/a/**", "/b{c}/**", "mixes text with a wildcard; "),
        ("/a/**", "/b*/**", "mixes text with a wildcard; "),
        ("/a", "/b?x=1", "the query of a request is passed on"),
        ("/a", "b", "begins with a slash; "),
        ("/a/**", "/x" * 65, "has at most 64 segments; "),
    ],
)
def test_what_is_wrong_with_a_template_is_said_with_the_mend(pattern, template, wrong):
    with pytest.raises(PatternError, match=wrong):
        compile_rewrite(pattern, template)
