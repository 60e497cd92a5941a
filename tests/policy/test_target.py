"""The request target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.path import AmbiguousPath, canonicalize_path
from gateway.policy.target import ForeignTarget, MalformedTarget, split_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?c=d", "/a/b", "?c=d"),
        ("/a?", "/a", "?"),
        ("/a??b", "/a", "??b"),
        ("/a?/../b;x=%2F//", "/a", "?/../b;x=%2F//"),
        ("/a?http://evil.example/", "/a", "?http://evil.example/"),
        ("/http://evil.example/", "/http://evil.example/", ""),
        ("http://a.example/b?c", "/b", "?c"),
        ("HTTP://A.Example./b", "/b", ""),
        ("https://a.example:8443/b", "/b", ""),
        ("http://a.example", "/", ""),
        ("http://a.example?b/c", "/", "?b/c"),
        ("http://a.example//b", "//b", ""),
        ("//evil.example/b", "//evil.example/b", ""),
    ],
)
def test_a_target_is_split_at_its_first_question_mark(target, path, query):
    """The query keeps its mark and every byte; an absolute target's path begins after its host."""
    assert split_target(target, "a.example") == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "admin", "a.example:80", "a.example/b", "?a", "#", "http:/a.example/b",
        "http:a.example", "http//a.example/", "://a.example/", "ftp://a.example/",
        "javascript://a.example/", "file:///etc/passwd", "http:///b", "http://", "http://?a",
        "http://evil.example/b", "http://u@a.example/b", "http://u:p@a.example/b",
        "http://a.example@evil.example/b", "http://a.example:99999/b", "http://a.example#/b",
        "http://a.example\\@evil.example/", "http://a.example%2f@evil.example/",
        "http://a.example /b", " /b", "\\b", "/a?b#c", "http://a.example/?b#c",
    ],
)  # fmt: skip
def test_what_a_gateway_cannot_serve_is_malformed(target):
    """Other forms and schemes, credentials, and any authority but the Host header's."""
    with pytest.raises(MalformedTarget):
        split_target(target, "a.example")


@pytest.mark.parametrize(
    "target", ["http://evil.example/b", "https://a.example.evil.example", "http://[::1]/b?c"]
)
def test_another_host_is_told_from_one_that_is_none(target):
    """As for a Destination: `ForeignTarget` is for a target that is sound but for its host."""
    with pytest.raises(ForeignTarget):
        split_target(target, "a.example")


@pytest.mark.parametrize("target", ["http://a.example/b", "http://u@a.example/", "http:///b"])
def test_an_absolute_target_without_a_host_header_is_malformed(target):
    """Not even one whose authority is no host either."""
    with pytest.raises(MalformedTarget):
        split_target(target, None)


@pytest.mark.parametrize("target", ["/a#b", "/public#/../admin", "/#", "http://a.example/#x"])
def test_a_fragment_in_the_path_is_the_canonicalisers_to_refuse(target):
    """As `ambiguous_path`, with every other path that can be read in two ways."""
    path, _ = split_target(target, "a.example")
    with pytest.raises(AmbiguousPath):
        canonicalize_path(path)


@pytest.mark.parametrize("target", ["//evil.example/b", "///b", "http://a.example//evil/b"])
def test_two_slashes_are_no_authority(target):
    """They stay in the path, where they are ambiguous: no host is ever read out of them."""
    path, _ = split_target(target, "a.example")
    with pytest.raises(AmbiguousPath):
        canonicalize_path(path)


@given(target=st.text(max_size=20) | st.text(max_size=20).map(lambda text: "/" + text))
def test_a_target_is_split_without_loss_or_refused(target):
    """For any text: path and query together are the target, or MalformedTarget is raised."""
    try:
        path, query = split_target(target, "a.example")
    except MalformedTarget:
        return
    assert path + query == target
    assert "?" not in path
    assert query == "" or query.startswith("?")
