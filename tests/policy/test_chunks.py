"""Bodies in chunks, as their bytes arrive."""

from collections.abc import Iterable

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.policy.chunks import ChunkReader, MalformedChunks
from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason

BEHIND = b"GET /next HTTP/1.1\r\n"


def reader(*, trailer_bytes: int = 4096, most_trailers: int = 8) -> ChunkReader:
    return ChunkReader(trailer_bytes=trailer_bytes, most_trailers=most_trailers)


def read(chunks: ChunkReader, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """The body, and what stands behind the message."""
    body = behind = b""
    for piece in pieces:
        if chunks.is_complete:
            behind += piece
        else:
            data, end = chunks.read(piece)
            body += data
            behind += piece[end:]
    return body, behind


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


tokens = st.text("abcXYZ09!#$%&'*+-.^_`|~", min_size=1, max_size=8)
quoted = st.text("aZ0 \t;=,\r\xe4".replace("\r", ""), max_size=8).map(lambda text: f'"{text}"')
extensions = st.lists(
    st.tuples(tokens, st.none() | tokens | quoted | st.just('"\\"\\\\"')), max_size=3
).map(
    lambda pairs: "".join(
        f";{name}" + ("" if value is None else f"={value}") for name, value in pairs
    ).encode("latin-1")
)
sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"000%X"])
fields = st.lists(
    st.tuples(
        tokens.filter(lambda name: name.lower() not in ("content-length", "transfer-encoding")),
        st.text("ab: ;\t\xe4", max_size=8).map(lambda text: text.strip(" \t")),
    ).map(lambda pair: (pair[0].encode(), pair[1].encode("latin-1"))),
    max_size=8,
)
chunk_lists = st.lists(st.tuples(st.binary(min_size=1, max_size=40), sizes, extensions), max_size=6)


def written(chunks: list[tuple[bytes, bytes, bytes]], trailers: list[HeaderPair]) -> bytes:
    lines = [size % len(data) + ext + b"\r\n" + data + b"\r\n" for data, size, ext in chunks]
    tail = [b"%b: %b \r\n" % pair for pair in trailers]
    return b"".join([*lines, b"0\r\n", *tail, b"\r\n"])


@given(chunk_lists, fields, st.lists(st.integers(min_value=0), max_size=12))
def test_wherever_the_bytes_are_cut_it_is_the_same_body(
    chunks: list[tuple[bytes, bytes, bytes]], trailers: list[HeaderPair], places: list[int]
) -> None:
    """And the same trailers, and it ends where it ends."""
    known = reader()
    body, behind = read(known, cut(written(chunks, trailers) + BEHIND, places))
    assert body == b"".join(data for data, _, _ in chunks)
    assert behind == BEHIND
    assert known.is_complete
    assert known.trailers == trailers


def test_it_is_read_one_byte_at_a_time() -> None:
    inner = b"\r\n\r\n0\r\n\r\n\r"
    data = b'5;a="b;c"\r\nhello\r\nA;x\r\n' + inner + b"\r\n000\r\nX-Sum: 1\r\nX-B:\r\n\r\n"
    known = reader()
    assert read(known, [data[at : at + 1] for at in range(len(data))]) == (b"hello" + inner, b"")
    assert known.trailers == [(b"X-Sum", b"1"), (b"X-B", b"")]


def test_what_it_is_given_begins_where_it_is_told() -> None:
    data = b"GET / HTTP/1.1\r\n\r\n2\r\nok\r\n0\r\n\r\nGET"
    assert reader().read(data, 18) == (b"ok", len(data) - 3)


