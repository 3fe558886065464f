"""One request to a subscriber: to public addresses, or those that a setting allows, and nowhere that the answer may lead to."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import httpx

from tuma_worker import __version__
from tuma_worker.core.pushing import PushAnswer
from tuma_worker.providers.connections import Connections, Request
from tuma_worker.providers.reading import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from tuma_worker.providers.connections import Response

_CONNECT, _KEPT = 5.0, 4.0  # seconds: to connect; that an idle connection is used again
_MOST = 64 * 1024  # bytes of an answer, which is read only so that the connection can be used again
_NAT64 = IPv6Network("64:ff9b::/96")
_HEADERS = {"User-Agent": f"tuma/{__version__}", "Content-Type": "application/cloudevents+json; charset=utf-8"}

BARRED = "barred-address"  # why a request was not made
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "connect-timeout"), (httpx.ConnectError, "connect-error"), (httpx.TimeoutException, "timeout"),
    (httpx.UnsupportedProtocol, "unsupported-protocol"),
)  # fmt: skip


class BarredAddressError(OSError):
    """A name stands for an address to which nothing is pushed."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Connects to public addresses, and to those in `allowed`. What a name stands for is looked at when it is connected to.

    So a name that meant something else when it was given, or that changes between two looks, leads nowhere else.
    """

    allowed: Sequence[IPv4Network | IPv6Network] = ()

    def dial(self, host: str, port: int, seconds: float | None) -> socket.socket:
        """A connection to the first address of this name that answers. Raises `OSError`."""
        failed: OSError = BarredAddressError(host)
        for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if not self.allows(str(place[0])):
                continue
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(seconds)
                made.connect(place)
            except OSError as error:
                made.close()
                failed = error
            else:
                return made
        raise failed

    def allows(self, address: str) -> bool:
        """Whether it is public or allowed; where it stands for another one, whether that is."""
        found = _meant(ip_address(address.partition("%")[0]))
        return any(found in network for network in self.allowed) or (found.is_global and not found.is_multicast)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address of the old kind that one of the new kind leads to, where it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return ip_address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts to subscribers, for `timeout` seconds each. Thread-safe. By no proxy: that would connect to whatever it likes."""

    guard: Guard
    timeout: float
    clock: Callable[[], float] = time.monotonic
    _connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_connections", Connections(None, _KEPT, self.guard.dial))

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> PushAnswer:
        """Post this once."""
        until = self.clock() + self.timeout
        limits = httpx.Timeout(self.timeout, connect=min(_CONNECT, self.timeout))
        try:
            request = Request("POST", _parsed(url), {**_HEADERS, **headers}, body)
            with closing(self._connections.send(request, limits)) as response:
                self._read(response, until)
                return PushAnswer(response.status_code, retry_after=retry_after(response.headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return PushAnswer(None, _word(error))

    def _read(self, response: Response, until: float) -> None:
        """Read what comes with the answer, as far as that is little and comes in time: nobody needs it."""
        read = 0
        try:
            for piece in response.iter_bytes():
                read += len(piece)
                if read > _MOST or self.clock() > until:
                    return
        except httpx.HTTPError:
            return  # its head has come, and that is the answer


@lru_cache(1000)
def _parsed(url: str) -> httpx.URL:
    """An address, parsed: most events go where the one before went, and this would be a third of what posting one costs."""
    return httpx.URL(url)


def _word(error: Exception) -> str:
    if isinstance(error.__cause__, BarredAddressError):
        return BARRED
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "broken-connection")
