"""What holds for all endpoints: which exist, how they refuse, and that nothing makes them fail."""

import asyncio
import gzip
import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.authserver import endpoints as endpoints_module
from gateway.authserver import form as form_module
from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.server import EmbeddedServer
from gateway.authserver.storage import sqlite
from tests.authserver.conftest import ISSUER, Endpoints, Surroundings, sqlite_only
from tests.authserver.people_fixtures import (
    DEVICE_GRANT,
    VERIFIER,
    Person,
    ask,
    redeem,
    refresh,
)

PATHS = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/device_authorization"]
FORM = {"grant_type": "client_credentials", "token": "x"}


async def test_the_metadata_lists_exactly_what_works(endpoints: Endpoints) -> None:
    """RFC 8414."""
    answer = await endpoints.post("/.well-known/oauth-authorization-server", method="GET")

    confidential = ["client_secret_basic", "client_secret_post"]
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/oauth2/authorize",
        "authorization_response_iss_parameter_supported": True,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint": f"{ISSUER}/oauth2/token",
        "token_endpoint_auth_methods_supported": [*confidential, "none"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "device_authorization_endpoint": f"{ISSUER}/oauth2/device_authorization",
        "introspection_endpoint": f"{ISSUER}/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": confidential,
        "revocation_endpoint": f"{ISSUER}/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": [*confidential, "none"],
        "ui_locales_supported": ["en", "ko"],
        "scopes_supported": ["orders:read", "orders:write"],
        "protected_resources": ["https://shop.example"],
    }
    for name, url in answer.json.items():
        if name.endswith("_endpoint") and name != "authorization_endpoint":
            path = str(url).removeprefix(ISSUER)
            assert (await endpoints.post(path, FORM)).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/oauth2/register",
        "/oauth2/token/",
        "/oauth2//token",
        "/OAUTH2/token",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_does_not_work_yet_is_not_there(
    endpoints: Endpoints, path: str, method: str
) -> None:
    answer = await endpoints.post(path, method=method)
    assert (answer.status, answer.json["error"]) == (404, "invalid_request")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PROPFIND"])
async def test_another_method_is_refused(endpoints: Endpoints, path: str, method: str) -> None:
    answer = await endpoints.post(path, method=method)
    assert (answer.status, answer.json["error"]) == (405, "invalid_request")
    is_for_scripts = path != "/oauth2/introspect"
    assert answer.headers["Allow"] == ("OPTIONS, POST" if is_for_scripts else "POST")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"a": 1}', {"Content-Type": "application/json"}, 415),
        (b"a=1", {"Content-Type": "text/plain"}, 415),
        (b"a=1", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"a=1", {"Content-Type": "nonsense"}, 415),
        (gzip.compress(b"a=1", mtime=0), {"Content-Encoding": "gzip"}, 415),
        (b"a=1&a=1", {}, 400),
        (b"token=1&token=1", {}, 400),
        (b"resource=https://a.example&resource=https://a.example", {}, 400),
        (b"a=%00", {}, 400),
        (b"a=\x00", {}, 400),
        (b"a=%ff", {}, 400),
        (b"a=\xff", {}, 400),
        (b"a=" + b"x" * 70_000, {}, 413),
    ],
)
async def test_a_body_that_is_no_clean_form_is_refused(
    endpoints: Endpoints,
    shop: NewSecret,
    path: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    answer = await endpoints.post(path, body, basic=shop, headers=headers)
    assert (answer.status, answer.json["error"]) == (status, "invalid_request")


@pytest.mark.parametrize("path", PATHS)
async def test_parameters_in_the_url_are_refused(
    endpoints: Endpoints, shop: NewSecret, path: str
) -> None:
    """RFC 6749, section 2.3.1: URLs end up in logs and histories."""
    answer = await endpoints.post(f"{path}?client_secret={shop.secret}", FORM, basic=shop)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_a_body_is_asked_for_when_the_client_waits_for_that(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    async with endpoints.client.post(
        "/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": "shop",
            "client_secret": shop.secret,
        },
        expect100=True,
    ) as response:
        assert response.status == 200


async def test_a_body_that_does_not_arrive_is_given_up(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form_module, "_BODY_TIMEOUT", 0.05)
    head = (
        b"POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\na"
    )
    server = endpoints.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head)
    assert await asyncio.wait_for(reader.readline(), 10) == b"HTTP/1.1 408 Request Timeout\r\n"
    writer.close()


