"""CORS: which origins' scripts may read the answers of which endpoints."""

from collections.abc import Mapping

import pytest
from multidict import CIMultiDict

from gateway.authserver.administration import Administration, NewSecret
from tests.authserver.conftest import Answer, Endpoints, sqlite_only
from tests.authserver.people_fixtures import Person, redeem

METADATA = "/.well-known/oauth-authorization-server"
POSTED = ["/oauth2/token", "/oauth2/revoke", "/oauth2/device_authorization"]
OURS = "https://app.example"
OF_ANOTHER = "https://desk.example"
FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "*",
    "https://app.example/",
    "https://app.example:443",
    "http://app.example",
    "https://APP.example",
    "https://app.example.evil.example",
    "https://app.example https://desk.example",
    '"',
]


async def preflight(endpoints: Endpoints, path: str, origin: str | None) -> Mapping[str, str]:
    headers = {"Access-Control-Request-Method": "POST"}
    if origin is not None:
        headers["Origin"] = origin
    async with endpoints.client.options(path, headers=headers) as response:
        assert response.status == 204
        assert await response.read() == b""
        return response.headers


async def ask(endpoints: Endpoints, path: str, origin: str | None, **form: str) -> Answer:
    headers = {} if origin is None else {"Origin": origin}
    form = {"client_id": "app", "token": "x", "grant_type": "refresh_token", **form}
    return await endpoints.post(path, form, headers=headers)


def is_readable(headers: Mapping[str, str], origin: str) -> bool:
    """Says whether a script of that origin may read the answer."""
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers.get("Access-Control-Allow-Origin") in (None, origin)
    return "Access-Control-Allow-Origin" in headers


@pytest.mark.parametrize("path", [*POSTED, METADATA])
async def test_a_preflight_of_a_registered_origin_is_allowed(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret, path: str
) -> None:
    for origin in (OURS, OF_ANOTHER):
        headers = await preflight(endpoints, path, origin)
        assert is_readable(headers, origin)
        method = "GET" if path == METADATA else "POST"
        assert headers["Access-Control-Allow-Methods"] == method
        assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
        assert int(headers["Access-Control-Max-Age"]) > 0
        assert headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", [*POSTED, METADATA])
async def test_a_preflight_of_any_other_origin_allows_nothing(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret, path: str
) -> None:
    for origin in (None, *FOREIGN):
        headers = await preflight(endpoints, path, origin)
        assert not [name for name in headers if name.startswith("Access-Control")]
        assert headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", POSTED)
async def test_an_answer_is_for_the_origins_of_the_client_that_asks(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret, path: str
) -> None:
    """Refusals as well: a script has to read why. The origin of another client does not count."""
    answer = await ask(endpoints, path, OURS)
    assert is_readable(answer.headers, OURS)
    assert answer.headers["Vary"] == "Origin"
    for origin in (OF_ANOTHER, *FOREIGN):
        answer = await ask(endpoints, path, origin)
        assert not is_readable(answer.headers, origin)
        assert answer.headers["Vary"] == "Origin"
    assert not is_readable((await ask(endpoints, path, None)).headers, "")


async def test_a_browser_client_reads_its_tokens(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    code = alice.authorize("app")
    endpoints.client.session.headers["Origin"] = OURS
    answer = await redeem(endpoints, app, code)
    assert answer.status == 200
    assert is_readable(answer.headers, OURS)


@pytest.mark.parametrize("path", POSTED)
async def test_who_does_not_authenticate_is_of_no_origin(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret, path: str
) -> None:
    for client_id in ("desk", "nobody"):
        answer = await ask(endpoints, path, OF_ANOTHER, client_id=client_id)
        assert answer.status == 401
        assert not is_readable(answer.headers, OF_ANOTHER)


async def test_the_metadata_is_for_every_registered_origin(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret
) -> None:
    for origin in (OURS, OF_ANOTHER):
        answer = await endpoints.post(METADATA, method="GET", headers={"Origin": origin})
        assert is_readable(answer.headers, origin)
        assert answer.headers["Vary"] == "Origin"
    for origin in FOREIGN:
        answer = await endpoints.post(METADATA, method="GET", headers={"Origin": origin})
        assert answer.status == 200
        assert not is_readable(answer.headers, origin)


async def test_two_origins_are_none(endpoints: Endpoints, app: NewSecret) -> None:
    headers = CIMultiDict([("Origin", OURS), ("Origin", OURS)])
    async with endpoints.client.get(METADATA, headers=headers) as response:
        assert not is_readable(response.headers, OURS)


async def test_a_disabled_clients_origin_counts_no_more(
    endpoints: Endpoints, administration: Administration, app: NewSecret
) -> None:
    administration.disable_client("app")
    assert not is_readable(await preflight(endpoints, "/oauth2/token", OURS), OURS)
    assert not is_readable((await ask(endpoints, "/oauth2/token", OURS)).headers, OURS)


async def test_introspection_is_for_no_script(
    endpoints: Endpoints, administration: Administration, app: NewSecret
) -> None:
    api = administration.add_client(
        "browser-api", grant_types=["client_credentials"], origins=[OURS], may_introspect=True
    )
    answer = await endpoints.post(
        "/oauth2/introspect", {"token": "x"}, basic=api, headers={"Origin": OURS}
    )
    assert answer.status == 200
    assert not is_readable(answer.headers, OURS)
    refused = await endpoints.post("/oauth2/introspect", method="OPTIONS", headers={"Origin": OURS})
    assert refused.status == 405


@sqlite_only("the file can be taken away")
async def test_the_metadata_does_not_depend_on_the_database(
    endpoints: Endpoints, app: NewSecret, database_file: object
) -> None:
    for file in database_file.parent.iterdir():
        file.unlink()
    answer = await endpoints.post(METADATA, method="GET", headers={"Origin": OURS})
    assert answer.status == 200
    assert not is_readable(answer.headers, OURS)
