"""After every reason was provoked a different number of times, /metrics says exactly that.

The expected numbers stand here, written by hand, so that a table of the gateway's own cannot agree
with itself and still be wrong.
"""

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.programs import embedded_server, free_port, wait_until

TOKEN_REJECTIONS = {
    ("orders", "missing_token"): 1,
    ("orders", "malformed_token"): 2,
    ("orders", "multiple_tokens"): 3,
    ("orders", "inactive_token"): 4,
    ("orders", "expired_token"): 5,
    ("orders", "revoked_token"): 6,
    ("orders", "insufficient_scope"): 7,
    ("audience", "wrong_audience"): 8,
    ("claims", "claim_mismatch"): 9,
    ("foreign", "wrong_issuer"): 10,
    ("outage", "authorization_server_unavailable"): 11,
    ("upload", "missing_token"): 12,
}
REFUSALS = {
    ("-", "ambiguous_path"): 13,
    ("-", "malformed_request"): 14,
    ("-", "headers_too_large"): 15,
    ("-", "unsupported_coding"): 24,
    ("-", "no_route"): 16,
    ("-", "method_not_allowed"): 17,
    ("orders", "loop_detected"): 25,
    ("gone", "foreign_destination"): 26,
    ("upload", "body_too_large"): 18,
    ("upload", "expectation_failed"): 19,
    ("upload", "request_timeout"): 20,
    ("gone", "upstream_unavailable"): 21,
    ("garbage", "upstream_invalid"): 22,
    ("mute", "upstream_timeout"): 23,
}
STATUS = {
    "missing_token": 401,
    "malformed_token": 401,
    "multiple_tokens": 400,
    "inactive_token": 401,
    "expired_token": 401,
    "revoked_token": 401,
    "insufficient_scope": 403,
    "wrong_audience": 401,
    "claim_mismatch": 403,
    "wrong_issuer": 401,
    "authorization_server_unavailable": 503,
    "ambiguous_path": 400,
    "malformed_request": 400,
    "headers_too_large": 431,
    "unsupported_coding": 501,
    "no_route": 404,
    "method_not_allowed": 405,
    "loop_detected": 508,
    "foreign_destination": 400,
    "body_too_large": 413,
    "expectation_failed": 417,
    "request_timeout": 408,
    "upstream_unavailable": 502,
    "upstream_invalid": 502,
    "upstream_timeout": 504,
}
ALLOWED = 24

AMBIGUOUS = ["/anything/../x", "/a//b", "/a%2Fb", "/a%5cb", "/a;b", "/%zz", "/a/%2e%2e/b", "/%252e"]
MALFORMED = [
    "GET /anything/orders/1 HTTP/1.1\r\nHost: two words\r\n\r\n",
    "GET /anything/orders/1 HTTP/1.1\r\nHost: h\r\nNo colon here\r\n\r\n",
    "GET /anything/orders/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "GET /anything/orders/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "GET /anything/orders/1\r\n\r\n",
    "nonsense\r\n\r\n",
]


class LyingServer(BaseHTTPRequestHandler):
    """An authorization server that vouches for every token in another issuer's name."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"active": True, "iss": "https://elsewhere.example"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def lying_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), LyingServer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def bad_service(answer: bytes | None):
    """A service that answers every request with these bytes, or with None never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            accepted.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in accepted:
            connection.close()


