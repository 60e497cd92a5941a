"""How a request's body is framed (RFC 9112, section 6).

The parser of requests refuses most of what is refused here; this holds whatever the parser lets by.
"""

from collections.abc import Sequence
from typing import Final, Literal

from gateway.policy.rejection import Reason, Rejection

NO_BODY: Final = -1

# The registered codings beside chunked, and their old names (RFC 9110, section 18.6).
_CODINGS = frozenset({"compress", "deflate", "gzip", "x-compress", "x-gzip"})


def judge_transfer_coding(value: str) -> Literal["chunked", "unsupported", "malformed"]:
    """Say whether a request's body is in chunks and nothing else.

    `unsupported` is what is well-formed, ends with chunked, and has codings before it that exist:
    501 by section 6.1. Everything else is `malformed`: another parser may see another end of it.
    """
    if value.lower() == "chunked":
        return "chunked"
    *codings, last = (part.strip(" \t").lower() for part in value.split(","))
    if last == "chunked" and codings and _CODINGS.issuperset(codings):
        return "unsupported"
    return "malformed"


class MalformedFraming(ValueError):  # noqa: N818 - says what the framing is
    """Nobody can say for certain where the body ends; the text is for the log."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


def read_framing(
    codings: Sequence[str], lengths: Sequence[str], *, speaks_http_1_1: bool
) -> int | None:
    """Give the announced length of the body, None when it is chunked, or NO_BODY.

    Takes all the lines of Transfer-Encoding and of Content-Length. Raises MalformedFraming.
    """
    if codings:
        coding = judge_transfer_coding(codings[0])
        if not speaks_http_1_1 or coding == "malformed":
            raise MalformedFraming(Reason.MALFORMED_REQUEST, "Transfer-Encoding is not `chunked`")
        if lengths or len(codings) > 1:
            raise MalformedFraming(Reason.MALFORMED_REQUEST, "the framing is ambiguous")
        if coding == "unsupported":
            raise MalformedFraming(Reason.UNSUPPORTED_CODING, "a coding stands before `chunked`")
        return None
    if not lengths:
        return NO_BODY
    length = lengths[0]
    if len(lengths) > 1 or not (length.isascii() and length.isdigit()):
        raise MalformedFraming(Reason.MALFORMED_REQUEST, "Content-Length is malformed")
    return int(length)


def judge_body(length: int | None, most: int, expectations: Sequence[str]) -> Rejection | None:
    """Hold what `read_framing` gave against the bytes that a route takes at most.

    `expectations` are the lines of Expect, of which one can be met (RFC 9110, section 10.1.1).
    """
    if length is not None and length > most:
        return Rejection(Reason.BODY_TOO_LARGE, detail=f"{length} bytes announced")
    if any(one.lower() != "100-continue" for one in expectations):
        return Rejection(Reason.EXPECTATION_FAILED)
    return None
