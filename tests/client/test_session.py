"""A fresh token: refreshed in time, once however many ask, written down before it is used."""

import asyncio
import json
import subprocess
import sys

import pytest

from gateway.client.errors import ServerUnreachable, SignInLost
from gateway.client.session import freshen, is_fresh
from tests.client.conftest import account

PROGRAM = """
import asyncio, pathlib, sys
from gateway.client.session import freshen
from gateway.client.store import CredentialStore
from gateway.client.transport import HttpClient

async def main():
    store = CredentialStore(pathlib.Path(sys.argv[1]))
    account = store.read()[0]
    print("read", flush=True)
    sys.stdin.readline()
    async with HttpClient() as http:
        print((await freshen(http, store, account)).access_token)

asyncio.run(main())
"""


async def test_several_processes_refresh_once(server, store):
    """All have read the old token before one of them asks; every one comes to the same new one."""
    store.put(account(server.origin, expires_at=1.0))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(store.path.parent)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert await process.stdout.readline() == b"read\n"
    told = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [output for output, _ in told] == [b"AT2\n"] * 3
    assert server.paths().count("/token") == 1


async def test_a_token_is_refreshed_before_it_expires_and_not_much_earlier(server):
    old = account(server.origin, obtained_at=1000.0, expires_at=1600.0)
    assert is_fresh(old, 1569)
    assert not is_fresh(old, 1571)
    short = account(server.origin, obtained_at=1000.0, expires_at=1010.0)
    assert is_fresh(short, 1008)
    assert not is_fresh(short, 1009.5)


async def test_a_refresh_is_written_down_before_it_is_given(server, store, http):
    store.put(account(server.origin, expires_at=1.0, origins=("https://api.example",)))
    given = await freshen(http, store, store.read()[0])
    assert store.read() == [given]
    assert (given.access_token, given.refresh_token) == ("AT2", "RT2")
    assert (given.scope, given.origins) == ("orders:read", ("https://api.example",))


async def test_a_refresh_token_that_is_refused_is_not_shown_again(server, store, http):
    store.put(account(server.origin, expires_at=1.0, refresh_token="stolen"))
    for _ in range(2):
        with pytest.raises(SignInLost, match="gateway login http"):
            await freshen(http, store, store.read()[0])
    assert server.paths().count("/token") == 1


async def test_a_server_that_fails_costs_no_refresh_token(server, store, http):
    store.put(account(server.origin, expires_at=1.0))
    server.says("/token", {}, status=503)
    with pytest.raises(ServerUnreachable, match="503"):
        await freshen(http, store, store.read()[0])
    assert store.read()[0].refresh_token == "RT1"


@pytest.mark.parametrize(
    "members",
    [{"access_token": "AT2\ud800"}, {"scope": "\udfff"}, {"x": [{"\udc80": 1}]}],
    ids=["in the token", "in the scope", "in a name"],
)
async def test_half_a_character_in_an_answer_is_the_servers_failure(server, store, http, members):
    """JSON can spell a lone surrogate, and nothing can be stored or sent with one."""
    store.put(account(server.origin, expires_at=1.0))
    server.says("/token", {"access_token": "AT2", "token_type": "Bearer"} | members)
    with pytest.raises(ServerUnreachable, match="no JSON object"):
        await freshen(http, store, store.read()[0])
    assert store.read()[0].refresh_token == "RT1"


async def test_who_signed_out_meanwhile_is_told_so(server, store, http):
    old = account(server.origin, expires_at=1.0)
    with pytest.raises(SignInLost, match="signed out meanwhile"):
        await freshen(http, store, old)
    assert json.dumps(server.paths()).count("/token") == 0
