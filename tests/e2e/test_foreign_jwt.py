"""A guard that checks JWTs of a server that nobody here wrote, while its keys change.

node-oidc-provider issues the tokens (RFC 9068) and publishes its keys.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey, Key, RSAKey

from tests.e2e.programs import Gateway, embedded_server, free_port, running_gateway, wait_until
from tests.e2e.terminals import running_node

MACHINE = ("machine", "the-secret-of-the-machine")


def private(key: Key, algorithm: str) -> dict[str, Any]:
    return {**key.as_dict(private=True), "alg": algorithm, "use": "sig", "kid": key.thumbprint()}


# The provider wants one for the ID tokens that it would issue by default.
FOR_ID_TOKENS = private(RSAKey.generate_key(2048), "RS256")


@contextmanager
def provider(node: Path, folder: Path, port: int, *keys: dict[str, Any]) -> Iterator[str]:
    folder.mkdir(exist_ok=True)
    arguments = [str(port), "600", "", json.dumps({"keys": [*keys, FOR_ID_TOKENS]})]
    with running_node(node, "provider.mjs", arguments, folder, "listening at"):
        yield f"http://127.0.0.1:{port}"


def issue(issuer: str, resource: str | None = "urn:orders-api") -> str:
    """Gives a token: a JWT where it is for a resource."""
    form = {"grant_type": "client_credentials", "scope": "orders:read"}
    if resource is not None:
        form["resource"] = resource
    answer = requests.post(f"{issuer}/token", data=form, auth=MACHINE, timeout=30)
    token: str = answer.json()["access_token"]
    return token


@contextmanager
def guard_before(
    issuer: str, httpbin: str, folder: Path, others: Mapping[str, object] | None = None
) -> Iterator[Gateway]:
    """A guard whose route is opened by JWTs of `issuer`, and by tokens of `others`."""
    listen = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "listen": listen,
        "public_url": f"http://{listen}",
        "authorization_servers": {
            "partner": {"jwt": {"issuer": issuer, "audience": "orders-api"}},
            **(others or {}),
        },
        "introspection_cache": {"negative_lifetime": "1ms"},
        "upstreams": {"legacy": {"servers": [httpbin]}},
        "routes": [
            {
                "name": "read",
                "match": {"path": "/anything/**"},
                "authorization_server": ["partner", *(others or {})],
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }
    with running_gateway(settings, folder) as running:
        yield running


def ask(guard: Gateway, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{guard.url}/anything/1", headers=headers, timeout=30)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-256"), "ES256")],
    ids=["RS256", "ES256"],
)
def test_a_jwt_passes_and_one_for_others_does_not(
    node: Path, httpbin: str, tmp_path: Path, key: Key, algorithm: str
) -> None:
    port = free_port()
    with (
        provider(node, tmp_path / "provider", port, private(key, algorithm)) as issuer,
        guard_before(issuer, httpbin, tmp_path) as guard,
    ):
        answer = ask(guard, issue(issuer))
        assert answer.status_code == 200, answer.text
        headers = answer.json()["headers"]
        assert headers["X-Auth-Client-Id"] == "machine"
        assert headers["X-Auth-Issuer"] == issuer
        assert "X-Auth-Subject" not in headers
        assert "Authorization" not in headers
        other = ask(guard, issue(issuer, "urn:other-api"))
        assert (other.status_code, other.json()["reason"]) == (401, "wrong_audience")
        opaque = ask(guard, "opaque")
        assert (opaque.status_code, opaque.json()["reason"]) == (401, "inactive_token")


def test_tokens_of_several_servers_open_one_route(node: Path, httpbin: str, tmp_path: Path) -> None:
    """JWTs that are checked here, opaque tokens of the same issuer, and those of our own server."""
    port = free_port()
    key = private(ECKey.generate_key("P-256"), "ES256")
    with ExitStack() as stack:
        issuer = stack.enter_context(provider(node, tmp_path / "provider", port, key))
        asked = {
            "issuer": issuer,
            "client_id": "guard",
            "client_secret": "the-secret-of-the-guard",
        }
        others = {
            "corporate": {"introspection": asked},
            "local": embedded_server({"orders:read": "See orders"}),
        }
        guard = stack.enter_context(guard_before(issuer, httpbin, tmp_path, others))
        guard.add_client("cron", "--grant", "client_credentials", "--scope", "orders:read")
        jwt, opaque = issue(issuer), issue(issuer, None)
        assert (jwt.count("."), opaque.count(".")) == (2, 0)
        ours = guard.issue_token("cron", "orders:read")
        issuers = {jwt: issuer, opaque: issuer, ours: guard.authorization_server_url}
        for token, its_issuer in issuers.items():
            answer = ask(guard, token)
            assert answer.status_code == 200, answer.text
            assert answer.json()["headers"]["X-Auth-Issuer"] == its_issuer
        other = ask(guard, issue(issuer, "urn:other-api"))
        assert (other.status_code, other.json()["reason"]) == (401, "wrong_audience")


def test_keys_may_be_rotated_while_the_guard_runs(node: Path, httpbin: str, tmp_path: Path) -> None:
    """Tokens of the old key go on passing as long as it is published."""
    old = private(ECKey.generate_key("P-256"), "ES256")
    new = private(ECKey.generate_key("P-256"), "ES256")
    folder, port = tmp_path / "provider", free_port()
    with ExitStack() as stack:
        before = ExitStack()
        issuer = before.enter_context(provider(node, folder, port, old))
        stack.push(before)
        guard = stack.enter_context(guard_before(issuer, httpbin, tmp_path))
        first, unseen = issue(issuer), issue(issuer)
        assert ask(guard, first).status_code == 200
        before.close()
        assert ask(guard, unseen).status_code == 200, "the keys are known"
        stack.enter_context(provider(node, folder, port, new, old))
        second = issue(issuer)
        wait_until(lambda: ask(guard, second).status_code == 200, 30, "the new key to be found")
        assert ask(guard, first).status_code == 200
        assert ask(guard, issue(issuer)).status_code == 200