@pytest.fixture
def gateway(start_gateway, httpbin):
    """A gateway with one route for each way to be refused."""

    def introspection(origin):
        return {
            "introspection": {
                "issuer": origin,
                "url": f"{origin}/introspect",
                "client_id": "guard",
                "client_secret": "a-secret-of-this-test",
            }
        }

    def route(name, require, upstream="legacy", server="local", methods=None):
        match = {"path": f"/anything/{name}/**"} | ({"methods": methods} if methods else {})
        return {
            "name": name,
            "match": match,
            "upstream": upstream,
            "authorization_server": server,
            "require": require,
        }

    with (
        lying_server() as liar,
        bad_service(b"nonsense\r\n\r\n") as garbage,
        bad_service(None) as mute,
    ):
        nobody = f"http://127.0.0.1:{free_port()}"
        yield start_gateway(
            {
                "limits": {"body": "1KiB"},
                "timeouts": {"body": "200ms"},
                "authorization_servers": {
                    "local": embedded_server({"orders:read": "Read", "orders:write": "Write"}),
                    "liar": introspection(liar),
                    "down": introspection(nobody),
                },
                "upstreams": {
                    "legacy": {"servers": [httpbin]},
                    "gone": {"servers": [nobody]},
                    "garbage": {"servers": [garbage]},
                    "mute": {"servers": [mute], "timeouts": {"response": "200ms"}},
                },
                "routes": [
                    route("orders", {"scopes": ["orders:read"]}, methods=["GET"]),
                    route("audience", {"audience": "https://orders.example"}),
                    route("claims", {"claims": {"tenant": "acme"}}),
                    route("foreign", {}, server="liar"),
                    route("outage", {}, server="down"),
                    route("upload", {}, methods=["POST"]),
                    route("gone", {}, upstream="gone"),
                    route("garbage", {}, upstream="garbage"),
                    route("mute", {}, upstream="mute"),
                ],
            }
        )


def tokens_of(gateway) -> dict[str, str]:
    """Gets a token of every kind: good, with another scope, expired, revoked."""
    gateway.add_client(
        "app", "--grant", "client_credentials", "--scope", "orders:read orders:write"
    )
    credentials = ("app", gateway.secrets["app"])
    server = f"{gateway.authorization_server_url}/oauth2"

    def issue(scope):
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = requests.post(f"{server}/token", data=form, auth=credentials, timeout=10)
        return answer.json()["access_token"]

    short = gateway.command("token", "issue", "--client", "app", "--lifetime", "1s", "--json")
    assert short.returncode == 0, short.stderr
    expires = time.time() + 1
    tokens = {
        "good": issue("orders:read"),
        "weak": issue("orders:write"),
        "revoked": issue("orders:read"),
        "expired": json.loads(short.stdout)["access_token"],
    }
    form = {"token": tokens["revoked"]}
    assert requests.post(f"{server}/revoke", data=form, auth=credentials, timeout=10).ok
    wait_until(lambda: time.time() > expires, what="the token's expiry")
    return tokens


def request(method, route, *fields, body=""):
    lines = [f"{method} /anything/{route}/1 HTTP/1.1", "Host: legacy.example", *fields]
    return "\r\n".join([*lines, "", body])


def provocations(tokens, via="") -> dict[str, Callable[[str, int], str]]:
    """Gives for each reason how to provoke it: a function of route and count to a raw request."""
    bearer = f"Authorization: Bearer {tokens['good']}"

    def with_token(token):
        return lambda route, _: request("GET", route, f"Authorization: Bearer {token}")

    malformed = itertools.cycle(["Authorization: Bearer", "Authorization: Bearer a,b"])
    return {
        "missing_token": lambda route, _: request("POST" if route == "upload" else "GET", route),
        "malformed_token": lambda route, _: request("GET", route, next(malformed)),
        "multiple_tokens": lambda route, _: request("GET", route, bearer, bearer),
        "inactive_token": with_token("never-seen-by-anybody"),
        "expired_token": with_token(tokens["expired"]),
        "revoked_token": with_token(tokens["revoked"]),
        "insufficient_scope": with_token(tokens["weak"]),
        "wrong_audience": with_token(tokens["good"]),
        "claim_mismatch": with_token(tokens["good"]),
        "wrong_issuer": with_token(tokens["good"]),
        "authorization_server_unavailable": with_token(tokens["good"]),
        "ambiguous_path": lambda _, count: (
            f"GET {AMBIGUOUS[count % len(AMBIGUOUS)]} HTTP/1.1\r\nHost: h\r\n{bearer}\r\n\r\n"
        ),
        "malformed_request": lambda _, count: MALFORMED[count % len(MALFORMED)],
        "headers_too_large": lambda *_: request("GET", "orders", bearer, "X-Long: " + "x" * 40_000),
        "unsupported_coding": lambda *_: request(
            "POST", "orders", bearer, "Transfer-Encoding: gzip, chunked"
        ),
        "no_route": lambda *_: f"GET /elsewhere HTTP/1.1\r\nHost: h\r\n{bearer}\r\n\r\n",
        "method_not_allowed": lambda *_: request("DELETE", "orders", bearer),
        "loop_detected": lambda *_: request("GET", "orders", bearer, f"Via: 1.1 {via}"),
        "foreign_destination": lambda route, _: request(
            "MOVE", route, bearer, "Destination: /elsewhere"
        ),
        "body_too_large": lambda route, _: request("POST", route, bearer, "Content-Length: 1025"),
        "expectation_failed": lambda route, _: request(
            "POST", route, bearer, "Expect: the-unexpected", "Content-Length: 1", body="x"
        ),
        "request_timeout": lambda route, _: request(
            "POST", route, bearer, "Content-Length: 10", body="only this"
        ),
        "upstream_unavailable": with_token(tokens["good"]),
        "upstream_invalid": with_token(tokens["good"]),
        "upstream_timeout": with_token(tokens["good"]),
    }


