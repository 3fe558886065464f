"""How Tuma connects to Redis, and how it speaks of a failure to."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import FullJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - the name is redis-py's
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004 - as above
)
from redis.retry import Retry

from tuma_producer.errors import StoreUnavailable, TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_URL = "redis://127.0.0.1:6379/0"
SCHEMES = ("redis", "rediss", "unix")
ANSWER_WITHIN = 5.0  # seconds
REPEATS = 3  # of a command without a reply; redis-py makes none by itself, and every script of ours allows them

_DEFAULTS = {
    "socket_timeout": ANSWER_WITHIN,
    "socket_connect_timeout": ANSWER_WITHIN,
    "health_check_interval": 30,
    "retry_on_error": [ConnectionError, TimeoutError],  # older releases need it said
}
_BACK_OFF = FullJitterBackoff(cap=0.5, base=0.05)  # seconds

Client = TypeVar("Client", Redis, AsyncRedis)

_UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, OutOfMemoryError)


def url_from_environment() -> str:
    """`TUMA_REDIS_URL`, or the local default."""
    return os.environ.get("TUMA_REDIS_URL", DEFAULT_URL)


def connect(url: str, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's own options
    """A client for this URL. Connects at its first command. Raises `TumaError` for a URL of another kind."""
    return Redis.from_url(_checked(url), **{**_DEFAULTS, "retry": Retry(_BACK_OFF, REPEATS), **options})


def connect_async(url: str, **options: Any) -> AsyncRedis:  # noqa: ANN401 - redis-py's own options
    """`connect`, for an event loop."""
    return AsyncRedis.from_url(_checked(url), **{**_DEFAULTS, "retry": AsyncRetry(_BACK_OFF, REPEATS), **options})


def _checked(url: str) -> str:
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        message = f"TUMA_REDIS_URL: {shown(url)!r} must start with redis://, rediss:// or unix://"
        raise TumaError(message)
    try:
        urlsplit(url).port  # noqa: B018 - it raises where the port is no number
    except ValueError:
        message = f"TUMA_REDIS_URL: the port of {shown(url)!r} must be a number"
        raise TumaError(message) from None
    return url


def shown(url: str) -> str:
    """A Redis URL as it may be shown: without user, password and options, whichever of them it has and even if it is malformed."""
    place = url.partition("?")[0]
    scheme, divider, rest = place.rpartition("://")
    secret, at, host = rest.rpartition("@")
    return f"{scheme}{divider}{'…@' if secret or at else ''}{host}"


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn redis-py's connection errors into `StoreUnavailable`. `where` is the server, as it may be shown."""
    try:
        yield
    except AuthenticationError as error:
        message = f"Redis at {where} refused the password or user"
        raise StoreUnavailable(message) from error
    except _UNAVAILABLE as error:
        message = f"no usable Redis at {where} ({type(error).__name__}); is it running, and is TUMA_REDIS_URL right?"
        raise StoreUnavailable(message) from error


def undecoded(redis: Client) -> Client:
    """The client itself, which must give replies as bytes. Raises `TumaError` for one that decodes them."""
    if redis.connection_pool.connection_kwargs.get("decode_responses"):
        message = "redis: Tuma needs a client of its own, without decode_responses=True; or use from_url"
        raise TumaError(message)
    return redis


def server_of(redis: Redis | AsyncRedis) -> str:
    """Where a client connects to, as it may be shown in an error."""
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', '127.0.0.1')}:{options.get('port', 6379)}")
