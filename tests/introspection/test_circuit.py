"""The circuit breaker before an authorization server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.introspection.circuit import CircuitBreaker
from gateway.policy.interfaces import AuthorizationServerUnavailable, FailureKind
from gateway.policy.token import Inactive, Token
from tests.introspection.conftest import Clock, token

PATIENCE = 10.0


@dataclass
class FailingServer:
    """Fails in the way that the test says; `asked` are the tokens of the questions."""

    failure: AuthorizationServerUnavailable | None = None
    asked: list[str] = field(default_factory=list)
    # Of single tokens, whatever the server does otherwise.
    stumbles_over: frozenset[str] = frozenset()
    gate: asyncio.Event | None = None

    async def introspect(self, token_: str) -> Token | Inactive:
        self.asked.append(token_)
        if self.gate is not None and token_ != "client":
            await self.gate.wait()
        if token_ in self.stumbles_over:
            raise AuthorizationServerUnavailable("it stumbles", "server_error")
        if self.failure is not None:
            raise self.failure
        return token()


def failure(
    kind: FailureKind = "unreachable", retry_after: float | None = None
) -> AuthorizationServerUnavailable:
    return AuthorizationServerUnavailable("it fails", kind, retry_after)


@asynccontextmanager
async def breaker(
    server: FailingServer, first_pause: float = 3600.0, clock: Clock | None = None
) -> AsyncIterator[CircuitBreaker]:
    circuit = CircuitBreaker(
        "corporate", server, first_pause=first_pause, monotonic=clock or Clock(50.0)
    )
    try:
        yield circuit
    finally:
        await circuit.close()


async def ask(circuit: CircuitBreaker, times: int = 1, token_: str = "client") -> list[str]:
    """Ask so often; gives what came of it, by the kind of the failure."""
    results = []
    for _ in range(times):
        try:
            await circuit.introspect(token_)
        except AuthorizationServerUnavailable as error:
            results.append(error.kind)
        else:
            results.append("answered")
    return results


async def becomes(circuit: CircuitBreaker, state: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while circuit.state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_server_that_answers_is_always_asked() -> None:
    server = FailingServer()
    async with breaker(server) as circuit:
        assert await ask(circuit, 50) == ["answered"] * 50
        assert circuit.state == "closed"


@pytest.mark.parametrize("kind", ["unreachable", "timeout", "server_error"])
async def test_failures_in_a_row_open_the_circuit(kind: FailureKind) -> None:
    """After five, and one of the gateway's own, nobody is sent there to wait any more."""
    server = FailingServer(failure(kind))
    async with breaker(server) as circuit:
        assert await ask(circuit, 5) == [kind] * 5
        await becomes(circuit, "open")
        assert len(server.asked) == 6
        assert server.asked[5] != "client"
        assert await ask(circuit, 3) == ["circuit_open"] * 3
        assert len(server.asked) == 6


async def test_an_answer_between_failures_keeps_it_closed() -> None:
    server = FailingServer(stumbles_over=frozenset({"bad"}))
    async with breaker(server) as circuit:
        for _ in range(5):
            await ask(circuit, 4, "bad")
            assert await ask(circuit) == ["answered"]
        await asyncio.sleep(0)
        assert set(server.asked) == {"bad", "client"}


async def test_a_token_that_makes_the_server_stumble_closes_it_for_nobody_else() -> None:
    """The gateway's own question is answered."""
    server = FailingServer(stumbles_over=frozenset({"bad"}))
    async with breaker(server) as circuit:
        for _ in range(3):
            assert await ask(circuit, 5, "bad") == ["server_error"] * 5
            asked = len(server.asked)
            async with asyncio.timeout(PATIENCE):
                while len(server.asked) == asked:  # noqa: ASYNC110 - its own question is on its way
                    await asyncio.sleep(0)
            assert await ask(circuit) == ["answered"]
            assert circuit.state == "closed"


async def test_nonsense_about_single_tokens_never_opens_it() -> None:
    server = FailingServer(failure("unexpected_answer"))
    async with breaker(server) as circuit:
        assert await ask(circuit, 20) == ["unexpected_answer"] * 20
        await asyncio.sleep(0)
        assert len(server.asked) == 20


async def test_refused_credentials_are_a_state_of_their_own_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And are told to the operator once, not with each request."""
    server = FailingServer(failure("credentials_refused"))
    async with breaker(server) as circuit:
        await ask(circuit)
        await becomes(circuit, "credentials_refused")
        await ask(circuit, 5)
        assert len(server.asked) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_server_that_has_had_enough_is_left_alone_as_long_as_it_says() -> None:
    clock = Clock(50.0)
    server = FailingServer(failure("throttled", 40.0))
    async with breaker(server, first_pause=1.0, clock=clock) as circuit:
        await ask(circuit)
        await becomes(circuit, "open")
        assert len(server.asked) == 1
        with pytest.raises(AuthorizationServerUnavailable) as caught:
            await circuit.introspect("client")
        assert 40.0 <= (caught.value.retry_after or 0) <= 50.0


async def test_no_server_keeps_itself_from_being_asked_for_long() -> None:
    server = FailingServer(failure("throttled", 86_400.0))
    async with breaker(server, first_pause=1.0) as circuit:
        await ask(circuit)
        await becomes(circuit, "open")
        with pytest.raises(AuthorizationServerUnavailable) as caught:
            await circuit.introspect("client")
        assert 60.0 <= (caught.value.retry_after or 0) <= 75.0


async def test_it_closes_with_the_first_answer_to_a_question_of_its_own() -> None:
    server = FailingServer(failure())
    async with breaker(server, first_pause=0.001) as circuit:
        await ask(circuit, 5)
        await becomes(circuit, "open")
        server.failure = None
        await becomes(circuit, "closed")
        # It can open again, after as many failures as the first time.
        server.failure = failure()
        asked = len(server.asked)
        await ask(circuit, 4)
        await asyncio.sleep(0)
        assert server.asked[asked:] == ["client"] * 4
        await ask(circuit)
        await becomes(circuit, "open")
        server.failure = None
        await becomes(circuit, "closed")
        assert await ask(circuit) == ["answered"]


async def test_while_the_gateway_asks_nobody_else_does() -> None:
    server = FailingServer(failure())
    async with breaker(server, first_pause=0.001) as circuit:
        await ask(circuit, 5)
        await becomes(circuit, "open")
        server.gate = asyncio.Event()
        await becomes(circuit, "half_open")
        asked = len(server.asked)
        assert await ask(circuit, 10) == ["circuit_open"] * 10
        assert len(server.asked) - asked <= 1
        server.failure = None
        server.gate.set()
        await becomes(circuit, "closed")


async def test_no_token_of_a_client_is_used_to_find_out() -> None:
    """Each of its own questions is about another token, that nobody has."""
    server = FailingServer(failure())
    async with breaker(server, first_pause=0.001) as circuit:
        await ask(circuit, 5)
        async with asyncio.timeout(PATIENCE):
            while len(server.asked) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        own = server.asked[5:]
        assert len(set(own)) == len(own)
        assert all(len(each) >= 43 for each in own)
