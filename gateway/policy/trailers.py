"""Which fields behind a body cross the gateway (RFC 9110, section 6.5), and how they are announced.

Rule: a trailer is never more than a trailer. What frames a message, routes or changes a request, or
says who sends it, crosses in no trailer, whoever would take it for a field of the head.
"""

from collections.abc import Iterable
from typing import Final

from gateway.policy.headers import (
    HeaderPair,
    connection_options,
    fold_name,
    is_plain_answer_field,
    is_plain_request_field,
)

# What a trailer cannot say (section 6.5.1), or what was judged or answered before it came.
_NEVER_OF_A_REQUEST: Final = frozenset(
    {
        b"authentication-info",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"content-range",
        b"content-type",
        b"date",
        b"depth",
        b"destination",
        b"from",
        b"lock-token",
        b"max-forwards",
        b"origin",
        b"overwrite",
        b"pragma",
        b"prefer",
        b"priority",
        b"range",
        b"realm",
        b"referer",
        b"set-cookie",
        b"timeout",
        b"user-agent",
        b"via",
        b"warning",
        b"www-authenticate",
    }
)
_NEVER_OF_A_REQUEST_BEGIN: Final = (b"accept", b"access-control-", b"if-", b"proxy-", b"sec-")
_NEVER_OF_AN_ANSWER: Final = frozenset({b"host", b"authorization"})


def filter_request_trailers(
    trailers: Iterable[HeaderPair], connection: Iterable[bytes]
) -> list[HeaderPair]:
    """Give the trailers of a request that cross to the upstream.

    `connection` are the values of its Connection, which may name further ones that do not.
    """
    named = connection_options(connection)
    return [
        pair
        for pair in trailers
        if is_plain_request_field(pair[0])
        and _may_be_behind_a_request(pair[0].lower())
        and fold_name(pair[0]) not in named
    ]


def _may_be_behind_a_request(name: bytes) -> bool:
    return name not in _NEVER_OF_A_REQUEST and not name.startswith(_NEVER_OF_A_REQUEST_BEGIN)


def filter_answer_trailers(trailers: Iterable[HeaderPair]) -> list[HeaderPair]:
    """Give the trailers of an answer that cross to the client."""
    return [
        pair
        for pair in trailers
        if is_plain_answer_field(pair[0]) and pair[0].lower() not in _NEVER_OF_AN_ANSWER
    ]


def read_announcement(values: Iterable[bytes]) -> list[HeaderPair]:
    """Give the fields that Trailer announces, without values: to be filtered like those to come."""
    names = (name.strip(b" \t") for value in values for name in value.split(b","))
    return [(name, b"") for name in names if name]


def write_announcement(fields: Iterable[HeaderPair]) -> list[HeaderPair]:
    """Give the Trailer that announces these fields; none for none."""
    names = b", ".join(name for name, _ in fields)
    return [(b"Trailer", names)] if names else []
