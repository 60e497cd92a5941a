"""COPY and MOVE name a second path: it is judged like the first, and goes on as it was judged."""

import pytest

from tests.proxy.stage import Stage

FILES = {
    "name": "files",
    "match": {"path": "/files/**"},
    "require": {"scopes": ["orders:read"]},
    "upstream": "orders",
}
VAULT = {
    "name": "vault",
    "match": {"path": "/files/vault/**"},
    "require": {"scopes": ["vault:write"]},
    "upstream": "orders",
}
HOST = b"Api.Example.com:8080"


def route(name: str, path: str, **keys: object) -> dict[str, object]:
    """A public route of one's own."""
    return {"name": name, "match": {"path": path}, "upstream": "orders", "public": True, **keys}


def move(
    *destinations: bytes,
    method: bytes = b"MOVE",
    path: bytes = b"/files/a",
    token: bytes = b"reader",
) -> bytes:
    fields = [b"Destination: " + destination for destination in destinations]
    if token:
        fields.append(b"Authorization: Bearer " + token)
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, HOST, lines)


@pytest.mark.parametrize("method", [b"COPY", b"MOVE"])
@pytest.mark.parametrize(
    ("destination", "told"),
    [
        (b"/files/b", b"/files/b"),
        (b"https://api.example.com/files/b", b"/files/b"),
        (b"http://API.EXAMPLE.COM:8080/files/b/", b"/files/b/"),
        (b"/%66iles/%7eb%c3%a9?x=/../%2f", b"/files/~b%C3%A9?x=/../%2f"),
    ],
)
async def test_the_service_is_told_the_path_that_was_judged(
    stage: Stage, method: bytes, destination: bytes, told: bytes
) -> None:
    """By the scheme and the host by which it is asked itself, as Apache, for one, demands."""
    await stage.open(routes=[FILES])
    seen, _ = await stage.pass_through(move(destination, method=method))
    assert seen.values(b"Destination") == [b"http://" + HOST + told]


async def test_the_service_is_told_the_host_that_the_route_gives_it(stage: Stage) -> None:
    await stage.open(routes=[{**FILES, "forward_host": "app.internal"}])
    seen, _ = await stage.pass_through(move(b"https://api.example.com/files/b"))
    assert seen.values(b"Destination") == [b"http://app.internal/files/b"]


@pytest.mark.parametrize(
    "destination",
    [
        b"/files/vault/b", b"/files/vault", b"/files/%76ault/b",
        b"http://api.example.com/files/vault/b",
    ],
)  # fmt: skip
async def test_a_token_for_one_part_does_not_write_in_another(
    stage: Stage, destination: bytes
) -> None:
    await stage.open(routes=[FILES, VAULT])
    answer = await stage.ask(move(destination))
    assert (answer.status, answer.reason) == (403, "insufficient_scope")
    assert answer.problem["missing_scopes"] == ["vault:write"]
    assert stage.service.is_untouched
    expected = {'reason="insufficient_scope",route="files"': 1.0}
    await stage.settled_series("gateway_token_rejections_total", expected)


@pytest.mark.parametrize("token", [b"", b"inactive", b"revoked"])
async def test_from_a_public_part_nothing_goes_to_a_guarded_one_without_a_token(
    stage: Stage, token: bytes
) -> None:
    await stage.open(routes=[route("public", "/public/**"), FILES])
    answer = await stage.ask(move(b"/files/b", path=b"/public/a", token=token))
    assert answer.status == 401
    assert stage.service.is_untouched


async def test_an_outage_of_the_authorization_server_opens_no_destination(stage: Stage) -> None:
    await stage.open(routes=[route("public", "/public/**"), FILES])
    answer = await stage.ask(move(b"/files/b", path=b"/public/a", token=b"outage"))
    assert (answer.status, answer.reason) == (503, "authorization_server_unavailable")


