"""How Tuma connects to Redis, and how it speaks of a failure to."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, ReadOnlyError, TimeoutError  # noqa: A004 - the names are redis-py's

from tuma_producer.errors import StoreUnavailable, TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_URL = "redis://127.0.0.1:6379/0"
SCHEMES = ("redis", "rediss", "unix")
ANSWER_WITHIN = 5.0  # seconds; a lost reply is then repeated by the client library, which every script of ours allows

_UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError)


def url_from_environment() -> str:
    """`TUMA_REDIS_URL`, or the local default."""
    return os.environ.get("TUMA_REDIS_URL", DEFAULT_URL)


def connect(url: str, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's own options
    """A client for this URL. Connects at its first command. Raises `TumaError` for a URL of another kind."""
    return Redis.from_url(_checked(url), **_defaults(options))


def connect_async(url: str, **options: Any) -> AsyncRedis:  # noqa: ANN401 - redis-py's own options
    """`connect`, for an event loop."""
    return AsyncRedis.from_url(_checked(url), **_defaults(options))


def _defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"socket_timeout": ANSWER_WITHIN, "socket_connect_timeout": ANSWER_WITHIN, "health_check_interval": 30, **options}


def _checked(url: str) -> str:
    if urlsplit(url).scheme not in SCHEMES:
        message = f"TUMA_REDIS_URL: {shown(url)!r} must start with redis://, rediss:// or unix://"
        raise TumaError(message)
    return url


def shown(url: str) -> str:
    """A Redis URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:…@{host}").geturl()


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


def server_of(redis: Redis | AsyncRedis) -> str:
    """Where a client connects to, as it may be shown in an error."""
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', '127.0.0.1')}:{options.get('port', 6379)}")
