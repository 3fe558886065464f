"""A worker's own small HTTP server: for probes and for whoever scales. Nothing of it is for the world outside."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = tuple[int, dict[str, Any]]  # a status of HTTP, and what to say as JSON


def serve(host: str, port: int, answers: Mapping[str, Callable[[str], Answer]]) -> ThreadingHTTPServer:
    """Answer GET requests in a thread of their own, each by the first part of its path; the rest of it is the argument.

    Raises `OSError` where the address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a request to come

        def do_GET(self) -> None:
            first, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
            answer = answers.get(first)
            status, said = answer(rest) if answer is not None else (404, {"detail": f"there are: {', '.join(sorted(answers))}"})
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="tuma-health", daemon=True).start()
    return server
