"""The even pace: what stands still is charged for everything that it kept waiting."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks import pace as pace_module
from benchmarks.load import MeasurementFailed
from benchmarks.pace import Pace

BODY = b'{"order":17}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

Answer = Callable[[socket.socket, int], None]


@contextmanager
def served(answer: Answer) -> Iterator[int]:
    """Runs a server for one connection that answers each request by its number."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            number = 0
            while connection.recv(65536):
                answer(connection, number)
                number += 1

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def paced(port: int, rate: float, seconds: float) -> dict[str, float]:
    pace = Pace([REQUEST], 1, port, rate, BODY)
    try:
        return pace.run(seconds)
    finally:
        pace.close()


def test_one_pause_is_charged_to_every_request_that_waited_for_it() -> None:
    """A generator that waits for the answer before it goes on would see one slow one in 200."""

    def answer(connection: socket.socket, number: int) -> None:
        if number == 20:
            time.sleep(0.5)  # what is measured here
        connection.sendall(ANSWER)

    with served(answer) as port:
        found = paced(port, 200, 1)
    assert found["requests"] == 200
    assert found["p99_us"] > 300_000


def test_every_request_is_sent_and_none_before_its_moment() -> None:
    times: list[float] = []

    def answer(connection: socket.socket, number: int) -> None:
        times.append(time.monotonic())
        connection.sendall(ANSWER)

    with served(answer) as port:
        started = time.monotonic()
        paced(port, 100, 0.5)
    assert len(times) == 50
    assert all(at - started >= number / 100 for number, at in enumerate(times))


def test_an_answer_in_pieces_is_one() -> None:
    def answer(connection: socket.socket, number: int) -> None:
        for at in range(0, len(ANSWER), 9):
            connection.sendall(ANSWER[at : at + 9])
            time.sleep(0.001)  # so that they are not joined on their way

    with served(answer) as port:
        assert paced(port, 50, 0.2)["requests"] == 10


@pytest.mark.parametrize(
    "wrong",
    [
        ANSWER.replace(b"200", b"401"),
        ANSWER.replace(b"17", b"18"),
        ANSWER + b"more",
    ],
    ids=["another status", "another body", "a longer body"],
)
def test_an_answer_that_differs_fails_the_run(wrong: bytes) -> None:
    def answer(connection: socket.socket, number: int) -> None:
        connection.sendall(wrong if number == 5 else ANSWER)

    with served(answer) as port, pytest.raises(MeasurementFailed, match="an answer differs"):
        paced(port, 100, 0.2)


def test_a_connection_that_is_closed_fails_the_run() -> None:
    def answer(connection: socket.socket, number: int) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    with served(answer) as port, pytest.raises(MeasurementFailed, match="an answer differs"):
        paced(port, 100, 0.2)


def test_a_request_without_an_answer_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "PATIENCE", 0.2)
    with (
        served(lambda connection, number: None) as port,
        pytest.raises(MeasurementFailed, match="10 requests have no answer"),
    ):
        paced(port, 100, 0.1)
