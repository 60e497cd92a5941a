"""Listeners that speak TLS: the certificate and its renewal on disk, and the handshakes.

A renewal takes no restart: the two files are looked at every few seconds, as certbot and
Kubernetes replace them (also by way of symbolic links). New handshakes get the new pair once it has
been loaded and its halves match; open connections, and a pair that is half written, change nothing.
"""

import asyncio
import fcntl
import logging
import os
import socket
import ssl
import termios
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.middleware.bounded import BoundedProtocol, FrontLimits
from gateway.middleware.entrance import Entrance
from gateway.policy.connections import Refused
from gateway.settings import TlsSettings
from gateway.settings.certificates import UnusablePair, load_context, read_facts

log = logging.getLogger(__name__)

WATCH_SECONDS = 5.0
SEE_OFF_SECONDS = 1.0
# How many connections are accepted before those that are open get their turn.
_BURST: Final = 64
# How long nobody is accepted when there is no file descriptor at all.
_PAUSE_SECONDS: Final = 0.5

_Signature = tuple[tuple[int, ...], ...]


class ListenerCertificate:
    """The certificate of one listener, as it stands on disk now. Raises UnusablePair."""

    def __init__(self, listener: str, settings: TlsSettings) -> None:
        self.listener = listener
        self._settings = settings
        self._signature = self._sign()
        self._current, self.not_after = self._load()
        self.context = load_context(settings.certificate, settings.key)
        """What handshakes begin with; each goes on with the pair that is current then."""
        self.context.sni_callback = self._choose

    def renew(self) -> bool | None:
        """Look at the files. Says whether a new pair could be loaded; None when nothing changed."""
        signature = self._sign()
        if signature == self._signature:
            return None
        # Noted before they are read: what changes meanwhile is seen at the next look.
        self._signature = signature
        try:
            self._current, self.not_after = self._load()
        except UnusablePair as unusable:
            log.warning(
                "the new certificate of listener %s cannot be used, the old one stays: %s: %s",
                self.listener,
                unusable.part,
                unusable,
            )
            return False
        log.info("listener %s has a new certificate", self.listener)
        return True

    def _load(self) -> tuple[ssl.SSLContext, float]:
        context = load_context(self._settings.certificate, self._settings.key)
        return context, read_facts(self._settings.certificate).not_after

    def _sign(self) -> _Signature:
        return tuple(map(_sign_file, (self._settings.certificate, self._settings.key)))

    def _choose(
        self,
        connection: ssl.SSLObject,
        name: str | None,  # noqa: ARG002 - one certificate for all names
        context: ssl.SSLContext,  # noqa: ARG002 - OpenSSL's signature
    ) -> None:
        """Go on with the current pair; OpenSSL asks for it also when no name was sent."""
        connection.context = self._current


def _sign_file(path: os.PathLike[str]) -> tuple[int, ...]:
    """Tell one state of a file from another; its symbolic links are followed."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of what is there now, not of a Path
    except OSError as error:
        return (error.errno or 0,)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


async def watch(
    certificates: Iterable[ListenerCertificate], count: Callable[[str, str], None]
) -> None:
    """Renew the certificates until cancelled; `count` hears of the listener and the result."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        for certificate in certificates:
            try:
                # In a thread: the files may stand on a network.
                renewed = await asyncio.to_thread(certificate.renew)
            except Exception:
                # Whatever it was: the next renewal must not be missed for it.
                log.exception(
                    "the certificate of listener %s was not looked at", certificate.listener
                )
                renewed = False
            if renewed is not None:
                count(certificate.listener, "success" if renewed else "failure")


