"""A service that nobody here wrote, under another path and Host, with clients of every day."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.e2e.programs import embedded_server, running_gateway
from tests.e2e.test_browser_walk import FLAGS

HOST = "legacy.internal"
ASK = """([url, token]) =>
    fetch(url, {headers: token ? {Authorization: `Bearer ${token}`} : {}})
    .then(async answer => [answer.status, await answer.text(), answer.headers.get("X-Mine")])
    .catch(error => [0, String(error), null])
"""


class EmptyPage(BaseHTTPRequestHandler):
    """A page of some application's own."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def pages():
    """The port of a web server that is reached by two origins: 127.0.0.1 and localhost."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def gateway(httpbin, pages, tmp_path_factory):
    """A gateway with httpbin below /old, which pages of one origin may use."""
    folder = tmp_path_factory.mktemp("gw")
    (folder / "key").write_text("of-the-upstream\n")
    settings = {
        "authorization_servers": {"local": embedded_server({"legacy:use": "Use it"})},
        "upstreams": {"legacy": {"servers": [httpbin]}},
        "routes": [
            {
                "name": "old",
                "match": {"path": "/old/**"},
                "require": {"scopes": ["legacy:use"]},
                "forward_path": "/**",
                "forward_host": HOST,
                "request_headers": {"set": {"X-Api-Key": {"file": "key"}}},
                "response_headers": {"set": {"X-Mine": "yes"}, "remove": ["Server"]},
                "cors": {"origins": [f"http://127.0.0.1:{pages}"], "expose": ["X-Mine"]},
            }
        ],
    }
    with running_gateway(settings, folder) as running:
        yield running


@pytest.fixture(scope="module")
def token(gateway):
    gateway.add_client("app", "--grant", "client_credentials", "--scope", "legacy:use")
    return gateway.issue_token("app", "legacy:use")


@pytest.fixture
def session(token):
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


def test_it_gets_its_own_path_host_and_key(gateway, session):
    sent = {"X-Api-Key": "evil", "x-api_key": "evil"}
    seen = session.get(f"{gateway.url}/old/anything/a%20b/?q=1", headers=sent, timeout=10)
    assert seen.json()["headers"]["Host"] == HOST
    assert seen.json()["headers"]["X-Api-Key"] == "of-the-upstream"
    assert "evil" not in seen.text
    assert seen.json()["args"] == {"q": "1"}
    assert (seen.headers["X-Mine"], "Server" in seen.headers) == ("yes", False)


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_a_client_follows_its_redirects(gateway, session, kind):
    """It redirects by paths, and by URLs with the Host that it was sent."""
    answer = session.get(f"{gateway.url}/old/{kind}/3", timeout=10)
    assert (answer.status_code, answer.url) == (200, f"{gateway.url}/old/get")
    assert len(answer.history) == 3


def test_its_cookies_come_back_to_it_and_to_nothing_else(gateway, session):
    answer = session.get(f"{gateway.url}/old/cookies/set?mine=1", timeout=10)
    assert answer.json() == {"cookies": {"mine": "1"}}
    [cookie] = session.cookies
    assert (cookie.path, cookie.domain_specified) == ("/old", False)


@pytest.fixture(scope="module")
def browser(chromium):
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def ask(browser, gateway):
    """Lets a page of some origin ask for what the gateway guards; what its script can read."""
    contexts = []

    def ask(origin, token):
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.goto(origin)
        return page.evaluate(ASK, [f"{gateway.url}/old/get", token])

    yield ask
    for context in contexts:
        context.close()


def test_a_page_of_the_origin_that_is_named_may_use_it(ask, pages, token):
    """With a token, which the browser asks leave to send; and it can read why it is refused."""
    status, text, mine = ask(f"http://127.0.0.1:{pages}", token)
    assert (status, HOST in text, mine) == (200, True, "yes")
    status, text, _ = ask(f"http://127.0.0.1:{pages}", None)
    assert (status, "missing_token" in text) == (401, True)


def test_a_page_of_another_origin_may_not(ask, pages, token):
    """The service itself would let every origin."""
    for sent in (token, None):
        status, text, _ = ask(f"http://localhost:{pages}", sent)
        assert (status, "Failed to fetch" in text) == (0, True)
