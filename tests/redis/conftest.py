"""Tests in this folder run on a real server, and none may leave a key behind that nobody will ever remove."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import VirtualClock, virtual_clock
from tests.redis.pushing import Desk, open_desk
from tests.support import servers
from tests.support.producers import AnyProducer, Awaited, configure
from tests.support.subscriber import Subscriber, open_subscriber

from tuma_producer import AsyncProducer, Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

ACCOUNT = "lisoloo-main"

# Random histories take minutes, and what they look for is in our scripts: on a second kind of server they are for the long runs.
# So is what an event loop does, which is the same whoever answers it.
_RANDOM = ("test_limiter_properties.py", "test_queue_properties.py", "test_password_properties.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what a second kind of server says nothing new about out of the short runs."""
    if len(servers.binaries()) > 1:
        for item in items:
            parts = re.split(r"[\[\]-]", item.name)
            if "redis" in parts and (item.path.name in _RANDOM or "async" in parts):
                item.add_marker(pytest.mark.long)


# The keys that may stand without an expiry, and why each may. {..}: an account; a queue's name follows it.
PERMANENT = {
    r"tuma:accounts": "one name per account",
    r"tuma:routes": "one field per route",
    r"tuma:tokens": "one field per API token, which goes with it",
    r"tuma:\{[^}]+\}:profile": "one per account",
    r"tuma:\{[^}]+\}:inbox": "a stream of what is yet to be applied; its entries go as they are",
    r"tuma:\{[^}]+\}:events": "a stream, trimmed at every entry",
    r"tuma:\{[^}]+\}:audit": "a stream, trimmed at every entry",
    r"tuma:\{[^}]+\}:subscriptions": "who is told of events over HTTP, until somebody takes them off",
    r"tuma:\{[^}]+\}:troubles:[\w.-]+": "one field per event that a subscriber was told in vain; gone with the subscription",
    r"tuma:\{[^}]+\}:intent:[\w~-]+": "an intent that has not ended; at its end it gets an expiry, which is checked below",
    r"tuma:\{[^}]+\}:(campaigns|campaign:\w+)": "forgotten by the sweeper with the last intent of the campaign",
    r"tuma:\{[^}]+\}:schedules": "one entry per schedule, forgotten by the sweeper with its record",
    r"tuma:\{[^}]+\}:[\w-]+:(entries|groups|due|messages|sources:\d)": "waiting jobs; empty, hence gone, without them",
    r"tuma:\{[^}]+\}:[\w-]+:(inflight|leases)": "claimed batches; every lease ends, and its batch with it",
    r"tuma:\{[^}]+\}:[\w-]+:deadlines": "one entry per intent with a deadline; gone when it has passed",
    r"tuma:\{[^}]+\}:budgets": "two fields per budget, until it is removed",
    r"tuma:\{[^}]+\}:suppressed": "who opted out, until somebody takes them off",
    r"tuma:\{[^}]+\}:carried": "one entry per intent of another account that carries some of this one's; gone with its last news",
    r"tuma:\{[^}]+\}:[\w-]+:used": "a few numbers per limit",
    r"tuma:\{[^}]+\}:[\w-]+:window:[\w.-]+": "about a thousand slots per limit at the most",
    r"tuma:\{[^}]+\}:[\w-]+:state": "one per queue: pauses, halt, pacing",
    r"tuma:\{[^}]+\}:[\w-]+:bell": "one token at the most",
}
_PERMANENT = re.compile("|".join(f"(?:{pattern})" for pattern in PERMANENT))


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(redis: Redis) -> Iterator[None]:
    """Fail a test after which a key stands that will never be removed."""
    yield
    left = sorted(key for raw in redis.scan_iter(count=1000) if leaked(redis, key := raw.decode()))
    assert not left, f"no expiry, and not on the list of permanent keys: {left}"


def leaked(redis: Redis, key: str) -> bool:
    """Whether the key would stand for ever without a good reason."""
    if redis.pttl(key) != -1:
        return False
    ended = ":intent:" in key and redis.hget(key, "open") == b"0"
    return ended or not _PERMANENT.fullmatch(key)


@pytest.fixture
def clock(redis: Redis) -> Iterator[VirtualClock]:
    """The server's clock, which stands until the test sets it forward."""
    with virtual_clock(redis) as clock:
        yield clock


@pytest.fixture
def account(redis: Redis) -> str:
    """An account that a worker has made known."""
    configure(redis, ACCOUNT)
    return ACCOUNT


@pytest.fixture(params=["sync", "async"])
def producer_for(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Callable[..., AnyProducer]]:
    """Make producers of either kind: `producer_for("billing")`, or with another `url`. They are closed after the test."""
    made: list[AnyProducer] = []
    with asyncio.Runner() as loop:

        def make(source: str = "billing", *, url: str = redis_url) -> AnyProducer:
            is_sync = request.param == "sync"
            made.append(
                Producer.from_url(url, source=source) if is_sync else Awaited(AsyncProducer.from_url(url, source=source), loop)
            )
            return made[-1]

        yield make
        for producer in made:
            producer.close()


@pytest.fixture
def producer(producer_for: Callable[..., AnyProducer]) -> AnyProducer:
    """The producer of the service `billing`."""
    return producer_for()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    """A subscriber to events that takes all of them, until the test says otherwise."""
    with open_subscriber() as found:
        yield found


@pytest.fixture
def desk(redis: Redis, subscriber: Subscriber) -> Iterator[Desk]:
    """An account with this subscriber, and whoever tells it."""
    with open_desk(redis, subscriber) as made:
        yield made
