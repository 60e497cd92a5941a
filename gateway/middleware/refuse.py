"""Builds every refusal, from the one table in `policy/rejection.py`."""

import json
import time
from collections.abc import Iterable
from html import escape
from http import HTTPStatus

from gateway.middleware.cors import cors_lines, field_lines
from gateway.middleware.exchange import Exchange
from gateway.middleware.respond import close_behind_unread_body, connection_header
from gateway.policy.accept import prefers_html
from gateway.policy.dates import http_date
from gateway.policy.rejection import Reason, Refusal, Rejection

_REALM = "gateway"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:15vh auto;padding:0 1.5rem}}
h1{{font-size:1.6rem;line-height:1.25;text-wrap:balance}}small{{opacity:.75;overflow-wrap:anywhere}}</style>
<h1>{title}</h1><p>{detail}</p><p><small>{status} · {reason} · request {request_id}</small></p>
</html>
"""
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


async def refuse(exchange: Exchange, rejection: Rejection, metadata_url: str) -> None:
    """Answer a request with a refusal, and note its outcome.

    `metadata_url` is where the protected resource's metadata stands (RFC 9728, section 5.1).
    """
    exchange.reason = rejection.reason
    exchange.detail = rejection.detail
    close_behind_unread_body(exchange)
    refusal = rejection.refusal
    answer = build_refusal(
        rejection,
        exchange.request_id,
        metadata_url,
        wants_html=prefers_html(exchange.headers.get("Accept", "")),
        is_head=exchange.method == "HEAD",
        connection=connection_header(exchange),
        extra=[*field_lines(exchange.own_fields), *cors_lines(exchange)],
    )
    exchange.status = refusal.status
    exchange.bytes_sent = len(answer)
    exchange.write(answer)
    if exchange.is_congested:
        await exchange.drain()


def build_refusal(
    rejection: Rejection,
    request_id: str,
    metadata_url: str,
    *,
    wants_html: bool,
    is_head: bool,
    connection: str | None,
    extra: Iterable[str] = (),
) -> bytes:
    """Write a refusal, head and body (RFC 9457; the challenge by RFC 6750, section 3).

    `extra` are further lines of the head.
    """
    refusal = rejection.refusal
    reason = refusal.shown_as or rejection.reason
    if wants_html:
        content_type = "text/html; charset=utf-8"
        body = _PAGE.format(
            title=escape(refusal.title),
            detail=escape(refusal.detail),
            status=refusal.status,
            reason=reason,
            request_id=request_id,
        ).encode()
    else:
        content_type = "application/problem+json"
        body = json.dumps(_problem(refusal, reason, rejection, request_id)).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Vary: Accept",
        "X-Content-Type-Options: nosniff",
        f"X-Request-Id: {request_id}",
        f"Date: {http_date(int(time.time())).decode('ascii')}",
        *extra,
    ]
    if wants_html:
        lines.append(f"Content-Security-Policy: {_PAGE_POLICY}")
    if refusal.has_challenge:
        lines.append(f"WWW-Authenticate: {challenge(rejection, metadata_url)}")
    if rejection.reason is Reason.METHOD_NOT_ALLOWED:
        lines.append(f"Allow: {', '.join(rejection.allow)}")
    if refusal.retry_after is not None:
        lines.append(f"Retry-After: {refusal.retry_after}")
    if connection is not None:
        lines.append(f"Connection: {connection}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    return head if is_head else head + body


def challenge(rejection: Rejection, metadata_url: str) -> str:
    """Write the Bearer challenge of a refusal."""
    refusal = rejection.refusal
    parameters = [f'realm="{_REALM}"']
    if refusal.error is not None:
        parameters.append(f'error="{refusal.error}"')
        parameters.append(f'error_description="{refusal.title}"')
    if rejection.required:
        parameters.append(f'scope="{" ".join(rejection.required)}"')
    parameters.append(f'resource_metadata="{metadata_url}"')
    return f"Bearer {', '.join(parameters)}"


def _problem(
    refusal: Refusal, reason: Reason, rejection: Rejection, request_id: str
) -> dict[str, object]:
    problem: dict[str, object] = {
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "reason": reason,
        "request_id": request_id,
    }
    if rejection.reason is Reason.INSUFFICIENT_SCOPE:
        problem["required_scopes"] = list(rejection.required)
        problem["missing_scopes"] = list(rejection.missing)
        if rejection.any_of:
            problem["one_of_scopes"] = list(rejection.any_of)
    return problem
