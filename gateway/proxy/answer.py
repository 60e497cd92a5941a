"""What has come of an answer, and whether it is well formed.

Rule: what the parser lets pass and a client might read in another way is refused here; nothing of
an answer is taken for the beginning or the end of anything when its framing is in doubt.
"""

import re
import time
from abc import abstractmethod

import httptools

from gateway.policy.dates import http_date
from gateway.policy.forwarding import Client
from gateway.policy.headers import HeaderPair, early_hints, read_response_head
from gateway.policy.upgrade import accepts_upgrade

_MAXIMUM_FIELDS = 512
_MAXIMUM_INFORMATIONAL = 256
_READ_HIGH_WATER = 256 * 1024
_EARLY_HINTS = 103
# What an informational answer must not have (RFC 9110, section 8.6; RFC 9112, section 6.1), and
# what has no meaning in trailers, yet moves the parser.
_OF_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_OF_CONNECTION = _OF_FRAMING | {b"connection", b"proxy-connection", b"keep-alive", b"upgrade"}
# RFC 9112, section 4: what a reason phrase may hold. The parser lets control bytes pass.
_REASON_PHRASE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class MalformedAnswer(Exception):  # noqa: N818 - says what the answer is
    """The answer breaks a rule that the parser lets pass."""


class ReceivedAnswer:
    """An answer as the parser gives it, piece by piece; a connection has one after the other."""

    __slots__ = (
        "_body_allowed",
        "_bytes_of_head",
        "_bytes_without_body",
        "_chunks",
        "_fields",
        "_informational",
        "_parser",
        "_received",
        "announced",
        "can_be_reused",
        "client",
        "has_head",
        "headers",
        "is_chunked",
        "is_complete",
        "length",
        "reason_phrase",
        "refers",
        "status",
        "tail",
        "trailers",
        "upgrade",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.reset(body_allowed=True)

    def reset(self, *, body_allowed: bool) -> None:
        """Forget the last answer; the next one has no body when that is not allowed (HEAD)."""
        self._body_allowed = body_allowed
        self._chunks: list[bytes] = []
        self._received = 0
        self._bytes_of_head = 0
        self._bytes_without_body = 0
        self._informational = 0
        self.status = 0
        self.reason_phrase = b""
        self.headers: list[HeaderPair] = []
        self.trailers: list[HeaderPair] = []
        # Where the parser's next field belongs.
        self._fields = self.headers
        self.length: int | None = None
        self.is_chunked = False
        self.refers = False
        self.announced: tuple[bytes, ...] = ()
        self.has_head = False
        self.is_complete = False
        self.can_be_reused = False
        # Who is told what comes before the answer.
        self.client: Client | None = None
        # The protocol that a 101 may switch to, and what came behind the 101.
        self.upgrade: bytes | None = None
        self.tail = b""

    @abstractmethod
    def pause_reading(self) -> None:
        """Receive no more until what is here has been taken."""

    # httptools' callbacks

    def on_status(self, status: bytes) -> None:
        """Take the reason phrase, possibly in pieces."""
        self.reason_phrase += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, or of the trailers."""
        fields = self._fields
        fields.append((name, value))
        if len(fields) > _MAXIMUM_FIELDS:
            raise MalformedAnswer("it has too many header fields")

    def on_headers_complete(self) -> None:
        """Judge the framing."""
        parser = self._parser
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._take_informational(status)
            return
        if status == 101 and self.upgrade is not None:
            if not accepts_upgrade(self.headers, self.upgrade):
                raise MalformedAnswer("it switches to another protocol than was asked for")
        elif not 200 <= status <= 599:
            raise MalformedAnswer(f"its status is {status}")
        self.status = status
        if not self.reason_phrase.isalpha() and not _REASON_PHRASE.fullmatch(self.reason_phrase):
            raise MalformedAnswer("its reason phrase holds control characters")
        head = read_response_head(self.headers)
        self.headers = head.fields
        self.length = head.length
        self.is_chunked = head.is_chunked
        if not head.is_dated:
            # RFC 9110, section 6.6.1: the time it was received.
            head.fields.append((b"Date", http_date(int(time.time()))))
        self.refers = head.refers
        self.announced = head.announced
        version = parser.get_http_version()
        if version != "1.1" and (version != "1.0" or self.is_chunked):
            # RFC 9112, section 6.1: HTTP/1.0 knows no chunks, such framing is faulty.
            raise MalformedAnswer(f"it speaks HTTP/{version}" + (", in chunks" * self.is_chunked))
        self.can_be_reused = parser.should_keep_alive()
        self.has_head = True
        self._fields = self.trailers
        if not self._body_allowed:
            # An answer to HEAD ends here, whatever its Content-Length announces.
            self.is_complete = True

    def _take_informational(self, status: int) -> None:
        self._informational += 1
        if self._informational > _MAXIMUM_INFORMATIONAL:
            raise MalformedAnswer("it sends informational answers without end")
        if any(name.lower() in _OF_FRAMING for name, _ in self.headers):
            raise MalformedAnswer("an informational answer announces a body")
        if status == _EARLY_HINTS and self.client is not None:
            self.client.pass_hints(early_hints(self.headers))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self.has_head:
            raise MalformedAnswer("an informational answer has a body")
        if not self._body_allowed:
            self.can_be_reused = False
            return
        self._bytes_without_body = 0
        self._chunks.append(body)
        self._received += len(body)
        if self._received > _READ_HIGH_WATER:
            self.pause_reading()

    def on_message_complete(self) -> None:
        """Note the end of the answer, or of an informational one before it."""
        if self.has_head:
            self.is_complete = True
            if self.trailers and _move_parser(self.trailers):
                self.can_be_reused = False
        else:
            self.headers.clear()
            self.reason_phrase = b""

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.has_head:
            self.can_be_reused = False
            raise MalformedAnswer("it sends more than one answer")


def _move_parser(trailers: list[HeaderPair]) -> bool:
    return any(name.lower() in _OF_CONNECTION for name, _ in trailers)
