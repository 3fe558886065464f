"""A provider that takes everything at once and does next to nothing: what is measured against it is what calls it.

Run as a program, `python -m tests.bench.support.noop SECONDS [keep]`: how long an answer takes. It says on which port it listens.
POST anything. GET answers how many calls, recipients and connections there were, and with `keep` when each call's first byte
arrived (Unix seconds) and for which numbers.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.bench.support.processes import Programs

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NUMBER = re.compile(rb'"(\+\d+)"')
_BODY = b'{"data":{"message_id":"0123456789abcdef%08x"}}'
_HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass
class Seen:
    """What has arrived so far."""

    keep: bool
    takes: float = 0.0
    calls: int = 0
    recipients: int = 0
    connections: int = 0
    kept: list[tuple[float, list[str]]] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection, one request at a time."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._read = b""
        self._arrived = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._seen.connections += 1

    def data_received(self, data: bytes) -> None:
        if not self._read:
            self._arrived = time.time()
        read = self._read = self._read + data
        end = read.find(_HEAD_END)
        if end < 0:
            return
        length = _LENGTH.search(read, 0, end)
        start = end + len(_HEAD_END)
        if length is not None and len(read) < start + int(length[1]):
            return
        self._read = b""
        if read.startswith(b"GET"):
            self._transport.write(self._told())
        elif self._seen.takes:
            asyncio.get_running_loop().call_later(self._seen.takes, self._transport.write, self._taken(read, start))
        else:
            self._transport.write(self._taken(read, start))

    def _taken(self, read: bytes, start: int) -> bytes:
        seen = self._seen
        seen.calls += 1
        seen.recipients += read.count(b'"+', start)
        if seen.keep:
            seen.kept.append((self._arrived, [number.decode() for number in _NUMBER.findall(read, start)]))
        body = _BODY % seen.calls
        return _HEAD % len(body) + body

    def _told(self) -> bytes:
        seen = self._seen
        counts = {"calls": seen.calls, "recipients": seen.recipients, "connections": seen.connections, "kept": seen.kept}
        body = json.dumps(counts).encode()
        return _HEAD % len(body) + body


@dataclass(frozen=True, slots=True)
class NoopProvider:
    """Where it is, and what it has seen."""

    url: str
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))

    def seen(self) -> dict[str, Any]:
        """The counts so far; see the module."""
        counts: dict[str, Any] = self._http.get(self.url).json()
        return counts


def start_noop(programs: Programs, *, keep: bool = False, takes: float = 0.0) -> NoopProvider:
    """Start one beside the measurement; its answers take so many seconds."""
    command = [sys.executable, "-m", "tests.bench.support.noop", str(takes), *(["keep"] if keep else [])]
    program = programs.start("noop", command)
    return NoopProvider(f"http://127.0.0.1:{program.until('listening on port').split()[-1]}")


async def serve(seen: Seen) -> None:
    """Listen on a free port until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(seen), "127.0.0.1", 0)
    sys.stdout.write(f"listening on port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Seen(keep="keep" in sys.argv[2:], takes=float(sys.argv[1]))))
