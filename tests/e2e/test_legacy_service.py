"""A real legacy service behind `gateway run`, spoken to by the HTTP clients that people have."""

import asyncio
import base64
import gzip
import hashlib
import http.client
import json
import socket
import subprocess
import time
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from tests.e2e.programs import embedded_server, running_gateway, wait_until

MIB = 1024 * 1024

# The longest that the impatient route waits for an answer.
PATIENCE = 0.5


@pytest.fixture(scope="module")
def gateway(httpbin, tmp_path_factory):
    """A gateway in front of httpbin, one route open and the others not."""
    settings = {
        "authorization_servers": {
            "local": embedded_server({"legacy:use": "Use it", "legacy:more": "Use more of it"})
        },
        "upstreams": {
            "legacy": {"servers": [httpbin]},
            "impatient": {
                "servers": [httpbin],
                "timeouts": {"response": f"{PATIENCE * 1000:.0f}ms"},
            },
        },
        "routes": [
            {
                "name": "slow",
                "match": {"path": "/delay/**"},
                "upstream": "impatient",
                "require": {"scopes": ["legacy:use"]},
            },
            {
                "name": "signs-in-by-itself",
                "match": {"path": "/basic-auth/**"},
                "upstream": "legacy",
                "public": True,
            },
            {
                "name": "all-else",
                "match": {"path": "/**"},
                "upstream": "legacy",
                "require": {"scopes": ["legacy:use"]},
            },
        ],
    }
    with running_gateway(settings, tmp_path_factory.mktemp("gw")) as running:
        yield running


@pytest.fixture(scope="module")
def client_id(gateway):
    gateway.add_client(
        "old-app", "--grant", "client_credentials", "--scope", "legacy:use legacy:more"
    )
    return "old-app"


@pytest.fixture(scope="module")
def token(gateway, client_id):
    return gateway.issue_token(client_id, "legacy:use")


