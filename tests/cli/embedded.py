"""A configuration with an embedded server, and workers that hear of revocations."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """\
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
state_dir: ./state
introspection_cache: {max_lifetime: 45s}
authorization_servers:
  local:
    embedded:
      listen: 127.0.0.1:0
      issuer: http://127.0.0.1:8081
      access_token_lifetime: 10m
      scopes: {"orders:read": See your orders, "orders:write": Change your orders}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: orders
    match: {path: /orders/**}
    require: {scopes: ["orders:read"]}
"""
FOREIGN = """\
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
authorization_servers:
  corporate:
    introspection:
      issuer: https://login.example
      url: https://login.example/introspect
      client_id: gateway
      client_secret: a-secret-of-some-length
routes:
  - name: orders
    match: {path: /orders/**}
    require: {}
"""


def write_configuration(folder: Path, text: str = CONFIGURATION) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@contextmanager
def worker(file: Path, pid: int, answer: bytes | None) -> Iterator[list[bytes]]:
    """Listens as a worker does, and gives what it heard; without an answer it is a stopped one."""
    folder = file.parent / "state" / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f"{pid}.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(answer or b"")

        # Whoever connects to a stopped process waits in its backlog.
        thread = threading.Thread(target=serve) if answer is not None else None
        if thread is not None:
            thread.start()
        yield heard
        if thread is not None:
            thread.join(10)
