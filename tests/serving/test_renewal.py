"""Certificates that change on disk while the gateway runs."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

import gateway.tls
from tests.proxy.stage import PATIENCE, Peer, Stage
from tests.serving.certificates import Pair
from tests.serving.test_tls import GUARD, ask, connect

RELOADS = "gateway_tls_reloads_total"
SUCCESS, FAILURE = f'{GUARD},result="success"', f'{GUARD},result="failure"'


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.tls, "WATCH_SECONDS", 0.01)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "tls").write()


def serial_of(client: Peer) -> int:
    """The certificate's number that the gateway has shown."""
    session: ssl.SSLObject = client.transport.get_extra_info("ssl_object")
    shown = session.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


async def shown_serial(stage: Stage) -> int:
    client = await connect(stage)
    assert await ask(client) == 404
    client.close()
    return serial_of(client)


async def is_renewed(stage: Stage) -> None:
    """Wait for the new pair; a look between the writing of the two files may have failed."""
    async with asyncio.timeout(PATIENCE):
        while stage.series(RELOADS).get(SUCCESS) != 1:  # noqa: ASYNC110 - a scrape has no event
            await asyncio.sleep(0.005)


async def watch_again(looks: Callable[[], int]) -> None:
    """Wait until the gateway has looked at the files twice more."""
    enough = looks() + 2
    async with asyncio.timeout(PATIENCE):
        while looks() < enough:  # noqa: ASYNC110 - a look has no event
            await asyncio.sleep(0.005)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Say how often the gateway has looked at the files."""
    count = 0
    renew = gateway.tls.ListenerCertificate.renew

    def counting(self: gateway.tls.ListenerCertificate) -> bool | None:
        nonlocal count
        renewed = renew(self)
        count += 1
        return renewed

    monkeypatch.setattr(gateway.tls.ListenerCertificate, "renew", counting)
    return lambda: count


async def test_new_connections_get_the_new_certificate_and_open_ones_go_on(
    stage: Stage, pair: Pair
) -> None:
    await stage.open(tls=pair.settings)
    old = pair.serial
    client = await connect(stage)
    assert await ask(client) == 404
    expiry = stage.series("gateway_tls_certificate_not_after_seconds")[GUARD]
    certificate, key = pair.make(until=timedelta(days=3))
    pair.key.write_bytes(key)
    pair.certificate.write_bytes(certificate)
    await is_renewed(stage)
    assert await shown_serial(stage) == pair.serial != old
    assert await ask(client) == 404
    assert serial_of(client) == old
    later = stage.series("gateway_tls_certificate_not_after_seconds")[GUARD]
    assert later - expiry == pytest.approx(2 * 24 * 3600, abs=60)


async def test_symbolic_links_may_be_swapped(stage: Stage, tmp_path: Path) -> None:
    """As certbot does it with its links, and Kubernetes with one to a folder."""
    pairs = [Pair(tmp_path / name).write() for name in ("first", "second")]
    link = tmp_path / "current"
    link.symlink_to("first")
    pair = Pair(link)
    await stage.open(tls=pair.settings)
    assert await shown_serial(stage) == pairs[0].serial
    new = tmp_path / "new"
    new.symlink_to("second")
    new.rename(link)
    await is_renewed(stage)
    assert await shown_serial(stage) == pairs[1].serial


@pytest.mark.parametrize(
    "ruin",
    [
        lambda pair: pair.key.write_bytes(pair.make()[1]),
        lambda pair: pair.certificate.write_bytes(pair.make()[0]),
        lambda pair: pair.certificate.write_bytes(pair.certificate.read_bytes()[:100]),
        lambda pair: pair.key.unlink(),
        lambda pair: pair.certificate.write_bytes(b""),
        lambda pair: pair.write(password=b"secret"),
    ],
    ids=["another key", "another certificate", "half of it", "no key", "nothing", "encrypted"],
)
async def test_broken_pair_keeps_the_old_one_and_is_told_of_once(
    stage: Stage,
    pair: Pair,
    looks: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
    ruin: Callable[[Pair], object],
) -> None:
    await stage.open(tls=pair.settings)
    old = pair.serial
    ruin(pair)
    await watch_again(looks)
    assert await shown_serial(stage) == old
    await watch_again(looks)
    reloads = stage.series(RELOADS)
    assert SUCCESS not in reloads
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == reloads[FAILURE] <= 2
    assert "the old one stays" in warnings[0].getMessage()
    assert warnings[0].exc_info is None
    # The other half, or a whole pair, and all is well.
    pair.write()
    await is_renewed(stage)
    await watch_again(looks)
    assert await shown_serial(stage) == pair.serial


async def test_fault_in_looking_does_not_end_the_looking(
    stage: Stage, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open(tls=pair.settings)
    stage.expected_errors = ["the certificate of listener guard was not looked at"]
    renew = gateway.tls.ListenerCertificate.renew

    def fail(self: gateway.tls.ListenerCertificate) -> bool | None:
        monkeypatch.setattr(gateway.tls.ListenerCertificate, "renew", renew)
        raise RuntimeError

    monkeypatch.setattr(gateway.tls.ListenerCertificate, "renew", fail)
    await stage.settled_series(RELOADS, {FAILURE: 1})
    pair.write()
    await is_renewed(stage)


async def test_files_that_stay_the_same_are_not_loaded_again(
    stage: Stage, pair: Pair, looks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open(tls=pair.settings)
    monkeypatch.setattr(gateway.tls, "load_context", None)
    await watch_again(looks)
    assert stage.series(RELOADS) == {}
