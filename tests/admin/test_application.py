"""The operator's port: what it shows, and to whom."""

import pytest

from tests.admin.conftest import Browse


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9090",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "",
        "localhost, evil",
        "[::1",
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
async def test_page_of_another_name_cannot_read_it_on_loopback(
    browse: Browse, host: str, path: str
) -> None:
    """DNS rebinding: the name is a stranger's, the address is the operator's own machine."""
    admin = await browse("127.0.0.1")
    answer = await admin.get(path, headers={"Host": host})
    assert answer.status == 421
    assert host not in await answer.text() or not host


@pytest.mark.parametrize(
    ("listens_on", "host"),
    [
        ("127.0.0.1", "127.0.0.1:9090"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "LOCALHOST:1"),
        ("127.0.0.5", "127.0.0.5:9090"),
        ("::1", "[::1]:9090"),
        ("localhost", "localhost:9090"),
        # Off loopback a name of the network is as good as any.
        ("0.0.0.0", "gateway.internal"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
async def test_names_of_the_listener_are_answered(
    browse: Browse, listens_on: str, host: str
) -> None:
    admin = await browse(listens_on)
    assert (await admin.get("/healthz", headers={"Host": host})).status == 200


async def test_metrics_are_in_the_text_format_of_prometheus(browse: Browse) -> None:
    admin = await browse()
    answer = await admin.get("/metrics", headers={"Host": "localhost"})
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE gateway_requests_total counter" in await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_process_that_lives_is_healthy_also_when_it_is_not_ready(browse: Browse) -> None:
    admin = await browse(why_not="draining")
    assert (await admin.get("/healthz", headers={"Host": "localhost"})).status == 200
    answer = await admin.get("/readyz", headers={"Host": "localhost"})
    assert (answer.status, await answer.text()) == (503, "draining\n")


async def test_ready_gateway_says_so(browse: Browse) -> None:
    admin = await browse()
    answer = await admin.get("/readyz", headers={"Host": "localhost"})
    assert (answer.status, await answer.text()) == (200, "ready\n")


async def test_ready_gateway_says_what_it_does_without(browse: Browse) -> None:
    """It stays in service: every other gateway would be taken out with it."""
    admin = await browse(lack="redis: nothing is shared")
    answer = await admin.get("/readyz", headers={"Host": "localhost"})
    assert (answer.status, await answer.text()) == (
        200,
        "ready\nwithout redis: nothing is shared\n",
    )


@pytest.mark.parametrize(("method", "path"), [("POST", "/metrics"), ("GET", "/api/tokens")])
async def test_nothing_else_is_there(browse: Browse, method: str, path: str) -> None:
    admin = await browse()
    answer = await admin.request(method, path, headers={"Host": "localhost"})
    assert answer.status in (404, 405)
