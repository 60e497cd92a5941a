"""Reads the body of a request that comes in chunks, and where it ends (RFC 9112, section 7.1).

Rule: what two could read in two ways is malformed. A size is hexadecimal digits and nothing else, a
line ends with CRLF and nothing else, and all that is not the body itself is bounded.
"""

import re
from typing import Final

from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason

# Of extensions, beyond what the chunks hold: nobody here has a use for them.
_MOST_EXTENSION: Final = 16 * 1024
# Less than 2 ** 60, whoever counts in 64 bits.
_SIZE: Final = rb"[0-9A-Fa-f]{1,15}"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Blanks about `;` and `=` are bad ones (RFC 9110, section 5.6.3), and other parsers refuse them.
_SIZE_LINE = re.compile(b"(%b)((?:;%b(?:=(?:%b|%b))?)*)" % (_SIZE, _TOKEN, _TOKEN, _QUOTED))
_PLAIN_SIZE_LINE = re.compile(rb"(%b)\r\n" % _SIZE)
_BEGINNING_OF_SIZE_LINE = re.compile(rb"%b(?:;[\t\x20-\x7e\x80-\xff]*)?\r?" % _SIZE)
_TRAILER_LINE = re.compile(rb"(%b):[\t ]*([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_BEGINNING_OF_TRAILER_LINE = re.compile(rb"(?:%b(?::[\t\x20-\x7e\x80-\xff]*)?)?\r?" % _TOKEN)
_END = b"0\r\n\r\n"
# Whoever takes them for fields of the head sees another body.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_AT_SIZE, _AT_DATA, _BEHIND_DATA, _AT_TRAILERS = range(4)


class MalformedChunks(ValueError):  # noqa: N818 - says what the chunks are
    """Nobody can say for certain what the body is; the text is for the log."""

    def __init__(self, detail: str, reason: Reason = Reason.MALFORMED_REQUEST) -> None:
        self.reason = reason
        super().__init__(detail)


class ChunkReader:
    """One body in chunks, read as its bytes arrive, wherever they are cut.

    `trailers` are the fields behind the last chunk, whole once `is_complete` says so; they may hold
    so many bytes and be so many.
    """

    __slots__ = (
        "_extension",
        "_failure",
        "_left",
        "_line",
        "_most_trailers",
        "_stage",
        "_trailer_bytes",
        "is_complete",
        "trailers",
    )

    def __init__(self, *, trailer_bytes: int, most_trailers: int) -> None:
        self._trailer_bytes = trailer_bytes
        self._most_trailers = most_trailers
        self._stage = _AT_SIZE
        # Bytes of the open chunk that are still to come.
        self._left = 0
        # The beginning of a line whose end has not arrived.
        self._line = b""
        # Bytes of extensions, less those of data.
        self._extension = 0
        self._failure: MalformedChunks | None = None
        self.is_complete = False
        self.trailers: list[HeaderPair] = []

    def read(self, data: bytes, at: int = 0) -> tuple[bytes, int]:
        """Give what `data` has of the body from `at` on, and where what it has of the message ends.

        Raises MalformedChunks, then and ever after.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._read(data, at)
        except MalformedChunks as failure:
            self._failure = failure
            raise

    def _read(self, data: bytes, at: int) -> tuple[bytes, int]:
        pieces: list[bytes] = []
        size = len(data)
        if self._stage == _AT_SIZE and not self._line:
            at = self._take_whole_chunks(data, at, pieces)
        while at < size and not self.is_complete:
            if self._stage == _AT_DATA:
                end = at + self._left
                pieces.append(data[at:end])
                self._left = max(0, end - size)
                if end <= size:
                    self._stage = _BEHIND_DATA
                at = min(end, size)
            elif self._stage == _BEHIND_DATA and not self._line and data.startswith(b"\r\n", at):
                self._stage = _AT_SIZE
                at = self._take_whole_chunks(data, at + 2, pieces)
            else:
                at = self._read_line(data, at)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), at

    def _take_whole_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take the chunks that are there from size to end, as almost all are, in few steps."""
        while found := _PLAIN_SIZE_LINE.match(data, at):
            size = int(found[1], 16)
            start = found.end()
            end = start + size
            if not size or not data.startswith(b"\r\n", end):
                break
            pieces.append(data[start:end])
            self._extension = max(0, self._extension - size)
            at = end + 2
        if data.startswith(_END, at):
            self.is_complete = True
            at += len(_END)
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        """Take a line, or as much of it as there is, and give where that ends."""
        held = self._line
        longest = self._longest_line()
        line = held + data[at : at + longest + 2 - len(held)]
        end = line.find(b"\r\n")
        if end < 0:
            if len(line) >= longest + 2:
                self._refuse_long_line()
            self._check_beginning(line)
            self._line = line
            return len(data)
        self._line = b""
        self._take_line(line[:end])
        return at + end + 2 - len(held)

    def _longest_line(self) -> int:
        if self._stage == _AT_SIZE:
            return 15 + _MOST_EXTENSION - self._extension
        return self._trailer_bytes if self._stage == _AT_TRAILERS else 0

    def _refuse_long_line(self) -> None:
        if self._stage == _AT_TRAILERS:
            raise MalformedChunks("the trailers are too large", Reason.HEADERS_TOO_LARGE)
        if self._stage == _AT_SIZE:
            raise MalformedChunks("a line of a chunk is too long")
        raise MalformedChunks("a chunk is longer than it says")

    def _check_beginning(self, line: bytes) -> None:
        """Refuse what can no longer become a line, without waiting for its end."""
        if self._stage == _AT_SIZE and _BEGINNING_OF_SIZE_LINE.fullmatch(line) is None:
            raise MalformedChunks("the size of a chunk is malformed")
        if self._stage == _AT_TRAILERS and _BEGINNING_OF_TRAILER_LINE.fullmatch(line) is None:
            raise MalformedChunks("a trailer is malformed")
        if self._stage == _BEHIND_DATA and line != b"\r":
            raise MalformedChunks("a chunk is longer than it says")

    def _take_line(self, line: bytes) -> None:
        if self._stage == _AT_SIZE:
            self._take_size(line)
        elif self._stage == _AT_TRAILERS:
            self._take_trailer(line)
        else:
            # The longest line here is the empty one.
            self._stage = _AT_SIZE

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise MalformedChunks("the size of a chunk is malformed")
        size = int(found[1], 16)
        self._extension = max(0, self._extension + len(found[2]) - size)
        if self._extension > _MOST_EXTENSION:
            raise MalformedChunks("the extensions of chunks are too long")
        self._left = size
        self._stage = _AT_DATA if size else _AT_TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.is_complete = True
            return
        found = _TRAILER_LINE.fullmatch(line)
        if found is None or found[1].lower() in _FRAMING:
            raise MalformedChunks("a trailer is malformed")
        self._trailer_bytes -= len(line) + 2
        if self._trailer_bytes < 0 or len(self.trailers) == self._most_trailers:
            raise MalformedChunks("the trailers are too large", Reason.HEADERS_TOO_LARGE)
        self.trailers.append((found[1], found[2].rstrip(b" \t")))
