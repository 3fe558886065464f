"""The limiter by examples, in virtual time: what counts, from when, until when, and what a claim says where there is no room."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from tests.redis.driver import GIVEN_UP, NEVER_LEFT, Driver, VirtualClock, calls, messages, numbers, queue_of, text

from tuma_worker.queue.scripts import Claim, Release, Wait, Why
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from tuma_worker.core.limits import Limit


def drain(driver: Driver) -> int:
    """Send what may be sent now; how many calls that was."""
    count = 0
    while isinstance(batch := driver.claim(), Claim):
        assert driver.begin(batch) is not None
        assert driver.settle(batch)
        count += 1
    return count


def sends_only(driver: Driver, count: int) -> None:
    """Claim until nothing moves: so many are sends, and the rest is work that makes no call."""
    found = []
    while isinstance(batch := driver.claim(), Claim):
        found.append(batch.actor)
        if batch.actor != "send":
            driver.release(batch, Release.DONE)
    assert found.count("send") == count


def test_a_hundred_threads_against_a_limit_of_five_see_exactly_five(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(calls(5, 60)))
    driver.enqueue_singles(100)
    together = threading.Barrier(100)

    def one(index: int) -> bool:
        with Redis.from_url(redis_url) as own:
            rival = Driver(own, driver.queue)
            together.wait()
            return isinstance(rival.claim(worker=f"w{index}"), Claim)

    with ThreadPoolExecutor(100) as pool:
        assert sum(pool.map(one, range(100))) == 5


def test_a_permit_counts_until_a_window_after_its_call_has_ended(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60)))
    driver.enqueue_singles(2)
    batch = driver.taken()
    driver.begin(batch)
    clock.forward(10)
    driver.settle(batch)
    clock.forward(59.9)
    driver.refused()
    clock.forward(0.2)
    driver.taken()


def test_a_permit_in_flight_counts_however_long_the_call_takes(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 1), lease=100))
    driver.enqueue_singles(2)
    driver.taken()
    clock.forward(50)
    driver.refused()


def test_the_wait_says_when_room_comes_and_then_there_is_room(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(2, 60), idle=600))
    driver.enqueue_singles(3)
    driver.send()
    clock.forward(20)
    driver.send()
    wait = driver.refused()
    assert wait.why is Why.LIMIT
    assert wait.milliseconds == pytest.approx(40_000, rel=0.01)
    clock.forward(wait.milliseconds / 1000)
    driver.taken()


def test_no_wait_is_longer_than_idle(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(1, 3600), idle=5))
    driver.enqueue_singles(2)
    driver.send()
    assert driver.refused().milliseconds == 5000


def test_who_does_not_hold_the_alarm_waits_a_little_longer_and_takes_over_if_it_does_not_ring(
    redis: Redis, clock: VirtualClock
) -> None:
    driver = Driver(redis, queue_of(calls(1, 60), idle=600))
    driver.enqueue_singles(2)
    driver.send(worker="w1")
    holder, other = driver.refused(worker="w1"), driver.refused(worker="w2")
    assert holder.milliseconds < other.milliseconds <= holder.milliseconds + 500
    clock.forward(other.milliseconds / 1000)
    driver.taken(worker="w2")


def test_several_limits_are_granted_all_or_none(redis: Redis, clock: VirtualClock) -> None:
    per_second, per_minute, per_hour = calls(2, 1), calls(3, 60), messages(4, 3600)
    driver = Driver(redis, queue_of(per_second, per_minute, per_hour))
    driver.enqueue_singles(6)
    assert drain(driver) == 2
    assert [driver.used(limit) for limit in driver.queue.limits] == [2, 2, 2]
    clock.forward(1.1)
    assert drain(driver) == 1
    assert [driver.used(limit) for limit in driver.queue.limits] == [1, 3, 3]
    clock.forward(61)
    assert drain(driver) == 1
    assert [driver.used(limit) for limit in driver.queue.limits] == [1, 1, 4]
    clock.forward(61)
    assert drain(driver) == 0


def test_messages_weigh_recipients_by_segments_only_where_the_provider_counts_so(redis: Redis, clock: VirtualClock) -> None:
    del clock
    limit = messages(100, 60)
    for count_segments, weight in ((True, 12), (False, 4)):
        driver = Driver(redis, queue_of(limit, account=f"counts-{weight}", batch_max=10, count_segments=count_segments))
        driver.enqueue(*numbers(4), message=text(3))
        driver.taken()
        assert driver.used(limit) == weight


def test_a_batch_is_as_large_as_the_messages_that_are_left(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(messages(10, 60), batch_max=100))
    driver.enqueue(*numbers(8), message=text(3))
    assert len(driver.send().jobs) == 3
    driver.refused()


@pytest.mark.parametrize(("count", "allowed"), [(1, 1), (1.5, 1), (2.99, 2), (16.7, 16)])
def test_a_fractional_count_allows_what_fits_whole(redis: Redis, clock: VirtualClock, count: float, allowed: int) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(count, 60)))
    driver.enqueue_singles(20)
    assert drain(driver) == allowed


@pytest.mark.parametrize("how", [Release.BACK, Release.LATER, Release.DONE])
def test_a_permit_without_a_call_is_given_back_at_once(redis: Redis, clock: VirtualClock, how: Release) -> None:
    del clock
    limit = calls(1, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(2)
    driver.release(driver.taken(), how, delay=3600)
    assert driver.used(limit) == 0
    driver.taken()


def test_a_call_that_never_left_gives_its_permit_back(redis: Redis, clock: VirtualClock) -> None:
    del clock
    limit = calls(1, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(2)
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, NEVER_LEFT)
    assert driver.used(limit) == 0
    driver.taken()


def test_a_call_that_was_given_up_counts_from_a_grace_after_it(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60), grace=5))
    driver.enqueue_singles(2)
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, GIVEN_UP)
    clock.forward(64.9)
    sends_only(driver, 0)
    clock.forward(0.2)
    sends_only(driver, 1)


def test_the_permit_of_a_worker_that_died_in_its_call_counts_from_a_grace_after_its_lease(
    redis: Redis, clock: VirtualClock
) -> None:
    driver = Driver(redis, queue_of(calls(1, 60), lease=15, grace=5))
    driver.enqueue_singles(2)
    driver.begin(driver.taken())
    clock.forward(15.1)
    sends_only(driver, 0)  # takes it back
    clock.forward(64.8)
    sends_only(driver, 0)
    clock.forward(0.4)
    sends_only(driver, 1)


def test_the_first_window_of_a_limiter_without_history_opens_evenly(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), cold_start="paced"))
    driver.enqueue_singles(40)
    sent = 0
    for second in range(60):
        sent += drain(driver)
        assert max(1, second // 6 - 1) <= sent <= max(1, second / 6)
        clock.forward(1)
    clock.forward(65)
    assert drain(driver) == 10, "the second window is an ordinary one"


def test_a_batch_that_waits_for_company_on_a_cold_start_is_told_when_there_is_room(redis: Redis, clock: VirtualClock) -> None:
    limits = calls(1000, 3600), messages(10_000, 3600)
    driver = Driver(redis, queue_of(*limits, cold_start="paced", batch_max=100))
    driver.enqueue(*numbers(100))
    wait = driver.refused()
    assert wait.milliseconds == 3600, "ten messages to a call, of ten thousand in an hour"
    clock.forward(wait.milliseconds / 1000)
    assert len(driver.taken().jobs) == 10


def test_a_server_that_lost_its_data_does_not_assume_an_empty_window(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), cold_start="paced"))
    driver.enqueue_singles(5)
    clock.forward(3600)
    drain(driver)
    redis.delete(*redis.keys("tuma:{*"))
    driver = Driver(redis, driver.queue)
    driver.enqueue_singles(5)
    assert drain(driver) == 1


def test_a_paced_lane_is_spread_over_the_window_and_the_others_are_not(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), paced=frozenset({"bulk"})))
    driver.enqueue_singles(20, priority="bulk")
    assert drain(driver) == 1
    assert driver.refused().why is Why.PACE
    driver.enqueue_singles(3, 50, priority="otp")
    assert drain(driver) == 3
    sent = 0
    for _ in range(30):
        clock.forward(1)
        sent += drain(driver)
    assert sent == 5


def test_a_paced_lane_that_woke_late_catches_up(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 1), paced=frozenset({"bulk"})))
    driver.enqueue_singles(20, priority="bulk")
    drain(driver)
    clock.forward(0.19)
    assert drain(driver) == 1, "due nine hundredths ago"
    clock.forward(0.01)
    assert drain(driver) == 1
    clock.forward(5)
    assert drain(driver) == 2, "but of a longer absence only a tenth of a second"


def test_a_limit_steered_while_running_is_kept_from_the_next_claim_on(redis: Redis, clock: VirtualClock) -> None:
    del clock
    limit = calls(10, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(10)
    redis.hset(driver.queue.keys.state, f"limit:{limit.name}", "2 60000")
    assert drain(driver) == 2


def test_a_paced_lane_goes_on_at_the_new_rate_where_its_limit_was_steered(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(60, 60)
    driver = Driver(redis, queue_of(limit, paced=frozenset({"bulk"})))
    steering = Steering(redis, driver.queue.account, "send", "test")
    driver.enqueue_singles(10, priority="bulk")
    steering.set_limit(replace(limit, count=1))
    assert drain(driver) == 1, "the next one is booked a minute later"
    clock.forward(1)
    assert steering.unset_limit(limit.name)
    assert drain(driver) >= 1


def test_a_text_that_a_lowered_limit_has_no_room_for_waits_until_the_limit_is_back(redis: Redis, clock: VirtualClock) -> None:
    limit = messages(100, 60)
    driver = Driver(redis, queue_of(limit, idle=600))
    steering = Steering(redis, driver.queue.account, "send", "test")
    driver.enqueue(message=text(3))
    steering.set_limit(replace(limit, count=2))
    wait = driver.refused()
    assert (wait.why, wait.milliseconds) == (Why.LIMIT, 60_000)
    clock.forward(61)
    driver.refused()
    steering.unset_limit(limit.name)
    assert driver.send().actor == "send"


def test_a_text_that_only_a_raised_limit_has_room_for_goes(redis: Redis) -> None:
    limit = messages(2, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue(message=text(3))
    Steering(redis, driver.queue.account, "send", "test").set_limit(replace(limit, count=5))
    assert driver.send().actor == "send"


@pytest.mark.parametrize("cold_start", ["paced", "burst"])
def test_a_limit_that_was_widened_while_running_does_not_assume_an_empty_window(
    redis: Redis, clock: VirtualClock, cold_start: str
) -> None:
    driver = Driver(redis, queue_of(limit := calls(10, 60), cold_start=cold_start))
    driver.enqueue_singles(100)
    driver.send()
    clock.forward(7200)
    for _ in range(4):
        assert drain(driver) == 10
        clock.forward(61)
    redis.hset(driver.queue.keys.state, f"limit:{limit.name}", "20 3600000 0 test")
    assert drain(driver) <= 1, "forty went in these minutes"
    clock.forward(1800)
    assert drain(driver) <= 10
    clock.forward(7200)
    assert drain(driver) == 20


def test_a_windows_memory_is_bounded(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(10_000, 3600)
    driver = Driver(redis, queue_of(limit))
    for first in range(0, 3000, 100):
        driver.enqueue_singles(100, first)
        for _ in range(100):
            driver.send()
            clock.forward(1)
    assert redis.llen(driver.queue.keys.window(limit.name)) <= 1000


def test_small_calls_wait_for_room_where_calls_would_run_out_before_messages(redis: Redis, clock: VirtualClock) -> None:
    per_calls, per_messages = calls(10, 60), messages(100, 60)
    driver = Driver(redis, queue_of(per_calls, per_messages, batch_max=50))
    driver.enqueue(*numbers(45), message=text(1, "a"))
    driver.enqueue(*numbers(49, 100), message=text(1, "b"))
    drain(driver)
    assert driver.used(per_messages) == 94
    driver.enqueue(*numbers(30, 200), message=text(1, "c"))
    assert isinstance(driver.claim(), Wait), "a call of six would use a tenth of the calls for a seventeenth of the messages"
    driver.enqueue(*numbers(3, 300), message=text(1, "d"), priority="otp")
    assert driver.send().lane == 0, "a one-time password does not wait for company"
    clock.forward(61)
    assert len(driver.send().jobs) == 30


@pytest.mark.parametrize(
    ("limits", "batch_max"),
    [
        ((calls(1000, 3600), messages(50, 1)), 100),
        ((calls(2, 60), messages(10, 60)), 100),
        ((calls(4, 60), messages(10, 60)), 3),
    ],
)
def test_waiting_for_a_larger_batch_never_waits_for_what_cannot_be(
    redis: Redis, clock: VirtualClock, limits: tuple[Limit, ...], batch_max: int
) -> None:
    driver = Driver(redis, queue_of(*limits, batch_max=batch_max, floors={"otp": 0.5}))
    driver.enqueue(*numbers(100), message=text(1), priority="bulk")
    for _ in range(3):
        assert drain(driver) >= 1
        clock.forward(3700)


def test_a_text_heavier_than_a_whole_window_does_not_hold_up_the_others(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(messages(3, 60)))
    driver.enqueue(message=text(5), priority="otp")
    driver.enqueue_singles(1, 10, priority="bulk")
    found = [driver.taken(), driver.taken()]
    assert [batch.actor == "send" for batch in found] == [False, True]
