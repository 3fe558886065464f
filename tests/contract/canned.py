"""A provider that answers what a test has put into a tin: a real HTTP server on a free port, well-behaved or not."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tuma_worker.providers.base import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PAYLOADS = Path(__file__).parent / "payloads"
TEXT = "Karibu kwa Tuma"
KEY = "sk_test_inventedfortests"
PASSWORD = "invented webhook password"
SECRET = "invented webhook secret"
NUMBERS = ("+243990000001", "+243990000002", "+243990000003")

_AT = "2025-05-20T10:00:00Z"
_MESSAGE = {
    "message_id": "m1", "to": "+243990000001", "from": "KITOKO", "status": "delivered", "cost": 1.5, "currency": "USD",
    "sent_at": _AT, "message": "Karibu", "delivery_report": {"status": "delivered", "network": "n", "error_code": "1"},
}  # fmt: skip
# All that the answers to any question of either provider are read for.
TOLD = {
    **_MESSAGE,
    "messages": [_MESSAGE],
    "meta": {"total": 1, "pages": 1, "page": 1},
    "campaigns": [{"campaign_id": "c1", "campaign_name": "n", "created_at": _AT, "total_messages": 3}],
    "sender_ids": [{"sender_id": "KITOKO", "status": "approved", "countries": ["CD"], "type": "alphanumeric"}],
    "templates": [{"template_id": "t", "name": "n", "content": "c", "variables": ["a"], "created_at": _AT}],
    "lists": [{"list_id": "l", "name": "n", "count": 1, "contacts": 3}],
    "opt_outs": [{"phone": "+243990000001", "created_at": _AT}],
    "analytics": [{"date": "2025-05-20", "total_messages": 1, "delivered": 1, "delivery_rate": 99.5, "total_cost": 1.2}],
    "summary": {"total_messages": 1, "average_delivery_rate": 99, "total_cost": 1},
    "webhook": {"id": "w", "url": "u", "events": ["sms.sent"], "secret": "s"},
    "data": {
        "message_id": "m1", "status": "delivered", "balance": 10.5, "sms_wallet_balance": 3, "currency": "USD", "unit_price": 0.02,
        "total_recipients": 2, "delivered": 1, "failed": 1, "pending": 0, "created_at": _AT,
    },
}  # fmt: skip


class Ending(StrEnum):
    """How the server ends what it began."""

    ANSWER = "answers in full"
    CLOSE = "closes without an answer"
    RESET = "resets without an answer"
    HANG = "hangs without an answer"
    TRICKLE = "trickles the body forever"
    TRUNCATE = "closes in the middle of the body"
    GARBAGE = "answers something that is not HTTP"


@dataclass(frozen=True)
class Tin:
    """One response. `body` is sent as JSON unless it is bytes."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = Ending.ANSWER

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request as the server read it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class CannedServer(ThreadingHTTPServer):
    """Serves the tins in their order and the last one again and again; `asked` holds the requests."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Asked] = []
        self.arrived = Event()
        self.over = Event()
        self._tins: deque[Tin] = deque()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, *tins: Tin) -> None:
        """Forget what was, and answer with these from now on."""
        self._tins = deque(tins)
        self.asked.clear()
        self.arrived.clear()

    def take(self) -> Tin:
        return self._tins.popleft() if len(self._tins) > 1 else self._tins[0]

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """A client that gave up is what half of the tests are about; any other surprise is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: CannedServer

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(
            Asked(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(content or b"null"),
            )
        )
        self.server.arrived.set()
        tin = self.server.take()
        self.close_connection = tin.ending is not Ending.ANSWER
        match tin.ending:
            case Ending.ANSWER | Ending.TRICKLE | Ending.TRUNCATE:
                self._respond(tin)
            case Ending.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case Ending.HANG:
                self.server.over.wait()
            case Ending.GARBAGE:
                self.wfile.write(b"good morning\r\n\r\n")
            case Ending.CLOSE:
                self.connection.shutdown(socket.SHUT_RDWR)

    do_POST = do_GET = _answer  # noqa: N815 - http.server names its hooks so

    def _respond(self, tin: Tin) -> None:
        self.send_response_only(tin.status)
        more = 0 if tin.ending is Ending.ANSWER else 10_000
        for name, value in {"Content-Length": str(len(tin.content) + more), **tin.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(tin.content)
        self.wfile.flush()
        while tin.ending is Ending.TRICKLE and not self.server.over.wait(0.02):
            self.wfile.write(b" ")
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output to the tests."""


@contextmanager
def canned() -> Iterator[CannedServer]:
    """A server for as long as the block lasts."""
    server = CannedServer()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@dataclass(frozen=True)
class InventedAccount:
    """An account's settings as a provider sees them, nothing in it real."""

    base_url: str | None
    api_key: SecretStr = field(default=SecretStr(KEY))
    environment: str = "sandbox"
    sender_id: str | None = None
    timezone: str | None = None
    timeout: float = 5.0
    webhook_username: str | None = "tuma"
    webhook_password: SecretStr | None = field(default=SecretStr(PASSWORD))
    webhook_secret: SecretStr | None = field(default=SecretStr(SECRET))
    webhook_password_old: SecretStr | None = None
    webhook_secret_old: SecretStr | None = None
    webhook_timestamp_header: str | None = None
    inbound_event: str | None = None


@dataclass(frozen=True)
class Recorded:
    """An exchange from a provider's documents, with what a reader of them would expect of it."""

    numbers: tuple[str, ...]
    tin: Tin
    expect: Mapping[str, Any]


def recorded(provider: str, name: str) -> Recorded:
    """The exchange in `payloads/<provider>/<name>.json`."""
    content = json.loads((PAYLOADS / provider / f"{name}.json").read_text())
    response = content["response"]
    return Recorded(
        tuple(content["numbers"]),
        Tin(response["status"], response["body"], response.get("headers", {})),
        content.get("expect", {}),
    )


def webhook(provider: str, name: str) -> dict[str, Any]:
    """The webhook body in `payloads/<provider>/<name>.json`."""
    body: dict[str, Any] = json.loads((PAYLOADS / provider / f"{name}.json").read_text())
    return body


def call(
    numbers: Sequence[str] = NUMBERS,
    *,
    message: str = TEXT,
    sender_id: str | None = "KITOKO",
    callback_url: str | None = None,
) -> Call:
    """A call to these numbers."""
    return Call(tuple(numbers), message, sender_id, "tuma-000001", callback_url)