@dataclass(frozen=True, eq=False)
class Handshake:
    """What connections to a listener that speaks TLS begin with, and end with."""

    certificate: ListenerCertificate
    limits: FrontLimits
    count_failure: Callable[[], None]
    _open: dict["_Place", asyncio.Transport] = field(default_factory=dict)

    async def shake(
        self,
        connection: socket.socket,
        make_protocol: Callable[..., BoundedProtocol],
        leave: Callable[[], None],
    ) -> None:
        """Make a protocol of a connection that was accepted; `leave` is called when it is gone."""
        place = _Place(leave, self._open)
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                partial(make_protocol, leave=place.leave),
                connection,
                ssl=self.certificate.context,
                ssl_handshake_timeout=self.limits.head_seconds,
                # What remains of an answer is among what a close waits for.
                ssl_shutdown_timeout=self.limits.drain_seconds,
            )
        except OSError:  # what was said was no TLS, or nothing, or the client left
            place.leave()
            self.count_failure()
        except asyncio.CancelledError:
            place.leave()
            raise
        else:
            place.keep(transport)

    def see_off(self) -> None:
        """End the connections that are closed on our side, and whose clients have been sent it all.

        Loops wait for a goodbye of TLS in return, and many clients look at a connection only when
        they use it again: each would hold its place, and the drain, for as long as a client may.
        """
        for place, transport in tuple(self._open.items()):
            if not (transport.is_closing() and _has_sent_all(transport)):
                place.is_leaving = False
            elif place.is_leaving:
                transport.abort()
            else:
                # Looked at twice: there is another buffer between the loop's and the system's.
                place.is_leaving = True


async def see_off(handshakes: Iterable[Handshake]) -> None:
    """See those off who are leaving, until cancelled."""
    while True:
        await asyncio.sleep(SEE_OFF_SECONDS)
        for handshake in handshakes:
            handshake.see_off()


class TlsSite:
    """Accepts connections, and makes protocols of those that shake hands in time.

    Not the loop's own server: that one tells nobody of a connection before its handshake is done,
    so that handshakes without end would pass every bound.
    """

    def __init__(
        self,
        sock: socket.socket,
        make_protocol: Callable[..., BoundedProtocol],
        entrance: Entrance,
        handshake: Handshake,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._make_protocol = make_protocol
        self._entrance = entrance
        self._handshake = handshake
        self._under_way: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._spare = _open_spare()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept nobody any more, and break off the handshakes under way."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._pause is not None:
            self._pause.cancel()
        for task in tuple(self._under_way):
            task.cancel()
        self._close_spare()

    def _accept(self) -> None:
        for _ in range(_BURST):
            try:
                connection, peername = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                if self._shed():
                    continue
                return
            leave = self._entrance.enter(peername)
            if leave is None:
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(
                self._handshake.shake(connection, self._make_protocol, leave)
            )
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _shed(self) -> bool:
        """Close the next in the queue by the help of the spare descriptor; without one, pause.

        To leave the queue as it is would wake the loop again and again.
        """
        self._entrance.count_refused(Refused.NO_DESCRIPTOR)
        self._close_spare()
        is_shed = False
        try:
            connection, _ = self._sock.accept()
        except BlockingIOError:
            pass
        except OSError:
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)
        else:
            connection.close()
            is_shed = True
        self._spare = _open_spare()
        return is_shed

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    def _close_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


class _Place:
    """A place in the listener's bounds, given up once by whoever is first to know."""

    __slots__ = ("_leave", "_open", "is_leaving")

    def __init__(self, leave: Callable[[], None], open_: "dict[_Place, asyncio.Transport]") -> None:
        self._leave: Callable[[], None] | None = leave
        self._open = open_
        self.is_leaving = False

    def keep(self, transport: asyncio.Transport) -> None:
        """Note whose place it is."""
        if self._leave is not None:
            self._open[self] = transport

    def leave(self) -> None:
        """Make room."""
        self._open.pop(self, None)
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def _has_sent_all(transport: asyncio.Transport) -> bool:
    """Say whether the client's system has confirmed every byte."""
    if transport.get_write_buffer_size():
        return False
    unconfirmed = array("i", [0])
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, unconfirmed)
    except (OSError, ValueError):
        return False
    return unconfirmed[0] == 0


def _open_spare() -> int | None:
    with suppress(OSError):
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return None
