"""A deadline ends what waits, whatever it waits for."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, calls, number, numbers, queue_of, virtual_clock

from tuma_producer import Producer
from tuma_worker.core.answers import AccountFault, Fault, TryLater
from tuma_worker.queue.scripts import Claim, Release
from tuma_worker.store import attempts
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.redis.driver import VirtualClock


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(calls(1, 60)))


AGAIN = 16.0  # seconds until a deadline comes up again that passed while somebody was in a call


def expire_all(driver: Driver) -> None:
    """Do what deadlines ask for now."""
    for _ in range(4):  # sends take turns with them
        batch = driver.claim()
        if isinstance(batch, Claim) and batch.actor == "expire":
            driver.attempts.expire([job.subject for job in batch.jobs])
            driver.release(batch, Release.DONE)


@contextmanager
def in_a_call_at_its_deadline(redis: Redis, *to: str) -> Iterator[tuple[Driver, VirtualClock, str, Claim]]:
    """An intent whose deadline has passed while its call is under way."""
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue_of(lease=600.0, batch_max=10))
        intent = driver.enqueue(*to, expires_in=5)
        batch = driver.taken()
        assert driver.begin(batch) is not None
        clock.forward(6)
        expire_all(driver)
        assert driver.state_of(intent, to[0]) == "sending"
        yield driver, clock, intent, batch


def late(driver: Driver, *to: str) -> str:
    """An intent whose deadline has passed."""
    intent = driver.enqueue(*to, expires_in=0.05)
    driver.until(driver.server_ms() + 100)
    return intent


def test_what_waits_in_a_paused_queue_ends_expired_at_its_deadline(driver: Driver) -> None:
    Steering(driver.redis, driver.queue.account, "send", "test").pause(Scope())
    intent = late(driver, *numbers(3))
    batch = driver.taken()
    assert (batch.actor, [job.subject for job in batch.jobs]) == ("expire", [intent])
    assert driver.attempts.expire([intent]) == 3
    assert {driver.state_of(intent, one) for one in numbers(3)} == {"expired"}
    assert [event["e"] for event in driver.events() if event.get("i") == intent] == ["accepted", *["expired"] * 3, "done"]


def test_what_waits_for_a_used_up_window_ends_expired_and_takes_no_permit(driver: Driver) -> None:
    driver.enqueue()
    driver.send()
    intent = late(driver, number(7))
    assert driver.taken().actor == "expire"
    assert driver.attempts.expire([intent]) == 1
    assert driver.used(driver.queue.limits[0]) == 1


def test_many_deadlines_share_a_claim(driver: Driver) -> None:
    driver.enqueue()
    driver.send()
    intents = [driver.enqueue(number(n), expires_in=0.05) for n in range(30)]
    driver.until(driver.server_ms() + 100)
    assert sorted(job.subject for job in driver.taken().jobs) == sorted(intents)


def test_what_was_sent_in_time_is_left_alone_and_a_repeat_changes_nothing(driver: Driver) -> None:
    intent = driver.enqueue(number(1), expires_in=60)
    driver.send()
    assert driver.attempts.expire([intent]) == 0
    before = driver.snapshot()
    assert driver.attempts.expire([intent]) == 0
    assert driver.snapshot() == before


def test_large_intents_are_expired_in_steps_that_hold_nobody_up(driver: Driver) -> None:
    intents = [driver.enqueue(*numbers(1500), expires_in=0.05) for _ in range(2)]
    driver.until(driver.server_ms() + 100)
    assert driver.attempts.expire(intents) == 3000
    moved = [event for event in driver.events() if event["e"] == "expired"]
    assert len({(event["i"], event["r"]) for event in moved}) == len(moved) == 3000
    assert [event["i"] for event in driver.events() if event["e"] == "done"] == sorted(intents)


def test_one_step_ends_so_many_at_the_most(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    run = attempts._EXPIRE.run

    def counting(*args: Any) -> Any:  # noqa: ANN401 - as the script's own
        steps.append(run(*args))
        return steps[-1]

    monkeypatch.setattr(attempts, "_EXPIRE", SimpleNamespace(run=counting))
    intent = late(driver, *numbers(1500))
    assert driver.attempts.expire([intent]) == 1500
    assert steps == [1000, 500]


def test_who_comes_back_from_a_call_into_a_paused_queue_ends_expired(redis: Redis) -> None:
    with in_a_call_at_its_deadline(redis, *numbers(2)) as (driver, clock, intent, batch):
        Steering(driver.redis, driver.queue.account, "send", "test").pause(Scope())
        driver.settle(batch, TryLater("1402", after=0.0))
        assert driver.state_of(intent, number(0)) == "queued"
        clock.forward(AGAIN)
        expire_all(driver)
        assert {driver.state_of(intent, one) for one in numbers(2)} == {"expired"}


def test_who_comes_back_from_a_call_into_a_halted_account_ends_expired(redis: Redis) -> None:
    with in_a_call_at_its_deadline(redis, number(0)) as (driver, clock, intent, batch):
        driver.settle(batch, AccountFault("1302", Fault.SUSPENDED, operator=True))
        clock.forward(AGAIN)
        expire_all(driver)
        assert driver.state_of(intent, number(0)) == "expired"


def test_who_comes_back_from_a_call_and_whose_intent_is_paused_ends_expired(redis: Redis) -> None:
    with in_a_call_at_its_deadline(redis, number(0)) as (driver, clock, intent, batch):
        Producer(redis, source="billing").pause(f"{driver.queue.account}.{intent}")
        driver.settle(batch, TryLater("1402", after=0.0))
        assert driver.state_of(intent, number(0)) == "accepted"
        clock.forward(AGAIN)
        expire_all(driver)
        assert driver.state_of(intent, number(0)) == "expired"


def test_whose_call_lasts_is_looked_at_again_and_again_until_it_has_ended(redis: Redis) -> None:
    with in_a_call_at_its_deadline(redis, number(0)) as (driver, clock, intent, batch):
        for _ in range(3):
            clock.forward(AGAIN)
            expire_all(driver)
        assert driver.state_of(intent, number(0)) == "sending"
        driver.settle(batch)
        clock.forward(AGAIN)
        expire_all(driver)
        assert driver.state_of(intent, number(0)) == "submitted"
        assert not redis.exists(driver.queue.keys.deadlines)