def ask(gateway, raw: str) -> int:
    """Sends one request over a connection of its own and gives the status of the answer."""
    with socket.create_connection(gateway.address, 10) as connection:
        connection.sendall(raw.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status


def series(gateway, name: str) -> dict[tuple[str, str], float]:
    """Gives a counter's series as /metrics has them: (route, reason or status) -> value."""
    exposition = requests.get(f"{gateway.admin_url}/metrics", timeout=10).text
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == name:
                labels = sample.labels
                key = labels["route"], labels.get("reason", labels.get("status"))
                found[key] = found.get(key, 0) + sample.value
    return found


def nonzero(found: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {labels: value for labels, value in found.items() if value}


def test_metrics_count_each_refusal_by_route_and_reason_and_nothing_else(gateway):
    """Each reason a different number of times; every other series of those metrics is 0."""
    expected = TOKEN_REJECTIONS | REFUSALS
    assert sorted(expected.values()) == list(range(1, 27)), "no two reasons as often as each other"
    tokens = tokens_of(gateway)
    instance = (gateway.configuration.parent / "state" / "instance").read_text().strip()
    provoke = provocations(tokens, via=f"gateway-{instance}")
    before = series(gateway, "gateway_token_rejections_total")
    assert before.keys() >= TOKEN_REJECTIONS.keys(), "they are there before the first of them"
    assert series(gateway, "gateway_refusals_total").keys() >= REFUSALS.keys()
    assert not any(before.values())

    work = [
        (reason, provoke[reason](route, count))
        for (route, reason), times in expected.items()
        for count in range(times)
    ]
    good = request("GET", "orders", f"Authorization: Bearer {tokens['good']}")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda item: (item[0], ask(gateway, item[1])), work))
        allowed = list(pool.map(lambda _: ask(gateway, good), range(ALLOWED)))

    assert [item for item in statuses if item[1] != STATUS[item[0]]] == []
    assert allowed == [200] * ALLOWED
    assert nonzero(series(gateway, "gateway_token_rejections_total")) == TOKEN_REJECTIONS
    assert nonzero(series(gateway, "gateway_refusals_total")) == REFUSALS
    answered = series(gateway, "gateway_requests_total")
    assert answered["orders", "200"] == ALLOWED
    assert sum(answered.values()) == ALLOWED + sum(expected.values())


def test_the_log_has_the_same_reasons_as_often(gateway):
    """The metric's label is the log's field: one line for each refusal, with its reason."""
    provoke = provocations(dict.fromkeys(["good", "weak", "revoked", "expired"], "never-seen"))
    for reason, route, times in [
        ("missing_token", "orders", 3),
        ("inactive_token", "orders", 2),
        ("no_route", "-", 4),
    ]:
        for count in range(times):
            assert ask(gateway, provoke[reason](route, count)) == STATUS[reason]
    wait_until(lambda: len(gateway.access_log()) == 9, what="nine lines in the access log")
    seen = [(line["route"], line["reason"]) for line in gateway.access_log()]
    assert seen == (
        [("orders", "missing_token")] * 3
        + [("orders", "inactive_token")] * 2
        + [("-", "no_route")] * 4
    )
