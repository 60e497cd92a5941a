import socket

import pytest

from tests.parts.ports import free_port


def test_a_reserved_port_is_a_servers_and_nobody_elses():
    """It is closed until a server listens there, which may come and go."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_every_reserved_port_is_another():
    assert len({free_port() for _ in range(200)}) == 200
