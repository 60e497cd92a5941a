"""Which header fields cross the gateway, and which it adds.

Rules: no spelling of an identity header that a client sent reaches an upstream; no hop-by-hop field
crosses in either direction (RFC 9110, section 7.6.1), nor a cookie of the sign-in; framing is the
gateway's own on each side.

CGI, WSGI and their kin fold names: `X_Auth_Subject` is X-Auth-Subject to the service that trusts
it, to some `X!Auth!Subject` too, and SCRIPT_NAME moves an application to another path. So a name in
a request that has other characters than letters, digits and `-` never crosses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.policy.cookies import sets_reserved_cookie, without_reserved_cookies
from gateway.policy.token import Token

HeaderPair = tuple[bytes, bytes]

IDENTITY_PREFIX = b"x-auth-"

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The gateway writes these anew, or has already answered to them.
_REPLACED = frozenset({b"content-length", b"expect", b"host", b"http2-settings", b"x-request-id"})
# What a client may not tell an upstream about itself or about another target than the one judged.
_UNTRUSTED = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"x-cluster-client-ip",
        b"x-original-url",
        b"x-original-uri",
        b"x-original-host",
        b"x-original-method",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-host",
        b"x-url-scheme",
        b"x-scheme",
        b"front-end-https",
        b"x-forwarded",
        b"client-ip",
        b"x-remote-addr",
        b"x-remote-ip",
        b"x-originating-ip",
        b"x-proxyuser-ip",
        b"proxy-client-ip",
        b"wl-proxy-client-ip",
        b"forwarded-for",
        b"forwarded-host",
        b"forwarded-proto",
        b"x-real-host",
        b"x-http-host-override",
        # The same in the words of networks that stand before others.
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"x-azure-clientip",
        b"x-appengine-user-ip",
        b"x-envoy-external-address",
        b"x-envoy-internal",
        # Where a request is to go, or was to go, in the words of others.
        b"x-rewrite-uri",
        b"x-override-url",
        b"x-envoy-original-path",
        b"x-envoy-original-dst-host",
        # Rack maps the files it sends by them (CVE-2025-61780); Next.js leaves out its own guard
        # (CVE-2025-29927).
        b"x-sendfile-type",
        b"x-accel-mapping",
        b"x-middleware-subrequest",
        # Certificates of clients (RFC 9440) and people, as other proxies tell of them.
        b"client-cert",
        b"client-cert-chain",
        b"x-client-cert",
        b"x-client-verify",
        b"x-arr-clientcert",
        b"remote-user",
        b"remote-groups",
        b"remote-name",
        b"remote-email",
        b"x-remote-user",
        b"x-remote-group",
        b"x-remote-groups",
        b"x-webauth-user",
        # Where an application is mounted: gunicorn, daphne and middlewares of WSGI cut this off the
        # path, so that the upstream would read another path than the one that was judged.
        b"script-name",
        b"x-script-name",
        b"path-info",
        b"daphne-root-path",
        # Apache takes it for a Destination where there is none: a path that nobody has judged.
        b"new-uri",
        # CGI turns it into HTTP_PROXY, which HTTP clients obey (CVE-2016-5385).
        b"proxy",
    }
)
_STRIPPED_FROM_REQUESTS = HOP_BY_HOP | _REPLACED | _UNTRUSTED
_STRIPPED_PREFIXES = (IDENTITY_PREFIX, b"x-forwarded-", b"ssl-client-", b"x-ssl-client-")

# Connection may name further hop-by-hop fields, but never one of these: a client must not be able
# to take away what the gateway relies on or adds (CVE-2024-45410).
_NEVER_CONNECTION_OPTIONS = frozenset({b"authorization", b"host", b"cookie", b"content-type"})

_FOLD = bytes(
    ord(chr(byte).lower()) if byte < 0x80 and chr(byte).isalnum() else ord("-")
    for byte in range(0x100)
)


def fold_name(name: bytes) -> bytes:
    """Bring a field name to the one form in which names are compared."""
    return name.translate(_FOLD)


class RequestHeaderFilter:
    """Says of each field of a request whether it crosses. Verdicts are remembered, boundedly."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, int] = {}

    def filter(
        self,
        headers: Iterable[HeaderPair],
        *,
        keep_authorization: bool,
        passes_trailers: bool = True,
    ) -> list[HeaderPair]:
        """Give the fields that cross to the upstream, as raw pairs in their order.

        Authorization is among them only when asked for: bearer tokens stop at the gateway. Trailers
        of an answer are asked for only where they can be passed on.
        """
        verdicts = self._verdicts
        kept = []
        connection: list[bytes] | None = None
        takes_trailers = False
        for pair in headers:
            name = pair[0]
            verdict = verdicts.get(name) or _judge(name, _request_verdict, verdicts)
            if verdict == _CROSSES or (verdict == _AUTHORIZES and keep_authorization):
                kept.append(pair)
            elif verdict == _NAMES_OTHERS:
                connection = [] if connection is None else connection
                connection.append(pair[1])
            elif verdict == _HAS_COOKIES:
                cookies = without_reserved_cookies(pair[1])
                if cookies or not pair[1]:
                    kept.append((name, cookies))
            elif verdict == _TAKES_CODINGS:
                takes_trailers = takes_trailers or _names_trailers(pair[1])
        if connection is not None:
            kept = _without_named(kept, connection)
        if takes_trailers and passes_trailers:
            # Of other codings the gateway knows nothing. RFC 9110, section 10.1.4, on Connection.
            kept += [(b"TE", b"trailers"), (b"Connection", b"TE")]
        return kept


