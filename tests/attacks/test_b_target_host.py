"""Attacks by request line and Host: one request, one target, one authority."""

import pytest

from tests.attacks.wire import GET, HOST, ask, bearer, get, refused
from tests.proxy.stage import OK, Seen, Stage

MALFORMED = {
    "14 no Host": get(),
    "14 two Hosts": get(HOST, b"Host: other"),
    "14 Host twice": get(HOST, HOST),
    "14 Host twice in other letters": get(HOST, b"hOST: h"),
    "14 an empty Host": get(b"Host:"),
    "14 a Host of blanks": get(b"Host:  \t"),
    "14 a user in Host": get(b"Host: u@a"),
    "14 a path in Host": get(b"Host: a/b"),
    "14 a list in Host": get(b"Host: a, b"),
    "14 two words in Host": get(b"Host: a b"),
    "14 an open bracket in Host": get(b"Host: [::1"),
    "14 an empty label in Host": get(b"Host: a..b"),
    "14 a port beyond all": get(b"Host: a:65536"),
    "14 Latin-1 in Host": get(b"Host: \xe9"),
    "16 another authority than Host": get(HOST, target=b"http://other/public/a"),
    "16 another authority by https": get(HOST, target=b"https://other/public/a"),
    "16 an authority without a Host": get(target=b"http://h/public/a"),
    "16 an authority of HTTP/1.0 without a Host": get(
        target=b"http://h/public/a", version=b"HTTP/1.0"
    ),
    "16 another scheme": get(HOST, target=b"ftp://h/public/a"),
    "16 one slash": get(HOST, target=b"http:/public/a"),
    "16 no authority": get(HOST, target=b"http:///public/a"),
    "16 a user": get(HOST, target=b"http://u:p@h/public/a"),
    "16 Host as the user of another": get(HOST, target=b"http://h@other/public/a"),
    "17 a star": get(HOST, target=b"*"),
    "17 a word": get(HOST, target=b"admin"),
    "17 a path without its slash": get(HOST, target=b"public/a"),
    "17 an authority": get(HOST, target=b"a:80"),
    "17 a query": get(HOST, target=b"?/public/a"),
    "18 a method in lower case": get(HOST).replace(b"GET", b"get"),
    "18 a method in mixed case": get(HOST).replace(b"GET", b"Get"),
    "18 an unknown method": get(HOST).replace(b"GET", b"FROBNICATE"),
    "18 a method of other characters": get(HOST).replace(b"GET", b"G,T"),
    "18 no version": b"GET /public/a\r\nHost: h\r\n\r\n",
    "18 the simple request of HTTP/0.9": b"GET /public/a\r\n\r\n",
    "18 HTTP/0.9": get(HOST, version=b"HTTP/0.9"),
    "18 HTTP/2.0": get(HOST, version=b"HTTP/2.0"),
    "18 HTTP/9.9": get(HOST, version=b"HTTP/9.9"),
    "18 HTTP/1.2": get(HOST, version=b"HTTP/1.2"),
    "18 HTTP/1.10": get(HOST, version=b"HTTP/1.10"),
    "18 another protocol": get(HOST, version=b"ICE/1.0"),
    "18 the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "18 a handshake of TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "24 a fragment behind the query": get(HOST, target=b"/public/a?b#c"),
    "24 NUL in the target": get(HOST, target=b"/public/a\x00"),
    "24 a tab in the target": get(HOST, target=b"/public/a\tb"),
    "25 raw UTF-8 in the path": get(HOST, target="/public/가".encode()),
    "25 raw UTF-8 in the query": get(HOST, target="/public/a?q=가".encode()),
    "25 raw EUC-KR in the query": get(HOST, target=b"/public/a?q=\xb0\xa1"),
}


@pytest.mark.parametrize("behind", [b"", GET], ids=["alone", "with a request behind"])
@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
async def test_b_malformed_target_or_host_is_a_400_and_reaches_nobody(
    stage: Stage, request_bytes: bytes, behind: bytes
) -> None:
    """The connection ends, so that nothing behind it is taken for a request either."""
    refusal = await refused(stage, request_bytes, behind)
    assert (refusal.status, refusal.reason) == (400, "malformed_request")


