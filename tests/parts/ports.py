"""Ports that a test must name before anyone listens there."""

import socket


def free_port() -> int:
    """Gives a port of the loopback that nobody else is given while this process lives.

    A socket stays bound to it and never listens: a connection is refused, and the kernel gives the
    port to no client and to nobody who asks for any; but whoever asks for this one with
    SO_REUSEADDR, as servers do, may listen. Tests that run at the same time so never meet.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    port = int(reservation.getsockname()[1])
    reservation.detach()  # it lives as long as the process
    return port