# Verdicts on a field's name; none is 0, so that `or` finds what is not known yet.
(
    _CROSSES,
    _STOPS,
    _AUTHORIZES,
    _NAMES_OTHERS,
    _TAKES_CODINGS,
    _GIVES_LENGTH,
    _GIVES_CODING,
    _HAS_COOKIES,
    _REFERS,
    _ANNOUNCES,
    _DATES,
) = range(1, 12)
_MAXIMUM_REMEMBERED = 2048
_LONGEST_REMEMBERED = 64


def _judge(name: bytes, judge: Callable[[bytes], int], verdicts: dict[bytes, int]) -> int:
    """Judge a name that is not among the remembered ones, and remember it, boundedly."""
    verdict = judge(name)
    if len(verdicts) < _MAXIMUM_REMEMBERED and len(name) <= _LONGEST_REMEMBERED:
        verdicts[name] = verdict
    return verdict


def _request_verdict(name: bytes) -> int:
    lower = name.lower()
    if lower == b"authorization":
        return _AUTHORIZES
    if lower == b"connection":
        return _NAMES_OTHERS
    if lower == b"te":
        return _TAKES_CODINGS
    if lower == b"cookie":
        return _HAS_COOKIES
    folded = fold_name(name)
    if folded != lower:
        # A name with `_` or `.` has a twin with `-` to whoever folds names; no gateway can know all
        # that an upstream trusts by such a name. nginx drops them, too.
        return _STOPS
    if folded in _STRIPPED_FROM_REQUESTS or folded.startswith(_STRIPPED_PREFIXES):
        return _STOPS
    return _CROSSES


def is_plain_request_field(name: bytes) -> bool:
    """Say whether a field of a request crosses whatever it says, wherever it stands."""
    return _request_verdict(name) == _CROSSES


def is_plain_answer_field(name: bytes) -> bool:
    """Say whether a field of an answer crosses whatever it says, wherever it stands."""
    return _response_verdict(name) == _CROSSES


def _without_named(pairs: list[HeaderPair], connection: Iterable[bytes]) -> list[HeaderPair]:
    """Take out the fields that Connection names as hop-by-hop."""
    named = connection_options(connection)
    return [pair for pair in pairs if fold_name(pair[0]) not in named] if named else pairs


def _names_trailers(value: bytes) -> bool:
    return any(option.strip(b" \t").lower() == b"trailers" for option in value.split(b","))


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """Give the further hop-by-hop fields that Connection names, folded."""
    options = {fold_name(option.strip(b" \t")) for value in values for option in value.split(b",")}
    return frozenset(
        options - _NEVER_CONNECTION_OPTIONS - {b"", b"close", b"keep-alive", b"upgrade"}
    )


class MalformedHead(ValueError):  # noqa: N818 - says what the head is
    """The head of an answer cannot be trusted; the text says why."""


@dataclass(slots=True)
class ResponseHead:
    """What an upstream's head says: the fields that cross to the client, and the body's framing.

    `length` is in bytes; None when the body is chunked or ends with the connection. `refers` says
    that a field points to a place that the upstream may have called by a name of its own;
    `announced` are the values of Trailer. `is_dated` says that it has a Date.
    """

    fields: list[HeaderPair]
    length: int | None
    is_chunked: bool
    refers: bool = False
    announced: tuple[bytes, ...] = ()
    is_dated: bool = False


