"""The legacy service of `gateway demo`: orders over plain HTTP/1.0-era Python, no OAuth anywhere.

It runs as a process of its own, as a legacy service does: `python -m gateway.cli.demo_legacy`. It
prints its port and stops when its standard input closes, so it never outlives the demo.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MAXIMUM_BODY = 64 * 1024


class OrdersHandler(BaseHTTPRequestHandler):
    """Answers for a list of orders in memory. It trusts whoever reaches it."""

    protocol_version = "HTTP/1.1"
    server_version = "LegacyOrders/1.0"
    sys_version = ""
    orders: list[dict[str, object]] = [  # noqa: RUF012 - one list for all requests is meant
        {"id": 1, "item": "tea", "quantity": 2},
        {"id": 2, "item": "rice cakes", "quantity": 12},
    ]

    def do_GET(self) -> None:
        """List the orders, or give one."""
        segments = self.path.partition("?")[0].strip("/").split("/")
        if segments == ["orders"]:
            self._answer(200, {"orders": self.orders, **self._who_asks()})
        elif len(segments) == 2 and segments[0] == "orders":
            found = [order for order in self.orders if str(order["id"]) == segments[1]]
            self._answer(200, found[0]) if found else self._answer(404, {"error": "no such order"})
        elif segments == ["healthz"]:
            self._answer(200, {"status": "ok"})
        else:
            self._answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        """Add an order."""
        try:
            length = min(int(self.headers.get("Content-Length", 0)), _MAXIMUM_BODY)
            order = json.loads(self.rfile.read(length))
            added = {"id": len(self.orders) + 1, "item": str(order["item"])}
        except (ValueError, KeyError, TypeError):
            self._answer(400, {"error": 'send an order, such as {"item": "tea"}'})
            return
        self.orders.append(added)
        self._answer(201, added)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Stay silent: the guard has the access log."""

    def _who_asks(self) -> dict[str, str | None]:
        # All that a legacy service has to learn: who asks stands in headers that it may trust.
        return {
            "asked_by": self.headers.get("X-Auth-Client-Id"),
            "on_behalf_of": self.headers.get("X-Auth-Username"),
        }

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve on a free port of loopback until standard input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), OrdersHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201 - whoever started it reads the port
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
