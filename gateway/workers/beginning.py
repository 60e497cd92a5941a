"""What every process that serves begins with: its event loop, and where its own messages go."""

import asyncio
import gc
import logging
import sys
from collections.abc import Coroutine


def run_event_loop(main: Coroutine[object, object, None]) -> None:
    """Run a coroutine on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def configure_logging(who: str = "") -> None:
    """Send the gateway's own messages to standard error; the access log has standard output.

    `who` tells one of several processes apart.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s %(name)s: {f'[{who}] ' if who else ''}%(message)s",
    )
    # aiohttp and asyncio describe requests, tokens and all; Alembic tells of its own plugins.
    for name in ("aiohttp", "asyncio", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def freeze_memory() -> None:
    """Let what has been made by now stay: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
