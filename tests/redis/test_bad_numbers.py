"""A number that the provider blamed does not spoil the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of, target_of

from tuma_worker.core.answers import Accepted, Rejected
from tuma_worker.queue.scripts import Claim, Release
from tuma_worker.store import bad_numbers

if TYPE_CHECKING:
    from redis import Redis

DAY = 86_400  # seconds: how long a number is remembered unless the account says otherwise
BAD = number(3)


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


def called(driver: Driver) -> list[list[str]]:
    """Send all that waits to a provider that refuses every call with the bad number in it; returns who was in each call."""
    calls = []
    while isinstance(batch := driver.claim(), Claim):
        begun = driver.begin(batch)
        assert begun is not None
        to = [target.number for target in begun.targets]
        if not to:
            driver.release(batch, Release.DONE)
            continue
        calls.append(to)
        alone = to == [BAD]
        driver.settle(
            batch, Rejected("1104", frozenset(to if alone else ()), suspect_numbers=not alone) if BAD in to else Accepted("p")
        )
    return calls


def blame(driver: Driver) -> None:
    """The provider refuses the bad number by name."""
    driver.enqueue(BAD)
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, Rejected("1104", frozenset({BAD})))


def test_a_number_that_a_halved_batch_came_down_to_is_left_out_of_the_next_one(driver: Driver) -> None:
    driver.enqueue(*numbers(8))
    assert len(called(driver)) > 1
    intent = driver.enqueue(*numbers(8))
    assert called(driver) == [[one for one in numbers(8) if one != BAD]]
    assert driver.state_of(intent, BAD) == "rejected"
    told = [event for event in driver.events() if event.get("i") == intent and event.get("r") == BAD]
    assert [(event["e"], event["v"], event["w"]) for event in told] == [("rejected", "inferred", "known-bad")]


def test_where_all_are_known_to_be_bad_no_attempt_is_written_down_and_a_repeat_says_the_same(driver: Driver) -> None:
    blame(driver)
    intent = driver.enqueue(BAD)
    batch = driver.taken()
    first = driver.begin(batch)
    assert first is not None
    assert first.targets == ()
    before = driver.snapshot()
    assert driver.begin(batch) == first
    assert driver.snapshot() == before
    assert driver.attempts.load(batch.batch_id) is None
    assert driver.state_of(intent, BAD) == "rejected"


def test_it_is_called_again_when_the_time_is_over(driver: Driver, clock: VirtualClock) -> None:
    blame(driver)
    clock.forward(DAY - 0.001)
    driver.enqueue(BAD)
    assert called(driver) == []
    clock.forward(0.001)
    driver.enqueue(BAD)
    assert called(driver) == [[BAD]]


def test_what_is_over_is_dropped_when_another_is_added(driver: Driver, clock: VirtualClock) -> None:
    blame(driver)
    clock.forward(DAY)
    driver.enqueue(number(9))
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, Rejected("1104", frozenset({number(9)})))
    assert driver.redis.zrange(driver.account.bad_numbers, 0, -1) == [number(9).encode()]


def test_a_call_refused_for_its_text_or_sender_leaves_its_numbers_innocent(driver: Driver) -> None:
    for answer in (Rejected("1102"), Rejected("sender", frozenset({BAD}), lasting=False)):
        driver.enqueue(BAD)
        batch = driver.taken()
        driver.begin(batch)
        driver.settle(batch, answer)
    assert not driver.redis.exists(driver.account.bad_numbers)


def test_an_account_that_does_not_heed_them_calls_them(driver: Driver) -> None:
    blame(driver)
    driver.enqueue(BAD)
    batch = driver.taken()
    targets = [target_of(job.subject) for job in batch.jobs]
    begun = driver.attempts.begin(
        batch.batch_id, "token", targets, lane=batch.lane, source=batch.source, group=batch.group, heed_bad=False
    )
    assert begun is not None
    assert [target.number for target in begun.targets] == [BAD]


def test_operators_take_it_back_for_one_number_or_for_all(driver: Driver) -> None:
    blame(driver)
    assert bad_numbers.forget(driver.redis, driver.queue.account, number(4), by="test") == 0
    assert bad_numbers.forget(driver.redis, driver.queue.account, BAD, by="test") == 1
    blame(driver)
    assert bad_numbers.forget(driver.redis, driver.queue.account, by="test") == 1
    driver.enqueue(BAD)
    assert called(driver) == [[BAD]]
