"""The listener that the browser comes back to: one answer, ours, from the server that was asked."""

import socket
from urllib.parse import urlencode

import pytest
import requests

from gateway.client.errors import ClientError, Refused
from gateway.client.loopback import Expectation, listen

ISSUER = "https://login.example"
STATE = "the-state-of-this-sign-in"
GOOD = {"state": STATE, "iss": ISSUER, "code": "CODE"}


@pytest.fixture
async def loopback():
    async with listen(Expectation(STATE, ISSUER, promises_iss=True)) as loopback:
        yield loopback


async def visit(url, method="GET", **headers):
    from asyncio import to_thread

    return await to_thread(requests.request, method, url, headers=headers, timeout=10)


async def come_back(loopback, parameters):
    return await visit(f"{loopback.redirect_uri}?{urlencode(parameters)}")


async def test_it_takes_the_code_and_says_that_the_window_may_be_closed(loopback):
    page = await come_back(loopback, GOOD)
    assert (page.status_code, "may close this window" in page.text) == (200, True)
    assert await loopback.wait_for_code(1) == "CODE"


async def test_the_page_runs_and_loads_nothing_and_gives_the_code_to_nobody(loopback):
    page = await come_back(loopback, GOOD)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert not any(word in page.text for word in ("<script", "CODE", STATE, "href", "src="))


async def test_the_page_is_in_korean_for_who_reads_korean(loopback):
    page = await visit(f"{loopback.redirect_uri}?x", **{"Accept-Language": "ko-KR,ko;q=0.9,en"})
    assert '<html lang="ko">' in page.text


async def test_it_listens_on_loopback_alone(loopback):
    port = int(loopback.redirect_uri.removeprefix("http://127.0.0.1:").removesuffix("/callback"))
    with socket.socket() as sock:
        sock.settimeout(1)
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            sock.connect(("127.0.0.2", port))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {**GOOD, "state": "another"},
        {**GOOD, "state": STATE + "x"},
        {**GOOD, "state": "ä"},
        {name: value for name, value in GOOD.items() if name != "state"},
        {"error": "access_denied"},
        [*GOOD.items(), ("code", "SECOND")],
        [*GOOD.items(), ("state", STATE)],
        {**GOOD, "x": "x" * 20000},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_ours_ends_nothing(loopback, query):
    """Any page can send a browser here: it is turned away, and the right answer still arrives."""
    try:
        page = await come_back(loopback, query)
    except requests.ConnectionError:
        page = None  # too long to be read at all
    assert page is None or page.status_code == 400
    await come_back(loopback, GOOD)
    assert await loopback.wait_for_code(1) == "CODE"


async def test_other_paths_and_methods_are_not_answers(loopback):
    origin = loopback.redirect_uri.removesuffix("/callback")
    query = urlencode(GOOD)
    for path in ("/", "/favicon.ico", "/callback/", "/CALLBACK", "/callbackx"):
        assert (await visit(f"{origin}{path}?{query}")).status_code == 404
    assert (await visit(f"{origin}/callback?{query}", "POST")).status_code == 404
    with pytest.raises(ClientError, match=r"has not come back.*--client-id.* app is unknown"):
        await loopback.wait_for_code(0.05)


async def test_a_second_answer_changes_nothing(loopback):
    await come_back(loopback, GOOD)
    assert (await come_back(loopback, {**GOOD, "code": "SECOND"})).status_code == 400
    assert await loopback.wait_for_code(1) == "CODE"


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", "", None])
async def test_an_answer_of_another_issuer_is_refused(loopback, issuer):
    """RFC 9207, section 2.4: the code might belong to another server."""
    query = {name: value for name, value in {**GOOD, "iss": issuer}.items() if value is not None}
    assert (await come_back(loopback, query)).status_code == 400
    with pytest.raises(ClientError, match="refused"):
        await loopback.wait_for_code(1)


async def test_iss_may_be_missing_only_where_it_was_not_promised():
    async with listen(Expectation(STATE, ISSUER, promises_iss=False)) as loopback:
        await come_back(loopback, {"state": STATE, "code": "CODE"})
        assert await loopback.wait_for_code(1) == "CODE"


async def test_an_error_is_told_in_clean_words_without_control_characters(loopback):
    query = {"state": STATE, "iss": ISSUER, "error": "access_denied"}
    page = await come_back(loopback, query | {"error_description": "no\x1b[31m<b>"})
    assert "Not signed in" in page.text
    assert "<b>" not in page.text
    with pytest.raises(Refused, match=r"access was denied \(access_denied: no\\x1b") as refused:
        await loopback.wait_for_code(1)
    assert "\x1b" not in str(refused.value)
