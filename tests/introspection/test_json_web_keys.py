"""The keys of an issuer: how often they are fetched, how long used, what is wrong there."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.introspection.calls import CallLimits, ServerCalls
from gateway.introspection.json_web_keys import (
    PAUSE_SECONDS,
    JsonWebKeys,
    KeySetOfFile,
    KeySetOfServer,
)
from gateway.introspection.jwt_access_tokens import JwtIntrospector
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.token import Inactive, Token
from gateway.settings import VerificationKey, read_key_set
from tests.introspection.conftest import Clock
from tests.introspection.test_jwt_access_tokens import (
    ALL,
    CLAIMS,
    EC,
    NOW,
    RSA,
    RULES,
    make,
    published,
    sign,
)

NEW = ECKey.generate_key("P-256")
BY_NEW = sign({"alg": "ES256", "kid": "new", "typ": "at+jwt"}, CLAIMS, NEW)
REFRESH, MAXIMUM_AGE = 300.0, 3600.0


class Issuer:
    """Has these keys, or is down; counts how often it is asked."""

    def __init__(self) -> None:
        self.keys = ALL
        self.fetches = 0
        self.failure: AuthorizationServerUnavailable | None = None
        self.clock = Clock(50.0)
        self.kept = JsonWebKeys(
            "partner",
            self.load,
            refresh=REFRESH,
            maximum_age=MAXIMUM_AGE,
            monotonic=self.clock,
        )
        self.introspector = JwtIntrospector(RULES, self.kept, clock=lambda: NOW)
        self.ask = self.introspector.introspect

    async def load(self) -> tuple[VerificationKey, ...]:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.keys

    def rotate(self) -> None:
        self.keys = (*self.keys, *read_key_set(published(("new", NEW))).keys)

    async def settle(self) -> None:
        """Lets what goes on in the background come to its end."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_keys_are_fetched_once_for_many() -> None:
    issuer = Issuer()
    verdicts = await asyncio.gather(*(issuer.ask(make({"jti": str(i)})) for i in range(50)))
    assert all(isinstance(verdict, Token) for verdict in verdicts)
    assert issuer.fetches == 1


async def test_a_new_key_is_found_while_requests_go_on() -> None:
    issuer = Issuer()
    await issuer.ask(make())
    issuer.rotate()
    issuer.clock.now += PAUSE_SECONDS
    assert isinstance(await issuer.ask(BY_NEW), Token)
    assert isinstance(await issuer.ask(make()), Token)
    assert issuer.fetches == 2


async def test_a_flood_of_unknown_keys_fetches_once_in_a_while() -> None:
    issuer = Issuer()
    await issuer.ask(make())
    for seconds in (0.0, PAUSE_SECONDS - 1, PAUSE_SECONDS, PAUSE_SECONDS + 1, 2 * PAUSE_SECONDS):
        issuer.clock.now = 50.0 + seconds
        tokens = [make(kid=f"{seconds}-{i}") for i in range(100)]
        assert set(await asyncio.gather(*map(issuer.ask, tokens))) == {Inactive()}
    assert issuer.fetches == 3


async def test_a_bad_signature_by_a_known_key_fetches_nothing() -> None:
    issuer = Issuer()
    await issuer.ask(make())
    issuer.clock.now += PAUSE_SECONDS
    forged = sign({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}, CLAIMS, NEW)
    assert await issuer.ask(forged) == Inactive()
    assert issuer.fetches == 1


async def test_a_token_that_is_no_jwt_fetches_nothing() -> None:
    issuer = Issuer()
    assert await issuer.ask("gw_at_abc") == Inactive()
    assert await issuer.ask(make(alg="HS256")) == Inactive()
    assert issuer.fetches == 0


async def test_keys_of_some_age_are_renewed_and_nobody_waits() -> None:
    issuer = Issuer()
    await issuer.ask(make())
    issuer.keys = read_key_set(published(("new", NEW))).keys
    issuer.clock.now += REFRESH
    assert isinstance(await issuer.ask(make()), Token), "with the old keys"
    await issuer.settle()
    assert issuer.fetches == 2
    assert await issuer.ask(make({"jti": "2"})) == Inactive(), "the key is gone over there"


async def test_old_keys_are_used_while_the_issuer_is_down_up_to_an_age() -> None:
    issuer = Issuer()
    await issuer.ask(make())
    issuer.failure = AuthorizationServerUnavailable("down", "timeout")
    issuer.clock.now += MAXIMUM_AGE - 1
    for _ in range(20):
        assert isinstance(await issuer.ask(make()), Token)
        await issuer.settle()
    assert issuer.fetches == 2
    issuer.clock.now += 1
    with pytest.raises(AuthorizationServerUnavailable) as caught:
        await issuer.ask(make())
    assert caught.value.kind == "timeout"
    issuer.failure = None
    issuer.clock.now += PAUSE_SECONDS
    assert isinstance(await issuer.ask(make()), Token)


