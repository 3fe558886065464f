"""An answer that closes the account: a block that one call ends for all, what the provider says is left, and a halt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, Driver, VirtualClock, begun, calls, happened, number, queue_of

from tuma_worker.core.answers import AccountFault, Fault, TryLater
from tuma_worker.queue.scripts import Claim, Release, Why
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


def test_after_a_block_one_call_goes_first_and_the_others_follow_its_answer(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    driver.settle(begun(driver), TryLater("429", after=30.0, scope="account"))
    wait = driver.refused()
    assert (wait.why, wait.milliseconds) == (Why.BLOCKED, 5000)
    clock.forward(30)
    probe = begun(driver)
    assert driver.refused().why is Why.PROBING
    driver.settle(probe)
    assert driver.redis.llen(driver.queue.keys.bell) == 1
    driver.taken()
    driver.taken()


def test_a_longer_block_is_not_shortened_by_a_later_answer(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    first, second = begun(driver), begun(driver)
    driver.settle(first, TryLater("429", after=30.0, scope="account"))
    driver.settle(second, TryLater("429", after=5.0, scope="account"))
    clock.forward(29)
    assert driver.refused().why is Why.BLOCKED


def test_a_probe_that_is_refused_again_blocks_again(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(3)
    for _ in range(3):
        driver.settle(begun(driver), TryLater("429", after=10.0, scope="account"))
        assert driver.refused().why is Why.BLOCKED
        clock.forward(10)
    driver.settle(begun(driver))
    driver.taken()


@pytest.mark.parametrize("begins", [False, True])
def test_a_probe_whose_worker_dies_is_followed_by_another(driver: Driver, clock: VirtualClock, *, begins: bool) -> None:
    driver.enqueue_singles(3)
    driver.settle(begun(driver), TryLater("429", after=10.0, scope="account"))
    clock.forward(10)
    probe = driver.taken()
    if begins:
        driver.begin(probe)
    clock.forward(driver.queue.lease + 0.001)
    driver.claim()
    clock.forward(driver.queue.grace + driver.queue.lease + 0.001)
    found = [driver.claim() for _ in range(4)]
    assert [batch for batch in found if isinstance(batch, Claim) and batch.actor == "send"]


def test_a_job_without_a_call_never_stands_for_the_probe(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    unanswered = begun(driver)
    driver.settle(unanswered, GIVEN_UP)
    driver.settle(begun(driver), TryLater("429", after=60.0, scope="account"))
    clock.forward(60)
    found = {batch.actor: batch for batch in (driver.taken(), driver.taken())}
    driver.release(found["resolve"], Release.DONE)
    assert driver.refused().why is Why.PROBING
    driver.begin(found["send"])
    driver.settle(found["send"])
    assert {driver.taken().actor, driver.taken().actor} == {"send"}


def test_what_the_provider_says_is_left_lowers_our_view_and_never_raises_it(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(10, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(20)
    driver.settle(begun(driver), left={limit.name: 500})
    assert driver.used(limit) == 1
    driver.settle(begun(driver), left={limit.name: 3})
    assert driver.used(limit) == 7
    sent = 0
    while isinstance(batch := driver.claim(), Claim):
        driver.begin(batch)
        driver.settle(batch)
        sent += 1
    assert sent == 3
    clock.forward(61)
    driver.taken()


def test_what_is_left_is_reckoned_by_the_limit_as_it_was_steered(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(10, 60)
    driver = Driver(redis, queue_of(limit))
    redis.hset(driver.queue.keys.state, f"limit:{limit.name}", "2 600000")
    driver.enqueue_singles(5)
    driver.settle(begun(driver))
    clock.forward(100)
    driver.settle(begun(driver), left={limit.name: 9})
    driver.refused()


def test_an_account_fault_stops_the_account_and_not_the_messages(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    driver.settle(begun(driver), AccountFault("1201", Fault.MONEY))
    assert driver.refused().why is Why.HALTED
    assert driver.state_of(intent, number(1)) == "queued"
    assert happened(driver)[-1] == "halted"
    halt = driver.redis.hget(driver.queue.keys.state, "halt")
    assert json.loads(halt or b"") == {"fault": "money", "code": "1201", "operator": False, "after": 900.0}
    assert Steering(driver.redis, driver.queue.account, "send", "test").lift_halt()
    assert not Steering(driver.redis, driver.queue.account, "send", "test").lift_halt()
    driver.taken()


def test_many_calls_refused_for_one_fault_halt_once_in_the_events(driver: Driver) -> None:
    driver.enqueue_singles(3)
    batches = [begun(driver) for _ in range(3)]
    for batch in batches:
        driver.settle(batch, AccountFault("1201", Fault.MONEY))
    assert happened(driver).count("halted") == 1