async def test_an_issuer_on_plain_http_works_on_loopback_whatever_the_host_header_says(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    answer = await endpoints.post(
        "/oauth2/token",
        {"grant_type": "client_credentials"},
        basic=shop,
        headers={"Host": "public.example"},
    )
    assert answer.status == 200


async def test_an_issuer_behind_tls_works(
    options: AuthorizationServerOptions, shop: NewSecret, surroundings: Surroundings
) -> None:
    secure = replace(options, issuer="https://login.example")
    server = EmbeddedServer(secure, surroundings.publish, surroundings.count_issued)
    async with TestClient(TestServer(server.application())) as client:
        assert (await Endpoints(client).issue(shop)).status == 200
    await server.close()


async def test_the_operator_sees_the_requests_and_never_their_parameters(
    endpoints: Endpoints, shop: NewSecret, surroundings: Surroundings
) -> None:
    await endpoints.issue(shop)
    await endpoints.issue()
    await endpoints.post(f"/oauth2/token/{shop.secret}", FORM)
    await endpoints.post("/oauth2/token", method="GET")
    await endpoints.post("/.well-known/oauth-authorization-server", method="GET")

    assert surroundings.requests == [
        ("POST", "/oauth2/token", 200),
        ("POST", "/oauth2/token", 401),
        ("POST", "-", 404),
        ("GET", "-", 405),
        ("GET", "/.well-known/oauth-authorization-server", 200),
    ]


@pytest.fixture
def unsilenced() -> None:
    """The libraries' loggers as they are in a process that has just started."""
    for name in logging.root.manager.loggerDict:
        if name.startswith(("authlib", "sqlalchemy")):
            logging.getLogger(name).filters.clear()


async def test_no_log_line_carries_a_secret_or_what_it_rests_as(  # noqa: PLR0917 - all who take part
    unsilenced: None,
    endpoints: Endpoints,
    server: EmbeddedServer,
    administration: Administration,
    shop: NewSecret,
    api: NewSecret,
    desk: NewSecret,
    app: NewSecret,
    alice: Person,
    caplog: pytest.LogCaptureFixture,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    """With every logger turned up, the libraries' own and those below them included."""
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name or None)

    token = str((await endpoints.issue(shop)).json["access_token"])
    await endpoints.introspect(api, token)
    await server.introspect(token)
    await endpoints.revoke(shop, token)
    await endpoints.issue(client_id="shop", client_secret=shop.secret, scope="none")
    administration.revoke_token(administration.issue_token("shop").token)
    code = alice.authorize("desk")
    first = (await redeem(endpoints, desk, code)).json["refresh_token"]
    second = (await refresh(endpoints, desk, first)).json["refresh_token"]
    await refresh(endpoints, desk, first)
    await refresh(endpoints, desk, second)
    await redeem(endpoints, desk, code)
    begun = (await ask(endpoints, app, "/oauth2/device_authorization")).json
    device = {"grant_type": DEVICE_GRANT, "device_code": str(begun["device_code"])}
    await ask(endpoints, app, **device)
    alice.approve(str(begun["user_code"]))
    polled = (await ask(endpoints, app, **device)).json
    await ask(endpoints, app, "/oauth2/revoke", token=str(polled["refresh_token"]))

    assert "gw_" not in caplog.text
    assert str(begun["user_code"]) not in caplog.text
    assert VERIFIER not in caplog.text
    for table in ("access_tokens", "refresh_tokens", "authorization_codes", "device_codes"):
        for (hashed,) in query(f"SELECT hash FROM {table}"):
            for text in (repr(hashed), repr(memoryview(hashed).tobytes())):
                assert text not in caplog.text
    assert "no password" not in caplog.text


async def test_a_path_for_programs_never_answers_with_a_page(endpoints: Endpoints) -> None:
    for path in PATHS:
        answer = await endpoints.post(path, method="GET", headers={"Accept": "text/html"})
        assert (answer.status, answer.json["error"]) == (405, "invalid_request")


@sqlite_only("the file can be taken away")
async def test_a_database_that_has_gone_is_an_outage_on_every_endpoint(
    endpoints: Endpoints,
    shop: NewSecret,
    database_file: Path,
    caplog: pytest.LogCaptureFixture,
    surroundings: Surroundings,
) -> None:
    assert (await endpoints.issue(shop)).status == 200
    for file in database_file.parent.iterdir():
        file.unlink()

    for path in PATHS:
        answer = await endpoints.post(path, FORM, basic=shop)
        assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert str(database_file).encode() not in answer.body
    assert str(database_file) in caplog.text  # the operator is told which
    assert "Traceback" not in caplog.text
    assert surroundings.published == []


@sqlite_only("there is one lock for all")
async def test_a_lock_that_is_never_given_back_is_an_outage_for_writers_only(
    endpoints: Endpoints,
    administration: Administration,
    shop: NewSecret,
    api: NewSecret,
    surroundings: Surroundings,
    database_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite.connect, "__defaults__", (0.05,))
    token = administration.issue_token("shop").token
    with closing(sqlite3.connect(database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await endpoints.issue(shop)).status == 503
        assert (await endpoints.revoke(shop, token)).status == 503
        assert surroundings.published == []  # nothing is committed, so nothing is announced
        assert (await endpoints.introspect(api, token)).json["active"] is True
        assert (await endpoints.issue(shop, client_secret="")).status == 503
        wrong = await endpoints.post("/oauth2/token", FORM, basic=("shop", "wrong"))
        assert wrong.status == 401  # a stranger needs no lock, and so takes none
    assert (await endpoints.issue(shop)).status == 200


async def test_a_fault_of_the_program_is_logged_and_not_shown(
    endpoints: Endpoints,
    shop: NewSecret,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("the inner words")

    monkeypatch.setattr(endpoints_module.Conversation, "issue", fail)
    answer = await endpoints.issue(shop)

    assert (answer.status, answer.json["error"]) == (500, "server_error")
    assert b"inner words" not in answer.body
    assert "inner words" in caplog.text


async def test_every_problem_speaks_in_the_characters_that_the_standard_allows() -> None:
    """RFC 6749, section 5.2: no quotation mark, no backslash, ASCII only."""
    for problem in endpoints_module.Problem:
        for words in (problem.error, problem.description):
            assert all(" " <= character <= "~" and character not in '"\\' for character in words)
        assert json.loads(json.dumps(problem.error)) == problem.error


async def _speak(endpoints: Endpoints, request: bytes) -> bytes:
    """Sends bytes as they are, and gives what came back until the connection closed."""
    server = endpoints.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
