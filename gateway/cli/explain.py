"""`gateway explain`: which route a request would take, what it demands, and the verdict."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from gateway.app import StartFailure
from gateway.cli.configuration import ConfigOption, load_settings
from gateway.cli.explanation import CANNOT_TELL, Explanation, OwnAnswer, Question, explain_request
from gateway.middleware.options import SERVER_WIDE
from gateway.policy.addresses import IPAddress, IPNetwork, parse_ip
from gateway.policy.cors import EVERY_ORIGIN, CorsRules
from gateway.policy.framing import NO_BODY
from gateway.policy.method import PARSED_METHODS
from gateway.policy.rate_limits import RateLimit
from gateway.policy.rejection import Reason
from gateway.policy.routes import Requirement, Route
from gateway.policy.token import Token
from gateway.policy.token_cookie import TokenCookie
from gateway.settings.findings import join_words, printable
from gateway.settings.quantities import format_duration

# Those that take part in the verdict.
_OTHERS = (
    *("destination", "origin", "access-control-request-method", "cookie", "upgrade"),
    *("expect", "content-length", "transfer-encoding"),
)
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*", re.ASCII)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.ASCII)


def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method, such as GET.")],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The URL, or a path on public_url's host; '*' for the server itself.",
        ),
    ],
    config: ConfigOption = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="A bearer token; - reads it from standard input."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            "-H",
            metavar="'K: V'",
            help="As sent; Authorization, Cookie, Host, Destination, Origin, Upgrade, "
            "Access-Control-Request-Method, Content-Length, Transfer-Encoding and Expect count.",
        ),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ADDRESS",
            help="The client's address, as the gateway would find it, for `networks`.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Say which route a request would take and why, what it demands, and the verdict.

    Nothing is sent to an upstream. With a token, the authorization server is asked about it.
    Exits with 0 when the request is allowed, 1 when it is refused, 2 when that cannot be told.

    Example: gateway explain GET /orders/7 --token - < token
    """
    question = replace(
        _read_question(method, url, _read_token(token), header or []), client=_read_client(client)
    )
    settings = load_settings(config)
    try:
        explanation = asyncio.run(explain_request(settings, question))
    except StartFailure as error:
        typer.echo(f"gateway explain: {printable(str(error))}", err=True)
        raise typer.Exit(CANNOT_TELL) from None
    if as_json:
        typer.echo(json.dumps(as_dict(explanation), indent=2))
    else:
        typer.echo("\n".join(describe(explanation)))
    raise typer.Exit(explanation.exit_code)


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Give the explanation as `--json` prints it."""
    route, rejection, token = explanation.route, explanation.rejection, explanation.token
    cookie = _token_cookie(route)
    return {
        "allowed": rejection is None,
        "route": route.name if route else None,
        "reason": explanation.reason,
        "status": rejection.refusal.status if rejection else None,
        "method": explanation.method,
        "host": explanation.host,
        "path": explanation.path,
        "public": route.is_public if route else None,
        "networks": [str(network) for network in _networks(route)],
        "rate_limits": [
            {"name": one.name, "per": one.per, "limit": one.amount, "seconds": one.window}
            for one in _rate_limits(route)
        ],
        "token_cookie": cookie.name if cookie else None,
        "requires": _requirement_as_dict(route.requirement) if route else None,
        "authorization_server": route.authorization_server if route else None,
        "upstream": route.upstream if route else None,
        "forwarded_path": explanation.forwarded_path,
        "forwarded_host": explanation.forwarded_host,
        "destination": explanation.destination,
        "body": "chunked" if explanation.body is None else max(0, explanation.body),
        "missing_scopes": list(rejection.missing) if rejection else [],
        "one_of_scopes": list(rejection.any_of) if rejection else [],
        "allow": list(rejection.allow) if rejection else [],
        "token": None
        if token is None
        else {
            "client_id": token.client_id,
            "subject": token.subject,
            "username": token.username,
            "scopes": sorted(token.scopes),
            "audience": list(token.audience),
            "expires_at": token.expires_at,
        },
        "explanation": " ".join(
            f"{label.capitalize()}: {line}." for label, line in _sentences(explanation).items()
        ),
    }


def _requirement_as_dict(requirement: Requirement | None) -> Mapping[str, Any] | None:
    if requirement is None:
        return None
    return {
        "scopes": sorted(requirement.scopes),
        "any_scope": sorted(requirement.any_scope),
        "scope_matching": "wildcard" if requirement.has_wildcards else "exact",
        "audience": requirement.audience,
        "claims": {name: list(values) for name, values in requirement.claims},
    }


def describe(explanation: Explanation) -> list[str]:
    """Give the explanation as lines for people."""
    host = explanation.host or "?"
    first = printable(f"{explanation.method} {explanation.path} on {host}")
    sentences = _sentences(explanation)
    width = max(map(len, sentences)) + 2
    return [first, *(f"  {f'{label}:':<{width}}{line}" for label, line in sentences.items())]


def _sentences(explanation: Explanation) -> dict[str, str]:
    """Give what there is to say, by what it is about, in the order of the guard's steps."""
    sentences = {} if explanation.route is None else _sentences_of_route(explanation.route)
    if explanation.is_adapted:
        sentences["forwarded as"] = (
            f"{explanation.method} {explanation.forwarded_path} on {explanation.forwarded_host}"
        )
    if explanation.body != NO_BODY and explanation.most_body:
        sentences["body"] = _describe_body(explanation)
    if explanation.destination is not None:
        sentences["destination"] = explanation.destination
    if explanation.token is not None:
        sentences["token"] = _describe_token(explanation.token, explanation.now)
    sentences["verdict"] = _describe_verdict(explanation)
    return {label: printable(line) for label, line in sentences.items()}


