"""A guard before an authorization server that nobody here wrote, in every way of asking it.

node-oidc-provider issues the tokens, and judges what the gateway shows of itself.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey

from tests.e2e.programs import Gateway, free_port, running_gateway, wait_until
from tests.e2e.terminals import running_node

MACHINE = ("machine", "the-secret-of-the-machine")
LIFETIME = 2.0


class Provider:
    """The running provider, and a key that it knows as that of the client `guard-key`."""

    def __init__(self, issuer: str, key: Path) -> None:
        self.issuer = issuer
        self.key = key

    def issue(self) -> str:
        form = {"grant_type": "client_credentials", "scope": "orders:read"}
        answer = requests.post(f"{self.issuer}/token", data=form, auth=MACHINE, timeout=30)
        token: str = answer.json()["access_token"]
        return token

    def revoke(self, token: str) -> None:
        url = f"{self.issuer}/token/revocation"
        requests.post(url, data={"token": token}, auth=MACHINE, timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def provider(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    key = ECKey.generate_key("P-256")
    path = tmp_path_factory.mktemp("key") / "guard.pem"
    path.touch(mode=0o600)
    path.write_bytes(key.as_pem(private=True))
    public = {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": "ES256"}
    port = free_port()
    arguments = [str(port), "600", json.dumps(public)]
    folder = tmp_path_factory.mktemp("provider")
    with running_node(node, "provider.mjs", arguments, folder, "listening at"):
        yield Provider(f"http://127.0.0.1:{port}", path)


@contextmanager
def guard_before(
    provider: Provider, httpbin: str, folder: Path, **keys: object
) -> Iterator[Gateway]:
    listen = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "listen": listen,
        "public_url": f"http://{listen}",
        "authorization_servers": {
            "foreign": {"introspection": {"issuer": provider.issuer, **keys}}
        },
        "introspection_cache": {"max_lifetime": f"{LIFETIME:g}s", "negative_lifetime": "1ms"},
        "upstreams": {"legacy": {"servers": [httpbin]}},
        "routes": [
            {
                "name": "read",
                "match": {"path": "/anything/**"},
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }
    with running_gateway(settings, folder) as running:
        yield running


def ask(guard: Gateway, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{guard.url}/anything/1", headers=headers, timeout=30)


def ways(provider: Provider) -> dict[str, dict[str, object]]:
    url = f"{provider.issuer}/token/introspection"
    basic = {"client_id": "guard", "client_secret": "the-secret-of-the-guard"}
    return {
        "by its metadata": basic,
        "by a url": {**basic, "url": url},
        "secret in the form": {
            "authentication": "client_secret_post",
            "client_id": "guard-post",
            "client_secret": "a secret: with +, % and /",
        },
        "signed assertion": {
            "authentication": "private_key_jwt",
            "client_id": "guard-key",
            "private_key": str(provider.key),
        },
    }


@pytest.mark.parametrize(
    "way", ["by its metadata", "by a url", "secret in the form", "signed assertion"]
)
def test_a_token_passes_and_a_revoked_one_does_not(
    provider: Provider, httpbin: str, tmp_path: Path, way: str
) -> None:
    """Three tokens, so that what may be used once is not used twice."""
    with guard_before(provider, httpbin, tmp_path, **ways(provider)[way]) as guard:
        for _ in range(3):
            answer = ask(guard, provider.issue())
            assert answer.status_code == 200, answer.text
            assert answer.json()["headers"]["X-Auth-Client-Id"] == "machine"
        revoked = provider.issue()
        provider.revoke(revoked)
        answer = ask(guard, revoked)
        assert (answer.status_code, answer.json()["reason"]) == (401, "inactive_token")


def test_a_revocation_over_there_is_known_here_within_max_lifetime(
    provider: Provider, httpbin: str, tmp_path: Path
) -> None:
    with guard_before(provider, httpbin, tmp_path, **ways(provider)["by a url"]) as guard:
        token = provider.issue()
        assert ask(guard, token).status_code == 200
        provider.revoke(token)
        revoked = time.monotonic()
        wait_until(lambda: time.monotonic() >= revoked + LIFETIME, what="the lifetime to pass")
        assert ask(guard, token).status_code == 401


def test_credentials_that_are_refused_are_no_fault_of_the_client(
    provider: Provider, httpbin: str, tmp_path: Path
) -> None:
    wrong = {"client_id": "guard", "client_secret": "another secret"}
    with ExitStack() as stack:
        guard = stack.enter_context(guard_before(provider, httpbin, tmp_path, **wrong))
        answer = ask(guard, provider.issue())
        assert answer.status_code == 503
        assert answer.json()["reason"] == "authorization_server_unavailable"
        assert "WWW-Authenticate" not in answer.headers
        state = 'gateway_authorization_server_state{authorization_server="foreign",state='
        wait_until(
            lambda: (
                f'{state}"credentials_refused"}} 1'
                in requests.get(f"{guard.admin_url}/metrics", timeout=10).text
            ),
            what="the state to be shown",
        )
