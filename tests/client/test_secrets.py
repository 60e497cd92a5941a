"""What all flows leave in the logs at DEBUG: nothing that opens anything."""

import asyncio
import logging
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from aiohttp import web

from gateway.client.call import Output, prepare_call, send
from gateway.client.code_flow import Wish
from gateway.client.login import Surroundings, log_in
from gateway.client.session import freshen
from gateway.client.standing import log_out
from gateway.client.token_endpoint import read_tokens


async def test_no_token_code_secret_or_verifier_is_logged_at_debug(
    http, store, server, caplog, capsys
):
    caplog.set_level(logging.WARNING, "urllib3")  # the browser's own
    caplog.set_level(logging.DEBUG)  # last: it also says what is kept of the others
    asyncio.get_running_loop().set_debug(True)
    refresh = server.answers["/token"]
    verifiers = []

    def answer(request, form):
        if form["grant_type"] != "authorization_code":
            return refresh(request, form)
        verifiers.append(form["code_verifier"])
        members = {"access_token": "AT1", "token_type": "Bearer", "refresh_token": "RT1"}
        return web.json_response(members | {"expires_in": 600})

    server.answers["/token"] = answer
    server.says("/orders", {})
    visits = []

    def browse(url):
        query = parse_qs(urlsplit(url).query)
        back = urlencode({"code": "CODE1", "iss": server.origin, "state": query["state"][0]})
        address = f"{query['redirect_uri'][0]}?{back}"
        visits.append(asyncio.get_running_loop().run_in_executor(None, requests.get, address))

    surroundings = Surroundings(True, False, False, browse, print)
    secret = "CLIENTSECRET1"
    account = await log_in(http, store, server.origin, Wish("cli"), secret, surroundings)
    await asyncio.gather(*visits)
    call = prepare_call("GET", f"{server.origin}/orders", [], None)
    output = Output(lambda response: None, lambda chunk: None, lambda note: None)
    await send(http, store, account, call, output)
    account = await freshen(http, store, account, is_refused=True)
    assert account.access_token == "AT2"
    assert await log_out(http, store, account) is None
    assert [form["token"] for _, path, form, _ in server.asked if path == "/revoke"] == [
        "RT2",
        "AT2",
    ]
    written = caplog.text + "".join(capsys.readouterr())
    for word in ("AT1", "AT2", "RT1", "RT2", "CODE1", secret, verifiers[0]):
        assert word not in written, word


def test_no_token_is_in_a_repr():
    members = {"access_token": "AT1", "refresh_token": "RT1", "token_type": "Bearer"}
    assert not {"AT1", "RT1"} & set(repr(read_tokens(members, 0.0)).split("'"))