MALFORMED = {
    "0x5": b"0x5\r\nhello\r\n",
    "+5": b"+5\r\nhello\r\n",
    "-5": b"-5\r\nhello\r\n",
    "1_0": b"1_0\r\n0123456789abcdef\r\n",
    "no size": b"\r\nhello\r\n",
    "a blank before": b" 5\r\nhello\r\n",
    "a blank behind": b"5 \r\nhello\r\n",
    "a tab behind": b"5\t\r\nhello\r\n",
    "a word": b"five\r\nhello\r\n",
    "full-width digits": "\N{FULLWIDTH DIGIT FIVE}\r\nhello\r\n".encode(),
    "a size beyond 60 bits": b"1000000000000000\r\nhello\r\n",
    "a size beyond 64 bits": b"10000000000000005\r\nhello\r\n",
    "zeros without end": b"00000000000000005\r\nhello\r\n",
    "LF behind the size": b"5\nhello\r\n",
    "CR behind the size": b"5\rhello\r\n",
    "CR CR LF behind the size": b"5\r\r\nhello\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "no line behind the data": b"5\r\nhello0\r\n\r\n",
    "data beyond its size": b"5\r\nhello, world\r\n",
    "an empty extension": b"5;\r\nhello\r\n",
    "a blank before an extension": b"5 ;a\r\nhello\r\n",
    "a blank in an extension": b"5;a b\r\nhello\r\n",
    "no name": b"5;=b\r\nhello\r\n",
    "no value": b"5;a=\r\nhello\r\n",
    "an open quote": b'5;a="b\r\nhello\r\n',
    "more behind a quote": b'5;a="b"c\r\nhello\r\n',
    "LF in an extension": b"5;a\nb\r\nhello\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n",
    "LF in a quote": b'5;a="\n"\r\nhello\r\n',
    "NUL in an extension": b"5;a\x00\r\nhello\r\n",
    "an escaped LF": b'5;a="\\\n"\r\nhello\r\n',
    "LF behind the last chunk's size": b"0\n\r\n",
    "LF behind the last chunk": b"0\n\n",
    "LF at the very end": b"0\r\n\n",
    "a trailer without a colon": b"0\r\nX-A\r\n\r\n",
    "a trailer without a name": b"0\r\n: a\r\n\r\n",
    "a blank before the colon": b"0\r\nX-A : a\r\n\r\n",
    "a folded trailer": b"0\r\nX-A: a\r\n b\r\n\r\n",
    "a folded first trailer": b"0\r\n X-A: a\r\n\r\n",
    "LF in a trailer": b"0\r\nX-A: a\nX-B: b\r\n\r\n",
    "CR in a trailer": b"0\r\nX-A: a\rb\r\n\r\n",
    "NUL in a trailer": b"0\r\nX-A: \x00\r\n\r\n",
    "DEL in a trailer": b"0\r\nX-A: \x7f\r\n\r\n",
    "a trailer's name that is not ASCII": "0\r\nX-Ä: a\r\n\r\n".encode(),
    "a length as a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding as a trailer": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_two_could_read_in_two_ways_is_malformed(data: bytes) -> None:
    """Wherever it is cut, also behind a good chunk; and it stays so."""
    for before in (b"", b"2\r\nok\r\n"):
        for place in range(len(before + data)):
            chunks = reader()
            with pytest.raises(MalformedChunks) as caught:
                read(chunks, cut(before + data, [place]))
            assert caught.value.reason is Reason.MALFORMED_REQUEST
            assert not chunks.is_complete
            with pytest.raises(MalformedChunks):
                chunks.read(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "data", [b"z", b"5 ", b"5;a\n", b"2\r\nok.", b"2\r\nok\n", b"0\r\n\n", b"0\r\nX A", b"0\r\n: "]
)
def test_what_can_no_longer_become_one_is_refused_before_its_line_ends(data: bytes) -> None:
    with pytest.raises(MalformedChunks):
        reader().read(data)


def test_extensions_may_be_long_where_the_chunks_are() -> None:
    known = reader()
    chunk = b"4000;" + b"x" * 16000 + b"\r\n" + b"b" * 0x4000 + b"\r\n"
    assert read(known, [chunk] * 10)[0] == b"b" * 0x4000 * 10


@pytest.mark.parametrize(
    "pieces",
    [
        [b"1;" + b"x" * 16385 + b"\r\na\r\n"],
        [b"1;" + b"x" * 9000 + b"\r\na\r\n"] * 2,
        [b"1;a=bcdefgh\r\nx\r\n"] * 3000,
        [b"1", *([b";a=bcdef"] * 3000)],
        [b"1;", *([b"x" * 1000] * 17)],
        [b'1;a="', *([b" " * 1000] * 17)],
    ],
    ids=["one", "two", "many short ones", "words in one", "one in pieces", "a quote in pieces"],
)
def test_extensions_without_much_else_are_malformed(pieces: list[bytes]) -> None:
    """And no line is held until its end, which may never come."""
    with pytest.raises(MalformedChunks):
        read(reader(), pieces)


def test_trailers_are_bounded_in_bytes_and_in_number() -> None:
    assert reader(trailer_bytes=14).read(b"0\r\nX: 1\r\nY: 2\r\n\r\n")[1] == 17
    for data in (b"X: 1\r\nY: 23\r\n\r\n", b"X: 1234567890123\r\n\r\n", b"X: 12345678901234"):
        with pytest.raises(MalformedChunks) as caught:
            reader(trailer_bytes=12).read(b"0\r\n" + data)
        assert caught.value.reason is Reason.HEADERS_TOO_LARGE
    with pytest.raises(MalformedChunks) as caught:
        reader(most_trailers=1).read(b"0\r\nX: 1\r\nY: 2\r\n\r\n")
    assert caught.value.reason is Reason.HEADERS_TOO_LARGE


class Llhttp:
    """What another strict parser makes of the same bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = b""
        self.requests = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        parser.feed_data(body)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests += 1


@settings(max_examples=400)
@given(
    chunk_lists,
    fields,
    st.lists(
        st.tuples(
            st.integers(min_value=0),
            st.integers(min_value=0, max_value=2),
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b";", b'"', b"0", b"f", b":"])
            | st.binary(max_size=2),
        ),
        max_size=3,
    ),
)
@example([(b"a", b"%x", b"")], [], [(1, 0, b" ")])
def test_what_it_takes_another_strict_parser_takes_for_the_same(
    chunks: list[tuple[bytes, bytes, bytes]],
    trailers: list[HeaderPair],
    changes: list[tuple[int, int, bytes]],
) -> None:
    """Whatever is changed in the bytes: it is never the more lenient one."""
    data = written(chunks, trailers)
    for place, removed, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    known = reader()
    try:
        body, end = known.read(data)
    except MalformedChunks:
        return
    if known.is_complete:
        other = Llhttp(data[:end])
        assert (other.body, other.requests) == (body, 1)
