"""A subscriber to events: a real HTTP server that keeps what it was told, and answers as a test says."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reply = tuple[int, dict[str, str]]  # status and headers


@dataclass(frozen=True)
class Told:
    """One request that was made: its path, its headers with their names in small letters, its body, and what was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        """The event that it told."""
        event: dict[str, Any] = json.loads(self.body)
        return event


def willing(_event: dict[str, Any]) -> Reply:
    """Takes every event."""
    return 204, {}


@dataclass
class Subscriber:
    """What was told, and how the next request is answered."""

    url: str
    answers: Callable[[dict[str, Any]], Reply] = willing
    asked: list[Told] = field(default_factory=list)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The events that were answered with success, in the order in which that was done."""
        return [told.event for told in self.asked if told.status < 300]


@contextmanager
def open_subscriber() -> Iterator[Subscriber]:
    """Listen on a free port of this machine until the `with` block ends."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = subscriber.answers(json.loads(body))
            with lock:
                told = {name.lower(): value for name, value in self.headers.items()}
                subscriber.asked.append(Told(self.path, told, body, status))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    subscriber = Subscriber(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield subscriber
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
