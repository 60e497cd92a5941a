"""A proxy between two processes that holds the answers back until it is told to let them go."""

import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class HoldingProxy:
    """Passes each request on at once, and its answer back only when `release` is set."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.release = threading.Event()
        self.requests = 0  # how many have been passed on
        self.held = 0  # how many answers have come and wait
        self._lock = threading.Lock()
        self.url = ""

    def pass_on(self, method, path, headers, body):
        with self._lock:
            self.requests += 1
        connection = HTTPConnection(self.target, timeout=30)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.getheaders(), response.read()
        connection.close()
        with self._lock:
            self.held += 1
        self.release.wait(60)
        return answer


@contextmanager
def holding_proxy(target: str):
    """Runs a holding proxy in front of `target` until the block ends."""
    proxy = HoldingProxy(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {n: v for n, v in self.headers.items() if n.lower() not in _HOP_BY_HOP}
            status, pairs, answer = proxy.pass_on(self.command, self.path, headers, body)
            self.send_response_only(status)
            for name, value in pairs:
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
