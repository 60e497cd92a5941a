"""The shapes of single values: names, durations, sizes, addresses, scopes, and their like."""

import re
from functools import partial
from pathlib import Path
from typing import Final

from gateway.policy.cookies import sets_reserved_cookie
from gateway.policy.host import normalize_host
from gateway.policy.method import FORWARDED_METHODS, NEVER_FORWARDED, USUAL_METHODS
from gateway.policy.pattern import PatternError, parse_pattern
from gateway.settings import addresses, quantities
from gateway.settings.addresses import Address, ListenAddress, TrustedPeer, UnixAddress
from gateway.settings.findings import Problem, join_words, quoted, suggest
from gateway.settings.shapes import Text

_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
# scope-token of RFC 6749, section 3.3: printable ASCII without space, quote and backslash.
_SCOPE_PATTERN: Final = r"^[!#-\[\]-~]{1,255}$"
# token of RFC 9110, section 5.6.2.
_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
_WORD_PATTERN: Final = r"^[!-~]{1,255}$"


def matching(noun: str, example: str, pattern: str, finding_id: str, mend: str) -> Text[str]:
    """Give the shape of text that matches a regular expression as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        # `$` alone would let a trailing newline through.
        if compiled.fullmatch(text) is None:
            raise Problem(finding_id, f"{quoted(text)} is not {noun}", mend)
        return text

    return Text(noun, example, parse, pattern=pattern)


NAME: Final = matching(
    "a name",
    "orders",
    _NAME_PATTERN,
    "invalid-name",
    "use at most 64 letters, digits, _ . or -, beginning with a letter or digit",
)
SCOPE: Final = matching(
    "a scope",
    "orders:read",
    _SCOPE_PATTERN,
    "invalid-scope",
    'use printable ASCII without spaces, " and \\, and give several scopes as a list',
)
CLAIM_NAME: Final = matching(
    "the name of a claim",
    "tenant",
    _WORD_PATTERN,
    "invalid-claim",
    "use printable ASCII, no spaces",
)
AUDIENCE: Final = matching(
    "an audience",
    "https://api.example.com",
    _WORD_PATTERN,
    "invalid-audience",
    "write the one identifier that tokens for this service carry",
)
CLIENT_ID: Final = matching(
    "a client_id",
    "gateway",
    r"^[ -~]{1,255}$",
    "invalid-client-id",
    "use printable ASCII (RFC 6749, appendix A.1)",
)


def _parse_description(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        what = f"{quoted(text)} is not a description"
        raise Problem("invalid-description", what, "write one line of at most 200 characters")
    return text


DESCRIPTION: Final = Text("a description", "See your orders", _parse_description)


def duration(at_least: str, at_most: str, *, whole_seconds: bool = False) -> Text[float]:
    """Give the shape of a duration within bounds; it is read as seconds."""
    lowest, highest = map(quantities.parse_duration, (at_least, at_most))

    def parse(text: str) -> float:
        seconds = quantities.parse_duration(text)
        if not lowest <= seconds <= highest:
            what = f"{text} is {'too short' if seconds < lowest else 'too long'}"
            raise Problem("out-of-range", what, f"write {at_least} to {at_most}")
        if whole_seconds and not seconds.is_integer():
            raise Problem("out-of-range", f"{text} is not whole seconds", f"write {seconds:.0f}s")
        return seconds

    pattern = quantities.DURATION_PATTERN
    return Text(
        "a duration",
        "30s",
        parse,
        quantities.format_duration,
        pattern,
        bounds=(at_least, at_most),
    )


def size(at_least: str, at_most: str) -> Text[int]:
    """Give the shape of a size within bounds; it is read as bytes."""
    lowest, highest = map(quantities.parse_size, (at_least, at_most))

    def parse(text: str) -> int:
        count = quantities.parse_size(text)
        if not lowest <= count <= highest:
            what = f"{text} is {'too small' if count < lowest else 'too large'}"
            raise Problem("out-of-range", what, f"write {at_least} to {at_most}")
        return count

    return Text(
        "a size",
        at_most if highest < quantities.parse_size("10MiB") else "10MiB",
        parse,
        quantities.format_size,
        quantities.SIZE_PATTERN,
        bounds=(at_least, at_most),
    )


def choice(*choices: str) -> Text[str]:
    """Give the shape of one word out of a few."""

    def parse(text: str) -> str:
        if text not in choices:
            mend = suggest(text, choices, f"write {join_words(choices, 'or')}")
            raise Problem("unknown-choice", f"{quoted(text)} is not one of the choices", mend)
        return text

    return Text(join_words(choices, "or"), choices[0], parse, choices=choices)


def _parse_method(text: str) -> str:
    if text in FORWARDED_METHODS:
        return text
    if text.upper() in FORWARDED_METHODS:
        what = f"methods are upper case, {quoted(text)} is not"
        raise Problem("unknown-method", what, f"write {text.upper()}")
    if text.upper() in NEVER_FORWARDED:
        what = f"{text.upper()} is never let through"
        raise Problem("unknown-method", what, "remove it")
    mend = suggest(
        text.upper(),
        FORWARDED_METHODS,
        f"use {join_words(USUAL_METHODS, 'or')}, or one of WebDAV's",
    )
    raise Problem("unknown-method", f"{quoted(text)} is not a method known here", mend)


def _parse_pattern(text: str) -> str:
    try:
        parse_pattern(text)
    except PatternError as error:
        what, _, mend = str(error).partition("; ")
        raise Problem("invalid-path", what, mend) from None
    return text


def _parse_route_host(text: str) -> str:
    if "*" in text:
        what = "a wildcard stands in the host"
        raise Problem("invalid-host", what, "write one exact name, or leave host out to match any")
    if "://" in text or "/" in text:
        what = f"{quoted(text)} is more than a host"
        raise Problem("invalid-host", what, "write the name alone, as in api.example.com")
    host = addresses.parse_host(text.removesuffix(".")) if ":" not in text else None
    if host is None and not text.startswith("["):
        if text.count(":") == 1:
            what = "a port stands behind the host"
            raise Problem("invalid-host", what, f"write {quoted(text.partition(':')[0])}")
        what = f"{quoted(text)} is not a host"
        raise Problem("invalid-host", what, "write an IPv6 address in brackets, as in [::1]")
    if host is None:
        if not text.endswith("]"):
            what = f"{quoted(text)} is not a host alone"
            raise Problem("invalid-host", what, "write the address in brackets, without a port")
        host = f"[{addresses.parse_host(text)}]"
    normalized = normalize_host(host)
    if normalized is None:
        what = f"{quoted(text)} is not a host"
        raise Problem("invalid-host", what, "write a name such as api.example.com")
    return normalized


def _parse_forward_host(text: str) -> str:
    if text in ("keep", "upstream"):
        return text
    if normalize_host(text) is None or ("://" in text or "/" in text):
        what = f"{quoted(text)} is not a host"
        raise Problem("invalid-host", what, "write keep, upstream, or a host such as app.internal")
    name = text if text.endswith("]") else text.rpartition(":")[0] or text
    addresses.parse_host(name.removesuffix("."))
    return text.lower()


def _parse_forward_path(text: str) -> str:
    if not text.startswith("/"):
        what = f"{quoted(text)} is not a path"
        raise Problem("invalid-path", what, "write it from the root, as in /legacy/**")
    return text


def _parse_public_origin(text: str) -> str:
    return str(addresses.parse_origin(text))


def _parse_page_origin(text: str) -> str:
    if text == "*":
        return text
    if text == "null":
        what = "null is the origin of any page that hides its own"
        raise Problem("invalid-origin", what, "name the origin of the page")
    if "*" in text:
        what = f"a wildcard stands in {quoted(text)}"
        raise Problem("invalid-origin", what, 'write each origin out, or "*" alone for all of them')
    return str(addresses.parse_origin(text))


def _require_secure(origin: addresses.Origin) -> None:
    if not origin.is_secure:
        what = "plain http leaves this machine, so that anybody on the way can read tokens"
        raise Problem("plain-http", what, f"write https://{origin.host}")


def _parse_embedded_issuer(text: str) -> str:
    origin = addresses.parse_origin(text)
    _require_secure(origin)
    return str(origin)


def _parse_foreign_url(text: str, *, allow_query: bool) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Problem("invalid-url", "the URL holds a space or is not ASCII", "escape it as %20…")
    origin, rest = addresses.split_url(text, ("https", "http"))
    _require_secure(origin)
    if "#" in rest or ("?" in rest and not allow_query):
        what = "a query or fragment follows the path"
        raise Problem("invalid-url", what, "remove it")
    return text


def _parse_upstream_server(text: str) -> str:
    if not text.startswith("unix:"):
        return str(addresses.parse_origin(text, ("http", "https")))
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        mend = f"write unix:{path.removeprefix('//')}"
        raise Problem("invalid-upstream", "two slashes stand before the path", mend)
    _parse_path(path, "a socket, as in unix:/run/app.sock")
    return text


def _parse_listener(text: str) -> ListenAddress:
    path = text.removeprefix("unix:")
    if path == text:
        return addresses.parse_listen(text)
    if path.startswith("//"):
        mend = f"write unix:/{path.lstrip('/')}"
        raise Problem("invalid-address", "two slashes stand before the path", mend)
    if path.startswith("@"):
        what = "a socket without a file is open to every user of this machine"
        raise Problem("invalid-address", what, "write a path, as in unix:/run/gateway/gateway.sock")
    _parse_path(path, "a socket, as in unix:/run/gateway/gateway.sock")
    return UnixAddress(path)


def _format_folder(path: Path) -> str:
    return str(path) if path.is_absolute() else f"./{path}"


def _parse_path(text: str, such_as: str) -> Path:
    if not text.strip():
        raise Problem("invalid-path", "the path is empty", f"write {such_as}")
    if text.startswith("~") or "$" in text:
        what = "~ and $ are not expanded here"
        raise Problem("invalid-path", what, "write the whole path, or one relative to this file")
    if "\0" in text:
        raise Problem("invalid-path", "the path holds a NUL", "remove it")
    return Path(text)


_parse_folder = partial(_parse_path, such_as="a folder, as in ./state")


def _parse_cookie_name(text: str) -> str:
    if _COOKIE_NAME.fullmatch(text) is None:
        what = f"{quoted(text)} is not a cookie's name"
        raise Problem("invalid-cookie", what, "use letters, digits, - and _, 64 at most")
    if sets_reserved_cookie(text.encode("ascii")):
        what = f"{quoted(text)} is a cookie of the authorization server's sign-in"
        raise Problem("invalid-cookie", what, "name the one that holds the token")
    return text


def _parse_check_path(text: str) -> str:
    path = text.partition("?")[0]
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        what = f"{quoted(text)} is not a path that can be asked for"
        raise Problem("invalid-path", what, "write it as /healthz, its odd characters escaped")
    if not path.startswith("/"):
        raise Problem("invalid-path", f"{quoted(text)} has no leading slash", f"write /{text}")
    return text


LISTEN: Final[Text[Address]] = Text(
    "an address with a port", "127.0.0.1:8080", addresses.parse_listen
)
LISTEN_OR_UNIX: Final[Text[ListenAddress]] = Text(
    "an address with a port", "127.0.0.1:8080", _parse_listener
)
TRUSTED: Final[Text[TrustedPeer]] = Text("a network", "10.0.0.0/8", addresses.parse_trusted)
COOKIE_NAME: Final = Text("a cookie's name", "__Host-token", _parse_cookie_name)
CLIENTS: Final = Text("a network", "10.0.0.0/8", addresses.parse_clients)
METHOD: Final = Text("a method", "GET", _parse_method, choices=FORWARDED_METHODS)
PATH_PATTERN: Final = Text("a path pattern", "/orders/**", _parse_pattern, pattern="^/")
ROUTE_HOST: Final = Text("a host", "api.example.com", _parse_route_host)
FORWARD_HOST: Final = Text("keep, upstream or a host", "upstream", _parse_forward_host)
FORWARD_PATH: Final = Text("a path", "/legacy/{tenant}/**", _parse_forward_path, pattern="^/")
PUBLIC_ORIGIN: Final = Text(
    "an origin", "https://api.example.com", _parse_public_origin, pattern=r"^https?://[^/?#@]+$"
)
PAGE_ORIGIN: Final = Text(
    "an origin", "https://app.example.com", _parse_page_origin, pattern=r"^(\*|https?://[^/?#@*]+)$"
)
EMBEDDED_ISSUER: Final = Text(
    "an origin", "https://login.example.com", _parse_embedded_issuer, pattern=r"^https?://[^/?#@]+$"
)
FOREIGN_ISSUER: Final = Text(
    "an issuer",
    "https://login.example.com",
    partial(_parse_foreign_url, allow_query=False),
    pattern=r"^https?://[^?#]+$",
)
INTROSPECTION_URL: Final = Text(
    "a URL",
    "https://login.example.com/oauth2/introspect",
    partial(_parse_foreign_url, allow_query=True),
    pattern=r"^https?://[^#]+$",
)
JWKS_URL: Final = Text(
    "a URL",
    "https://login.example.com/oauth2/jwks",
    partial(_parse_foreign_url, allow_query=True),
    pattern=r"^https?://[^#]+$",
)
UPSTREAM_SERVER: Final = Text(
    "an upstream's origin",
    "http://127.0.0.1:8000",
    _parse_upstream_server,
    pattern=r"^(https?://[^/?#@]+|unix:.+)$",
)
RATE: Final = Text(
    "a rate", "100/1m", quantities.parse_rate, quantities.format_rate, quantities.RATE_PATTERN
)
CHECK_PATH: Final = Text("a path", "/healthz", _parse_check_path, pattern="^/")
FILE: Final[Text[Path]] = Text(
    "a file",
    "certificates/fullchain.pem",
    partial(_parse_path, such_as="a file, as in certificates/fullchain.pem"),
)
KEY_SET_FILE: Final[Text[Path]] = Text(
    "a file", "jwks.json", partial(_parse_path, such_as="a file, as in jwks.json")
)
FOLDER: Final[Text[Path]] = Text("a folder", "./state", _parse_folder, _format_folder)
