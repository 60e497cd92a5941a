"""Telling everybody of a revocation: the workers of this host, and the gateways on others."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.introspection.revocations import publish
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged, RevocationSource

if TYPE_CHECKING:
    from gateway.introspection.fleet.feed import RevocationStream


async def announce(
    state_dir: Path,
    stream: "RevocationStream | None",
    revocation: Revocation,
    source: RevocationSource,
    *,
    timeout: float = 1.0,
) -> int:
    """Tell all that may remember, and give the number of this host's workers that acknowledged.

    `stream` is None where nothing is shared; `timeout` is in seconds. Raises
    RevocationNotAcknowledged, and OSError when it cannot be seen which workers there are: in both
    cases only when the others have been told.
    """
    told, shared = await asyncio.gather(
        publish(state_dir, revocation, source, timeout=timeout),
        _share(stream, revocation, source, timeout),
        return_exceptions=True,
    )
    silent = told.workers if isinstance(told, RevocationNotAcknowledged) else ()
    if isinstance(shared, RevocationNotAcknowledged):
        raise RevocationNotAcknowledged(silent, is_fleet_silent=True) from shared
    for outcome in (told, shared):
        if isinstance(outcome, BaseException):
            raise outcome
    assert isinstance(told, int)  # noqa: S101 - for the type checker
    return told


async def _share(
    stream: "RevocationStream | None",
    revocation: Revocation,
    source: RevocationSource,
    timeout: float,
) -> None:
    if stream is not None:
        await stream.publish(revocation, source, timeout=timeout)
