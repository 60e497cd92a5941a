"""The patterns that routes are written in."""

import pytest

from gateway.policy.pattern import PatternError, is_parameter, parse_pattern


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("/", ()),
        ("/**", ("**",)),
        ("/orders", ("orders",)),
        ("/orders/{id}/lines/**", ("orders", "{id}", "lines", "**")),
        ("/%61dmin", ("admin",)),
        ("/a%20b/%EA%B0%80", ("a b", "가")),
        ("/a|b", ("a|b",)),
        ("/%40me", ("@me",)),
    ],
)
def test_a_pattern_is_canonicalised_as_requests_are(text, segments):
    assert parse_pattern(text) == segments


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orders", "begins with a slash"),
        ("", "begins with a slash"),
        ("/orders/", "does not end with a slash"),
        ("//", "does not end with a slash"),
        ("/a//b", "empty segment"),
        ("/a/**/b", "only at the end"),
        ("/a/{id}/b/{id}", "stands twice"),
        ("/a{id}", "mixes text with a wildcard"),
        ("/{}", "mixes text with a wildcard"),
        ("/{a-b}", "mixes text with a wildcard"),
        ("/*", "mixes text with a wildcard"),
        ("/a?b=c", "the query never takes part"),
        ("/a#b", "the query never takes part"),
        ("/a/../b", "dot_segment"),
        ("/a/%2e%2e/b", "dot_segment"),
        ("/a%2Fb", "encoded_slash.*allow_in_path"),
        ("/a;b", r"semicolon\); cover it with a \{name\} or a last \*\*, and name it under"),
        ("/..;/b", "dot_segment"),
        ("/a b", "control_character"),
        ("/é", "non_ascii"),
        ("/%252e", "double_encoding"),
        ("/" + "a/" * 64 + "a", "at most 64 segments"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_what_is_wrong(text, words):
    with pytest.raises(PatternError, match=words):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["/%2A%2A", "/%2a%2A/admin", "/a/%7Bid%7D", "/a/%7bid}"])
def test_an_escaped_wildcard_is_no_wildcard(text):
    """What decodes to `**` or `{name}` would match more than its author wrote: it is refused."""
    with pytest.raises(PatternError):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["{id", "id}", "{}", "{1a}", "{a b}", "{a}\n", "x{a}", "**"])
def test_only_a_name_in_braces_is_a_parameter(text):
    assert not is_parameter(text)
    assert is_parameter("{a_1}")