async def test_an_outage_is_never_said_to_be_a_bad_token() -> None:
    """Whether the key is there, nobody can say; nor is the issuer asked for each request."""
    issuer = Issuer()
    issuer.failure = AuthorizationServerUnavailable("down")
    for _ in range(20):
        with pytest.raises(AuthorizationServerUnavailable):
            await issuer.ask(make())
    assert issuer.fetches == 1
    issuer.failure = None
    issuer.clock.now += PAUSE_SECONDS
    await issuer.ask(make())
    issuer.failure = AuthorizationServerUnavailable("down")
    issuer.clock.now += PAUSE_SECONDS
    for _ in range(20):
        with pytest.raises(AuthorizationServerUnavailable):
            await issuer.ask(BY_NEW)
        assert isinstance(await issuer.ask(make()), Token)
    assert issuer.fetches == 3


async def test_a_caller_that_goes_away_takes_nobodys_keys_along() -> None:
    issuer = Issuer()
    first, second = (asyncio.create_task(issuer.ask(make())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, Token)
    assert issuer.fetches == 1


Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(status: int, body: bytes, *fields: str) -> Talk:
    async def talk(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
        writer.write("\r\n".join([*head, *fields, "", ""]).encode() + body)

    return talk


async def hangs(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def never_ends(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 65536)
        await writer.drain()


GOOD = published(("ec", EC))
FAULTS: dict[str, tuple[Talk, str]] = {
    "hangs": (hangs, "timeout"),
    "closes": (lambda _: asyncio.sleep(0), "unreachable"),
    "500": (says(500, GOOD), "server_error"),
    "404": (says(404, GOOD), "unexpected_answer"),
    "page": (says(200, b"<!doctype html>"), "unexpected_answer"),
    "broken": (says(200, GOOD[:-1]), "unexpected_answer"),
    "deep": (says(200, b"[" * 100_000), "unexpected_answer"),
    "twice": (says(200, GOOD[:-1] + b', "keys": []}'), "unexpected_answer"),
    "no keys": (says(200, b'{"keys": []}'), "unexpected_answer"),
    "keys no list": (says(200, b'{"keys": {"a": 1}}'), "unexpected_answer"),
    "redirects": (says(302, GOOD, "Location: /keys"), "unexpected_answer"),
    "100 MB": (never_ends, "unexpected_answer"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_with_the_keys_is_an_outage(fault: str) -> None:
    talk, kind = FAULTS[fault]
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await talk(writer)
        except OSError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/keys"

    async def find_url() -> str:
        return url

    seconds = 0.2 if fault == "hangs" else 10.0
    calls = ServerCalls(CallLimits(seconds, seconds, 1))
    load = KeySetOfServer("partner", calls, find_url).load
    kept = JsonWebKeys("partner", load, refresh=REFRESH, maximum_age=MAXIMUM_AGE)
    introspector = JwtIntrospector(RULES, kept, close=calls.close, clock=lambda: NOW)
    try:
        for _ in range(3):
            with pytest.raises(AuthorizationServerUnavailable) as caught:
                await introspector.introspect(make())
            assert caught.value.kind == kind
        assert all(request.startswith(b"GET /keys ") for request in asked)
        # One fetch, in which a connection that closed at once is tried again, by aiohttp, too.
        assert len(asked) == 1 or (fault == "closes" and len(asked) <= 4)
    finally:
        await introspector.close()
        listener.close()


def test_keys_that_cannot_be_used_are_left_out_alone() -> None:
    def member(key, **more):  # type: ignore[no-untyped-def]
        return {**key.as_dict(private=False), **more}

    weak = json.loads(Path(__file__).with_name("weak_rsa_key.json").read_text())
    members = [
        weak,
        member(EC, kid="enc", use="enc"),
        member(EC, kid="ops", key_ops=["sign"]),
        member(EC, kid=7),
        member(EC, kid="alg", alg="HS256"),
        OctKey.import_key("a secret that is long enough for it").as_dict(private=True),
        {"kty": "AKP", "pub": "x"},
        {"kty": ["RSA"]},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        None,
        "key",
        member(RSA, kid="good", use="sig"),
    ]
    found = read_key_set(json.dumps({"keys": members}).encode())
    assert [key.kid for key in found.keys] == ["good"]
    assert len(found.left_out) == len(members) - 1
    assert "1024 bits" in found.left_out[0]


async def test_weak_keys_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weak = json.loads(Path(__file__).with_name("weak_rsa_key.json").read_text())
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [weak, *json.loads(GOOD)["keys"]]}))
    keys = KeySetOfFile("partner", file, ("ES256",))
    for _ in range(3):
        await keys.load()
    assert [record.message.count("1024 bits") for record in caplog.records] == [1]


async def test_a_file_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(GOOD)
    keys = KeySetOfFile("partner", file, ("ES256",))
    assert [key.kid for key in await keys.load()] == ["ec"]
    file.write_bytes(published(("new", NEW)))
    assert [key.kid for key in await keys.load()] == ["new"]
    file.unlink()
    with pytest.raises(AuthorizationServerUnavailable):
        await keys.load()


def test_private_parts_of_a_key_are_not_taken_along() -> None:
    member = {**RSAKey.generate_key(2048).as_dict(private=True), "kid": "private"}
    [key] = read_key_set(json.dumps({"keys": [member]}).encode()).keys
    assert not key.key.is_private
