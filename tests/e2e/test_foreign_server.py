"""`gateway login` and what follows, at an authorization server that nobody here wrote.

node-oidc-provider signs the person in, and a guard that asks it by introspection stands in front
of a legacy service that nobody here wrote, either.
"""

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import requests

from tests.e2e.forms import Browser
from tests.e2e.programs import START_SECONDS, Gateway, free_port, running_gateway
from tests.e2e.terminals import Terminal, running_node

ANSWERS = {"login": "alice", "password": "any"}
SCOPES = "openid offline_access orders:read"
GUARD = ("guard", "the-secret-of-the-guard")


@dataclass
class World:
    """The provider, and a guarded service whose tokens it issues."""

    issuer: str
    guard: Gateway

    def introspect(self, token: str) -> bool:
        """Says whether the provider calls a token active."""
        answer = requests.post(
            f"{self.issuer}/token/introspection", data={"token": token}, auth=GUARD, timeout=30
        )
        return answer.json()["active"]

    def revoke(self, token: str) -> None:
        """Gives a token up behind the command's back."""
        requests.post(
            f"{self.issuer}/token/revocation",
            data={"token": token, "client_id": "gateway-cli"},
            timeout=30,
        ).raise_for_status()


@pytest.fixture(scope="module")
def world(node, httpbin, tmp_path_factory):
    with ExitStack() as stack:
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        stack.enter_context(
            running_node(
                node,
                "provider.mjs",
                [str(port), "600"],
                tmp_path_factory.mktemp("provider"),
                "listening at",
            )
        )
        listen = f"127.0.0.1:{free_port()}"
        settings = {
            "listen": listen,
            "public_url": f"http://{listen}",
            "authorization_servers": {
                "foreign": {
                    "introspection": {
                        "issuer": issuer,
                        "url": f"{issuer}/token/introspection",
                        "client_id": GUARD[0],
                        "client_secret": GUARD[1],
                    }
                }
            },
            "upstreams": {"legacy": {"servers": [httpbin]}},
            "routes": [
                {
                    "name": "read",
                    "match": {"path": "/anything/**", "methods": ["GET"]},
                    "require": {"scopes": ["orders:read"]},
                },
                {
                    "name": "write",
                    "match": {"path": "/anything/**", "methods": ["POST"]},
                    "require": {"scopes": ["orders:write"]},
                },
            ],
        }
        guard = stack.enter_context(running_gateway(settings, tmp_path_factory.mktemp("guard")))
        yield World(issuer, guard)


@pytest.fixture
def terminal(tmp_path):
    """A terminal of which nothing that it said in the test may hold a token of the test."""
    terminal = Terminal(tmp_path / "home")
    seen: set[str] = set()
    run = terminal.run

    def run_and_look(*words, **options):
        seen.update(tokens_of(terminal))
        done = run(*words, **options)
        seen.update(tokens_of(terminal))
        return done

    terminal.run = run_and_look
    yield terminal
    said = "".join(terminal.said)
    seen.update(tokens_of(terminal))
    assert not [token for token in seen if token in said]


def tokens_of(terminal):
    if not terminal.credentials.exists():
        return set()
    return {
        account[kind]
        for account in terminal.accounts()
        for kind in ("access_token", "refresh_token")
    } - {None}


def sign_in(terminal, world, *words):
    return terminal.sign_in(world.issuer, *words, browser=Browser(), answers=ANSWERS)


def test_the_five_steps_by_code_in_a_browser(terminal, world):
    """Sign in, call, refresh, whoami, logout; the person's password never meets the command."""
    sign_in(terminal, world, "--scope", SCOPES)
    first = terminal.accounts()[0]

    done = terminal.run("call", "GET", f"{world.guard.url}/anything/7?x=1")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["args"] == {"x": "1"}
    assert answer["headers"]["X-Auth-Subject"] == "alice"

    terminal.age()
    assert terminal.run("call", "GET", f"{world.guard.url}/anything/8").returncode == 0
    second = terminal.accounts()[0]
    assert second["access_token"] != first["access_token"]

    done = terminal.run("whoami", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["active"], told["subject"], told["issuer"]) == (True, "alice", world.issuer)
    assert told["client_id"] == "gateway-cli"
    assert set(told["scope"].split()) == set(SCOPES.split())
    assert told["origins"] == [world.guard.url]

    assert world.introspect(second["access_token"])
    done = terminal.run("logout")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not world.introspect(second["access_token"])
    assert not world.introspect(second["refresh_token"])
    assert terminal.accounts() == []
    done = terminal.run("call", "GET", f"{world.guard.url}/anything/9")
    assert done.returncode == 1
    assert "gateway login" in done.stderr


