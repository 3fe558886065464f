"""The bell: a wait ends at its time also on a server that nobody else talks to, and no ring is lost by ending it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.exceptions import NoPermissionError
from tests.redis.brokers import PATIENCE, make_broker
from tests.redis.driver import Driver, numbers, queue_of

from tuma_producer.contract.connection import connect, connect_to_wait
from tuma_worker.queue.bell import Bell
from tuma_worker.queue.config import PROMOTED_AT_ONCE
from tuma_worker.queue.scripts import Release
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

KEY = queue_of().keys.bell


@pytest.fixture
def bell(redis: Redis, redis_url: str) -> Iterator[Bell]:
    bell = Bell(connect_to_wait(redis_url, 30.0), KEY, redis)
    yield bell
    bell.close()


@pytest.fixture
def drowsy(redis: Redis) -> Iterator[Redis]:
    """A server that looks at its clock once a second where nobody talks to it."""
    before = cast("dict[str, str]", redis.config_get("hz"))["hz"]
    redis.config_set("hz", "1")
    yield redis
    redis.config_set("hz", before)


def times_called(redis: Redis, command: str) -> int:
    stats = cast("dict[str, dict[str, int]]", redis.info("commandstats"))
    return stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]


@pytest.mark.usefixtures("drowsy")
def test_a_wait_ends_at_its_time_and_not_with_the_servers_next_look_at_its_clock(bell: Bell) -> None:
    began = time.monotonic()
    for _ in range(30):
        assert not bell.wait(0.01)
    assert time.monotonic() - began < PATIENCE, "thirty times a second and it would be thirty seconds"


def test_a_wait_that_rings_before_its_time_is_one_command(bell: Bell, redis: Redis) -> None:
    redis.config_resetstat()
    redis.rpush(KEY, 1)
    assert bell.wait(4.0)
    assert not times_called(redis, "client|unblock")


def test_no_ring_is_lost_between_the_end_of_a_wait_and_the_next(bell: Bell, redis: Redis) -> None:
    rings, heard = 2000, 0
    ringing = threading.Thread(target=lambda: [redis.rpush(KEY, 1) for _ in range(rings)], daemon=True)
    ringing.start()
    while ringing.is_alive() or redis.llen(KEY):
        heard += bell.wait(0.001)
    assert heard == rings


def test_a_wait_ends_without_the_right_to_end_it(bell: Bell, redis: Redis, redis_url: str) -> None:
    anything: Any = redis
    anything.execute_command("ACL", "SETUSER", "may-not", "on", "nopass", "~*", "+@all", "-client|unblock")
    with connect(redis_url.replace("://", "://may-not:any@")) as limited:
        bell.redis = limited
        assert not bell.wait(0.01)
        with pytest.raises(NoPermissionError):
            bell.unblock()
    redis.acl_deluser("may-not")


def test_a_claim_that_says_the_next_one_goes_on_is_followed_by_it_at_once(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(batch_max=PROMOTED_AT_ONCE, idle=0.01))
    steps = 4
    driver.enqueue(*numbers(steps * PROMOTED_AT_ONCE))
    for batch in [driver.taken() for _ in range(steps)]:
        driver.release(batch, Release.LATER)
    Steering(redis, driver.queue.account, "send", "test").pause(Scope())
    broker = make_broker(redis_url, driver.queue)
    consumer = broker.consume(driver.queue.name, timeout=100)
    redis.config_resetstat()
    for _ in range(steps - 1):
        assert next(consumer) is None
    assert len(driver.due()) == PROMOTED_AT_ONCE
    assert times_called(redis, "blpop") == 0
    next(consumer)
    assert times_called(redis, "blpop") == 1, "it has nothing to go on with, and waits"
    consumer.close()
    broker.close()
