"""A schedule that is paused, resumed or cancelled, with its occurrences that are under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of
from tests.redis.scheduling import LEASE, ask, children, every_minute, fired_at, get, in_seconds, told

from tuma_producer import At, Send
from tuma_producer.contract.times import milliseconds, moment
from tuma_worker.core.answers import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_worker.queue.scripts import Claim


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


def test_a_cancelled_schedule_leaves_nothing_waiting_and_its_open_occurrences_are_cancelled(
    driver: Driver, clock: VirtualClock
) -> None:
    intent = driver.enqueue(*numbers(2), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.stopped, result.with_provider, result.next_firing) == ("done", tuple(numbers(2)), (), None)
    assert (get(driver, intent).state, get(driver, child).state) == ("cancelled", "cancelled")
    assert (driver.due(), driver.waiting()) == ({}, [])
    assert told(driver, intent) == ["scheduled", "fired", "cancelled"]
    assert ask(driver, "cancel", intent) == result
    assert {ask(driver, verb, intent).outcome for verb in ("pause", "resume")} == {"refused"}


def test_what_of_an_occurrence_is_with_the_provider_is_told_and_older_ones_that_ended_are_not(
    driver: Driver, clock: VirtualClock
) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    batch = next_send(driver)
    assert driver.begin(batch) is not None
    assert driver.settle(batch, Rejected("1103"))
    clock.forward(60)
    driver.fire_all()
    batch = next_send(driver)
    assert driver.begin(batch) is not None
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.stopped, result.with_provider, result.ended) == ("partly", (), (number(1),), ())


def test_what_comes_and_goes_during_a_pause_is_passed_over(driver: Driver, clock: VirtualClock) -> None:
    intent, start = driver.enqueue(schedule=every_minute(clock, misfire="all")), clock.ms
    clock.forward(30)
    paused = ask(driver, "pause", intent)
    assert (paused.outcome, paused.next_firing) == ("done", None)
    assert (get(driver, intent).state, get(driver, intent).next_firing, driver.due()) == ("paused", None, {})
    clock.forward(200)
    driver.fire_all()
    resumed = ask(driver, "resume", intent)
    assert (resumed.outcome, resumed.next_firing) == ("done", moment(start + 240_000))
    assert ask(driver, "resume", intent) == resumed
    clock.forward(10)
    driver.fire_all()
    assert fired_at(driver, intent) == [start + 240_000]


def test_a_pause_holds_the_occurrence_that_is_under_way_and_resuming_lets_it_go_on(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert ask(driver, "pause", intent).stopped == (number(1),)
    assert get(driver, child).state == "paused"
    assert ask(driver, "resume", intent).stopped == (number(1),)
    assert next_send(driver).jobs[0].subject == f"{child}:{number(1)}"


def test_a_schedule_whose_times_all_passed_during_its_pause_is_done_when_it_is_resumed(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=in_seconds(clock, 60))
    ask(driver, "pause", intent)
    clock.forward(61)
    resumed = ask(driver, "resume", intent)
    assert (resumed.outcome, resumed.next_firing) == ("done", None)
    assert get(driver, intent).state == "done"
    assert told(driver, intent) == ["scheduled", "paused", "resumed", "done"]
    assert ask(driver, "cancel", intent).outcome == "too-late"


def test_an_occurrence_is_steered_by_its_own_id(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert ask(driver, "cancel", child).outcome == "done"
    assert get(driver, intent).state == "scheduled"


def test_either_kind_of_producer_steers_a_schedule_with_its_occurrences(
    redis: Redis, producer_for: Callable[..., AnyProducer]
) -> None:
    driver = Driver(redis, queue_of())
    soon, later = (moment(driver.server_ms() + ms) for ms in (1_000, 1_000_000))
    producer = producer_for()
    send = Send(account=driver.queue.account, to=number(1), message="Hello", schedule=At(times=[soon, later]))
    schedule_id = producer.enqueue(send).id
    driver.until(milliseconds(soon))
    driver.fire(driver.taken())
    results = [getattr(producer, verb)(schedule_id) for verb in ("pause", "resume", "cancel")]
    assert [(one.outcome, one.stopped, one.next_firing) for one in results] == [
        ("done", (number(1),), None),
        ("done", (number(1),), later),
        ("done", (number(1),), None),
    ]


def next_send(driver: Driver) -> Claim:
    """The next batch that is to be sent."""
    batch = driver.taken()
    while batch.actor == "fire":
        driver.fire(batch)
        batch = driver.taken()
    return batch
