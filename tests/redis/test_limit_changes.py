"""Limits that come and go with the configuration: what was counted is uncounted, and what was called is not forgotten.

While a configuration is rolled out, workers that know a limit and workers that do not claim from one queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, messages, numbers, queue_of

from tuma_worker.queue.scripts import Claim, Release

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.limits import Limit

PER_MINUTE = calls(10, 60)  # the one that comes and goes
PER_SECOND = calls(100, 1)  # known to all
LEASE, GRACE = 15.0, 5.0


@pytest.fixture
def knows(redis: Redis, clock: VirtualClock) -> Driver:
    """A worker that is configured with the limit; what waits is enough for all."""
    del clock
    return worker(redis, PER_MINUTE, PER_SECOND)


@pytest.fixture
def knows_not(redis: Redis, knows: Driver) -> Driver:
    """A worker that is not."""
    knows.enqueue_singles(200)
    return worker(redis, PER_SECOND)


def worker(redis: Redis, *limits: Limit, cold_start: str = "burst") -> Driver:
    return Driver(redis, queue_of(*limits, cold_start=cold_start, lease=LEASE, grace=GRACE, batch_max=10))


def send_all(driver: Driver, most: int = 200) -> int:
    """Send what may be sent now, at most so much; how many calls that was."""
    count = 0
    while count < most and isinstance(batch := driver.claim(), Claim):
        if batch.actor == "send":
            assert driver.begin(batch) is not None
            assert driver.settle(batch)
            count += 1
        else:
            driver.release(batch, Release.DONE)
    return count


def fields_of(driver: Driver, limit: Limit) -> set[str]:
    """What the queue's state says of a limit."""
    return {
        name.decode()
        for name in cast("dict[bytes, bytes]", driver.redis.hgetall(driver.queue.keys.state))
        if limit.name.encode() in name
    }


def test_a_permit_of_a_dead_worker_is_void_under_a_limit_that_is_configured_no_more(
    clock: VirtualClock, knows: Driver, knows_not: Driver
) -> None:
    knows.taken(worker="the dead")
    clock.forward(LEASE + 1)
    assert send_all(knows_not, 1) == 1
    assert knows.used(PER_MINUTE) == 1, "the call that was made, and nothing for the one that was not"


@pytest.mark.parametrize("how", [Release.BACK, Release.LATER, Release.DONE])
def test_a_permit_without_a_call_is_given_back_under_a_limit_that_its_worker_has_lost(
    knows: Driver, knows_not: Driver, how: Release
) -> None:
    assert knows_not.release(knows.taken(), how, delay=3600)
    assert knows.used(PER_MINUTE) == 0


def test_a_call_of_a_dead_worker_counts_until_its_window_is_over_under_a_limit_that_is_configured_no_more(
    clock: VirtualClock, knows: Driver, knows_not: Driver
) -> None:
    for _ in range(10):
        knows.begin(knows.taken(worker="the dead"))
    clock.forward(LEASE + 1)
    assert send_all(knows_not, 1) == 1
    clock.forward(GRACE)
    assert send_all(knows_not, 1) == 1
    assert send_all(knows) == 0, "ten of the dead and two of the other may still count at the provider"
    clock.forward(61)
    assert send_all(knows) == 10


def test_messages_are_uncounted_by_their_weight(redis: Redis, clock: VirtualClock) -> None:
    limit = messages(30, 60)
    knows, knows_not = worker(redis, limit, PER_SECOND), worker(redis, PER_SECOND)
    knows.enqueue(*numbers(7))
    knows.taken(worker="the dead")
    assert knows.used(limit) == 7
    clock.forward(LEASE + 1)
    batch = knows_not.taken()
    assert len(batch.jobs) == 7
    assert knows.used(limit) == 7, "those of the dead are void, and these count under a limit that their worker does not know"
    assert knows_not.release(batch)
    assert knows.used(limit) == 0


def test_a_limit_that_returns_counts_the_calls_of_its_absence(clock: VirtualClock, knows: Driver, knows_not: Driver) -> None:
    assert send_all(knows, 1) == 1
    clock.forward(1)
    assert send_all(knows_not, 40) == 40
    clock.forward(10)
    assert send_all(knows) == 0
    clock.forward(51)
    assert send_all(knows) == 10


