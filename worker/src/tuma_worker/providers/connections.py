"""Kept-alive connections without a proxy: `http.client` underneath, httpx's word for every way in which a call can fail.

A call over httpx's own transport costs three times as much of a processor as one over this; `http` keeps that one for proxies.
"""

from __future__ import annotations

import http.client
import select
import socket
import sys
import threading
import time
import zlib
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

_PIECE = 65_536  # bytes of a body that are read at once
_FINAL = 200  # the first status that ends a call
_ANY_ZLIB = 47  # window bits: gzip or zlib, as the data says
_CODINGS = {"gzip", "x-gzip", "deflate"}


class Place(NamedTuple):
    """Where a connection leads to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """The place of this URL. Raises `httpx.UnsupportedProtocol` where it is none of HTTP's."""
        ports = {"http": 80, "https": 443}
        if url.scheme not in ports:
            message = f"neither http nor https: {url.scheme!r}"
            raise httpx.UnsupportedProtocol(message)
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or ports[url.scheme])


class Request(NamedTuple):
    """What is to be sent, whole.

    `before` is called when there is a connection: what it raises ends the call, and no byte has left.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None
    before: Callable[[], None] | None = None


def dial(host: str, port: int, seconds: float | None) -> socket.socket:
    """A connection to whatever the name stands for. Raises `OSError`."""
    return socket.create_connection((host, port), seconds)


@dataclass
class Connections:
    """The connections of a process. Thread-safe.

    `most` may be in calls at once, where a number is set. One that was idle for `expiry` seconds is not used again. The one that
    was used last goes first, so that those which a burst has opened expire. `dial` makes them, for whoever may not go everywhere.
    """

    most: int | None
    expiry: float
    dial: Callable[[str, int, float | None], socket.socket] = dial
    _idle: dict[Place, deque[_Idle]] = field(default_factory=dict)
    _free: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(sys.maxsize if self.most is None else self.most)

    def send(self, request: Request, timeout: httpx.Timeout) -> Response:
        """Send a request and return the response, whose body is still to be read. Raises httpx's exceptions."""
        place = Place.of(request.url)
        if not self._free.acquire(timeout=timeout.pool):
            message = "too many calls at once"
            raise httpx.PoolTimeout(message)
        lent = _Lent(self, place)
        try:
            lent.connection = self._take_idle(place) or self._connect(place, timeout.connect)
            if request.before is not None:
                request.before()
            _write(lent.connection, request, timeout.write)
            return Response(_head(lent.connection, timeout.read), lent)
        except BaseException:
            lent.end(reusable=False)
            raise

    def _take_idle(self, place: Place) -> http.client.HTTPConnection | None:
        idle = self._idle.get(place)
        while idle:
            with suppress(IndexError):  # another thread was faster
                last = idle.pop()
                if last.since + self.expiry > time.monotonic() and not _readable(last.connection.sock):
                    return last.connection
                last.connection.close()
        return None

    def _connect(self, place: Place, seconds: float | None) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPConnection(place.host, place.port, timeout=seconds)
            if place.scheme == "http"
            else http.client.HTTPSConnection(place.host, place.port, timeout=seconds, context=self._trust)
        )
        connection.auto_open = 0  # what has broken is not mended by a second request
        try:
            connection.sock = self.dial(place.host, place.port, seconds)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if place.scheme == "https":
                connection.sock = self._trust.wrap_socket(connection.sock, server_hostname=place.host)
        except TimeoutError as error:
            connection.close()
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:  # the second: a name that is none
            connection.close()
            raise httpx.ConnectError(str(error)) from error
        return connection

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whom we believe to be who they say: as httpx does, the environment's certificates included."""
        context = httpx.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def give_back(self, place: Place, connection: http.client.HTTPConnection | None) -> None:
        """End a call; its connection is kept for the next one, where it is given."""
        if connection is not None:
            now, idle = time.monotonic(), self._idle.setdefault(place, deque())
            idle.append(_Idle(connection, now))
            self._expire(idle, now)
        self._free.release()

    def _expire(self, idle: deque[_Idle], now: float) -> None:
        with suppress(IndexError):
            while idle[0].since + self.expiry <= now:
                idle.popleft().connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().connection.close()


@dataclass(frozen=True, slots=True)
class _Idle:
    connection: http.client.HTTPConnection
    since: float


@dataclass
class _Lent:
    """One call's right to a connection, given back once."""

    owner: Connections
    place: Place
    connection: http.client.HTTPConnection | None = None

    def end(self, *, reusable: bool) -> None:
        connection, self.connection = self.connection, None
        if connection is not None and not reusable:
            connection.close()
        self.owner.give_back(self.place, connection if reusable else None)


class Response:
    """A response whose head has arrived. To be closed; its connection is used again only where the body was read to its end."""

    def __init__(self, arrived: http.client.HTTPResponse, lent: _Lent) -> None:
        self.status_code = arrived.status
        self.headers: Mapping[str, str] = httpx.Headers(arrived.getheaders())
        self._arrived = arrived
        self._lent = lent
        self._unframed = arrived.length is None and not arrived.chunked
        self._whole = False

    def iter_bytes(self) -> Iterator[bytes]:
        """The body as it arrives, unpacked. Raises httpx's exceptions."""
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding in _CODINGS:
            yield from _unpacked(self._pieces())
        elif coding in {"", "identity"}:
            yield from self._pieces()
        else:
            message = "packed in a way that nobody asked for"
            raise httpx.DecodingError(message)

    def _pieces(self) -> Iterator[bytes]:
        empty = True
        with _reading():
            while piece := self._arrived.read1(_PIECE):
                empty = False
                yield piece
        # To http.client a head that was cut off is a whole one, with a body of unsaid length: then it has to be there.
        if self._arrived.length or (empty and self._unframed):
            message = "the response is shorter than was said"
            raise httpx.RemoteProtocolError(message)
        self._whole = True

    def close(self) -> None:
        """Let go of the connection."""
        self._arrived.close()
        connection = self._lent.connection
        self._lent.end(reusable=self._whole and connection is not None and connection.sock is not None)


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpack, empty = zlib.decompressobj(_ANY_ZLIB), True
    try:
        for piece in pieces:
            packed, empty = piece, False
            while packed:
                yield unpack.decompress(packed, _PIECE)  # no more at once, whatever it blows up to
                packed = unpack.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from error
    if not unpack.eof and not empty:
        message = "the packed body has no end"
        raise httpx.DecodingError(message)


def _readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to say: that it is over, or what nobody asked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _write(connection: http.client.HTTPConnection, request: Request, seconds: float | None) -> None:
    connection.sock.settimeout(seconds)
    try:
        connection.request(request.method, request.url.raw_path.decode("ascii"), request.content, request.headers)
    except TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except OSError:
        return  # it may have refused before it has read everything: what it said is still to be read
    except (ValueError, http.client.HTTPException) as error:
        raise httpx.LocalProtocolError(type(error).__name__) from error


def _head(connection: http.client.HTTPConnection, seconds: float | None) -> http.client.HTTPResponse:
    connection.sock.settimeout(seconds)
    with _reading():
        arrived = connection.getresponse()
    if arrived.status < _FINAL:
        message = f"status {arrived.status} ends no call"
        raise httpx.RemoteProtocolError(message)
    return arrived


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except http.client.HTTPException as error:  # before OSError: a connection that was closed is both
        raise httpx.RemoteProtocolError(type(error).__name__) from error
    except OSError as error:
        raise httpx.ReadError(str(error)) from error
