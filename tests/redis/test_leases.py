"""Leases: a silent worker loses its batch, and whatever it says afterwards changes nothing."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, number, numbers, queue_of

from tuma_worker.core.answers import TryLater
from tuma_worker.queue.config import CRASHES_TOLERATED
from tuma_worker.queue.leases import Held, Leases
from tuma_worker.queue.scripts import Claim, Release, push, renew

if TYPE_CHECKING:
    from redis import Redis

LEASE = 15.0


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(lease=LEASE, batch_max=3))


def die(driver: Driver, clock: VirtualClock) -> Claim:
    """Claim, and be heard of no more."""
    batch = driver.taken(worker="the dead")
    clock.forward(LEASE + 0.001)
    return batch


def test_a_renewed_lease_is_kept(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    batch = driver.taken()
    for _ in range(10):
        clock.forward(LEASE - 1)
        assert renew(driver.redis, driver.queue, [batch.batch_id]) == []
        driver.refused()
    assert driver.begin(batch) is not None
    assert driver.settle(batch)


def test_a_renewal_names_the_leases_that_are_lost_and_no_others(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(2)
    gone = die(driver, clock)
    kept = driver.taken()
    assert renew(driver.redis, driver.queue, [gone.batch_id, kept.batch_id, "never-was"]) == [gone.batch_id, "never-was"]


def test_a_renewal_after_the_lease_was_lost_does_not_bring_it_back(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    batch = driver.taken()
    driver.begin(batch)
    clock.forward(LEASE + 1)
    driver.claim()
    before = driver.redis.zrange(driver.queue.keys.leases, 0, -1, withscores=True)
    assert renew(driver.redis, driver.queue, [batch.batch_id]) == [batch.batch_id]
    assert driver.redis.zrange(driver.queue.keys.leases, 0, -1, withscores=True) == before


def test_a_worker_that_dies_before_begin_leaves_its_jobs_in_their_place_in_the_line(driver: Driver, clock: VirtualClock) -> None:
    first = driver.enqueue(*numbers(3))
    clock.forward(1)
    driver.enqueue(*numbers(3, 10))
    dead = die(driver, clock)
    again = driver.taken()
    assert again.jobs == dead.jobs, "with their old time, before what came later"
    assert again.batch_id != dead.batch_id
    assert all(driver.state_of(first, recipient) == "queued" for recipient in numbers(3))


def test_a_worker_that_dies_before_begin_gives_its_permit_back(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 3600)))
    driver.enqueue()
    die(driver, clock)
    driver.taken()


def test_a_worker_that_dies_after_begin_leaves_a_job_to_resolve_and_nothing_to_send(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = driver.taken()
    driver.begin(batch)
    clock.forward(LEASE + 0.001)
    found = driver.taken()
    assert found.actor == "resolve"
    assert [job.subject for job in found.jobs] == [batch.batch_id]
    driver.release(found, Release.DONE)
    driver.refused()
    attempt = driver.attempts.load(batch.batch_id)
    assert attempt is not None
    assert {target.number for target in attempt.targets} == set(numbers(2))
    assert driver.state_of(intent, number(0)) == "sending"


def test_whoever_lost_its_lease_before_begin_cannot_begin(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    dead = die(driver, clock)
    heir = driver.taken()
    before = driver.snapshot()
    assert driver.begin(dead) is None
    del before[driver.queue.keys.crashes.encode()]  # it was no death
    assert driver.snapshot() == before
    assert driver.begin(heir) is not None


def test_whoever_lost_its_lease_in_the_call_can_neither_begin_again_nor_settle_nor_release(
    driver: Driver, clock: VirtualClock
) -> None:
    driver.enqueue()
    batch = driver.taken()
    driver.begin(batch)
    clock.forward(LEASE + 0.001)
    driver.claim()
    before = driver.snapshot()
    assert driver.begin(batch) is None
    assert not driver.settle(batch)
    assert not driver.release(batch)
    assert driver.snapshot() == before


def test_a_lease_that_is_over_but_was_not_taken_back_may_still_settle(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    driver.begin(batch)
    clock.forward(LEASE * 2)
    assert driver.settle(batch)
    assert driver.state_of(intent, number(1)) == "submitted"
    driver.refused()


def test_a_call_that_has_begun_is_not_released_as_if_it_had_not(redis: Redis, clock: VirtualClock) -> None:
    del clock
    limit = calls(1, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(2)
    batch = driver.taken()
    driver.begin(batch)
    driver.release(batch, Release.BACK)
    driver.refused()
    assert driver.used(limit) == 1


def test_a_job_that_was_there_at_several_deaths_is_parked_and_the_others_get_on(driver: Driver, clock: VirtualClock) -> None:
    poison = driver.enqueue(number(1))
    for _ in range(CRASHES_TOLERATED):
        assert die(driver, clock).jobs[0].subject.startswith(poison)
    clock.forward(1)
    innocent = driver.enqueue(number(2))
    found = {batch.actor: batch for batch in (driver.taken(), driver.taken())}
    assert [job.subject for job in found["park"].jobs] == [f"{poison}:{number(1)}"]
    assert found["send"].jobs[0].subject.startswith(innocent)
    driver.refused()


def test_of_a_batch_that_was_there_at_several_deaths_only_the_job_that_kills_is_parked(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(lease=LEASE, batch_max=100))
    intent = driver.enqueue(*numbers(100))
    poison, sizes, parked = f"{intent}:{number(37)}", [], []
    while isinstance(batch := driver.claim(), Claim):
        subjects = [job.subject for job in batch.jobs]
        if batch.actor == "park":
            parked += subjects
            driver.release(batch, Release.DONE)
        elif poison in subjects:
            sizes.append(len(subjects))
            clock.forward(LEASE + 0.001)
        else:
            assert driver.begin(batch) is not None
            driver.settle(batch)
    assert parked == [poison]
    assert (sizes[:3], sizes[-1]) == ([100, 100, 50], 1)
    assert all(after <= (before + 1) // 2 for before, after in pairwise(sizes[1:])), "halved from the second death on"
    states = {one: driver.state_of(intent, one) for one in numbers(100)}
    assert {one for one, state in states.items() if state != "submitted"} == {number(37)}
    assert not redis.exists(driver.queue.keys.crashes)


def test_who_died_often_and_has_company_by_then_stands_alone_before_it_is_parked(driver: Driver, clock: VirtualClock) -> None:
    poison = driver.enqueue(number(1), message="The same")
    for _ in range(CRASHES_TOLERATED - 1):
        die(driver, clock)
    late = driver.enqueue(number(2), message="The same")
    assert len(die(driver, clock).jobs) == 2
    alone = [driver.taken(), driver.taken()]
    assert sorted(job.subject for batch in alone for job in batch.jobs) == [f"{poison}:{number(1)}", f"{late}:{number(2)}"]
    assert {batch.actor for batch in alone} == {"send"}


def test_a_worker_that_lives_has_not_died_however_long_redis_was_away(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue(*numbers(3))
    for _ in range(CRASHES_TOLERATED + 2):
        batch = driver.taken()
        clock.forward(LEASE + 1)  # Redis is away
        heir = driver.taken()
        assert (heir.actor, len(heir.jobs)) == ("send", 3)
        assert driver.begin(batch) is None, "it is heard of again, and its lease is lost"
        driver.release(heir)
    assert not driver.redis.exists(driver.queue.keys.crashes)


def test_a_batch_that_came_to_its_call_has_no_deaths_behind_it(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue(*numbers(2))
    for _ in range(2 * CRASHES_TOLERATED):
        die(driver, clock)
        batch = driver.taken()
        assert len(batch.jobs) == 2
        driver.begin(batch)
        assert not driver.redis.exists(driver.queue.keys.crashes)
        driver.settle(batch, TryLater("503", after=0.0))
        clock.forward(5)


def test_deaths_are_forgotten_a_day_after_the_first_of_them(driver: Driver, clock: VirtualClock) -> None:
    for index in range(3):
        driver.enqueue(number(index))
        die(driver, clock)
        driver.claim()
        if index == 0:
            driver.redis.pexpire(driver.queue.keys.crashes, 5000)
    assert 0 < driver.redis.pttl(driver.queue.keys.crashes) <= 5000


@pytest.mark.parametrize("subject", ["a-batch-to-resolve", "a-message"])
def test_work_that_is_no_send_is_never_dropped_for_its_deaths(driver: Driver, clock: VirtualClock, subject: str) -> None:
    push(driver.redis, driver.queue, "resolve.0.1.x", subject, delay=0, message=b"")
    for _ in range(CRASHES_TOLERATED):
        die(driver, clock)
    driver.claim()
    assert subject in [*driver.due(), *driver.waiting(), *driver.in_flight()]
    assert not [group for group in driver.groups() if group.startswith("park")]


def test_a_batch_that_is_not_back_yet_is_not_lost_where_the_answer_was(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    die(driver, clock)
    again = driver.taken("a token whose reply is lost")
    assert driver.taken("a token whose reply is lost") == again


def test_many_dead_workers_are_taken_back_in_bounded_steps(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(lease=LEASE))
    driver.enqueue_singles(50)
    for _ in range(50):
        driver.taken()
    clock.forward(LEASE + 1)
    assert len({driver.taken().jobs[0].subject for _ in range(50)}) == 50


def test_the_process_keeps_the_leases_of_all_that_it_holds_and_drops_what_it_let_go(redis: Redis) -> None:
    driver = Driver(redis, queue_of(lease=0.3))
    driver.enqueue_singles(2)
    kept, dropped = driver.taken(), driver.taken()
    leases = Leases(redis, clock=lambda: driver.server_ms() / 1000, shortest=driver.queue.lease)
    try:
        for batch in (kept, dropped):
            leases.add(Held(driver.queue, batch, leases.clock() + 0.3, leases.clock))
        leases.drop(dropped.batch_id)
        driver.until(driver.server_ms() + 700)
        assert leases.get(kept.batch_id).alive()
        assert driver.taken().jobs == dropped.jobs
        driver.refused()
    finally:
        leases.stop()


def test_a_process_that_was_stopped_for_too_long_knows_that_its_lease_is_over(redis: Redis) -> None:
    driver = Driver(redis, queue_of(lease=0.2))
    driver.enqueue()
    now = 100.0
    held = Held(driver.queue, driver.taken(), now + 0.2, lambda: now)
    assert held.alive()
    now += 0.2
    assert not held.alive()


def test_a_lost_lease_is_known_to_its_holder_at_the_next_renewal(redis: Redis) -> None:
    driver = Driver(redis, queue_of(lease=0.1))
    driver.enqueue()
    batch = driver.taken()
    leases = Leases(redis, clock=lambda: 0.0, shortest=LEASE, _keeper=threading.Thread())  # renewed by hand
    held = Held(driver.queue, batch, 1000.0, leases.clock)
    leases.add(held)
    driver.until(driver.server_ms() + 150)
    driver.taken()
    leases.renew_all()
    assert not held.alive()


def test_a_short_lease_that_is_added_while_only_long_ones_are_kept_does_not_lapse(redis: Redis) -> None:
    long, short = Driver(redis, queue_of(lease=60)), Driver(redis, queue_of(lease=0.3, account="other"))
    leases = Leases(redis, clock=lambda: long.server_ms() / 1000, shortest=0.3)
    held = []
    for driver in (long, short):
        driver.enqueue()
        claimed_at = leases.clock()
        held.append(Held(driver.queue, driver.taken(), claimed_at + driver.queue.lease, leases.clock))
        leases.add(held[-1])
    long.until(long.server_ms() + 600)
    assert held[1].alive()
    leases.stop()
