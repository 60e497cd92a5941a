"""A token goes only where it belongs, and is renewed when it has to be."""

import pytest
from aiohttp import web

from gateway.client.call import Output, find_account, prepare_call, send
from gateway.client.errors import ClientError
from gateway.client.transport import check_url
from tests.client.conftest import AUTHORIZATION_SERVER, RESOURCE, account

pytestmark = pytest.mark.filterwarnings("error")


class Screen:
    """What a call has shown."""

    def __init__(self) -> None:
        self.bodies = b""
        self.notes: list[str] = []

    @property
    def output(self) -> Output:
        return Output(lambda response: None, self._add, self.notes.append)

    def _add(self, chunk: bytes) -> None:
        self.bodies += chunk


@pytest.fixture
async def api(start_site):
    """A resource that takes AT2 only."""
    site = await start_site()

    def answer(request: web.BaseRequest, form: dict[str, str]) -> web.Response:
        if request.headers.get("Authorization") == "Bearer AT2":
            return web.Response(text=f"{request.method} {form}")
        challenge = 'Bearer realm="x", error="invalid_token", resource_metadata="x"'
        return web.Response(status=401, text="no", headers={"WWW-Authenticate": challenge})

    site.answers["/orders"] = answer
    return site


@pytest.fixture
def screen():
    return Screen()


async def find(http, store, site, issuer=None, notes=None):
    origin, _ = check_url(site.origin)
    return await find_account(http, store, origin, issuer, ([] if notes is None else notes).append)


async def test_an_origin_of_the_sign_in_is_not_asked(http, store, server, api):
    store.put(account(server.origin, origins=(api.origin,)))
    assert (await find(http, store, api)).issuer == server.origin
    assert api.asked == []


async def test_an_origin_that_names_the_issuer_is_remembered_and_told(http, store, server, api):
    store.put(account("https://other.example"))
    store.put(account(server.origin))
    store.put(account("https://third.example"))
    api.says(RESOURCE, {"resource": api.origin, "authorization_servers": [server.origin]})
    notes = []
    found = await find(http, store, api, notes=notes)
    assert (found.issuer, found.origins) == (server.origin, (api.origin,))
    assert store.read()[0] == found
    assert len(notes) == 1


@pytest.mark.parametrize(
    "members",
    [
        None,
        {},
        {"resource": "{}"},
        {"resource": "{}", "authorization_servers": ["https://evil.example"]},
        {"resource": "https://evil.example", "authorization_servers": ["{issuer}"]},
        {"resource": "{}", "authorization_servers": "{issuer}"},
    ],
)
async def test_any_other_origin_is_refused_and_never_sees_the_token(
    http, store, server, api, members
):
    store.put(account(server.origin))
    if members is not None:
        for name, value in members.items():
            if isinstance(value, list):
                members[name] = [text.format(issuer=server.origin) for text in value]
            else:
                members[name] = value.format(api.origin, issuer=server.origin)
        api.says(RESOURCE, members)
    with pytest.raises(ClientError, match=r"--issuer|gateway login|use that address"):
        await find(http, store, api)
    assert set(api.tokens()) <= {None}
    assert store.read()[0].origins == ()


async def test_a_token_asked_for_one_resource_goes_to_no_other(http, store, server, api):
    """Whatever that other one says of itself."""
    store.put(
        account(server.origin, resources=("https://a.example",), origins=("https://a.example",))
    )
    api.says(RESOURCE, {"resource": api.origin, "authorization_servers": [server.origin]})
    with pytest.raises(ClientError, match=f"--resource {api.origin}"):
        await find(http, store, api)


async def test_a_resource_that_the_server_does_not_list_is_refused(http, store, server, api):
    """RFC 9728, section 4: the server's word against the resource's."""
    store.put(account(server.origin))
    api.says(RESOURCE, {"resource": api.origin, "authorization_servers": [server.origin]})
    members = {"issuer": server.origin, "protected_resources": ["https://a.example"]}
    server.says(AUTHORIZATION_SERVER, members)
    with pytest.raises(ClientError, match="does not list it"):
        await find(http, store, api)