def _sentences_of_route(route: Route) -> dict[str, str]:
    sentences: dict[str, str] = {}
    sentences["route"] = _describe_route(route)
    networks = _networks(route)
    if networks:
        sentences["clients"] = f"those of {join_words(map(str, networks), 'and')}"
    sentences["requires"] = _describe_requirement(route)
    cookie = _token_cookie(route)
    if cookie is not None:
        sentences["cookie"] = _describe_cookie(cookie)
    limits = _rate_limits(route)
    if limits:
        sentences["rates"] = "; ".join(map(_describe_limit, limits))
    if route.adaptation is not None and route.adaptation.cors is not None:
        sentences["pages"] = _describe_cors(route.adaptation.cors)
    if route.upgrade:
        sentences["upgrades"] = join_words(route.upgrade, "and")
    return sentences


def _networks(route: Route | None) -> tuple[IPNetwork, ...]:
    return () if route is None or route.admission is None else route.admission.networks


def _rate_limits(route: Route | None) -> tuple[RateLimit, ...]:
    rates = None if route is None or route.admission is None else route.admission.rates
    return () if rates is None else (*rates.before_token, *rates.after_token)


def _token_cookie(route: Route | None) -> TokenCookie | None:
    return None if route is None or route.admission is None else route.admission.token_cookie


def _describe_cookie(cookie: TokenCookie) -> str:
    pages = join_words(["the same origin", *sorted(cookie.origins)], "or")
    return f"the token may come in {cookie.name}; what may change something, then only from {pages}"


def _describe_limit(limit: RateLimit) -> str:
    whose = "for all together" if limit.per == "route" else f"for each {limit.per}"
    place = "" if limit.counted_for else " over all routes"
    return f"{limit.amount} requests in {format_duration(limit.window)} {whose}{place}"


def _describe_route(route: Route) -> str:
    if route.methods is None:
        methods = "any method"
    else:
        noun = "method" if len(route.methods) == 1 else "methods"
        methods = f"{noun} {join_words(sorted(route.methods), 'and')}"
    host = "any host" if route.host is None else f"host {route.host}"
    return f"{route.name}, by path {route.path}, {methods}, {host}"


def _describe_requirement(route: Route) -> str:
    requirement = route.requirement
    if requirement is None:
        return "nothing, the route is public"
    demands: list[str] = []
    if requirement.scopes:
        noun = "scope" if len(requirement.scopes) == 1 else "scopes"
        demands.append(f"the {noun} {join_words(sorted(requirement.scopes), 'and')}")
    if requirement.any_scope:
        demands.append(f"one of the scopes {join_words(sorted(requirement.any_scope), 'or')}")
    if requirement.has_wildcards:
        demands.append("wildcards of the token count")
    if requirement.audience is not None:
        demands.append(f"the audience {requirement.audience}")
    for name, values in requirement.claims:
        demands.append(f"the claim {name} = {join_words(map(json.dumps, values), 'or')}")
    issuers = join_words(sorted(route.issuers), "or")
    token = f"an active token of {route.authorization_server} ({issuers})"
    return f"{token} with {'; '.join(demands)}" if demands else token


def _describe_cors(rules: CorsRules) -> str:
    if EVERY_ORIGIN in rules.origins:
        return "those of every origin may use it"
    return f"those of {join_words(sorted(rules.origins), 'and')} may use it"