def read_response_head(headers: Iterable[HeaderPair]) -> ResponseHead:  # noqa: C901 - kinds
    """Read the fields of an upstream's answer, in one pass. Raises MalformedHead."""
    verdicts = _response_verdicts
    fields = []
    length: int | None = None
    is_chunked = refers = is_dated = False
    connection: tuple[bytes, ...] = ()
    announced: tuple[bytes, ...] = ()
    for pair in headers:
        verdict = verdicts.get(pair[0]) or _judge(pair[0], _response_verdict, verdicts)
        if verdict == _CROSSES or (verdict == _HAS_COOKIES and not sets_reserved_cookie(pair[1])):
            fields.append(pair)
        elif verdict == _GIVES_LENGTH:
            length = _read_length(pair[1], length)
        elif verdict == _DATES:
            fields.append(pair)
            is_dated = True
        elif verdict == _NAMES_OTHERS and pair[1] not in _PLAIN_OPTIONS:
            connection += (pair[1],)
        elif verdict == _GIVES_CODING:
            is_chunked = _read_coding(pair[1], is_known=is_chunked)
        elif verdict == _REFERS:
            fields.append(pair)
            refers = True
        elif verdict == _ANNOUNCES:
            announced += (pair[1],)
    if is_chunked and length is not None:
        raise MalformedHead("it has both Content-Length and Transfer-Encoding")
    if connection:
        fields = _without_named(fields, connection)
    return ResponseHead(fields, length, is_chunked, refers, announced, is_dated)


def _read_length(value: bytes, known: int | None) -> int:
    # The parser leaves blanks behind a value, which are no part of it.
    digits = value.rstrip(b" \t")
    if known is not None or not digits.isdigit():
        raise MalformedHead("its Content-Length is malformed")
    return int(digits)


def _read_coding(value: bytes, *, is_known: bool) -> bool:
    if is_known or value.rstrip(b" \t").lower() != b"chunked":
        raise MalformedHead("its Transfer-Encoding is not exactly `chunked`")
    return True


def early_hints(headers: Iterable[HeaderPair]) -> list[HeaderPair]:
    """Give the fields of a 103 that cross to the client: what to load (RFC 8297), and nothing else.

    Whatever has a meaning for the whole answer waits for its head, where it is judged.
    """
    return [pair for pair in headers if pair[0].lower() == b"link"]


# What Connection almost always says, naming no field.
_PLAIN_OPTIONS = frozenset({b"keep-alive", b"close"})
_REFERRING = frozenset({b"location", b"content-location", b"refresh"})
_response_verdicts: dict[bytes, int] = {}


def _response_verdict(name: bytes) -> int:
    lower = name.lower()
    if lower == b"content-length":
        return _GIVES_LENGTH
    if lower == b"transfer-encoding":
        return _GIVES_CODING
    if lower == b"connection":
        return _NAMES_OTHERS
    if lower == b"set-cookie":
        return _HAS_COOKIES
    if lower in _REFERRING:
        return _REFERS
    if lower == b"trailer":
        return _ANNOUNCES
    if lower == b"date":
        return _DATES
    return _STOPS if lower in HOP_BY_HOP else _CROSSES


def identity_headers(token: Token) -> list[HeaderPair]:
    """Tell the upstream who the token is. A value that a header cannot carry whole is left out.

    Whoever gets the list leaves it as it is.
    """
    of_client = _identity_of_client(token.client_id, token.scopes, token.issuer)
    if token.subject is None and token.username is None:
        return of_client
    own = _safe_pairs((b"X-Auth-Subject", token.subject), (b"X-Auth-Username", token.username))
    return own + of_client


@lru_cache(1024)
def _identity_of_client(
    client_id: str | None, scopes: frozenset[str], issuer: str
) -> list[HeaderPair]:
    """Tell what many tokens have in common."""
    return _safe_pairs(
        (b"X-Auth-Client-Id", client_id),
        (b"X-Auth-Scopes", " ".join(sorted(scopes)) or None),
        (b"X-Auth-Issuer", issuer),
    )


def _safe_pairs(*pairs: tuple[bytes, str | None]) -> list[HeaderPair]:
    return [
        (name, value.encode("utf-8"))
        for name, value in pairs
        if value is not None and is_safe_value(value)
    ]


def is_safe_value(value: str) -> bool:
    """Say whether a text can stand in a header and arrive as it is.

    Control characters and lone surrogates cannot; outer white space would be cut off on the way, so
    that ` alice` would arrive as another's name.
    """
    if not value or value != value.strip():
        return False
    return value.isprintable() or not any(
        character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"
        for character in value
    )
