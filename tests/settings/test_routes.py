"""Routes of the file become the table that requests meet."""

from collections.abc import Callable
from pathlib import Path

from gateway.policy.routes import Requirement, Route
from gateway.settings import compile_routes, load
from tests.settings.conftest import VALID

MORE = """\
  - name: change-orders
    match: {host: API.example.com, path: /orders/**, methods: [GET, POST]}
    upstream: orders
    authorization_server: local
    require:
      any_scope: [admin, "orders:read"]
      audience: https://api.example.com
      claims: {tenant: acme, level: [1, true]}
    forward_token: true
  - name: health
    match: {path: /healthz}
    public: true
"""


def test_every_key_of_a_route_arrives_in_the_table(write: Callable[[str], Path]) -> None:
    table = compile_routes(load(write(VALID + MORE), {}))
    assert table.routes == (
        Route(
            name="orders",
            host=None,
            path="/orders/**",
            methods=None,
            upstream="orders",
            authorization_server="local",
            issuers=frozenset({"http://127.0.0.1:8081"}),
            requirement=Requirement(scopes=frozenset({"orders:read"})),
        ),
        Route(
            name="change-orders",
            host="api.example.com",
            path="/orders/**",
            methods=frozenset({"GET", "HEAD", "POST"}),
            upstream="orders",
            authorization_server="local",
            issuers=frozenset({"http://127.0.0.1:8081"}),
            requirement=Requirement(
                any_scope=frozenset({"admin", "orders:read"}),
                audience="https://api.example.com",
                claims=(("tenant", ("acme",)), ("level", (1, True))),
            ),
            forward_token=True,
        ),
        Route(
            name="health",
            host=None,
            path="/healthz",
            methods=None,
            upstream="orders",
            authorization_server="local",
            issuers=frozenset({"http://127.0.0.1:8081"}),
            requirement=None,
        ),
    )


def test_a_route_without_public_is_never_compiled_as_public(write: Callable[[str], Path]) -> None:
    content = VALID.replace('{scopes: ["orders:read"]}', "{}")
    [route] = compile_routes(load(write(content), {})).routes
    assert route.requirement == Requirement()
    assert not route.is_public
