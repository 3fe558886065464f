"""How Tuma connects to Redis, and how it speaks of a failure to."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis as redis_py
from redis import ConnectionPool, Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import PipelineCommand
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import FullJitterBackoff, NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterError,
    ConnectionError,  # noqa: A004 - the name is redis-py's
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - as above
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from tuma_producer.contract import address
from tuma_producer.contract.address import Address, Kind
from tuma_producer.errors import StoreUnavailable, TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_URL = "redis://127.0.0.1:6379/0"
ANSWER_WITHIN = 5.0  # seconds
REPEATS = 3  # of a command without a reply; redis-py makes none by itself, and every script of ours allows them

_SOCKET = {
    "socket_timeout": ANSWER_WITHIN,
    "socket_connect_timeout": ANSWER_WITHIN,
    "health_check_interval": 30,
}
_DEFAULTS = {**_SOCKET, "retry_on_error": [ConnectionError, TimeoutError]}  # older releases need it said
# A Sentinel that is away must not hold up the question for long: the next one knows as much.
_TO_SENTINELS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
_BACK_OFF = FullJitterBackoff(cap=0.5, base=0.05)  # seconds
_THREADS_MOST = 10_000  # of a process: redis-py refuses the hundred and first connection where nobody sets it
_OLDEST_FOR_CLUSTERS = 6  # major release of redis-py: earlier ones have no transactions on a cluster

Client = TypeVar("Client", Redis, AsyncRedis)

REDIS_ERRORS = (RedisError, RedisClusterException)  # all that redis-py raises: the second is no kind of the first

_UNAVAILABLE = (
    ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, OutOfMemoryError, ClusterError, RedisClusterException,
    TryAgainError, AskError,
)  # fmt: skip
# Replies that redis-py has no name for: too few replicas; a disk that cannot be written to; a master that became a replica.
_REFUSALS = ("NOREPLICAS", "MISCONF", "UNBLOCKED force")


def url_from_environment() -> str:
    """`TUMA_REDIS_URL`, or the local default."""
    return os.environ.get("TUMA_REDIS_URL", DEFAULT_URL)


def connect(url: str, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's own options
    """A client for this URL. Raises `TumaError` for a URL of another kind.

    Connects at its first command; only that of a cluster has to see it at once, and raises `StoreUnavailable` where it cannot.
    A cluster's client is none of redis-py's class `Redis`, but has the commands of it that Tuma uses.
    """
    found = _address(url)
    if found.kind is Kind.SERVER:
        return Redis.from_url(url, **{**_DEFAULTS, "retry": Retry(_BACK_OFF, REPEATS), **options})
    if found.kind is Kind.SENTINEL:
        sentinels = cast("Any", Sentinel)(found.nodes, sentinel_kwargs=_to_sentinels(found, Retry(NoBackoff(), 0)))
        given = {**_DEFAULTS, "retry": Retry(_BACK_OFF, REPEATS), **_to_servers(found), **options}
        return cast("Redis", sentinels.master_for(found.service, redis_class=_Watched, db=found.db, **given))
    with translated(found.where):
        nodes = [cast("Any", ClusterNode)(host, port) for host, port in found.nodes]
        given = {**_SOCKET, "retry": Retry(_BACK_OFF, REPEATS), **_to_servers(found), **options}
        return cast("Redis", RedisCluster(startup_nodes=nodes, **given))


def connect_async(url: str, **options: Any) -> AsyncRedis:  # noqa: ANN401 - redis-py's own options
    """`connect`, for an event loop. This one connects at its first command, whatever the URL."""
    found = _address(url)
    if found.kind is Kind.SERVER:
        return AsyncRedis.from_url(url, **{**_DEFAULTS, "retry": AsyncRetry(_BACK_OFF, REPEATS), **options})
    if found.kind is Kind.SENTINEL:
        sentinels = cast("Any", AsyncSentinel)(found.nodes, sentinel_kwargs=_to_sentinels(found, AsyncRetry(NoBackoff(), 0)))
        given = {**_DEFAULTS, "retry": AsyncRetry(_BACK_OFF, REPEATS), **_to_servers(found), **options}
        return cast("AsyncRedis", sentinels.master_for(found.service, redis_class=_AsyncWatched, db=found.db, **given))
    nodes = [AsyncClusterNode(host, port) for host, port in found.nodes]
    given = {**_SOCKET, "retry": AsyncRetry(_BACK_OFF, REPEATS), **_to_servers(found), **options}
    return cast("AsyncRedis", AsyncRedisCluster(startup_nodes=nodes, **given))


def connect_for_threads(url: str) -> Redis:
    """`connect`, for a process whose threads are few and live long: each keeps its connection instead of asking the pool."""
    if _address(url).kind is not Kind.SERVER:
        return connect(url)
    kept = {"max_connections": _THREADS_MOST, "retry": Retry(_BACK_OFF, REPEATS)}
    return Redis.from_pool(_ByThread.from_url(url, **{**_DEFAULTS, **kept}))


class _ByThread(ConnectionPool):
    """Leaves a connection with the thread that released it: the pool's own bookkeeping is a third of a command's cost."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - redis-py's own arguments
        super().__init__(*args, **options)
        self._own = threading.local()

    def get_connection(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        own = getattr(self._own, "connection", None)
        if own is None:
            return super().get_connection(*args, **options)
        self._own.connection = None
        return own

    def release(self, connection: Any) -> None:  # noqa: ANN401 - as above
        if getattr(self._own, "connection", None) is None:
            self._own.connection = connection
        else:
            super().release(connection)


def connect_once(url: str, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's own options
    """A client that repeats nothing by itself: for reads that the server counts as read, whether or not their reply came."""
    return connect(url, retry=Retry(NoBackoff(), 0), **options)


def connect_to_wait(url: str, longest: float) -> Redis:
    """A client for reads that block for at most `longest` seconds; see `on_one_connection`.

    It repeats nothing: the server knows who waits by its connection, and a new one would have to be made known before it could be
    unblocked. A server that has vanished without a word is noticed a little after the longest wait.
    """
    return connect_once(url, socket_timeout=longest + ANSWER_WITHIN)


class _Watched(Redis):
    """A client of a server that Sentinels watch; with it end the connections to these."""

    def close(self) -> None:
        super().close()
        for sentinel in cast("Any", self.connection_pool).sentinel_manager.sentinels:
            sentinel.close()


class _AsyncWatched(AsyncRedis):
    """`_Watched`, for an event loop."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - as redis-py has it
        await super().aclose(close_connection_pool)
        for sentinel in cast("Any", self.connection_pool).sentinel_manager.sentinels:
            await sentinel.aclose()


def _to_servers(found: Address) -> dict[str, Any]:
    return found.options or {}


def _to_sentinels(found: Address, retry: object) -> dict[str, Any]:
    """Sentinels have users and passwords of their own, but TLS is for all or for none."""
    secure = {name: value for name, value in _to_servers(found).items() if name.startswith("ssl")}
    return {**_TO_SENTINELS, "retry": retry, **secure, **(found.sentinel_options or {})}


def _address(url: str) -> Address:
    try:
        found = address.parse(url)
    except ValueError as error:
        message = f"TUMA_REDIS_URL: {shown(url)!r} {error}"
        raise TumaError(message) from None
    if found.kind is Kind.CLUSTER and int(redis_py.__version__.partition(".")[0]) < _OLDEST_FOR_CLUSTERS:
        message = f"TUMA_REDIS_URL: a cluster needs redis-py {_OLDEST_FOR_CLUSTERS} or newer; this is {redis_py.__version__}"
        raise TumaError(message)
    return found


def shown(url: str) -> str:
    """A Redis URL as it may be shown: without user, password and options, whichever of them it has and even if it is malformed."""
    place, _, options = url.partition("?")
    scheme, divider, rest = place.rpartition("://")
    secret, at, host = rest.rpartition("@")
    if "@" in options and not at:  # the mark may be part of a password, and what stands before it the rest
        return f"{scheme}{divider}…"
    return f"{scheme}{divider}{'…@' if secret or at else ''}{host}"


def unavailable(error: BaseException) -> bool:
    """Whether this is one of the ways in which redis-py says that a server cannot be used now, whatever was asked of it."""
    return isinstance(error, _UNAVAILABLE) or (isinstance(error, ResponseError) and str(error).startswith(_REFUSALS))


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn redis-py's connection errors into `StoreUnavailable`. `where` is the server, as it may be shown."""
    try:
        yield
    except AuthenticationError as error:
        message = f"Redis at {where} refused the password or user"
        raise StoreUnavailable(message) from error
    except REDIS_ERRORS as error:
        if not unavailable(error):
            raise
        message = f"no usable Redis at {where} ({type(error).__name__}); is it running, and is TUMA_REDIS_URL right?"
        raise StoreUnavailable(message) from error


def is_cluster(redis: object) -> bool:
    """Whether the keys of different accounts may be on different servers, and in one command never together."""
    return isinstance(redis, (RedisCluster, AsyncRedisCluster))


def server_for(redis: Redis, key: str) -> Redis:
    """A client of the very server that holds this key, for commands that are about the server and not about the key."""
    client: Any = redis
    return cast("Redis", client.get_redis_connection(client.get_node_from_key(key)) if is_cluster(client) else client)


async def on_one_server(redis: AsyncRedis, key: str, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies of the very server that holds this key, over one connection, for commands that are about the server."""
    client: Any = redis
    if not is_cluster(client):
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return cast("list[Any]", await pipeline.execute())
    # Its own pipelines go by keys, and its nodes are no clients.
    staged = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
    await client.get_node_from_key(key).execute_pipeline(staged)
    for one in staged:
        if isinstance(one.result, Exception):
            raise one.result
    return [one.result for one in staged]


def on_one_connection(redis: Redis, key: str) -> Redis:
    """A client of the server that holds this key on a single connection: whom the server knows by its id is always the same."""
    return Redis(connection_pool=server_for(redis, key).connection_pool, single_connection_client=True)


def undecoded(redis: Client) -> Client:
    """The client itself, which must give replies as bytes. Raises `TumaError` for one that decodes them."""
    client: Any = redis
    options = client.get_connection_kwargs() if is_cluster(client) else client.connection_pool.connection_kwargs
    if options.get("decode_responses"):
        message = "redis: Tuma needs a client of its own, without decode_responses=True; or use from_url"
        raise TumaError(message)
    return redis


def server_of(redis: Redis | AsyncRedis) -> str:
    """Where a client connects to, as it may be shown in an error."""
    if is_cluster(redis):
        return ",".join(cast("Any", redis).nodes_manager.startup_nodes)
    pool: Any = redis.connection_pool
    if hasattr(pool, "sentinel_manager"):
        nodes = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
        places = tuple((str(node["host"]), int(node["port"])) for node in nodes)
        return Address(Kind.SENTINEL, "", places, pool.service_name).where
    options = pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', '127.0.0.1')}:{options.get('port', 6379)}")