ROUTES_OF_A = [
    {"name": "of-a", "match": {"path": "/x", "host": "a"}, "require": {}},
    {"name": "of-others", "match": {"path": "/**"}, "public": True},
]


@pytest.mark.parametrize("host", [b"a", b"a.", b"A", b"A.", b"a:80", b"A.:8443"])
async def test_b15_every_spelling_of_a_host_has_its_route(stage: Stage, host: bytes) -> None:
    """CVE-2026-48794: a dot, a case or a port is no way to a weaker route."""
    await stage.open(routes=ROUTES_OF_A)
    assert (await stage.ask(ask(b"/x", host=host))).status == 401
    assert stage.service.is_untouched
    seen, answer = await stage.pass_through(ask(b"/x", bearer(b"powerless"), host=host))
    assert answer.status == 200
    assert seen.values(b"Host") == [host]


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a/x", b"a"),
        (b"HTTP://A./x", b"a"),
        (b"https://a/x", b"a"),
        (b"http://a:80/x", b"a"),
    ],
)
async def test_b16_absolute_target_has_the_route_of_its_authority_which_is_the_hosts(
    stage: Stage, target: bytes, host: bytes
) -> None:
    await stage.open(routes=ROUTES_OF_A)
    assert (await stage.ask(ask(target, host=host))).status == 401
    seen, _ = await stage.pass_through(ask(target, bearer(b"powerless"), host=host))
    assert seen.line == b"GET /x HTTP/1.1"
    assert seen.values(b"Host") == [host]
    # The scheme that somebody writes is not the one that the request came by.
    assert seen.values(b"X-Forwarded-Proto") == [b"http"]


@pytest.mark.parametrize("behind", [b"", GET], ids=["alone", "with a request behind"])
@pytest.mark.parametrize("target", [b"h:80", b"[::1]:443", b"other:443", b"/public/a"])
async def test_b18_connect_is_a_405_that_closes_and_reaches_nobody(
    stage: Stage, target: bytes, behind: bytes
) -> None:
    """Whatever stands behind it is neither tunnelled nor taken for a request."""
    refusal = await refused(stage, b"CONNECT %b HTTP/1.1\r\nHost: h:80\r\n\r\n" % target, behind)
    assert (refusal.status, refusal.reason) == (405, "method_not_allowed")
    assert "GET" in refusal.fields["allow"]


@pytest.mark.parametrize("target", [b"/public/a", b"/nothing", b"/orders/1"])
async def test_b18_trace_is_a_405_and_reaches_nobody(stage: Stage, target: bytes) -> None:
    await stage.open()
    refusal = await stage.ask(ask(target, bearer(b"machine"), method=b"TRACE"))
    assert (refusal.status, refusal.reason) == (405, "method_not_allowed")
    assert "TRACE" not in refusal.fields["allow"]
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize("target", [b"//evil/x", b"///x", b"http://h//evil/x", b"//evil@h/x"])
async def test_b19_two_slashes_are_never_an_authority(stage: Stage, target: bytes) -> None:
    await stage.open(routes=[{"name": "all", "match": {"path": "/**"}, "public": True}])
    refusal = await refused(stage, ask(target))
    assert (refusal.status, refusal.reason) == (400, "ambiguous_path")


async def test_b19_what_looks_like_an_authority_is_forwarded_as_a_path(stage: Stage) -> None:
    """Also behind one slash: the upstream and its authority are the route's."""
    await stage.open(routes=[{"name": "all", "match": {"path": "/**"}, "public": True}])
    client = await stage.client(ask(b"/http://evil/x".replace(b"//", b"/"), host=b"h"))
    service = await stage.accept()
    seen = Seen(await service.head())
    assert (seen.line, seen.values(b"Host")) == (b"GET /http:/evil/x HTTP/1.1", [b"h"])
    service.send(OK)
    assert (await client.answer()).status == 200
