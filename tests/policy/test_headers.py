"""Which header fields cross the gateway."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.headers import (
    RequestHeaderFilter,
    connection_options,
    fold_name,
    identity_headers,
    read_response_head,
)
from gateway.policy.token import Token

IDENTITY = ["x-auth-subject", "x-auth-username", "x-auth-client-id", "x-auth-scopes"]
SEPARATORS = b"-_.!#$%&'*+^`|~"


def keep(*pairs, keep_authorization=False, header_filter=None):
    """Filters fields, given as pairs of texts; gives the pairs that cross."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    header_filter = header_filter or RequestHeaderFilter()
    crossed = header_filter.filter(raw, keep_authorization=keep_authorization)
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in crossed]


def as_backend_reads(name: bytes) -> bytes:
    """Gives the CGI variable that the most lenient of backends makes of a field's name."""
    upper = name.upper()
    return bytes(byte if chr(byte).isalnum() and byte < 0x80 else ord("_") for byte in upper)


@st.composite
def spelt(draw, name):
    """Spells a name with any case and any separator."""
    spelling = bytearray()
    for byte in name.encode():
        if byte == ord("-"):
            spelling.append(draw(st.sampled_from(SEPARATORS)))
        else:
            spelling += draw(st.sampled_from([bytes([byte]), bytes([byte]).upper()]))
    return bytes(spelling)


identity_names = st.sampled_from([*IDENTITY, "x-auth-issuer", "x-auth-", "x-auth-anything"])
token_names = st.binary(min_size=1, max_size=16).map(
    lambda raw: bytes(byte for byte in raw if chr(byte).isalnum() or byte in SEPARATORS) or b"x"
)


@given(
    sent=st.lists(
        st.tuples(identity_names.flatmap(spelt) | token_names, st.just(b"root")), max_size=6
    ),
    options=st.lists(identity_names.flatmap(spelt) | token_names, max_size=3),
    keep_authorization=st.booleans(),
)
def test_no_spelling_of_an_identity_header_survives(sent, options, keep_authorization):
    """Any case, any separator, any number, named by Connection or not: no backend reads one."""
    headers = [*sent, (b"Connection", b", ".join(options)), *sent]
    header_filter = RequestHeaderFilter()
    for _ in range(2):  # the second time from memory
        crossed = header_filter.filter(headers, keep_authorization=keep_authorization)
        read = [as_backend_reads(name) for name, _ in crossed]
        assert not [name for name in read if name.startswith(b"X_AUTH_")]


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
        "TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Content-Length",
        "Content_Length", "Transfer_Encoding", "Expect", "Host", "X-Request-Id",
        "X-Forwarded-For", "X_Forwarded_Proto", "X-Forwarded-Host", "X-Forwarded-Prefix",
        "X-Forwarded-Uri", "Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL",
        "X.Rewrite.Url", "X-HTTP-Method-Override", "X-Method-Override", "X-Host",
        "X-Sendfile-Type", "X-Accel-Mapping", "X-Middleware-Subrequest", "X-Rewrite-Uri",
        "X-Override-Url", "X-Envoy-Original-Path", "X-Envoy-Original-Dst-Host",
        "X-Envoy-Internal", "CF-Connecting-IP", "Forwarded-For", "X-Remote-Addr", "X-Real-Host",
        "X-Originating-IP", "Ssl-Client-Verify", "SSL-Client-Subject-DN", "X-Ssl-Client-Dn",
        "Client-Cert", "Remote-Groups", "X-Remote-Group", "X-Webauth-User",
    ],
)  # fmt: skip
def test_what_is_ours_to_say_does_not_cross(name):
    """Hop-by-hop fields, framing, and what a client may not tell a backend; in any spelling."""
    spellings = [name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", ".")]
    assert keep(*((spelling, "1") for spelling in spellings)) == []


def test_what_is_the_clients_to_say_crosses_in_its_order():
    """Names and values stay as they came, twice what came twice, Latin-1 bytes too."""
    pairs = [
        ("Accept", "*/*"),
        ("cookie", "a=1"),
        ("X-Thing", "é\xff"),
        ("cookie", "b=2"),
        ("X-Authority", "1"),
        ("X-Author", "1"),
    ]
    assert keep(*pairs) == pairs


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_authorization_crosses_only_when_asked_for(name):
    pair = (name, "Bearer x")
    assert keep(pair) == []
    assert keep(pair, keep_authorization=True) == [pair]


@pytest.mark.parametrize(
    "options",
    [
        "close, X-Thing",
        "x-thing",
        "X_THING",
        ",x-thing,",
        "  x-thing\t, keep-alive",
        "a,b,c,X-Thing,d",
    ],
)
def test_what_connection_names_ends_here(options):
    assert keep(("X-Thing", "1"), ("Connection", options), ("Accept", "2")) == [("Accept", "2")]


def test_two_connection_lines_are_both_heard():
    pairs = [("Connection", "x-one"), ("X-One", "1"), ("X-Two", "2"), ("CONNECTION", "x-two")]
    assert keep(*pairs) == []


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "Content-Type", "content_type", "AUTHORIZATION"]
)
def test_connection_cannot_take_away_what_is_needed(name):
    """CVE-2024-45410: authentication and the body's meaning are no client's to remove."""
    real = name.replace("_", "-").title()
    pairs = [(real, "1"), ("Connection", f"close, {name}")]
    assert keep(*pairs, keep_authorization=True) == [(real, "1")]
    assert not connection_options([name.encode(), b"host"])


