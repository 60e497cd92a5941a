"""Requests as bytes, and what an attack must come to."""

from tests.proxy.stage import Answer, Stage

HOST = b"Host: h"
CHUNKED = b"Transfer-Encoding: chunked"
GET = b"GET /public/next HTTP/1.1\r\nHost: h\r\n\r\n"
"""A request that would pass: what stands behind an attack must not be taken for it."""


def get(*fields: bytes, target: bytes = b"/public/a", version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with exactly these fields: Host is the caller's to give."""
    return b"GET %b %b\r\n%b\r\n" % (target, version, _lines(fields))


def post(*fields: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """A POST of a body to a host, with the framing that the fields give it."""
    return b"POST /public/a %b\r\nHost: h\r\n%b\r\n%b" % (version, _lines(fields), body)


def ask(target: bytes, *fields: bytes, method: bytes = b"GET", host: bytes = b"h") -> bytes:
    """A request without a body for a target at a host."""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, host, _lines(fields))


def bearer(token: bytes) -> bytes:
    return b"Authorization: Bearer " + token


def _lines(fields: tuple[bytes, ...]) -> bytes:
    return b"".join(field + b"\r\n" for field in fields)


async def refused(stage: Stage, request: bytes, behind: bytes = b"", after: bytes = GET) -> Answer:
    """Give the only answer to a request that ends its connection and reaches nobody.

    `behind` is sent with it, `after` when it has been answered: neither may be taken for a request.
    Opens the stage unless it is open, and closes it.
    """
    if not stage.is_open:
        await stage.open()
    client = await stage.client(request + behind)
    refusal = await client.answer()
    assert refusal.fields["connection"] == "close"
    client.send(after)
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched
    return refusal
