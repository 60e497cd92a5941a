"""The public keys of an issuer, kept and renewed while tokens are checked.

Rules: nothing in a token leads anywhere; however many tokens name unknown keys, they are fetched
once in a while at most for it; a fetch that fails keeps the keys that there are, up to an age.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from gateway.introspection.calls import ServerCalls
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.settings import NoKeySet, Problem, VerificationKey, load_key_set, read_key_set

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 10.0
"""How long after a fetch nothing that a token says leads to another one."""

_PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0

Load = Callable[[], Awaitable[tuple[VerificationKey, ...]]]
"""Gives the keys of now. Raises AuthorizationServerUnavailable."""


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys of one fetch; `fetched_at` is when it began."""

    keys: tuple[VerificationKey, ...]
    fetched_at: float


class JsonWebKeys:
    """The keys of one issuer. They are renewed after `refresh` seconds, used for `maximum_age`."""

    def __init__(
        self,
        name: str,
        load: Load,
        *,
        refresh: float,
        maximum_age: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._load = load
        self._refresh = refresh
        self._maximum_age = maximum_age
        self._monotonic = monotonic
        self._known: KnownKeys | None = None
        self._failure: AuthorizationServerUnavailable | None = None
        self._rests_until = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def current(self) -> KnownKeys:
        """Give the keys that are known. Raises AuthorizationServerUnavailable."""
        now = self._monotonic()
        known = self._known
        if known is None or now - known.fetched_at >= self._maximum_age:
            return await self._fetch_again()
        if now - known.fetched_at >= self._refresh:
            self._start()  # nobody waits for it
        return known

    async def newer(self, than: KnownKeys) -> KnownKeys:
        """Give keys among which one may be that was not there; the same ones just after a fetch.

        Raises AuthorizationServerUnavailable where nobody can say what keys there are now.
        """
        known = self._known
        if known is not None and known is not than:
            return known
        return await self._fetch_again()

    async def close(self) -> None:
        """Fetch no more."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    async def _fetch_again(self) -> KnownKeys:
        """Fetch them with all others who wait, or give what a fetch has just brought."""
        fetch = self._start()
        if fetch is not None:
            await asyncio.shield(fetch)  # one that goes away takes nobody's keys along
        if self._failure is not None:
            # Another one for each: a traceback that many raise grows with each of them.
            failure = self._failure
            raise AuthorizationServerUnavailable(str(failure), failure.kind, failure.retry_after)
        assert self._known is not None  # noqa: S101 - for the type checker: a fetch has succeeded
        return self._known

    def _start(self) -> "asyncio.Task[None] | None":
        """Begin a fetch, unless it is too early; give the one that is on its way."""
        if self._fetch is None and self._monotonic() >= self._rests_until:
            self._fetch = asyncio.create_task(self._renew())
        return self._fetch

    async def _renew(self) -> None:
        began = self._monotonic()
        try:
            keys = await self._load()
        except AuthorizationServerUnavailable as error:
            if self._failure is None:
                log.error("the keys of authorization server %s: %s", self._name, error)
            self._failure = error
            pause = max(_PAUSE_AFTER_FAILURE_SECONDS, min(error.retry_after or 0.0, 60.0))
        else:
            self._known = KnownKeys(keys, began)
            self._failure = None
            pause = PAUSE_SECONDS
        finally:
            self._fetch = None
        self._rests_until = self._monotonic() + pause


class KeySetOfServer:
    """A key set that the issuer publishes; `find_url` gives its place each time."""

    def __init__(
        self, name: str, calls: ServerCalls, find_url: Callable[[], Awaitable[str]]
    ) -> None:
        self._calls = calls
        self._find_url = find_url
        self._complaints = Complaints(name)

    async def load(self) -> tuple[VerificationKey, ...]:
        """Fetch it. Raises AuthorizationServerUnavailable."""
        url = await self._find_url()
        reply = await self._calls.get(url)
        if reply.status != HTTPStatus.OK:
            is_failure = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise AuthorizationServerUnavailable(
                f"{url} answered {reply.status}",
                "server_error" if is_failure else "unexpected_answer",
                reply.retry_after,
            )
        try:
            found = read_key_set(reply.body)
        except NoKeySet as error:
            detail = f"{url} is no JSON Web Key Set, {error}"
            raise AuthorizationServerUnavailable(detail, "unexpected_answer") from None
        self._complaints.note(found.left_out)
        if not found.keys:
            detail = f"{url} has no key that can be used"
            raise AuthorizationServerUnavailable(detail, "unexpected_answer")
        return found.keys


class KeySetOfFile:
    """A key set in a file of the operator's, who may put another one in its place."""

    def __init__(self, name: str, path: Path, algorithms: tuple[str, ...]) -> None:
        self._path = path
        self._algorithms = algorithms
        self._complaints = Complaints(name)

    async def load(self) -> tuple[VerificationKey, ...]:
        """Read it. Raises AuthorizationServerUnavailable."""
        try:
            found = await asyncio.to_thread(load_key_set, self._path, self._algorithms)
        except Problem as problem:
            raise AuthorizationServerUnavailable(str(problem), "unexpected_answer") from None
        self._complaints.note(found.left_out)
        return found.keys


class Complaints:
    """What is wrong with keys, said once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: tuple[str, ...] = ()

    def note(self, left_out: tuple[str, ...]) -> None:
        """Say which keys are not used, unless the same was said of the set before."""
        if left_out and left_out != self._said:
            what = "; ".join(left_out)
            log.warning("authorization server %s has keys that are not used: %s", self._name, what)
        self._said = left_out