@pytest.mark.parametrize("options", ["", ",", " , ,", "close", "keep-alive", "Upgrade, close"])
def test_connection_options_of_its_own_name_no_field(options):
    assert keep(("Close", "1"), ("Connection", options)) == [("Close", "1")]


@pytest.mark.parametrize(
    ("value", "crosses"),
    [
        ("trailers", True),
        ("trailers, gzip", True),
        ("gzip;q=0.5 ,\tTrailers", True),
        ("gzip", False),
        ("", False),
        ("trailersx", False),
    ],
)
def test_of_te_only_trailers_crosses(value, crosses):
    """Trailers are passed on; other transfer codings end here, whatever Connection says of them."""
    expected = [("TE", "trailers"), ("Connection", "TE")] if crosses else []
    for name in ("TE", "te"):
        assert keep((name, value), ("Connection", "TE")) == expected
    assert keep(("te", value), ("TE", value)) == expected


def test_strangers_cannot_fill_memory_with_names():
    """Verdicts are remembered up to a bound, and long names never."""
    header_filter = RequestHeaderFilter()
    keep(("x" * 10_000, "1"), header_filter=header_filter)
    assert not header_filter._verdicts
    for number in range(3000):
        assert keep((f"X-{number}", "1"), header_filter=header_filter)
    assert len(header_filter._verdicts) == 2048
    assert keep(("X-Auth-Subject", "root"), header_filter=header_filter) == []


@given(token_names)
def test_folding_is_no_finer_than_any_backends_reading(name):
    """Two names that a backend takes for one are one to the gateway."""
    assert fold_name(name) == as_backend_reads(name).lower().replace(b"_", b"-")


def test_hop_by_hop_fields_of_an_answer_do_not_cross():
    """Nor does its framing, which the gateway writes anew; and two cookies stay two."""
    kept = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=\xff"), (b"X-Length", b"3")]
    answer = [
        (b"connection", b"close, X-Hop"),
        kept[0],
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"TRANSFER-ENCODING", b"chunked"),
        kept[1],
        (b"Trailer", b"X-Sum"),
        (b"Upgrade", b"h2c"),
        (b"Proxy-Authenticate", b"Basic"),
        kept[2],
    ]
    assert read_response_head(answer).fields == kept


# --- What upstreams are told of the token ---


def identity(**members) -> dict[str, bytes]:
    values = {
        "issuer": "https://i.example",
        "client_id": None,
        "subject": None,
        "username": None,
        "scopes": frozenset(),
        "audience": (),
        "expires_at": None,
        "claims": {},
    }
    pairs = identity_headers(Token(**(values | members)))
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name.decode(): value for name, value in pairs}


def test_an_upstream_is_told_who_the_token_is():
    assert identity(
        client_id="app", subject="5e1f", username="Åsa 가", scopes=frozenset({"b", "a"})
    ) == {
        "X-Auth-Subject": b"5e1f",
        "X-Auth-Username": "Åsa 가".encode(),
        "X-Auth-Client-Id": b"app",
        "X-Auth-Scopes": b"a b",
        "X-Auth-Issuer": b"https://i.example",
    }


def test_what_the_token_does_not_say_is_not_told():
    """No empty field either: a client of its own right is no person without a name."""
    assert identity(subject="", username="") == {"X-Auth-Issuer": b"https://i.example"}


BREAKING = ["\r", "\n", "\0", "\r\nX-Auth-Scopes: admin", "\x1b[2J", "\x7f", "\x85", "\ud800", "\t"]


@pytest.mark.parametrize(
    ("member", "breaking"),
    list(itertools.product(["subject", "username", "client_id", "issuer", "scopes"], BREAKING)),
)
def test_a_value_that_could_break_a_header_is_left_out(member, breaking):
    """CVE-2023-27493: in the middle or at the end, and the other fields stand."""
    for text in (f"a{breaking}b", f"a{breaking}"):
        value = frozenset({"good", text}) if member == "scopes" else text
        told = identity(**{"subject": "s", "client_id": "c"} | {member: value})
        name = {"client_id": "X-Auth-Client-Id"}.get(member, f"X-Auth-{member.title()}")
        assert name not in told
        assert len(told) >= 2 if member in ("username", "scopes") else told


@pytest.mark.parametrize("value", [" alice", "alice ", "\u00a0alice", "alice\u3000", "\u2028alice"])
def test_a_value_that_would_be_trimmed_is_left_out(value):
    """` alice` would arrive as `alice`, who is somebody else."""
    assert "X-Auth-Subject" not in identity(subject=value)


@given(st.text(max_size=10))
def test_what_is_told_arrives_as_it_is(value):
    """For any text: told whole, in bytes that no parser of fields takes for a boundary, or not."""
    told = identity(subject=value).get("X-Auth-Subject")
    if told is not None:
        assert told.decode() == value
        assert told.strip() == told
        assert not any(byte < 0x20 or byte == 0x7F for byte in told)


# --- What moves an upstream to another path ---


@pytest.mark.parametrize(
    "name",
    ["SCRIPT_NAME", "script_name", "Script-Name", "X-Script-Name", "PATH_INFO", "Daphne-Root-Path"]
    + ["Proxy", "Remote-User", "REMOTE_USER", "X_Legacy", "X.Legacy", "X!Legacy"],
)
def test_what_upstreams_take_for_their_own_servers_word_does_not_cross(name):
    assert keep((name, "/status")) == []
