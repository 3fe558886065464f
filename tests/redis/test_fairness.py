"""Sources take turns by what they use, and none is held up by another one's backlog, absence or pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, calls, messages, number, numbers, queue_of

from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.limits import Limit


def sources_of(driver: Driver, count: int) -> str:
    """The sources of the next batches, a letter each; every batch is accepted by the provider."""
    return "".join(driver.send().source for _ in range(count))


def test_two_sources_with_equal_sends_alternate(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(100, 60)))
    driver.enqueue_singles(6, source="a")
    driver.enqueue_singles(6, 10, source="b")
    assert sources_of(driver, 12) == "ab" * 6


def test_a_source_with_a_thousand_waiting_does_not_hold_up_another_ones_ten(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue(*numbers(1000), source="a")
    sources_of(driver, 5)
    driver.enqueue_singles(10, 2000, source="b")
    assert sources_of(driver, 20).count("b") == 10


def test_sources_share_by_what_they_use_and_not_by_calls(redis: Redis) -> None:
    driver = Driver(redis, queue_of(messages(10_000, 60), batch_max=10))
    for index in range(4):
        driver.enqueue(*numbers(10, 10 * index), source="a")
    driver.enqueue_singles(40, 100, source="b")
    found = sources_of(driver, 22)
    assert 18 <= found.count("b") <= 20, found


@pytest.mark.parametrize("limits", [(), (calls(1000, 60), messages(5000, 60))], ids=["no limits", "limits"])
@pytest.mark.parametrize("recipients", [1, 20])
def test_a_source_that_always_has_one_send_waiting_gets_no_more_than_its_share(
    redis: Redis, limits: tuple[Limit, ...], recipients: int
) -> None:
    driver = Driver(redis, queue_of(*limits, batch_max=20))
    driver.enqueue_singles(40, 100, source="b")
    driver.enqueue(*numbers(recipients), source="a")
    found = ""
    while len(found) < 24:
        found += driver.send().source
        if found[-1] == "a":
            driver.enqueue(*numbers(recipients), source="a")
    share = 12 if recipients == 1 or not limits else 4  # calls of twenty use more of the messages than of the calls
    assert found.count("a") <= share + 1, found
    assert found.count("a") >= 1, found


def test_a_source_that_was_away_gets_no_credit_for_it(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(40, source="a")
    driver.enqueue("+243990000500", source="b")
    sources_of(driver, 20)
    driver.enqueue_singles(20, 600, source="b")
    assert 4 <= sources_of(driver, 10).count("b") <= 6


def test_a_source_that_was_paused_gets_no_credit_for_it(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    steering = Steering(redis, driver.queue.account, "send", "test")
    driver.enqueue_singles(20, source="a")
    driver.enqueue_singles(60, 100, source="b")
    sources_of(driver, 4)
    steering.pause(Scope(source="a"))
    assert sources_of(driver, 30) == "b" * 30
    steering.resume(Scope(source="a"))
    assert sources_of(driver, 10).count("a") in {5, 6}


def test_any_number_of_paused_sources_is_passed_over(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    steering = Steering(redis, driver.queue.account, "send", "test")
    for index in range(101):
        driver.enqueue(number(index), source=f"paused-{index}")
        steering.pause(Scope(source=f"paused-{index}"))
    driver.enqueue(number(500), source="works")
    assert driver.send().source == "works"


def test_a_paused_source_is_passed_over_and_a_paused_lane_too(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(2, source="a", priority="otp")
    driver.enqueue_singles(2, 10, source="b", priority="otp")
    driver.enqueue_singles(2, 20, source="c", priority="bulk")
    redis.hset(driver.queue.keys.state, "paused:source:a", 1)
    assert sources_of(driver, 2) == "bb"
    redis.hdel(driver.queue.keys.state, "paused:source:a")
    redis.hset(driver.queue.keys.state, "paused:lane:0", 1)
    assert sources_of(driver, 2) == "cc"
    driver.refused()
