"""`gateway explain`: which route, which demand, which verdict; and the exit code that says it."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.cli.main import main

CONFIGURATION = """\
public_url: http://api.example.com:8080
state_dir: ./state
authorization_servers:
  local:
    embedded:
      scopes: {"orders:read": Read, "orders:write": Write, admin: Everything}
  corporate:
    introspection:
      issuer: https://login.example.com
      url: http://127.0.0.1:PORT/introspect
      client_id: gateway
      client_secret: {env: EXPLAIN_SECRET}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: health
    match: {path: /healthz, methods: [GET]}
    public: true
  - name: read-orders
    match: {path: /orders/**, methods: [GET]}
    authorization_server: local
    require: {scopes: ["orders:read"]}
  - name: change-orders
    match: {path: /orders/**, methods: [POST, DELETE]}
    authorization_server: local
    require: {scopes: ["orders:read", "orders:write"]}
  - name: one-order
    match: {host: one.example.com, path: "/orders/{id}"}
    authorization_server: local
    require: {any_scope: [admin, "orders:write"]}
  - name: partner
    match: {path: /partner/**}
    authorization_server: corporate
    require: {audience: https://api.example.com, claims: {tenant: acme}}
  - name: old
    match: {path: "/old/{id}", methods: [GET]}
    public: true
    allow_in_path: [semicolon, non_utf8]
  - name: stock
    match: {path: /stock}
    authorization_server: local
    require: {scopes: ["orders:read"], scope_matching: wildcard}
    rate_limits: [{per: route, limit: 1000/1h}, {per: client, limit: 100/1m}]
  - name: desk
    match: {path: /desk}
    authorization_server: local
    require: {scopes: ["orders:read"]}
    token_cookie: desk-token
  - name: office
    match: {path: /office, methods: [GET, MOVE]}
    networks: [10.0.0.0/8, "2001:db8::/32"]
    public: true
"""


class _Introspection(BaseHTTPRequestHandler):
    """A foreign authorization server (RFC 7662) that knows what the test tells it."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        # Both parts of the credentials are form-encoded first (RFC 6749, section 2.3.1).
        expected = "Basic " + base64.b64encode(b"gateway:a+secret").decode()
        is_known = self.headers["Authorization"] == expected
        answer = self.server.answers.get(form["token"][0], {"active": False})  # type: ignore[attr-defined]
        body = json.dumps(answer).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def answers() -> dict[str, dict[str, Any]]:
    """What the foreign server says of each token."""
    return {}


@pytest.fixture
def file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, dict[str, Any]]
) -> Iterator[Path]:
    """A configuration with an embedded server, and a foreign one that is listening."""
    monkeypatch.setenv("EXPLAIN_SECRET", "a secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Introspection) as server:
        server.answers = answers  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        path = tmp_path / "gateway.yaml"
        path.write_text(CONFIGURATION.replace("PORT", str(server.server_port)))
        yield path
        server.shutdown()
        thread.join()


class Asker:
    """Asks `gateway explain --json` and its sisters about one configuration."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = file
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        code = main(["explain", *arguments, "-c", str(self._file), "--json"])
        return code, json.loads(self._capsys.readouterr().out)

    def text(self, *arguments: str) -> list[str]:
        self._capsys.readouterr()
        main(["explain", *arguments, "-c", str(self._file)])
        return self._capsys.readouterr().out.splitlines()

    def issue(self, scope: str) -> str:
        everything = "orders:read orders:write admin"
        main(["client", "add", "shop", "--grant", "client_credentials", "--scope", everything,
              "-c", str(self._file)])  # fmt: skip
        self._capsys.readouterr()
        assert main(["token", "issue", "--client", "shop", "--scope", scope, "--json",
                     "-c", str(self._file)]) == 0  # fmt: skip
        token: str = json.loads(self._capsys.readouterr().out)["access_token"]
        return token


@pytest.fixture
def ask(file: Path, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker(file, capsys)


@pytest.mark.parametrize(
    ("method", "url", "route", "reason", "status"),
    [
        ("GET", "/healthz", "health", None, None),
        ("HEAD", "/healthz", "health", None, None),
        ("GET", "/healthz/", "health", None, None),
        ("GET", "/%68ealthz?x=1", "health", None, None),
        ("POST", "/healthz", None, "method_not_allowed", 405),
        ("TRACE", "/orders", None, "method_not_allowed", 405),
        ("PROPFIND", "/orders", None, "method_not_allowed", 405),
        ("M-SEARCH", "/nowhere", None, "no_route", 404),
        ("BOGUS", "/orders", None, "malformed_request", 400),
        ("BOGUS", "/nowhere", None, "malformed_request", 400),
        ("GETS", "/.well-known/oauth-protected-resource", None, "malformed_request", 400),
        ("PRI", "/healthz", None, "malformed_request", 400),
        ("GET", "/nowhere", None, "no_route", 404),
        ("GET", "/HEALTHZ", None, "no_route", 404),
        ("GET", "/orders", "read-orders", "missing_token", 401),
        ("DELETE", "http://api.example.com/orders/7", "change-orders", "missing_token", 401),
        ("DELETE", "http://ONE.example.com.:81/orders/7", "one-order", "missing_token", 401),
        ("GET", "https://one.example.com/orders/7/lines", "read-orders", "missing_token", 401),
        ("GET", "/healthz/../orders", None, "ambiguous_path", 400),
        ("GET", "//orders", None, "ambiguous_path", 400),
        ("GET", "/orders%2f7", None, "ambiguous_path", 400),
        ("GET", "/orders#top", None, "ambiguous_path", 400),
        ("GET", "/old/a;b", "old", None, None),
        ("GET", "/old/%b0%a1;b", "old", None, None),
        ("POST", "/old/a;b", None, "method_not_allowed", 405),
        ("GET", "/old/a%2Fb", None, "ambiguous_path", 400),
        ("GET", "/old/..;b", None, "ambiguous_path", 400),
        ("GET", "/old;/b", None, "ambiguous_path", 400),
        ("GET", "/orders/a;b", None, "ambiguous_path", 400),
        ("GET", "/nowhere/%ff", None, "ambiguous_path", 400),
        ("GET", "/.well-known/oauth-protected-resource/a;b", None, "ambiguous_path", 400),
        ("GET", "http://user@api.example.com/orders", None, "malformed_request", 400),
        ("GET", "http://api.example.com", None, "no_route", 404),
        ("GET", "http://api.example.com?/orders", None, "no_route", 404),
        ("GET", "/.well-known/oauth-protected-resource", None, None, None),
        ("POST", "/.well-known/oauth-protected-resource", None, "method_not_allowed", 405),
    ],
)
def test_a_table_of_requests_without_a_token(
    ask: Asker, method: str, url: str, route: str | None, reason: str | None, status: int | None
) -> None:
    code, said = ask(method, url)
    assert (said["route"], said["reason"], said["status"]) == (route, reason, status)
    assert said["allowed"] is (reason is None)
    assert code == (0 if reason is None else 1)


@pytest.mark.parametrize(
    ("scope", "method", "url", "reason", "missing"),
    [
        ("orders:read", "GET", "/orders", None, []),
        ("orders:read", "POST", "/orders", "insufficient_scope", ["orders:write"]),
        ("admin", "GET", "/orders", "insufficient_scope", ["orders:read"]),
        ("orders:read orders:write", "POST", "/orders", None, []),
        ("admin", "GET", "http://one.example.com/orders/7", None, []),
        (
            "orders:read",
            "GET",
            "http://one.example.com/orders/7",
            "insufficient_scope",
            [],
        ),
        ("orders:read", "GET", "/healthz", None, []),
    ],
)
def test_a_table_of_tokens_of_the_embedded_server(
    ask: Asker, scope: str, method: str, url: str, reason: str | None, missing: list[str]
) -> None:
    code, said = ask(method, url, "--token", ask.issue(scope))
    assert (said["reason"], said["missing_scopes"]) == (reason, missing)
    assert code == (0 if reason is None else 1)


def test_a_token_that_was_revoked_is_called_so(ask: Asker, file: Path) -> None:
    token = ask.issue("orders:read")
    assert main(["token", "revoke", token, "-c", str(file)]) == 0
    code, said = ask("GET", "/orders", "--token", token)
    assert (code, said["reason"], said["status"]) == (1, "revoked_token", 401)


def test_a_token_of_the_embedded_server_opens_no_foreign_route(ask: Asker) -> None:
    code, said = ask("GET", "/partner", "--token", ask.issue("admin"))
    assert (code, said["reason"]) == (1, "inactive_token")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"aud": "https://api.example.com", "tenant": "acme"}, None),
        ({"aud": ["https://api.example.com", "x"], "tenant": ["acme", "b"]}, None),
        ({"aud": "https://other.example.com", "tenant": "acme"}, "wrong_audience"),
        ({"tenant": "acme"}, "wrong_audience"),
        ({"aud": "https://api.example.com", "tenant": "other"}, "claim_mismatch"),
        ({"aud": "https://api.example.com"}, "claim_mismatch"),
        ({"exp": 1}, "expired_token"),
        ({"active": False}, "inactive_token"),
    ],
)
def test_a_table_of_tokens_of_a_foreign_server(
    ask: Asker, answers: dict[str, dict[str, Any]], answer: dict[str, Any], reason: str | None
) -> None:
    answers["abc"] = {"active": True, "client_id": "x", **answer}
    code, said = ask("GET", "/partner", "--token", "abc")
    assert said["reason"] == reason
    assert code == (0 if reason is None else 1)


def test_a_server_that_cannot_be_asked_is_exit_2(ask: Asker, file: Path) -> None:
    content = file.read_text()
    port = content.partition("http://127.0.0.1:")[2].partition("/")[0]
    # Nothing listens on port 1.
    file.write_text(content.replace(f":{port}/introspect", ":1/introspect"))
    code, said = ask("GET", "/partner", "--token", "abc")
    assert (code, said["allowed"], said["reason"], said["status"]) == (
        2,
        False,
        "authorization_server_unavailable",
        503,
    )
    # Yet what needs no answer is told.
    assert ask("GET", "/partner")[0] == 1
    assert ask("GET", "/healthz")[0] == 0


def test_a_store_that_cannot_be_opened_is_exit_2_and_one_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "state").write_text("in the way")
    assert main(["explain", "GET", "/orders", "--token", "abc", "-c", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gateway explain: state_dir ")
    assert output.err.count("\n") == 1


def test_without_a_need_nobody_is_asked_and_nothing_is_created(ask: Asker, file: Path) -> None:
    ask("GET", "/orders")
    ask("GET", "/healthz")
    ask("GET", "/nowhere", "--token", "abc")
    assert not (file.parent / "state").exists()


def test_a_token_may_come_from_standard_input_or_a_header(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ask.issue("orders:read")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    assert ask("GET", "/orders", "--token", "-")[0] == 0
    assert ask("GET", "/orders", "-H", f"authorization: bearer {token}")[0] == 0
    code, said = ask("GET", "/orders", "--token", token, "-H", f"Authorization: Bearer {token}")
    assert (code, said["reason"], said["status"]) == (1, "multiple_tokens", 400)
    code, said = ask("GET", "/orders", "-H", "Authorization: Basic eDp5")
    assert (code, said["reason"]) == (1, "missing_token")
    code, said = ask("GET", "/orders", "--token", "two words")
    assert (code, said["reason"]) == (1, "malformed_token")


def test_a_host_header_goes_before_the_host_of_the_url(ask: Asker) -> None:
    _, said = ask("PUT", "http://127.0.0.1:8080/orders/7", "-H", "Host: one.example.com")
    assert (said["route"], said["host"]) == ("one-order", "one.example.com")
    code, said = ask("GET", "/orders", "-H", "Host: a b")
    assert (code, said["reason"]) == (1, "malformed_request")


def test_it_says_why_in_words(ask: Asker) -> None:
    token = ask.issue("orders:read")
    lines = ask.text("POST", "/orders/7", "--token", token)
    assert lines[0] == "POST /orders/7 on api.example.com"
    assert lines[1] == (
        "  route:    change-orders, by path /orders/**, methods DELETE and POST, any host"
    )
    assert lines[2] == (
        "  requires: an active token of local (http://127.0.0.1:8081) with the scopes "
        "orders:read and orders:write"
    )
    assert lines[3].startswith("  token:    active, of client shop, scopes orders:read, ")
    assert lines[4] == (
        "  verdict:  refused with 403 insufficient_scope: the access token lacks a scope, "
        "missing orders:write"
    )
    assert token not in "".join(lines)


def test_it_says_where_an_allowed_request_goes(ask: Asker) -> None:
    assert ask.text("GET", "/healthz")[1:] == [
        "  route:    health, by path /healthz, methods GET and HEAD, any host",
        "  requires: nothing, the route is public",
        "  verdict:  allowed, and goes to upstream orders (http://127.0.0.1:8000)",
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/nowhere", "404 no_route: there is nothing here, no route matches this host and path"),
        ("/a/../b", "400 ambiguous_path: the path is ambiguous (dot_segment)"),
        (
            "/old//a;b",
            "400 ambiguous_path: the path is ambiguous (empty_segment, semicolon)",
        ),
    ],
)
def test_it_says_why_a_request_has_no_route(ask: Asker, url: str, words: str) -> None:
    assert ask.text("GET", url)[-1] == f"  verdict: refused with {words}"


def test_it_says_that_a_method_is_not_known(ask: Asker) -> None:
    first, verdict = ask.text("BOGUS", "/orders")
    assert first == "BOGUS /orders on api.example.com"
    assert verdict == (
        "  verdict: refused with 400 malformed_request: the request is malformed "
        "(the method is not known)"
    )


def test_a_demand_is_told_as_data(ask: Asker) -> None:
    _, said = ask("GET", "/partner")
    assert said["requires"] == {
        "scopes": [],
        "any_scope": [],
        "scope_matching": "exact",
        "audience": "https://api.example.com",
        "claims": {"tenant": ["acme"]},
    }
    assert said["authorization_server"] == "corporate"
    assert ask("GET", "/healthz")[1]["requires"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "/"], "a method is upper case; write GET"),
        (["Delete", "/"], "write DELETE"),
        (["bogus", "/"], "a method is upper case, such as GET"),
        (["G T", "/"], "a method is upper case, such as GET"),
        (["GET", "orders"], "write a path that begins with a slash"),
        (["GET", "ftp://a/b"], "write a path that begins with a slash"),
        (["GET", "http:///b"], "the URL has no host"),
        (["GET", "/", "-H", "nonsense"], "write a header as 'Name: value'"),
        (["GET", "/", "-H", "Host: a", "-H", "Host: b"], "a request has one Host"),
    ],
)
def test_a_question_that_is_none_is_a_usage_error(
    arguments: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments, "-c", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_a_broken_configuration_exits_with_2_and_its_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("routes: []\n")
    assert main(["explain", "GET", "/", "-c", str(path)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 2


ADAPTED = """\
  - name: shop
    match: {path: "/shop/{tenant}/**"}
    forward_path: "/legacy/{tenant}/**"
    forward_host: app.internal
    public: true
"""


def test_it_says_what_the_upstream_gets_when_that_differs(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(file.read_text() + ADAPTED)
    main(["explain", "GET", "/shop/a%20b/x/?q", "-c", str(file)])
    assert "forwarded as: GET /legacy/a%20b/x/ on app.internal" in capsys.readouterr().out
    main(["explain", "GET", "/shop/a%20b/x/?q", "--json", "-c", str(file)])
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["forwarded_path"]) == ("/shop/a%20b/x/", "/legacy/a%20b/x/")
    assert (said["host"], said["forwarded_host"]) == ("api.example.com", "app.internal")


def test_it_does_not_say_what_the_upstream_gets_when_that_is_the_same(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", "GET", "/healthz", "-c", str(file)])
    assert "forwarded" not in capsys.readouterr().out


def test_it_knows_the_host_that_an_upstream_has_for_itself(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(file.read_text() + ADAPTED.replace("app.internal", "upstream"))
    main(["explain", "GET", "/shop/a", "-c", str(file)])
    assert "GET /legacy/a on 127.0.0.1:8000" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_it_shows_no_secret_that_a_route_gives_its_upstream(
    file: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    edits = "    request_headers: {set: {Authorization: {env: EXPLAIN_SECRET}}}\n"
    file.write_text(file.read_text() + ADAPTED + edits)
    assert main(["explain", "GET", "/shop/a", "-c", str(file), *options]) == 0
    assert "a secret" not in "".join(capsys.readouterr())


def test_it_judges_where_a_request_moves_to(ask: Asker, file: Path) -> None:
    """By the route of the destination and with the same token, as the guard does."""
    token = ask.issue("orders:read")
    partner = "Destination: /partner/a"
    file.write_text(file.read_text() + ADAPTED)
    code, said = ask("MOVE", "/partner/b", "-H", partner)
    assert (code, said["reason"], said["destination"]) == (1, "missing_token", None)
    code, said = ask("MOVE", "/shop/a/b", "--token", token, "-H", "Destination: /shop/c/d?e")
    assert (code, said["destination"]) == (0, "/legacy/c/d?e")
    assert "  destination:  /legacy/c/d?e" in ask.text(
        "MOVE", "/shop/a/b", "--token", token, "-H", "Destination: /shop/c/d?e"
    )
    code, said = ask("MOVE", "/shop/a/b", "--token", token, "-H", partner)
    assert (code, said["reason"]) == (1, "foreign_destination")


def test_it_asks_the_server_of_the_destination_about_the_token(
    ask: Asker, file: Path, answers: dict[str, dict[str, Any]]
) -> None:
    opened = "  - {name: open, match: {path: /open/**}, public: true}\n"
    file.write_text(file.read_text() + opened)
    answers["known"] = {
        "active": True,
        "iss": "https://login.example.com",
        "aud": "https://api.example.com",
        "tenant": "acme",
    }
    destination = ("-H", "Destination: /partner/a")
    assert ask("COPY", "/open/a", "--token", "known", *destination)[0] == 0
    code, said = ask("COPY", "/open/a", "--token", "unknown", *destination)
    assert (code, said["reason"]) == (1, "inactive_token")
    code, said = ask("COPY", "/open/a", *destination)
    assert (code, said["reason"]) == (1, "missing_token")


WITH_CORS = """\
  - name: app
    match: {path: "/app/**", methods: [GET]}
    authorization_server: local
    require: {scopes: ["orders:read"]}
    cors: {origins: [https://app.example.com]}
    upgrade: [websocket]
"""


def test_a_preflight_needs_no_token(ask: Asker, file: Path) -> None:
    """As the guard answers it, whichever page asks; what no route is prepared for is a request."""
    file.write_text(file.read_text() + WITH_CORS)
    origin = ("-H", "Origin: https://app.example.com")
    method = ("-H", "Access-Control-Request-Method: GET")
    code, said = ask("OPTIONS", "/app/a", *origin, *method)
    assert (code, said["route"], said["reason"]) == (0, "app", None)
    assert "answered by the gateway itself: a preflight" in said["explanation"]
    assert ask("OPTIONS", "/app/a", *origin)[1]["reason"] == "method_not_allowed"
    assert ask("OPTIONS", "/app/a", *method)[1]["reason"] == "method_not_allowed"
    put = ("-H", "Access-Control-Request-Method: PUT")
    assert ask("OPTIONS", "/app/a", *origin, *put)[1]["reason"] == "method_not_allowed"
    assert ask("OPTIONS", "/partner/a", *origin, *method)[1]["reason"] == "missing_token"


def test_it_says_which_pages_and_protocols_a_route_takes(ask: Asker, file: Path) -> None:
    file.write_text(file.read_text() + WITH_CORS)
    lines = ask.text("GET", "/app/a")
    assert "  pages:    those of https://app.example.com may use it" in lines
    assert "  upgrades: websocket" in lines


def test_the_networks_of_a_route_are_told_and_held_against_an_address(ask: Asker) -> None:
    code, said = ask("GET", "/office", "--from", "192.0.2.1")
    assert (code, said["allowed"], said["reason"]) == (1, False, "network_not_allowed")
    assert said["networks"] == ["10.0.0.0/8", "2001:db8::/32"]
    code, said = ask("GET", "/office", "--from", "10.1.2.3")
    assert (code, said["allowed"], said["reason"]) == (0, True, None)
    lines = ask.text("GET", "/office", "--from", "192.0.2.1")
    assert "  clients:  those of 10.0.0.0/8 and 2001:db8::/32" in lines


def test_without_an_address_a_verdict_that_hangs_on_it_cannot_be_told(ask: Asker) -> None:
    code, said = ask("GET", "/office")
    assert (code, said["allowed"]) == (2, False)
    assert ask.text("GET", "/office")[-1].endswith("say it with --from ADDRESS")
    assert ask("GET", "/healthz")[0] == 0
    assert ask("MOVE", "/office", "-H", "Destination: /nowhere")[0] == 2


def test_the_matching_of_scopes_is_told(ask: Asker) -> None:
    assert ask("GET", "/stock")[1]["requires"]["scope_matching"] == "wildcard"
    assert ask("GET", "/orders")[1]["requires"]["scope_matching"] == "exact"
    [line] = [line for line in ask.text("GET", "/stock") if "requires" in line]
    assert line.endswith("with the scope orders:read; wildcards of the token count")


def test_the_rate_limits_of_a_route_are_told_and_nothing_is_counted(ask: Asker) -> None:
    token = ask.issue("orders:read")
    for _ in range(2):
        code, said = ask("GET", "/stock", "--token", token)
        assert code == 0
    assert said["rate_limits"] == [
        {"name": "client-60s", "per": "client", "limit": 100, "seconds": 60},
        {"name": "route-60m", "per": "route", "limit": 1000, "seconds": 3600},
    ]
    assert ask("GET", "/orders")[1]["rate_limits"] == []
    [line] = [line for line in ask.text("GET", "/stock") if "rates" in line]
    assert line.endswith(
        "100 requests in 60s for each client; 1000 requests in 60m for all together"
    )


def test_a_token_in_a_cookie_is_held_against_its_route_as_by_the_guard(ask: Asker) -> None:
    cookie = ("-H", f"Cookie: a=1; desk-token={ask.issue('orders:read')}")
    code, said = ask("GET", "/desk", *cookie)
    assert (code, said["token_cookie"], said["token"]["client_id"]) == (0, "desk-token", "shop")
    assert ask("POST", "/desk", *cookie)[1]["reason"] == "cross_origin"
    evil = ("-H", "Origin: https://evil.example")
    assert ask("POST", "/desk", *cookie, *evil)[1]["reason"] == "cross_origin"
    own = ("-H", "Origin: http://api.example.com:8080")
    assert ask("POST", "/desk", *cookie, *own)[0] == 0
    assert ask("GET", "/orders", *cookie)[1]["reason"] == "missing_token"
    assert ask("GET", "/orders")[1]["token_cookie"] is None
    [line] = [line for line in ask.text("GET", "/desk") if "cookie:" in line]
    assert "the token may come in desk-token; what may change something, then only from" in line


FRAMING = [
    (["Content-Length: 5"], 0, None, 5),
    (["Content-Length: 005"], 0, None, 5),
    (["content-length: 0"], 0, None, 0),
    (["Transfer-Encoding: chunked"], 0, None, "chunked"),
    (["Content-Length: 5", "Expect: 100-continue"], 0, None, 5),
    ([], 0, None, 0),
    (["Expect: 100-Continue"], 0, None, 0),
    (["Expect: tea"], 1, "expectation_failed", 0),
    (["Expect: 100-continue", "Expect: tea"], 1, "expectation_failed", 0),
    (["Content-Length: +5"], 1, "malformed_request", 0),
    (["Content-Length: 5", "Content-Length: 5"], 1, "malformed_request", 0),
    (["Content-Length: 5", "Transfer-Encoding: chunked"], 1, "malformed_request", 0),
    (["Transfer-Encoding: identity"], 1, "malformed_request", 0),
    (["Transfer-Encoding: gzip, chunked"], 1, "unsupported_coding", 0),
    (["Content-Length: 99999999999"], 1, "body_too_large", 99999999999),
]


@pytest.mark.parametrize(("headers", "code", "reason", "body"), FRAMING)
def test_framing_and_expectations_are_judged_as_the_guard_does(
    ask: Asker, headers: list[str], code: int, reason: str | None, body: object
) -> None:
    options = [word for header in headers for word in ("-H", header)]
    exit_code, answer = ask("GET", "/healthz", *options)
    assert (exit_code, answer["reason"], answer["body"]) == (code, reason, body)


def test_the_token_is_judged_before_what_is_expected(ask: Asker) -> None:
    """Not before the framing: nobody knows then where the request ends."""
    assert ask("GET", "/orders/1", "-H", "Expect: tea")[1]["reason"] == "missing_token"
    assert ask("GET", "/orders/1", "-H", "Content-Length: x")[1]["reason"] == "malformed_request"


def test_it_says_what_becomes_of_a_body(ask: Asker) -> None:
    sized = ["-H", "Content-Length: 05", "-H", "Expect: 100-continue"]
    words = "\n".join(ask.text("GET", "/healthz", *sized))
    assert "goes on with Content-Length: 5; the gateway itself asks for it" in words
    words = "\n".join(ask.text("GET", "/healthz", "-H", "Transfer-Encoding: chunked"))
    assert "in chunks, and goes on in chunks" in words
    assert "asks for it" not in words
    assert "body:" not in "".join(ask.text("GET", "/healthz"))


def test_the_server_itself_is_asked_for_its_options(ask: Asker) -> None:
    code, answer = ask("OPTIONS", "*")
    assert (code, answer["allowed"], answer["route"], answer["path"]) == (0, True, None, "*")
    assert "answered by the gateway itself" in answer["explanation"]
    assert ask("OPTIONS", "*", "-H", "Content-Length: x")[1]["reason"] == "malformed_request"
    assert ask("GET", "*")[1]["reason"] == "malformed_request"
