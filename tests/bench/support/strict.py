"""A provider that is stricter than any: it refuses a call that any way of counting its windows would refuse.

Every limit is counted as a sliding log and as fixed windows in four alignments. The network costs each way `jitter_ms` at random or
half of `latency_ms`. Run as a program: `python -m tests.bench.support.strict '{"limits": [...], "latency_ms": 50}'`; it says on
which port it listens. POST anything; GET /calls tells of every call [arrived, counted, accepted, messages, key], times in Unix
seconds: `arrived` is the first byte, `counted` when the windows saw it.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import secrets
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

ALIGNMENTS = (0.0, 0.25, 0.5, 0.75)  # parts of a window by which the fixed windows are shifted

_HEAD_END = b"\r\n\r\n"


@dataclass
class Window:
    """One limit as this provider counts it. What it refuses does not count."""

    count: float
    unit: str
    window: float
    _log: deque[tuple[float, int]] = field(default_factory=deque)
    _in_log: int = 0
    _fixed: Counter[tuple[float, int]] = field(default_factory=Counter)

    def refuses(self, now: float, messages: int) -> bool:
        """Whether any way of counting finds no room for a call at `now`."""
        weight = self._weight(messages)
        while self._log and now - self._log[0][0] >= self.window:
            self._in_log -= self._log.popleft()[1]
        if self._in_log + weight > self.count:
            return True
        return any(self._fixed[place] + weight > self.count for place in self._places(now))

    def take(self, now: float, messages: int) -> None:
        """Count an accepted call."""
        weight = self._weight(messages)
        self._log.append((now, weight))
        self._in_log += weight
        self._fixed.update(dict.fromkeys(self._places(now), weight))

    def after(self, now: float) -> int:
        """Whole seconds after which trying again may help, as on the wire."""
        oldest = self._log[0][0] if self._log else now
        return max(1, math.ceil(oldest + self.window - now))

    def _weight(self, messages: int) -> int:
        return 1 if self.unit == "calls" else messages

    def _places(self, now: float) -> list[tuple[float, int]]:
        return [(shift, math.floor(now / self.window - shift)) for shift in ALIGNMENTS]


@dataclass
class Provider:
    """What the provider knows: its windows, and every call."""

    windows: list[Window]
    one_way: Any
    calls: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, config: dict[str, Any]) -> Provider:
        """The provider that a configuration describes."""
        jitter, latency = config.get("jitter_ms", 0) / 1000, config.get("latency_ms", 0) / 2000
        dice = random.Random(config.get("seed", 1))  # noqa: S311 - a network's jitter is no secret
        one_way = (lambda: dice.uniform(0, jitter)) if jitter else (lambda: latency)
        return cls([Window(**limit) for limit in config.get("limits", [])], one_way)

    async def answer(self, path: str, body: bytes, arrived: float) -> tuple[int, dict[str, Any], str]:
        """Status, body and further header of the answer to one call."""
        fields = json.loads(body)
        await _pass(self.one_way())
        now, messages = time.time(), _messages(fields)
        full = [window for window in self.windows if window.refuses(now, messages)]
        self.calls.append([arrived, now, not full, messages, str(fields.get("message", ""))[:64]])
        if not full:
            for window in self.windows:
                window.take(now, messages)
        await _pass(self.one_way())
        if full:
            return 429, {"error": "rate"}, f"Retry-After: {max(window.after(now) for window in full)}\r\n"
        return 201, _accepted(path, fields), ""


def _messages(fields: dict[str, Any]) -> int:
    recipients = fields.get("recipients", fields.get("to"))
    return len(recipients) if isinstance(recipients, list) else 1


def _accepted(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What the provider of this path says to a call that it takes."""
    number = secrets.token_hex(12)
    if path.endswith("/sms/bulk"):
        return {"campaign_id": number, "total_messages": len(fields["recipients"])}
    return {"message_id": number} if path.endswith("/sms/send") else {"data": {"message_id": number}}


async def _pass(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection: requests with a Content-Length, one at a time."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._read = bytearray()
        self._arrived = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._read:
            self._arrived = time.time()
        self._read += data
        end = self._read.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._read[:end]).decode("latin-1").split("\r\n")
        start = end + len(_HEAD_END)
        if len(self._read) < start + _length(head):
            return
        body = bytes(self._read[start:])
        self._read.clear()
        task = asyncio.get_running_loop().create_task(self._respond(head[0], body, self._arrived))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, request_line: str, body: bytes, arrived: float) -> None:
        method, path, _ = request_line.split(" ")
        if method == "GET":
            status, answer, header = 200, {"calls": self._provider.calls}, ""
        else:
            status, answer, header = await self._provider.answer(path, body, arrived)
        content = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{header}Content-Length: {len(content)}\r\n\r\n"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(head.encode() + content)


def _length(head: list[str]) -> int:
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(config: dict[str, Any]) -> None:
    """Listen on a free port until the process is ended."""
    provider = Provider.of(config)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(provider), "127.0.0.1", 0)
    sys.stdout.write(f"listening on port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
