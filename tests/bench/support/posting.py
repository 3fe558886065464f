"""Posts bodies as fast as they are answered, over connections that stay open, and times each answer."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_READ = 65536
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass
class Posted:
    """How long it took in all, how long each answer took (seconds), and how often which status came."""

    seconds: float = 0.0
    answers: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole request as it goes over the wire, as a provider would make it."""
    lines = {
        "host": "gateway.example",
        "user-agent": "provider-webhooks/1.0",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    return f"POST {path} HTTP/1.1\r\n".encode() + b"".join(f"{n}: {v}\r\n".encode() for n, v in lines.items()) + b"\r\n" + body


def post_all(port: int, requests: Iterable[bytes], connections: int) -> Posted:
    """Post all of them, as many at once as there are connections."""
    waiting, posted = deque(requests), Posted()
    with selectors.DefaultSelector() as ready:
        for _ in range(min(connections, len(waiting))):
            line = socket.create_connection(("127.0.0.1", port))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(line, selectors.EVENT_READ, [0.0])
        began = time.perf_counter()
        for key in list(ready.get_map().values()):
            _send(key, waiting.popleft())
        while ready.get_map():
            for key, _ in ready.select():
                _answered(key, posted)
                if waiting:
                    _send(key, waiting.popleft())
                else:
                    ready.unregister(key.fileobj)
                    _line(key).close()
        posted.seconds = time.perf_counter() - began
    return posted


def _send(key: selectors.SelectorKey, content: bytes) -> None:
    key.data[0] = time.perf_counter()
    _line(key).sendall(content)


def _answered(key: selectors.SelectorKey, posted: Posted) -> None:
    """Read one answer, whole: the next one comes over the same line."""
    answer = _line(key).recv(_READ)
    while not _is_whole(answer) and (more := _line(key).recv(_READ)):
        answer += more
    posted.answers.append(time.perf_counter() - key.data[0])
    posted.statuses[int(answer[9:12] or 0)] += 1


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(_END)
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


def _line(key: selectors.SelectorKey) -> socket.socket:
    line = key.fileobj
    assert isinstance(line, socket.socket)
    return line
