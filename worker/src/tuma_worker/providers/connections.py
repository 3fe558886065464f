"""Kept-alive connections without a proxy: a socket, httptools' parser, and httpx's word for every way in which a call can fail.

A call over httpx's own transport costs several times as much of a processor as one over this; `http` keeps that one for proxies.
"""

from __future__ import annotations

import re
import select
import socket
import sys
import threading
import time
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import httptools
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

_PIECE = 65_536  # bytes that are read at once
_MOST_HEAD = 65_536  # bytes, of all headers together
_FINAL = 200  # the first status that ends a call
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*")
_WITH_BODY = {"PATCH", "POST", "PUT"}
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
        """Send a request and return the response, whose body is still to be read. Raises httpx's exceptions.

        The read timeout is that of the whole response, from when the request has left, however it trickles.
        """
        place, content = Place.of(request.url), _packed(request)
        if not self._free.acquire(timeout=timeout.pool):
            message = "too many calls at once"
            raise httpx.PoolTimeout(message)
        lent = _Lent(self, place)
        try:
            lent.connection = self._take_idle(place) or self._connect(place, timeout.connect)
            if request.before is not None:
                request.before()
            _write(lent.connection, content, timeout.write)
            until = None if timeout.read is None else time.monotonic() + timeout.read
            return Response(_head(lent.connection, until), lent, lent.connection, until)
        except BaseException:
            lent.end(reusable=False)
            raise

    def _take_idle(self, place: Place) -> socket.socket | None:
        idle = self._idle.get(place)
        while idle:
            with suppress(IndexError):  # another thread was faster
                last = idle.pop()
                if last.since + self.expiry > time.monotonic() and not _readable(last.connection):
                    return last.connection
                last.connection.close()
        return None

    def _connect(self, place: Place, seconds: float | None) -> socket.socket:
        try:
            connection = self.dial(place.host, place.port, seconds)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._trust.wrap_socket(connection, server_hostname=place.host) if place.scheme == "https" else connection
            except BaseException:
                connection.close()
                raise
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:  # the second: a name that is none
            raise httpx.ConnectError(str(error)) from error

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whom we believe to be who they say: as httpx does, the environment's certificates included."""
        context = httpx.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def give_back(self, place: Place, connection: socket.socket | None) -> None:
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
    connection: socket.socket
    since: float


@dataclass
class _Lent:
    """One call's right to a connection, given back once."""

    owner: Connections
    place: Place
    connection: socket.socket | None = None
    _ended: bool = False

    def end(self, *, reusable: bool) -> None:
        if self._ended:
            return
        self._ended = True
        connection, self.connection = self.connection, None
        if connection is not None and not reusable:
            connection.close()
        self.owner.give_back(self.place, connection if reusable else None)


class _Arriving:
    """A response as it arrives: what httptools calls a protocol, its parser included.

    `head` once its head is there, `whole` once its body is; `excess` where more came than a response, `kept` where the connection
    may be used again.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        self.head = self.whole = self.excess = self.kept = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what has arrived; nothing is the connection's end. Raises `httpx.RemoteProtocolError` for what is no response."""
        if self._parser is None:
            return
        try:
            if data:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:  # the second is no kind of the first
            if not self.whole:
                raise httpx.RemoteProtocolError(type(error).__name__) from error
            self.excess = True
        if not data and not (self.head and self._unframed):
            message = "the response is shorter than was said"
            raise httpx.RemoteProtocolError(message)
        self.whole = self.whole or not data
        if self.whole:
            self.kept = self.kept and not self.excess
            self._parser = None  # it knows us, and we know it: nobody else would let go of either

    @property
    def _unframed(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return not any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self.headers)

    # What the parser calls, by its names for it.

    def on_message_begin(self) -> None:
        self.excess = self.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.excess and not self.head:  # afterwards they are trailers, which nobody reads
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.excess and self._parser is not None:
            self.status = self._parser.get_status_code()
            self.head = self.status >= _FINAL

    def on_body(self, body: bytes) -> None:
        if not self.excess:
            self.pieces.append(body)

    def on_message_complete(self) -> None:
        if self.excess or self._parser is None:
            return
        if self.head:
            self.whole, self.kept = True, self._parser.should_keep_alive()
        else:  # a word on the way, such as 100: the response is still to come
            self.headers.clear()


class Response:
    """A response whose head has arrived. To be closed; its connection is used again only where the body was read to its end."""

    def __init__(self, arriving: _Arriving, lent: _Lent, connection: socket.socket, until: float | None) -> None:
        self.status_code = arriving.status
        self.headers: Mapping[str, str] = httpx.Headers(arriving.headers)
        self._arriving = arriving
        self._lent = lent
        self._connection = connection
        self._until = until

    def iter_bytes(self) -> Iterator[bytes]:
        """The body as it arrives, unpacked. Raises httpx's exceptions.

        A piece may be empty: what was read then is no part of the body, and whoever reads may look at the clock.
        """
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding in _CODINGS:
            yield from _unpacked(self._pieces())
        elif coding in {"", "identity"}:
            yield from self._pieces()
        else:
            message = "packed in a way that nobody asked for"
            raise httpx.DecodingError(message)

    def _pieces(self) -> Iterator[bytes]:
        arriving = self._arriving
        while True:
            while arriving.pieces:
                yield arriving.pieces.popleft()
            if arriving.whole:
                return
            arriving.feed(_receive(self._connection, self._until))
            if not arriving.pieces:  # trailers and the like, which may go on for ever
                yield b""

    def close(self) -> None:
        """Let go of the connection."""
        self._lent.end(reusable=self._arriving.kept)


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpack, empty = zlib.decompressobj(_ANY_ZLIB), True
    try:
        for piece in pieces:
            packed, empty = piece, empty and not piece
            if not packed or unpack.eof:  # what comes after the end is not kept
                yield b""
                continue
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


def _packed(request: Request) -> bytes:
    """A request as it goes over the wire. Raises `httpx.LocalProtocolError` where a header is none."""
    headers = {"Host": request.url.netloc.decode("ascii"), "Accept-Encoding": "identity", **request.headers}
    if request.content is not None or request.method in _WITH_BODY:
        headers["Content-Length"] = str(len(request.content or b""))
    try:
        lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    except UnicodeEncodeError as error:
        raise httpx.LocalProtocolError(type(error).__name__) from error
    if not all(map(_HEADER.fullmatch, lines)):
        message = "not a header"
        raise httpx.LocalProtocolError(message)
    first = b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    return b"\r\n".join([first, *lines, b"", request.content or b""])


def _write(connection: socket.socket, content: bytes, seconds: float | None) -> None:
    connection.settimeout(seconds)
    try:
        connection.sendall(content)
    except TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except OSError:
        return  # it may have refused before it has read everything: what it said is still to be read


def _head(connection: socket.socket, until: float | None) -> _Arriving:
    """A response up to the end of its head."""
    arriving, size = _Arriving(), 0
    while not arriving.head:
        data = _receive(connection, until)
        arriving.feed(data)
        size += len(data)
        if size > _MOST_HEAD and not arriving.head:
            message = "headers without end"
            raise httpx.RemoteProtocolError(message)
    return arriving


def _receive(connection: socket.socket, until: float | None) -> bytes:
    """What has arrived, or is the next to, until then by the clock of `time.monotonic`."""
    connection.settimeout(None if until is None else max(0.001, until - time.monotonic()))
    try:
        return connection.recv(_PIECE)
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except OSError as error:
        raise httpx.ReadError(str(error)) from error