@pytest.mark.parametrize(
    "destination",
    [
        b"/elsewhere/b", b"http://other.example/files/b", b"http://api.example.com.evil/files/b",
        b"/archive/b", b"/read-only/b", b"/renamed/b",
    ],
)  # fmt: skip
async def test_what_leads_to_another_service_or_to_none_is_refused(
    stage: Stage, destination: bytes
) -> None:
    """No route, another host, another upstream, a method that is lacking, another virtual host."""
    await stage.service.open()
    upstreams = {"orders": stage.upstream(), "archive": stage.upstream()}
    read_only = route("read-only", "/read-only/**")
    read_only["match"] = {"path": "/read-only/**", "methods": ["GET"]}
    archive = route("archive", "/archive/**", upstream="archive")
    renamed = route("renamed", "/renamed/**", forward_host="app.internal")
    await stage.open(upstreams=upstreams, routes=[FILES, archive, read_only, renamed])
    answer = await stage.ask(move(destination))
    assert (answer.status, answer.reason) == (400, "foreign_destination")
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    ("destinations", "reason"),
    [
        ([b"/files/b", b"/files/c"], "malformed_request"),
        ([b"files/b"], "malformed_request"),
        ([b""], "malformed_request"),
        ([b"ftp://api.example.com/files/b"], "malformed_request"),
        ([b"http://user@api.example.com/files/b"], "malformed_request"),
        ([b"/files/b?#c"], "malformed_request"),
        ([b"/files/../vault/b"], "ambiguous_path"),
        ([b"/files/%2e%2e/b"], "ambiguous_path"),
        ([b"/files//vault/b"], "ambiguous_path"),
        ([b"//other.example/files/b"], "ambiguous_path"),
        ([b"/files/b%2fc"], "ambiguous_path"),
        ([b"/files/b\\c"], "ambiguous_path"),
        ([b"/files/b c"], "ambiguous_path"),
        ([b"/files/\xe9"], "ambiguous_path"),
        ([b"/files/%2500"], "ambiguous_path"),
    ],
)
async def test_a_destination_that_can_be_read_in_two_ways_is_refused(
    stage: Stage, destinations: list[bytes], reason: str
) -> None:
    await stage.open(routes=[FILES, VAULT])
    answer = await stage.ask(move(*destinations))
    assert (answer.status, answer.reason) == (400, reason)
    assert stage.service.is_untouched


async def test_a_route_may_allow_what_is_ambiguous_in_a_destination(stage: Stage) -> None:
    await stage.open(routes=[{**FILES, "allow_in_path": ["encoded_slash"]}])
    seen, _ = await stage.pass_through(move(b"/files/b%2fc"))
    assert seen.values(b"Destination") == [b"http://" + HOST + b"/files/b%2Fc"]


async def test_a_destination_is_rewritten_as_a_request_for_it_would_be(stage: Stage) -> None:
    files = {**FILES, "forward_path": "/dav/**"}
    other = route("by-tenant", "/t/{tenant}/**", forward_path="/dav/{tenant}/x/**")
    await stage.open(routes=[files, other])
    seen, _ = await stage.pass_through(move(b"/t/acme/b?q"))
    assert (seen.line, seen.values(b"Destination")) == (
        b"MOVE /dav/a HTTP/1.1",
        [b"http://" + HOST + b"/dav/acme/x/b?q"],
    )


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ({"set": {"destination": "http://fixed/x"}}, [b"http://fixed/x"]),
        ({"remove": ["Destination"]}, []),
    ],
)
async def test_what_a_route_says_of_the_field_goes_before(
    stage: Stage, edits: dict[str, object], told: list[bytes]
) -> None:
    await stage.open(routes=[{**FILES, "request_headers": edits}])
    seen, _ = await stage.pass_through(move(b"/files/b"))
    assert seen.values(b"Destination") == told


@pytest.mark.parametrize("name", [b"New-uri", b"new-URI", b"New_Uri"])
async def test_what_apache_takes_for_a_destination_never_arrives(stage: Stage, name: bytes) -> None:
    """Of Netscape's roaming profiles; mod_dav still looks for it where no Destination is."""
    await stage.open(routes=[FILES, VAULT])
    request = move().replace(b"\r\n\r\n", b"\r\n%b: /files/vault/b\r\n\r\n" % name)
    seen, _ = await stage.pass_through(request)
    assert "new-uri" not in {name.replace("_", "-") for name in seen.names}


async def test_methods_that_copy_nothing_may_bear_a_field_of_that_name(stage: Stage) -> None:
    await stage.open(routes=[FILES])
    seen, _ = await stage.pass_through(move(b"anywhere, else", method=b"GET"))
    assert seen.values(b"Destination") == [b"anywhere, else"]


async def test_a_copy_without_a_destination_is_the_service_s_to_refuse(stage: Stage) -> None:
    await stage.open(routes=[FILES])
    seen, _ = await stage.pass_through(move(method=b"COPY"))
    assert seen.values(b"Destination") == []