def test_calls_in_flight_count_under_a_limit_that_their_worker_does_not_know(
    clock: VirtualClock, knows: Driver, knows_not: Driver
) -> None:
    assert send_all(knows, 1) == 1
    clock.forward(61)
    batches = [knows_not.taken() for _ in range(9)]
    for batch in batches:
        knows_not.begin(batch)
    assert send_all(knows) == 1, "nine of ten are in flight"
    for batch in batches:
        knows_not.settle(batch)
    clock.forward(59)
    assert send_all(knows) == 0
    clock.forward(2)
    assert send_all(knows) == 10


@pytest.mark.parametrize("cold_start", ["paced", "burst"])
def test_a_limit_that_nobody_knew_for_a_window_is_new_when_it_returns(redis: Redis, clock: VirtualClock, cold_start: str) -> None:
    knows = worker(redis, PER_MINUTE, PER_SECOND, cold_start=cold_start)
    knows_not = worker(redis, PER_SECOND, cold_start="burst")
    knows.enqueue_singles(200)
    send_all(knows)
    clock.forward(120)
    assert send_all(knows) == 10
    for _ in range(3):
        clock.forward(40)
        assert send_all(knows_not, 10) == 10
    assert send_all(knows) == (1 if cold_start == "paced" else 10)
    clock.forward(30)
    assert send_all(knows) == (4 if cold_start == "paced" else 0)


def test_a_short_limit_is_not_forgotten_while_all_that_know_it_are_busy(redis: Redis, clock: VirtualClock) -> None:
    knows, knows_not = worker(redis, calls(3, 1), cold_start="paced"), worker(redis)
    knows.enqueue_singles(200)
    send_all(knows)
    clock.forward(5)
    assert send_all(knows) == 3
    for _ in range(5):
        clock.forward(4)
        send_all(knows_not, 1)
    clock.forward(2)
    assert send_all(knows) == 3


def test_a_limit_that_nobody_knows_any_more_leaves_nothing_in_the_state(redis: Redis, clock: VirtualClock) -> None:
    knows = Driver(redis, queue_of(PER_MINUTE, PER_SECOND, paced=frozenset({"bulk"})))
    knows_not = worker(redis, PER_SECOND)
    knows.enqueue_singles(50, priority="bulk")
    assert send_all(knows) >= 1
    assert fields_of(knows, PER_MINUTE)
    held = knows_not.taken()
    send_all(knows_not, 1)
    clock.forward(59)
    send_all(knows_not, 1)
    assert fields_of(knows, PER_MINUTE)
    clock.forward(1)
    send_all(knows_not, 1)
    assert fields_of(knows, PER_MINUTE) == set()
    knows_not.begin(held)
    knows_not.settle(held)
    assert fields_of(knows, PER_MINUTE) == set(), "an end that comes later does not bring it back"
    clock.forward(120)
    knows.claim()
    assert knows.used(PER_MINUTE) == 1, "only what was claimed just now"


def test_what_ends_in_the_claim_that_forgets_a_limit_is_forgotten_with_it(
    clock: VirtualClock, knows: Driver, knows_not: Driver
) -> None:
    assert send_all(knows, 1) == 1
    assert send_all(knows_not, 1) == 1
    knows_not.begin(knows_not.taken(worker="the dead"))
    clock.forward(LEASE + 1)
    send_all(knows_not, 1)
    clock.forward(61)
    knows_not.taken()
    assert fields_of(knows, PER_MINUTE) == set()
    assert knows.used(PER_MINUTE) == 1, "the call of the worker that had the limit is in its list; of the others none counts"


def test_a_limit_grows_old_while_workers_that_do_not_know_it_claim_too(redis: Redis, clock: VirtualClock) -> None:
    knows, knows_not = worker(redis, PER_MINUTE, PER_SECOND, cold_start="paced"), worker(redis, PER_SECOND)
    knows.enqueue_singles(200)
    for _ in range(70):  # beyond the first window of the limit
        send_all(knows, 1)
        clock.forward(0.5)
        send_all(knows_not, 1)
        clock.forward(0.5)
    clock.forward(61)
    assert send_all(knows) == 10, "the whole allowance at once: it is no longer new"
