"""The command line's client role at our own server: sign in, call, look, lose access, sign out."""

import json

import pytest
import requests

from tests.e2e.forms import Browser
from tests.e2e.programs import START_SECONDS, embedded_server, free_port
from tests.e2e.terminals import Terminal

PASSWORD = "correct horse battery staple"


@pytest.fixture
def gateway(start_gateway, httpbin):
    listen = f"127.0.0.1:{free_port()}"
    gateway = start_gateway(
        {
            "listen": listen,
            "public_url": f"http://{listen}",
            "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
            "upstreams": {"legacy": {"servers": [httpbin]}},
            "routes": [
                {
                    "name": "read",
                    "match": {"path": "/anything/**"},
                    "require": {"scopes": ["orders:read"]},
                }
            ],
        }
    )
    done = gateway.command("user", "add", "alice", "--password-stdin", input=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    words = ["--public", "--grant", "authorization_code device_code", "--scope", "orders:read"]
    words += ["--redirect-uri", "http://127.0.0.1/callback", "--json"]
    done = gateway.command("client", "add", "gateway-cli", *words)
    assert done.returncode == 0, done.stderr
    return gateway


@pytest.fixture
def terminal(tmp_path):
    return Terminal(tmp_path / "home")


def allow(browser, page):
    """Signs in and allows as far as the pages ask."""
    if 'name="password"' in page.text:
        answers = {"username": "alice", "password": PASSWORD}
        page = browser.send(page, answers, press="sign-in")
    if 'id="user_code"' in page.text:
        page = browser.send(page, {})
    return browser.send(page, {}, press="allow")


def test_code_flow_call_look_and_sign_out(gateway, terminal):
    """What whoami says of a sign-in was asked of the server, by a refresh."""
    with terminal.login(gateway.url) as program:  # the resource's address leads to the server
        page = allow(browser := Browser("ko"), browser.open(terminal.opened_address()))
        assert "이 창은 닫아도 됩니다" in page.text
        assert program.process.wait(START_SECONDS) == 0, program.text()
    done = terminal.run("call", "GET", f"{gateway.url}/anything/7")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["headers"]["X-Auth-Username"] == "alice"

    told = json.loads(terminal.run("whoami", "--json").stdout)
    assert (told["active"], told["scope"], told["refreshable"]) == (True, "orders:read", True)

    token = terminal.accounts()[0]["access_token"]
    done = terminal.run("logout")
    assert done.returncode == 0, done.stderr
    bearer = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{gateway.url}/anything/8", headers=bearer, timeout=30)
    assert answer.status_code == 401


def test_device_flow_for_one_resource_until_the_person_is_disabled(gateway, terminal):
    resource = ("--resource", f"{gateway.url}/")
    with terminal.login(gateway.authorization_server_url, "--device", *resource) as program:
        address = program.wait_for_line(r"^(http://\S+user_code=\S+)$")[1]
        browser = Browser()
        allow(browser, browser.open(address))
        assert program.process.wait(START_SECONDS) == 0, program.text()
    done = terminal.run("call", "GET", f"{gateway.url}/anything/7")
    assert done.returncode == 0, done.stderr

    assert gateway.command("user", "disable", "alice").returncode == 0
    done = terminal.run("call", "GET", f"{gateway.url}/anything/7")
    assert done.returncode == 1
    assert "gateway login" in done.stderr
    assert terminal.run("whoami").returncode == 1
