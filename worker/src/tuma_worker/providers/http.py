"""The way out: the HTTP connections of a whole process, and one request over them.

A request ends in what arrived or in an `Answer` that says how far it came. The difference between *never left* and *may have
arrived* is the difference between sending again and sending twice, so every exception of httpx has its line in `FAILURES`.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from tuma_worker import __version__
from tuma_worker.core.answers import AccountFault, Fault, TryLater, Unknown
from tuma_worker.providers.connections import Connections, Request
from tuma_worker.providers.reading import json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.base import Barred
    from tuma_worker.providers.connections import Response

CONNECT_TIMEOUT = 5.0
WRITE_TIMEOUT = 10.0
POOL_TIMEOUT = 5.0

# A server that closes an idle connection while we write to it leaves us with an unknown outcome: we let go first.
KEEPALIVE_EXPIRY = 4.0

# A full bulk answer is below 200 kB.
MAX_BODY = 4 * 1024 * 1024

FAILURES: Mapping[type[Exception], Answer] = {
    # No byte of the body has left.
    httpx.ConnectError: TryLater("connect-error", left=False, unreachable=True),
    httpx.ConnectTimeout: TryLater("connect-timeout", left=False, unreachable=True),
    httpx.PoolTimeout: TryLater("pool-timeout", left=False, counts=False),
    httpx.ProxyError: TryLater("proxy-error", left=False, unreachable=True),
    httpx.UnsupportedProtocol: TryLater("unsupported-protocol", left=False),
    httpx.InvalidURL: AccountFault("invalid-url", Fault.CONFIGURATION),
    # Some of it, or all of it, may have been read.
    httpx.WriteError: Unknown("write-error"),
    httpx.WriteTimeout: Unknown("write-timeout"),
    httpx.ReadError: Unknown("read-error"),
    httpx.ReadTimeout: Unknown("read-timeout"),
    httpx.CloseError: Unknown("close-error"),
    httpx.RemoteProtocolError: Unknown("remote-protocol-error"),
    httpx.LocalProtocolError: Unknown("local-protocol-error"),
    httpx.DecodingError: Unknown("unreadable-body"),
    httpx.TooManyRedirects: Unknown("too-many-redirects"),
    # Whatever a later version adds below these.
    httpx.TimeoutException: Unknown("timeout"),
    httpx.NetworkError: Unknown("network-error"),
    httpx.ProtocolError: Unknown("protocol-error"),
    httpx.TransportError: Unknown("transport-error"),
    httpx.RequestError: Unknown("request-error"),
    httpx.HTTPError: Unknown("http-error"),
}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole response. `body` is empty where it was not a JSON object; header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]

    @property
    def success(self) -> bool:
        """Whether the status is any 2xx."""
        return httpx.codes.is_success(self.status)


class Http:
    """The connections of a process, which all its accounts share. Thread-safe.

    What httpx's client adds, redirects, cookies, authentication and hooks, must not happen here. Proxies come from the environment,
    as everywhere; calls through one go over httpx's transport, which knows all kinds of them.
    """

    def __init__(self, max_connections: int | None = None) -> None:
        self._direct = Connections(max_connections, KEEPALIVE_EXPIRY)
        self._limits = httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_EXPIRY,
        )
        self._proxies = getproxies()
        self._bypassed: dict[str, bool] = {}
        self._transports: dict[str, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._direct.close()
        for transport in self._transports.values():
            transport.close()

    def send(self, request: Request, timeout: httpx.Timeout) -> Response | httpx.Response:
        """Send the request and return the response, whose body is still to be read. Raises httpx's exceptions."""
        proxy = self._proxy(request.url.scheme, request.url.host)
        if not proxy:
            return self._direct.send(request, timeout)
        return self._transport(proxy).handle_request(_for_httpx(request, timeout))

    def _proxy(self, scheme: str, host: str) -> str:
        """The proxy for this place; empty where there is none, which is mostly so."""
        if not self._proxies:
            return ""
        if host not in self._bypassed:
            self._bypassed[host] = bool(proxy_bypass(host))
        return "" if self._bypassed[host] else self._proxies.get(scheme) or self._proxies.get("all") or ""

    def _transport(self, proxy: str) -> httpx.HTTPTransport:
        with self._lock:
            if proxy not in self._transports:
                self._transports[proxy] = httpx.HTTPTransport(limits=self._limits, proxy=proxy)
            return self._transports[proxy]


