"""Whatever is sent, to whichever endpoint: an answer, and never a fault of the server."""

import asyncio
import base64
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute

from gateway.authserver.administration import NewSecret
from gateway.authserver.people import throttle
from gateway.policy.tokenformat import new_token
from tests.authserver.conftest import Answer, Endpoints
from tests.authserver.people_fixtures import DEVICE_GRANT

PATHS = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/device_authorization"]
GRANTS = ["authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT]
PARAMETERS = [
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "device_code",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "token",
    "token_type_hint",
]
# As they stand in the body: raw bytes, and escapes of bytes.
ODD = [
    b'"',
    b"\\",
    b"\x00",
    b"%00",
    b"%22",
    b"%5C",
    b"\xff\xfe",
    b"%ff",
    b"%c0%af",
    b"\xed\xa0\x80",
    b"%ed%a0%80",
    b"%",
    b"%zz",
    b"%u0061",
    b"+",
    b"%0d%0aX:%20y",
    b"%E2%80%AE",
    b"%F0%9F%94%91" * 100,
    b"x" * 60_000,
    b"x" * 70_000,
]


def _form(endpoint_form: dict[str, str], name: str, value: bytes) -> bytes:
    pairs = {key.encode(): item.encode() for key, item in endpoint_form.items()}
    return b"&".join(key + b"=" + item for key, item in {**pairs, name.encode(): value}.items())


@pytest.fixture(autouse=True)
def without_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much of it comes from one address that a device would have to wait."""
    limit = RateLimitItemPerMinute(1_000_000, namespace="device-address")
    monkeypatch.setattr(throttle, "_DEVICES_AT_ADDRESS", limit)


@pytest.fixture
def whole_form(app: NewSecret) -> dict[str, str]:
    """Every parameter that there is, each in its right form."""
    return {
        "code": new_token("ac"),
        "redirect_uri": "https://desk.example/callback",
        "code_verifier": "x" * 43,
        "refresh_token": new_token("rt"),
        "device_code": new_token("dc"),
        "scope": "orders:read",
        "resource": "https://api.example",
        "token": new_token("at"),
        "client_id": "app",
    }


@pytest.mark.parametrize("name", PARAMETERS)
async def test_no_odd_parameter_makes_an_endpoint_fail(
    endpoints: Endpoints, whole_form: dict[str, str], desk: NewSecret, name: str
) -> None:
    """For a public client, and for one that has authenticated and so gets further."""
    for value in ODD:
        for path in PATHS:
            for grant in GRANTS if path == "/oauth2/token" else GRANTS[:1]:
                form = {**whole_form, "grant_type": grant}
                public = await endpoints.post(path, _form(form, name, value))
                del form["client_id"]
                confidential = await endpoints.post(path, _form(form, name, value), basic=desk)
                for answer in (public, confidential):
                    assert answer.status in (200, 400, 401, 403, 413), (path, value[:20])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", PARAMETERS)
async def test_a_parameter_that_comes_twice_is_refused_on_every_endpoint(
    endpoints: Endpoints, whole_form: dict[str, str], path: str, name: str
) -> None:
    """RFC 6749, section 3.2; with the same value as with another one."""
    form = {**whole_form, "grant_type": "refresh_token", "client_secret": "x", name: "a"}
    body = _form(form, name, b"a") + f"&{name}=a".encode()
    assert _is_bad_request(await endpoints.post(path, body))
    if name != "resource":
        assert _is_bad_request(await endpoints.post(path, body[:-1] + b"b"))


@pytest.mark.parametrize("path", PATHS)
async def test_basic_credentials_of_odd_bytes_are_only_wrong(
    endpoints: Endpoints, path: str
) -> None:
    generator = random.Random(7)
    pairs = [generator.randbytes(length) for length in range(60)]
    pairs += [b"a:" + value for value in ODD if len(value) < 5_000]
    pairs += [value + b":a" for value in ODD if len(value) < 5_000]
    for pair in pairs:
        header = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        answer = await endpoints.post(path, {"token": "x", "grant_type": "x"}, headers=header)
        assert answer.status in (400, 401), pair
    for text in ("Basic", "Basic ", "Basic =", "Basic %", "Basic %zz", "Bearer x", '"', "\\"):
        answer = await endpoints.post(path, {"token": "x"}, headers={"Authorization": text})
        assert answer.status in (400, 401), text


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(PATHS),
    form=st.dictionaries(
        st.sampled_from([*PARAMETERS, "ä"]),
        st.one_of(
            st.sampled_from([*GRANTS, "app", "desk", "orders:read", '"', "\\", "\0", "\ud800"]),
            st.sampled_from([new_token(kind) for kind in ("at", "rt", "ac", "dc", "cs")]),
            st.text(max_size=20),
        ),
    ),
    authorization=st.one_of(
        st.none(), st.binary(max_size=30), st.binary(max_size=30).map(lambda tail: b"Basic " + tail)
    ),
)
async def test_no_form_and_no_header_makes_an_endpoint_fail(
    endpoints: Endpoints,
    desk: NewSecret,
    app: NewSecret,
    path: str,
    form: dict[str, str],
    authorization: bytes | None,
) -> None:
    body = "&".join(f"{name}={value}" for name, value in form.items())
    encoded = body.encode("utf-8", "surrogatepass")
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    if authorization is not None:
        head += b"Authorization: " + authorization + b"\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(encoded)

    answer = await asyncio.wait_for(_speak(endpoints, head + encoded), 10)

    status = int(answer.split(b" ", 2)[1])
    assert status in (200, 400, 401, 403)
    assert b"Traceback" not in answer


def _is_bad_request(answer: Answer) -> bool:
    return (answer.status, answer.json["error"]) == (400, "invalid_request")


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
