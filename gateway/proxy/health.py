"""Active health checks: each server of an upstream is asked, at intervals, how it is."""

import asyncio
import logging
import random  # noqa: TID251 - spreads checks over time, guards nothing
from dataclasses import dataclass

from gateway.policy.forwarding import UpstreamFailure
from gateway.proxy.server import Server
from gateway.proxy.upstream import Upstream

log = logging.getLogger(__name__)

# One lost answer is no outage.
_FAILURES_TO_BE_UNHEALTHY = 2


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What is asked, how often, and how long the answer may take; in seconds.

    `host` None is the server's own.
    """

    path: str
    interval: float
    timeout: float
    host: bytes | None = None


async def watch_health(upstream: Upstream, check: HealthCheck) -> None:
    """Check the servers of an upstream until cancelled."""
    failures: dict[Server, int] = {}
    while True:
        servers = upstream.servers
        problems = await asyncio.gather(*(_find_problem(server, check) for server in servers))
        failures = {
            server: failures.get(server, 0) + 1 if problem else 0
            for server, problem in zip(servers, problems, strict=True)
        }
        for server, problem in zip(servers, problems, strict=True):
            if problem is None:
                upstream.note_health(server, is_healthy=True)
            elif failures[server] >= _FAILURES_TO_BE_UNHEALTHY:
                if server.is_healthy:
                    log.warning(
                        "upstream %s: %s is unhealthy: %s",
                        upstream.name,
                        server.origin.label,
                        problem,
                    )
                upstream.note_health(server, is_healthy=False)
        # Several gateways, or workers, must not ask in step.
        await asyncio.sleep(check.interval * random.uniform(0.9, 1.1))  # noqa: S311 - see above


async def _find_problem(server: Server, check: HealthCheck) -> str | None:
    """Ask a server on a connection of its own; None when it answers with success (2xx, 3xx)."""
    connection = None
    try:
        async with asyncio.timeout(check.timeout):
            connection = await server.connect(check.timeout)
            connection.begin(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: gateway-health-check\r\n"
                b"Accept: */*\r\nConnection: close\r\n\r\n"
                % (check.path.encode("ascii"), check.host or server.origin.authority),
                is_head=False,
            )
            await connection.wait_for_head()
    except TimeoutError:
        return f"no answer within {check.timeout:g}s"
    except UpstreamFailure as failure:
        return failure.detail
    finally:
        if connection is not None:
            status = connection.status
            connection.close()
    return None if status < 400 else f"it answers {status}"