def _describe_body(explanation: Explanation) -> str:
    length, most = explanation.body, explanation.most_body
    if length is None:
        words = f"in chunks, and goes on in chunks, up to {most} bytes"
    else:
        words = f"{length} of at most {most} bytes, and goes on with Content-Length: {length}"
    if explanation.is_expectant:
        words += "; the gateway itself asks for it, once the request is allowed"
    return words


def _describe_token(token: Token, now: float) -> str:
    who = token.username or token.subject or f"client {token.client_id or 'unknown'}"
    scopes = ", ".join(sorted(token.scopes)) or "none"
    if token.expires_at is None:
        lifetime = "expiry not known"
    else:
        lifetime = f"{max(0, round(token.expires_at - now))} seconds left"
    return f"active, of {who}, scopes {scopes}, {lifetime}"


_OWN_ANSWERS: Mapping[OwnAnswer, str] = {
    "options": "what the server as a whole can do (OPTIONS *)",
    "metadata": "the protected resource's metadata (RFC 9728)",
    "preflight": "a preflight, which needs no token; it says who may use the route from a page",
}


def _describe_verdict(explanation: Explanation) -> str:
    rejection = explanation.rejection
    if explanation.own_answer is not None and rejection is None:
        return f"answered by the gateway itself: {_OWN_ANSWERS[explanation.own_answer]}"
    if rejection is None:
        route = explanation.route
        assert route is not None  # noqa: S101 - what is allowed has a route
        return f"allowed, and goes to upstream {route.upstream} ({explanation.upstream_server})"
    if explanation.lacks_client:
        return "it hangs on the client's address; say it with --from ADDRESS"
    refusal = rejection.refusal
    title = refusal.title[0].lower() + refusal.title[1:]
    words = f"refused with {refusal.status} {rejection.reason}: {title}"
    if rejection.missing:
        words += f", missing {join_words(rejection.missing, 'and')}"
    if rejection.any_of:
        words += f", and it has none of {join_words(rejection.any_of, 'and')}"
    if rejection.allow:
        words += f", the path takes {join_words(rejection.allow, 'and')}"
    if rejection.reason is Reason.NO_ROUTE:
        words += ", no route matches this host and path"
    if rejection.detail:
        words += f" ({rejection.detail})"
    return words


def _read_client(text: str | None) -> IPAddress | None:
    if text is None:
        return None
    address = parse_ip(text)
    if address is None:
        raise typer.BadParameter("write an IP address, such as 192.0.2.7", param_hint="--from")
    return address


def _read_token(token: str | None) -> str | None:
    return sys.stdin.readline().strip() if token == "-" else token  # noqa: S105 - where to read it


def _read_question(method: str, url: str, token: str | None, headers: Sequence[str]) -> Question:
    if method not in PARSED_METHODS and method.upper() in PARSED_METHODS:
        message = f"a method is upper case; write {method.upper()}"
        raise typer.BadParameter(message, param_hint="METHOD")
    if _METHOD.fullmatch(method) is None:
        raise typer.BadParameter("a method is upper case, such as GET", param_hint="METHOD")
    authorization = [] if token is None else [f"Bearer {token}"]
    hosts: list[str] = []
    others: dict[str, list[str]] = {name: [] for name in _OTHERS}
    for header in headers:
        match = _HEADER.fullmatch(header)
        if match is None:
            raise typer.BadParameter("write a header as 'Name: value'", param_hint="-H")
        name, value = match[1].lower(), match[2]
        if name == "authorization":
            authorization.append(value)
        elif name == "host":
            hosts.append(value)
        elif name in others:
            others[name].append(value)
    if len(hosts) > 1:
        raise typer.BadParameter("a request has one Host", param_hint="-H")
    target, host = _split_url(url)
    return Question(
        method,
        target,
        hosts[0] if hosts else host,
        tuple(authorization),
        destinations=tuple(others["destination"]),
        origins=tuple(others["origin"]),
        requested_methods=tuple(others["access-control-request-method"]),
        cookies=tuple(others["cookie"]),
        upgrades=tuple(others["upgrade"]),
        expectations=tuple(others["expect"]),
        lengths=tuple(others["content-length"]),
        codings=tuple(others["transfer-encoding"]),
    )


def _split_url(url: str) -> tuple[str, str]:
    """Give the request target and the host of a URL; no character of the path is touched."""
    if url.startswith("/") or url == SERVER_WIDE:
        return url, ""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        message = "write a path that begins with a slash, or a whole http:// or https:// URL"
        raise typer.BadParameter(message, param_hint="URL")
    end = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority, target = rest[:end], rest[end:]
    if not authority:
        raise typer.BadParameter("the URL has no host", param_hint="URL")
    return target if target.startswith("/") else f"/{target}", authority