@pytest.fixture(scope="module")
def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def run_curl(curl, gateway, token):
    """Runs curl with the token on a path of the gateway and gives what it wrote, as bytes."""

    def run(path, *options):
        done = subprocess.run(
            [curl, "--silent", "--show-error", "--fail-with-body", "--oauth2-bearer", token]
            + [*options, gateway.url + path],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (done.stderr, done.stdout[:2000])
        return done.stdout

    return run


def test_without_a_token_nothing_gets_through(gateway):
    answer = requests.get(f"{gateway.url}/get", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_get(run_curl, httpbin):
    echo = json.loads(run_curl("/get?name=value&name=other&empty="))
    assert echo["args"] == {"name": ["value", "other"], "empty": ""}


def test_post_of_50_mb_arrives_whole_and_comes_back_whole_in_constant_memory(
    gateway, run_curl, tmp_path
):
    line = b"fifty megabytes, of which every line is the same as the one above\n"
    sent = (line * (50 * 1000 * 1000 // len(line) + 1))[: 50 * 1000 * 1000]
    file = tmp_path / "upload"
    file.write_bytes(sent)
    before = peak_memory(gateway.pid)

    answer = run_curl("/post", "--data-binary", f"@{file}", "-H", "Content-Type: text/plain")

    echoed = json.loads(answer)["data"].encode()
    assert len(echoed) == 50_000_000
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(sent).digest()
    assert peak_memory(gateway.pid) - before < 16 * MIB


def peak_memory(pid):
    """The most memory that a process has had resident, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_methods_with_a_body(gateway, bearer, method):
    answer = requests.request(
        method, f"{gateway.url}/{method.lower()}", json={"a": 1}, headers=bearer, timeout=10
    )
    assert answer.status_code == 200
    assert answer.json()["json"] == {"a": 1}
    assert answer.json()["headers"]["Content-Length"] == "8"


def test_delete_without_a_body(run_curl):
    assert json.loads(run_curl("/delete", "-X", "DELETE"))["data"] == ""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 205, 304, 400, 401, 403, 404, 409, 418, 422, 429, 500, 502, 503]
)
def test_status_codes_of_the_legacy_service_are_its_own(gateway, httpbin, bearer, method, status):
    """Whatever the service answers passes as it is, its own 401 and 503 included."""
    through = httpx.request(method, f"{gateway.url}/status/{status}", headers=bearer)
    direct = httpx.request(method, f"{httpbin}/status/{status}")
    assert through.status_code == status
    assert (through.content, told(through)) == (direct.content, told(direct))


def told(answer):
    """What an answer says about itself, apart from when and over which connection."""
    about_the_hop = {"date", "server", "connection", "keep-alive", "transfer-encoding"}
    return {name: value for name, value in answer.headers.items() if name not in about_the_hop}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/html",
        "/json",
        "/xml",
        "/robots.txt",
        "/encoding/utf8",
        "/image/png",
        "/bytes/4096?seed=7",
        "/stream-bytes/40960?seed=7&chunk_size=1000",
        "/links/5/0",
        "/base64/SFRUUEJJTiBpcyBhd2Vzb21l",
        "/response-headers?X-One=1&X-Two=two%20words&X-Two=again",
        "/bytes/0",
    ],
)
def test_answers_pass_byte_by_byte(gateway, httpbin, bearer, method, path):
    through = httpx.request(method, gateway.url + path, headers=bearer)
    direct = httpx.request(method, httpbin + path)
    assert through.status_code == direct.status_code == 200
    assert (through.content, told(through)) == (direct.content, told(direct))


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_redirects_lead_back_through_the_gateway(gateway, bearer, kind):
    """Also those that the service writes with the host that it was asked for."""
    session = requests.Session()
    answer = session.get(f"{gateway.url}/{kind}/3", headers=bearer, timeout=10)
    assert [step.status_code for step in answer.history] == [302, 302, 302]
    assert answer.status_code == 200
    assert answer.url == f"{gateway.url}/get"


def test_redirect_keeps_method_and_body(run_curl):
    echo = json.loads(
        run_curl(
            "/redirect-to?url=/anything&status_code=307", "--location", "-X", "PUT", "-d", "body"
        )
    )
    assert (echo["method"], echo["form"]) == ("PUT", {"body": ""})


@pytest.mark.parametrize(("path", "coding"), [("/gzip", "gzip"), ("/deflate", "deflate")])
def test_compressed_answers_stay_compressed(gateway, bearer, path, coding):
    with httpx.stream("GET", gateway.url + path, headers=bearer) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == coding
    assert int(answer.headers["Content-Length"]) == len(raw)
    if coding == "gzip":
        assert json.loads(gzip.decompress(raw))["gzipped"] is True


def test_curl_undoes_the_compression(run_curl):
    assert json.loads(run_curl("/gzip", "--compressed"))["gzipped"] is True


def test_nothing_is_compressed_that_the_service_did_not_compress(gateway, bearer):
    answer = requests.get(
        f"{gateway.url}/html", headers={**bearer, "Accept-Encoding": "gzip, br"}, timeout=10
    )
    assert "Content-Encoding" not in answer.headers


def test_cookies_are_set_kept_and_sent(gateway, bearer):
    with requests.Session() as session:
        session.headers.update(bearer)
        session.get(f"{gateway.url}/cookies/set?flavour=oat&size=big", timeout=10)
        cookies = session.get(f"{gateway.url}/cookies", timeout=10).json()["cookies"]
        assert cookies == {"flavour": "oat", "size": "big"}
        session.get(f"{gateway.url}/cookies/delete?size", timeout=10)
        cookies = session.get(f"{gateway.url}/cookies", timeout=10).json()["cookies"]
        assert cookies == {"flavour": "oat"}


def test_two_cookies_stay_two_fields(gateway, bearer):
    connection = http.client.HTTPConnection(*gateway.address, timeout=10)
    connection.request("GET", "/cookies/set?a=1&b=2", headers=bearer)
    answer = connection.getresponse()
    assert answer.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    connection.close()


def test_ranges(gateway, httpbin, bearer):
    span = {"Range": "bytes=100-199"}
    through = requests.get(f"{gateway.url}/range/1024", headers={**bearer, **span}, timeout=10)
    whole = requests.get(f"{httpbin}/range/1024", timeout=10).content
    assert through.status_code == 206
    assert through.headers["Content-Range"] == "bytes 100-199/1024"
    assert through.content == whole[100:200]


def test_a_download_is_resumed(run_curl, httpbin, tmp_path):
    whole = requests.get(f"{httpbin}/range/5000", timeout=10).content
    file = tmp_path / "download"
    file.write_bytes(whole[:3000])
    run_curl("/range/5000", "--continue-at", "-", "--output", str(file))
    assert file.read_bytes() == whole


def test_an_unsatisfiable_range_is_the_services_to_refuse(gateway, bearer):
    span = {"Range": "bytes=5000-6000"}
    answer = requests.get(f"{gateway.url}/range/1024", headers={**bearer, **span}, timeout=10)
    assert answer.status_code == 416


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        ("/etag/abc", {"If-None-Match": '"abc"'}),
        ("/cache", {"If-Modified-Since": "Mon, 23 Nov 2026 16:00:00 GMT"}),
    ],
)
def test_what_has_not_changed_is_304_without_a_body(gateway, bearer, path, condition):
    """And the connection goes on: nothing waits for a body that never comes."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=10)
    for conditional, status in [(True, 304), (False, 200), (True, 304), (True, 304)]:
        connection.request("GET", path, headers={**bearer, **(condition if conditional else {})})
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, bool(body)) == (status, not conditional)
    connection.close()


def test_a_chunked_upload_arrives_whole(gateway, bearer):
    parts = [bytes([number % 256]) * (number * 7 + 1) for number in range(1, 300)]

    def produce():
        yield from parts

    answer = requests.put(f"{gateway.url}/put", data=produce(), headers=bearer, timeout=30)
    data = answer.json()["data"]
    _, _, encoded = data.partition("base64,")
    assert base64.b64decode(encoded) == b"".join(parts)


def test_curl_uploads_chunked_from_a_pipe(curl, gateway, token):
    body = b"line after line\n" * 100_000
    done = subprocess.run(
        [curl, "--silent", "--oauth2-bearer", token, "-X", "POST", "-T", "-"]
        + ["-H", "Content-Type: text/plain", f"{gateway.url}/post"],
        input=body,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["data"].encode() == body


async def test_streamed_bytes_arrive_while_the_service_still_writes(gateway, bearer):
    """The first byte of /drip is here long before the last is written."""
    async with aiohttp.ClientSession() as session:
        started = time.monotonic()
        async with session.get(
            f"{gateway.url}/drip?duration=1&numbytes=5&delay=0", headers=bearer
        ) as answer:
            moments = [time.monotonic() - started async for _ in answer.content.iter_chunked(1)]
    assert len(moments) == 5
    assert moments[0] < 0.4
    assert moments[-1] - moments[0] > 0.6


async def test_streamed_lines_arrive_one_by_one_and_complete(gateway, bearer):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/stream/20", headers=bearer) as answer,
    ):
        lines = [json.loads(line) async for line in answer.content]
    assert [line["id"] for line in lines] == list(range(20))


def test_a_delay_past_the_timeout_is_504(gateway, bearer):
    started = time.monotonic()
    answer = requests.get(f"{gateway.url}/delay/5", headers=bearer, timeout=10)
    assert answer.status_code == 504
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert PATIENCE <= time.monotonic() - started < 4


def test_an_answer_within_the_timeout_passes(gateway, bearer):
    assert requests.get(f"{gateway.url}/delay/0", headers=bearer, timeout=10).status_code == 200


def test_after_a_timeout_the_same_connection_serves_the_next_request(gateway, bearer):
    connection = http.client.HTTPConnection(*gateway.address, timeout=10)
    for path, status in [("/delay/5", 504), ("/get", 200), ("/delay/5", 504), ("/get", 200)]:
        connection.request("GET", path, headers=bearer)
        answer = connection.getresponse()
        answer.read()
        assert (path, answer.status) == (path, status)
    connection.close()


SPOOFED = [
    "X-Auth-Subject",
    "x-auth-subject",
    "X_Auth_Subject",
    "X-Auth_Username",
    "X_AUTH_USERNAME",
    "X.Auth.Client.Id",
    "x-auth.client_id",
    "X-Auth-Scopes",
    "X_Auth-Scopes",
    "X-Auth-Issuer",
    "X-Auth-Something-New",
    "x_auth_",
]


def test_the_service_sees_who_asks_and_nothing_that_the_client_said_of_itself(
    gateway, client_id, token
):
    """The echo of /anything: identity headers are the gateway's own, the token is gone."""
    host, port = gateway.address
    request = f"GET /anything HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
    request += f"Authorization: Bearer {token}\r\n"
    for name in SPOOFED:
        request += f"{name}: mallory\r\n"
    request += "X-Kept: as it came\r\nX_Not_Kept: mallory\r\n\r\n"

    echo = ask_raw(gateway, request)

    seen = {name.lower(): value for name, value in echo["headers"].items()}
    assert "authorization" not in seen
    assert "mallory" not in json.dumps(echo)
    assert {name: value for name, value in seen.items() if name.startswith("x-auth-")} == {
        "x-auth-client-id": client_id,
        "x-auth-scopes": "legacy:use",
        "x-auth-issuer": gateway.authorization_server_url,
    }
    assert seen["x-kept"] == "as it came"
    assert token not in json.dumps(echo)


def test_without_the_gateway_the_service_would_believe_every_one_of_those_spellings(httpbin):
    """The test above proves something: this service folds `_` and `-`, and believes what comes."""
    host, _, port = httpbin.removeprefix("http://").rpartition(":")
    for name in ("X-Auth-Subject", "X_Auth_Subject", "x_AUTH-subject"):
        request = f"GET /anything HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        request += f"{name}: mallory\r\n\r\n"
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(request.encode())
            assert read_json(connection)["headers"]["X-Auth-Subject"] == "mallory"


def ask_raw(gateway, request):
    """Sends a request byte by byte as written and gives the JSON of the answer."""
    with socket.create_connection(gateway.address, 10) as connection:
        connection.sendall(request.encode())
        return read_json(connection)


def read_json(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200, answer.read()
    return json.loads(answer.read())


def test_the_service_hears_where_a_request_came_from_not_what_the_client_says(gateway, bearer):
    lies = {
        "X-Forwarded-For": "10.1.2.3",
        "X_Forwarded_For": "10.1.2.3",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "bank.example",
        "Forwarded": "for=10.1.2.3",
        "X-Real-IP": "10.1.2.3",
        "X-Original-URL": "/admin",
        "X-HTTP-Method-Override": "DELETE",
    }
    # httpbin leaves some of them out of its echo unless it is asked to show them.
    echo = requests.get(
        f"{gateway.url}/anything?show_env=1", headers={**bearer, **lies}, timeout=10
    ).json()
    seen = {name.lower(): value for name, value in echo["headers"].items()}
    host = gateway.url.removeprefix("http://")
    assert seen["host"] == host
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == host
    for name in ("forwarded", "x-real-ip", "x-original-url", "x-http-method-override"):
        assert name not in seen


def test_connection_cannot_take_away_what_the_gateway_adds(gateway, client_id, bearer):
    """Hop-by-hop fields stop here, and naming ours hop-by-hop does not remove them."""
    headers = {
        **bearer,
        "Connection": "close, X-Auth-Client-Id, X-Forwarded-For, X-Private",
        "X-Private": "for the next hop alone",
        "Keep-Alive": "timeout=5",
        "TE": "gzip;q=0.5, trailers",
        "Proxy-Authorization": "Basic eDp5",
    }
    echo = requests.get(f"{gateway.url}/anything?show_env=1", headers=headers, timeout=10).json()
    seen = {name.lower(): value for name, value in echo["headers"].items()}
    assert seen["x-auth-client-id"] == client_id
    assert seen["x-forwarded-for"] == "127.0.0.1"
    for name in ("x-private", "keep-alive", "proxy-authorization"):
        assert name not in seen
    # Trailers are all of TE that the gateway can pass on.
    assert seen["te"] == "trailers"


@pytest.mark.parametrize(
    "path",
    [
        "/anything/a%20b?q=a%20b&q2=%2F%26&q3=../..//",
        "/anything/%C3%A9t%C3%A9",
        "/anything/%7Euser",
        "/anything/a+b@c:d,e=f!",
        "/anything/trailing/",
        "/anything?",
        "/anything?%00%ff=%zz",
    ],
)
def test_paths_and_queries_arrive_as_they_were_sent(curl, run_curl, gateway, httpbin, path):
    """The service understands the same path and query through the gateway as without it."""
    through = json.loads(run_curl(path))
    asked = subprocess.run([curl, "--silent", httpbin + path], capture_output=True, check=True)
    direct = json.loads(asked.stdout)
    assert through["url"] == direct["url"].replace(httpbin, gateway.url)
    assert through["args"] == direct["args"]


def test_a_service_that_signs_people_in_by_itself_goes_on_doing_so(curl, gateway):
    """On a public route Basic credentials are the service's own affair and pass unchanged."""
    done = subprocess.run(
        [curl, "--silent", "--user", "user:passwd", f"{gateway.url}/basic-auth/user/passwd"],
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert json.loads(done.stdout) == {"authenticated": True, "user": "user"}
    refused = requests.get(
        f"{gateway.url}/basic-auth/user/passwd", auth=("user", "wrong"), timeout=10
    )
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="Fake Realm"'


def test_a_token_does_not_pass_on_a_public_route_either(gateway, bearer):
    answer = requests.get(f"{gateway.url}/basic-auth/user/passwd", headers=bearer, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_body_is_not_asked_for_before_the_request_is_allowed(gateway, token):
    """With Expect: 100-continue the refusal comes instead of the 100, not after the upload."""
    host, port = gateway.address
    head = f"POST /post HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 4\r\n"
    head += "Content-Type: text/plain\r\nExpect: 100-continue\r\n"
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(f"{head}\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        assert connection.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert read_json(connection)["data"] == "body"


async def test_many_at_once_each_get_their_own_answer(gateway, bearer):
    """Two hundred requests over shared connections: no answer goes to another's question."""

    async def ask(session, number):
        url = f"{gateway.url}/anything/{number}?number={number}"
        async with session.post(url, headers=bearer, data=str(number).encode()) as answer:
            echo = await answer.json()
            return answer.status, echo["args"]["number"], echo["data"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        answers = await asyncio.gather(*(ask(session, number) for number in range(200)))
    assert answers == [(200, str(number), str(number)) for number in range(200)]


def test_a_client_that_hangs_up_in_the_middle_harms_nobody_else(gateway, bearer, token):
    host, port = gateway.address
    for _ in range(10):
        with socket.create_connection((host, port), 10) as connection:
            connection.sendall(
                f"POST /post HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
                "Content-Length: 100000\r\n\r\nonly the beginning".encode()
            )
    for _ in range(20):
        assert requests.get(f"{gateway.url}/get", headers=bearer, timeout=10).status_code == 200


def test_the_wrong_scope_is_403_and_says_which_one_is_missing(gateway, client_id):
    other = gateway.issue_token(client_id, "legacy:more")
    refused = requests.get(
        f"{gateway.url}/get",
        headers={"Authorization": f"Bearer {other}"},
        timeout=10,
    )
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert 'scope="legacy:use"' in refused.headers["WWW-Authenticate"]
    assert "legacy:use" in refused.text


def test_no_token_ever_stands_in_a_log(gateway, bearer, token):
    requests.get(f"{gateway.url}/get?after=1", headers=bearer, timeout=10)
    requests.get(f"{gateway.url}/get", headers={"Authorization": f"Bearer {token}x"}, timeout=10)

    def written() -> str:
        return gateway.program.output.read_text() + gateway.program.text()

    # Lines are gathered for a moment.
    wait_until(lambda: "inactive_token" in written())
    assert "/get" in written()
    assert token not in written()


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "script_name", "Script-Name"])
def test_no_header_moves_the_service_to_another_path(gateway, name):
    """On loopback, gunicorn cuts SCRIPT_NAME off the path, and would answer for /headers."""
    url = f"{gateway.url}/basic-auth/headers"
    assert requests.get(url, headers={name: "/basic-auth"}, timeout=30).status_code == 404
