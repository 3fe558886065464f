"""A permit for which no call was made is given back whole: to the windows, to the pace of its lane, and whoever waits is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.redis.brokers import PATIENCE, blocked, make_broker, until
from tests.redis.driver import NEVER_LEFT, Driver, VirtualClock, calls, number, queue_of

from tuma_producer import Producer
from tuma_worker.queue.scripts import Release, permit, release

if TYPE_CHECKING:
    from redis import Redis

BULK = 2
A_SECOND = calls(60, 60)
PACED = frozenset({"bulk"})


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    """A queue whose bulk lane goes once a second."""
    del clock
    return Driver(redis, queue_of(A_SECOND, paced=PACED, lease=10.0))


def paced_from(driver: Driver) -> float:
    """From when the bulk lane may go."""
    return float(driver.redis.hget(driver.queue.keys.state, f"pace:{BULK}:{A_SECOND.name}") or 0)


def test_bulk_does_not_wait_for_calls_that_nobody_made(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(40, priority="bulk")
    for place in range(30):
        if place > 0:
            clock.forward(driver.refused().milliseconds / 1000)
        driver.send()
    sent_in = clock.now
    for _ in range(5):
        clock.forward(driver.refused().milliseconds / 1000)
        batch = driver.taken()
        driver.begin(batch)
        driver.settle(batch, NEVER_LEFT)
        driver.send()  # the next one goes in its stead
    assert (clock.now - sent_in) / 1_000_000 == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("how", [Release.BACK, Release.DONE, Release.LATER])
def test_a_batch_that_is_let_go_of_has_used_none_of_the_pace(driver: Driver, how: Release) -> None:
    driver.enqueue_singles(2, priority="bulk")
    driver.send()
    driver.redis.hset(driver.queue.keys.state, f"pace:{BULK}:{A_SECOND.name}", before := driver.server_ms() - 50)
    driver.release(driver.taken(), how)
    assert paced_from(driver) == pytest.approx(before, abs=0.01)


def test_the_batch_of_a_worker_that_died_before_its_call_has_used_none_of_the_pace(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(A_SECOND, paced=PACED, lease=0.5))
    driver.enqueue_singles(1, priority="bulk")
    first = driver.taken()
    clock.forward(0.6)  # its lease is over
    assert driver.taken(worker="w2").jobs == first.jobs
    assert paced_from(driver) - driver.server_ms() == pytest.approx(400, abs=1)  # a second after what may be caught up


def test_what_of_a_pace_a_new_limit_has_begun_anew_is_not_given_back(driver: Driver) -> None:
    driver.enqueue_singles(1, priority="bulk")
    batch = driver.taken()
    driver.redis.hdel(driver.queue.keys.state, f"pace:{BULK}:{A_SECOND.name}")  # as a change of the limit does
    driver.release(batch, Release.BACK)
    assert paced_from(driver) == 0


def test_a_permit_that_was_not_used_gives_its_pace_back(driver: Driver) -> None:
    assert permit(driver.redis, driver.queue, "call-1", "operator", lane=BULK, lease=10.0) is None
    assert release(driver.redis, driver.queue, "call-1", Release.DONE)
    assert permit(driver.redis, driver.queue, "call-2", "operator", lane=BULK, lease=10.0) is None


def test_expired_jobs_cost_neither_claims_nor_their_sources_share(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1000, 60)))
    for place in range(20):
        driver.enqueue(number(place), source="a", expires_in=5)
    clock.forward(6)
    late = driver.taken()
    assert late.actor == "expire"
    assert driver.attempts.expire([job.subject for job in late.jobs]) == 20
    driver.release(late, Release.DONE)
    assert driver.waiting() == []
    for source, first in (("b", 100), ("a", 200)):
        for place in range(5):
            driver.enqueue(number(first + place), source=source)
    assert {driver.send().source for _ in range(2)} == {"a", "b"}, "they take turns"


def test_no_silence_outlives_the_job_for_which_it_was_kept(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60)))
    driver.enqueue_singles(1)
    driver.send()
    clock.forward(50)
    waiting = driver.enqueue(number(7), priority="otp")
    driver.refused()  # until there is a permit nobody need be woken
    Producer(redis, source="billing").cancel(f"{driver.queue.account}.{waiting}")
    redis.delete(driver.queue.keys.bell)
    driver.refused()  # nothing waits: the time of that permit is nobody's alarm
    driver.enqueue(number(8), priority="otp")
    assert redis.llen(driver.queue.keys.bell) == 1


def test_a_consumer_that_stops_passes_its_watch_on(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(idle=300.0))
    stopping, other = (make_broker(redis_url, driver.queue, name=name) for name in ("w-a", "w-b"))
    with (
        closing(stopping), closing(other),
        closing(stopping.consume(driver.queue.name, timeout=100)) as stops,
        closing(other.consume(driver.queue.name, timeout=100)) as goes_on,
        ThreadPoolExecutor(2) as pool,
    ):  # fmt: skip
        ring = pool.submit(next, stops)
        blocked(redis, 1)
        woken = pool.submit(next, goes_on)
        blocked(redis, 2)
        driver.enqueue_singles(1)
        assert ring.result(PATIENCE) is None  # it has heard of the job, and before it asks for it, it is to stop
        stopped = pool.submit(stopping.stop_claiming)
        until(stops._seat.stopping.is_set)
        assert next(stops) is None
        stopped.result(PATIENCE)
        assert woken.result(PATIENCE) is None
        assert next(goes_on) is not None