def _for_httpx(request: Request, timeout: httpx.Timeout) -> httpx.Request:
    method, url, headers, content, before = request
    extensions: dict[str, object] = {"timeout": timeout.as_dict()}
    if before is not None:
        extensions["trace"] = _at_first_byte(before)
    return httpx.Request(method, url, headers=headers, content=content, extensions=extensions)


def _at_first_byte(do: Callable[[], None]) -> Callable[[str, object], None]:
    """What httpcore tells of its steps, for whoever waits for one of them."""

    def step(name: str, _info: object) -> None:
        if name == "http11.send_request_headers.started":
            do()

    return step


_HEADERS = {"User-Agent": f"tuma/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"}


def timeouts(read: float) -> httpx.Timeout:
    """The timeouts of one call whose answer may take `read` seconds."""
    return httpx.Timeout(
        connect=min(CONNECT_TIMEOUT, read), write=min(WRITE_TIMEOUT, read), pool=min(POOL_TIMEOUT, read), read=read
    )


class _BarredError(Exception):
    """The request was given up before its first byte."""

    def __init__(self, answer: TryLater) -> None:
        super().__init__(answer.code)
        self.answer = answer


def _asking(barred: Barred) -> Callable[[], None]:
    """Before the first byte of a request the caller is asked once more.

    Names, addresses and a handshake may have taken longer than any one timeout says, and the process may have been stopped
    meanwhile.
    """

    def ask_again() -> None:
        if (answer := barred()) is not None:
            raise _BarredError(answer)

    return ask_again


def post(
    http: Http,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Mapping[str, object],
    timeout: float,
    barred: Barred | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Arrived | Answer:
    """Make exactly one POST with a JSON body and return what arrived, or how far it came. `timeout` is in seconds.

    `barred` is asked when there is a connection: what it says then is the answer, and no byte has left.
    """
    # Escaped JSON: a lone surrogate in a text then is the provider's to refuse, not an exception that quotes it.
    content = json.dumps(body, separators=(",", ":")).encode("ascii")
    typed = {**headers, "Content-Type": "application/json"}
    return _exchange(http, "POST", url, headers=typed, content=content, timeout=timeout, barred=barred, clock=clock)


def get(
    http: Http,
    url: str,
    *,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> Arrived | Answer:
    """Make exactly one GET and return what arrived, or how far it came. `timeout` is in seconds."""
    return _exchange(http, "GET", url, headers=headers, params=params, timeout=timeout, clock=clock)


def ask(
    http: Http,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> Arrived | Answer:
    """Make exactly one request without a body and return what arrived, or how far it came. `timeout` is in seconds."""
    return _exchange(http, method, url, headers=headers, timeout=timeout, clock=clock)


def _exchange(
    http: Http,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout: float,
    clock: Callable[[], float],
    barred: Barred | None = None,
    content: bytes | None = None,
    params: Mapping[str, str] | None = None,
) -> Arrived | Answer:
    deadline = clock() + timeout
    before = None if barred is None else _asking(barred)
    try:
        target = _parsed(url) if params is None else httpx.URL(url, params=params)
        request = Request(method, target, {**_HEADERS, **headers}, content, before)
        with closing(http.send(request, timeouts(timeout))) as response:
            arrived = _read(response, deadline, clock)
    except _BarredError as error:
        return error.answer
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return failure(error)
    return Arrived(response.status_code, response.headers, json_object(arrived) or {})


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def failure(error: Exception) -> Answer:
    """What a transport's exception means: the line of its nearest listed ancestor."""
    return next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)


def _read(response: Response | httpx.Response, deadline: float, clock: Callable[[], float]) -> bytes:
    """The body. By a proxy the read timeout begins anew with each byte: a trickle is ended by the deadline of the call."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_BODY:
            message = "the response is too large"
            raise httpx.DecodingError(message)
        if clock() > deadline:
            message = "the response did not end in time"
            raise httpx.ReadTimeout(message)
    return bytes(content)
