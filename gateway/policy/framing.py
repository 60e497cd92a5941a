"""What the Transfer-Encoding of a request says (RFC 9112, sections 6.1 and 7)."""

from typing import Literal

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
