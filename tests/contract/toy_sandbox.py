"""Toy's stand-in: a real HTTP server that keeps a ledger, and refuses whoever has another key."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "invented-key"


class ToySandbox(ThreadingHTTPServer):
    """Takes every send of its key. `taken` holds their bodies, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[dict[str, Any]] = []
        self.key = KEY

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ToySandbox
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._knows_you():
            self.server.taken.append(body)
            self._say(201, {"id": f"toy-{len(self.server.taken)}"})

    def do_GET(self) -> None:
        if self._knows_you():
            self._say(200, {})

    def _knows_you(self) -> bool:
        known = self.headers["X-Key"] == self.server.key
        if not known:
            self._say(401, {})
        return known

    def _say(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output to the tests."""


@contextmanager
def toy_sandbox() -> Iterator[ToySandbox]:
    """A stand-in for as long as the block lasts."""
    server = ToySandbox()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
