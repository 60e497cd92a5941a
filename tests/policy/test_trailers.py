"""Which trailers cross, and what is announced of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.headers import RequestHeaderFilter, fold_name
from gateway.policy.trailers import (
    filter_answer_trailers,
    filter_request_trailers,
    read_announcement,
    write_announcement,
)

STOPPED = [
    *("Content-Length", "Transfer-Encoding", "Trailer", "Host", "Connection", "Keep-Alive"),
    *("TE", "Upgrade", "Expect", "Max-Forwards", "Proxy-Connection", "HTTP2-Settings"),
    *("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "WWW-Authenticate"),
    *("X-Auth-Subject", "X-Auth-Anything", "X-Request-Id", "Via", "Forwarded"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Remote-User"),
    *("X-Original-URL", "X-HTTP-Method-Override", "Script-Name", "Destination", "Overwrite"),
    *("Content-Encoding", "Content-Type", "Content-Range", "Range", "If-Match", "If-None-Match"),
    *("Cache-Control", "Pragma", "Accept", "Accept-Encoding", "Origin", "Referer", "User-Agent"),
    *("Access-Control-Request-Method", "Sec-Fetch-Site", "Proxy-Anything", "Date", "From"),
]
CROSSING = [b"X-Sum", b"Digest", b"Content-Digest", b"Repr-Digest", b"ETag", b"grpc-status"]


@pytest.mark.parametrize("name", STOPPED)
def test_what_means_something_to_a_head_is_no_trailer_of_a_request(name: str) -> None:
    """In any case, and with any other separator."""
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_") + "_", name + "."):
        assert filter_request_trailers([(spelling.encode(), b"1")], []) == []


def test_everything_else_crosses_as_it_came() -> None:
    pairs = [(name, b"a,\xe4 b") for name in CROSSING]
    assert filter_request_trailers(pairs + pairs, [b"close", b"x-other"]) == pairs + pairs
    assert filter_answer_trailers(pairs + pairs) == pairs + pairs


def test_what_connection_names_ends_here() -> None:
    pairs = [(b"X-Sum", b"1"), (b"x-other", b"2")]
    assert filter_request_trailers(pairs, [b"close, X-SUM"]) == [(b"x-other", b"2")]


@given(st.lists(st.text("aAuUtThHxX-_.!sS", min_size=1, max_size=12), max_size=4))
def test_no_trailer_crosses_that_would_not_cross_in_a_head(names: list[str]) -> None:
    pairs = [(name.encode(), b"1") for name in [*names, *STOPPED]]
    in_head = RequestHeaderFilter().filter(pairs, keep_authorization=False)
    crossing = filter_request_trailers(pairs, [])
    assert set(crossing) <= set(in_head)
    assert not [name for name, _ in crossing if fold_name(name).startswith(b"x-auth-")]


def test_an_announcement_is_read_over_all_lines() -> None:
    assert read_announcement([b"X-A , ,x-b", b"", b"\tX-C"]) == [
        (b"X-A", b""),
        (b"x-b", b""),
        (b"X-C", b""),
    ]


def test_only_what_crosses_is_announced() -> None:
    fields = read_announcement([b"X-Sum, Host, X-Auth-Subject, no name", b"x_y, Digest"])
    assert write_announcement(filter_request_trailers(fields, [])) == [
        (b"Trailer", b"X-Sum, Digest")
    ]
    assert write_announcement(filter_request_trailers([(b"Host", b"")], [])) == []
    assert write_announcement([]) == []