async def test_the_person_can_vouch_for_an_origin(http, store, server, api):
    store.put(account(server.origin))
    assert (await find(http, store, api, issuer=server.origin)).issuer == server.origin
    with pytest.raises(ClientError, match="not signed in at"):
        await find(http, store, api, issuer="https://other.example")


async def test_a_refused_token_is_renewed_once_and_the_body_sent_again(
    http, store, server, api, screen
):
    store.put(account(server.origin))
    call = prepare_call("post", f"{api.origin}/orders", [], b"item=tea")
    assert await send(http, store, store.read()[0], call, screen.output) == 200
    assert screen.bodies == b"POST {'item': 'tea'}"
    assert api.tokens() == ["Bearer AT1", "Bearer AT2"]


async def test_a_token_that_is_refused_again_is_given_up(http, store, server, api, screen):
    store.put(account(server.origin))
    api.answers["/orders"] = lambda *_: web.Response(
        status=401, text="no", headers={"WWW-Authenticate": "Bearer error=invalid_token"}
    )
    call = prepare_call("GET", f"{api.origin}/orders", [], None)
    assert await send(http, store, store.read()[0], call, screen.output) == 401
    assert (len(api.asked), screen.bodies) == (2, b"no")
    assert "gateway login" in screen.notes[0]


@pytest.mark.parametrize("challenge", ["Basic realm=x", "Bearer realm=x", 'Bearer error="x"'])
async def test_a_401_that_does_not_blame_the_token_costs_no_refresh(
    http, store, server, api, screen, challenge
):
    store.put(account(server.origin))
    api.says("/orders", {}, status=401, headers={"WWW-Authenticate": challenge})
    call = prepare_call("GET", f"{api.origin}/orders", [], None)
    assert await send(http, store, store.read()[0], call, screen.output) == 401
    assert (len(api.asked), server.asked) == (1, [])


async def test_a_missing_scope_is_told_with_all_that_is_needed(http, store, server, api, screen):
    store.put(account(server.origin))
    challenge = 'Basic realm=x, Bearer error="insufficient_scope", scope="orders:write"'
    api.says("/orders", {}, status=403, headers={"WWW-Authenticate": challenge})
    call = prepare_call("GET", f"{api.origin}/orders", [], None)
    assert await send(http, store, store.read()[0], call, screen.output) == 403
    assert '--scope "orders:read orders:write"' in screen.notes[0]


async def test_a_redirect_never_gets_the_token(http, store, server, api, start_site, screen):
    evil = await start_site()
    store.put(account(server.origin))
    api.says("/orders", {}, status=302, headers={"Location": f"{evil.origin}/orders"})
    call = prepare_call("GET", f"{api.origin}/orders", [], None)
    assert await send(http, store, store.read()[0], call, screen.output) == 302
    assert evil.asked == []
    assert "does not follow redirects" in screen.notes[0]


async def test_the_target_goes_out_as_it_was_written(http, store, server, api, screen):
    """Escapes and dots stay; other letters travel as UTF-8."""
    store.put(account(server.origin))
    seen = []

    async def keep(request: web.BaseRequest) -> web.Response:
        seen.append(request.raw_path)
        return web.Response()

    runner = web.ServerRunner(web.Server(keep))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        call = prepare_call("GET", f"{origin}/a/%7e/../b;x?q=%41 주", [], None)
        await send(http, store, store.read()[0], call, screen.output)
    finally:
        await runner.cleanup()
    assert seen == ["/a/%7e/../b;x?q=%41%20%EC%A3%BC"]


@pytest.mark.parametrize(
    ("method", "url", "header", "words"),
    [
        ("GET", "http://api.example/", "A: b", "everyone on the way"),
        ("GE T", "https://api.example/", "A: b", "no method"),
        ("GET", "https://api.example/", "Authorization: Bearer x", "set by the command"),
        ("GET", "https://api.example/", "host: evil.example", "set by the command"),
        ("GET", "https://api.example/", "A: b\r\nHost: evil.example", "no header"),
        ("GET", "https://api.example/", "no colon", "no header"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(method, url, header, words):
    with pytest.raises(ClientError, match=words):
        prepare_call(method, url, [header], None)