def test_the_device_flow_where_there_is_no_browser(terminal, world):
    """Without a browser it chooses the device flow by itself, and waits for the other one."""
    del terminal.environment["BROWSER"]
    with terminal.login(world.issuer, "--scope", SCOPES) as program:
        address = program.wait_for_line(r"open (http://\S+) in a browser")[1]
        code = program.wait_for_line(r"^([A-Z]{4}-[A-Z]{4})$")[1]
        browser = Browser()
        page = browser.send(browser.open(address), {"user_code": code})
        page = browser.follow_forms(page, ANSWERS, "Sign-in Success")
        assert program.process.wait(START_SECONDS) == 0, program.text()
    done = terminal.run("call", "GET", f"{world.guard.url}/anything/1")
    assert done.returncode == 0, done.stderr
    assert terminal.run("logout").returncode == 0


def test_a_device_that_is_denied_says_so(terminal, world):
    with terminal.login(world.issuer, "--device") as program:
        address = program.wait_for_line(r"^(http://\S+user_code=\S+)$")[1]
        browser = Browser()
        page = browser.send(browser.open(address), {})
        browser.send(page, {}, press="yes")  # the button that is named "abort"
        assert program.process.wait(START_SECONDS) == 1
        assert "access was denied (access_denied" in program.text()


def test_an_address_of_a_guarded_resource_leads_to_its_authorization_server(terminal, world):
    """RFC 9728: the resource names its authorization server, and the token is for that resource."""
    terminal.sign_in(world.guard.url, "--scope", "orders:read", browser=Browser(), answers=ANSWERS)
    account = terminal.accounts()[0]
    assert (account["issuer"], account["origins"]) == (world.issuer, [world.guard.url])


def test_a_confidential_client_signs_in_with_its_secret(terminal, world):
    """Its secret comes from standard input, and every special character of it arrives."""
    words = ("--client-id", "confidential", "--client-secret", "a secret: with +, % and /")
    sign_in(terminal, world, *words, "--scope", SCOPES)
    terminal.age()
    done = terminal.run("call", "GET", f"{world.guard.url}/anything/1")
    assert done.returncode == 0, done.stderr
    assert terminal.run("logout").returncode == 0


def test_a_person_who_refuses_is_told_so_in_clean_words(terminal, world):
    with terminal.login(world.issuer) as program:
        browser = Browser()
        page = browser.open(terminal.opened_address())
        cancel = re.search(r'href="([^"]+/abort)"', page.text)[1]
        page = browser.open(cancel)
        assert "Not signed in" in page.text
        assert program.process.wait(START_SECONDS) == 1
        assert "access was denied (access_denied" in program.text()


def test_a_token_that_is_refused_is_refreshed_once_and_the_request_sent_again(terminal, world):
    """Whatever its expiry says: the resource server's invalid_token is believed."""
    sign_in(terminal, world, "--scope", SCOPES)
    terminal.forge()
    done = terminal.run("call", "POST", f"{world.guard.url}/anything/1", "-d", "item=tea")
    assert done.returncode == 1  # for want of a scope, with the new token
    done = terminal.run("call", "GET", f"{world.guard.url}/anything/1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "GET"
    assert terminal.accounts()[0]["access_token"] != "a-token-that-nobody-knows"


def test_a_missing_scope_is_answered_with_how_to_get_it(terminal, world):
    sign_in(terminal, world, "--scope", SCOPES)
    done = terminal.run("call", "POST", f"{world.guard.url}/anything/1", "-d", "item=tea")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == 403
    assert f'gateway login {world.issuer} --scope "' in done.stderr
    assert "orders:write" in done.stderr


def test_a_sign_in_that_was_taken_back_is_said_to_be_over(terminal, world):
    sign_in(terminal, world, "--scope", SCOPES)
    world.revoke(terminal.accounts()[0]["refresh_token"])
    done = terminal.run("whoami")
    assert done.returncode == 1
    assert "sign in again: gateway login" in done.stderr
