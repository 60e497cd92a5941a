"""The guard's look-up of a token: an indexed read, in a thread of its own.

Going to a thread and back costs ten times what the read does, so tokens that are asked for while
the thread is busy go there together, as soon as it is free; `reading` says what happens there. The
thread is none of the endpoints': neither a slow commit nor a stranger at the token endpoint keeps
the guard waiting.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from gateway.authserver.records.reading import open_reader
from gateway.authserver.records.tokens import AccessToken
from gateway.authserver.storage.database import Database, DatabaseUnavailable

_DEADLINE = 2.0  # seconds, waiting for the thread included

_Found = AccessToken | None
_Question = tuple[bytes, "asyncio.Future[_Found]"]


class TokenLookup:
    """Finds tokens by their hash, for an event loop that never waits for a disk."""

    def __init__(self, database: Database) -> None:
        self._reader = open_reader(database)  # the thread's own
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="token-lookup")
        self._waiting: list[_Question] = []
        self._is_reading = False
        self._is_closed = False

    async def find(self, token_hash: bytes) -> AccessToken | None:
        """Give the token of that hash, or None when there is none.

        The read begins after the call: it sees every revocation committed before.

        Raises:
            DatabaseUnavailable: nobody can say.
        """
        if self._is_closed:
            raise DatabaseUnavailable("closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Found] = loop.create_future()
        self._waiting.append((token_hash, answer))
        if not self._is_reading:
            self._start_reading(loop)
        try:
            async with asyncio.timeout(_DEADLINE):
                return await answer
        except TimeoutError:
            raise DatabaseUnavailable(f"no answer within {_DEADLINE:.0f} seconds") from None

    def close(self) -> None:
        """Wait for the read under way, then close the connection."""
        self._is_closed = True
        self._executor.shutdown(cancel_futures=True)
        self._reader.close()

    def _start_reading(self, loop: asyncio.AbstractEventLoop) -> None:
        questions, self._waiting = self._waiting, []
        self._is_reading = True
        reading = loop.run_in_executor(
            self._executor, self._reader.read, [token_hash for token_hash, _ in questions]
        )
        reading.add_done_callback(partial(self._finish_reading, loop, questions))

    def _finish_reading(
        self,
        loop: asyncio.AbstractEventLoop,
        questions: Sequence[_Question],
        reading: "asyncio.Future[list[_Found]]",
    ) -> None:
        error = DatabaseUnavailable("closed") if reading.cancelled() else reading.exception()
        if error is not None:
            _fail(questions, str(error))
        else:
            for (_, answer), found in zip(questions, reading.result(), strict=True):
                if not answer.done():  # who asked may have gone
                    answer.set_result(found)
        self._is_reading = False
        if self._is_closed:
            _fail(self._waiting, "closed")
        elif self._waiting:
            self._start_reading(loop)


def _fail(questions: Sequence[_Question], reason: str) -> None:
    for _, answer in questions:
        if not answer.done():
            # One exception each: raising it writes to it.
            answer.set_exception(DatabaseUnavailable(reason))
