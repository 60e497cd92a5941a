"""Server-sent events pass without delay: each arrives before the next one is sent."""

import asyncio

from aiohttp import ClientSession, web

from tests.proxy.stage import PATIENCE, Stage

EVENTS = 20


async def test_each_event_arrives_before_the_next_is_sent(stage: Stage) -> None:
    has_arrived = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(EVENTS):
            await response.write(b"id: %d\ndata: event %d\n\n" % (number, number))
            # Whoever gathered events would wait here for ever.
            await has_arrived.wait()
            has_arrived.clear()
        return response

    application = web.Application()
    application.router.add_get("/orders/events", stream)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = {"servers": [f"http://127.0.0.1:{runner.addresses[0][1]}"]}
    await stage.open(upstreams={"orders": upstream})
    url = f"http://127.0.0.1:{stage.address.port}/orders/events"
    headers = {"Authorization": "Bearer reader", "Accept": "text/event-stream"}
    async with (
        asyncio.timeout(PATIENCE),
        ClientSession() as session,
        session.get(url, headers=headers) as answer,
    ):
        assert answer.content_type == "text/event-stream"
        for number in range(EVENTS):
            event = await answer.content.readuntil(b"\n\n")
            assert event == b"id: %d\ndata: event %d\n\n" % (number, number)
            has_arrived.set()
        assert await answer.content.read() == b""
    await runner.cleanup()
