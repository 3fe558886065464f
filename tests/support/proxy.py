"""A TCP proxy before a server that loses replies when told to: the server has done the work, and the client never hears of it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 1 << 16


class LossyProxy:
    """Forwards to a port of this machine. Use it in a `with` block; `url` is where clients connect to."""

    def __init__(self, port: int) -> None:
        self.lost = 0
        self._port = port
        self._to_lose = self._to_pass = 0
        self._marker = b""
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, marker: bytes, times: int = 1, *, after: int = 0) -> None:
        """Cut the connection instead of passing on the next replies in which `marker` stands, once so many have been passed on."""
        with self._guard:
            self._marker, self._to_lose, self._to_pass = marker, times, after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        for one in self._open:
            _cut(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, replies: bool) -> None:  # noqa: FBT001 - which of the two directions
        try:
            while data := source.recv(_CHUNK):
                if replies and self._loses(data):
                    break
                target.sendall(data)
        except OSError:  # the other direction has cut it
            return
        finally:
            _cut(source)
            _cut(target)

    def _loses(self, data: bytes) -> bool:
        with self._guard:
            found = self._to_lose > 0 and self._marker in data
            loses = found and self._to_pass == 0
            self._to_pass -= found and not loses
            if loses:
                self._to_lose -= 1
                self.lost += 1
            return loses


def _cut(one: socket.socket) -> None:
    """End a connection so that whoever reads from it wakes; closing alone would leave them waiting."""
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended already
        return
    finally:
        one.close()
