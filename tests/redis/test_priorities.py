"""Which priority goes first: strictly the highest, but for the turns that the guard gives and what the floors keep."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import LANES, Driver, calls, messages, number, numbers, queue_of, text, virtual_clock

from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.limits import Limit


def test_a_lower_lane_moves_only_when_every_higher_one_is_empty(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0))
    for lane in reversed(LANES):
        driver.enqueue_singles(2, priority=lane)
    assert [driver.send().lane for _ in range(6)] == [0, 0, 1, 1, 2, 2]


def lanes_of(driver: Driver, count: int) -> list[int]:
    """The lanes of the next batches; every batch is accepted by the provider."""
    return [driver.send().lane for _ in range(count)]


def test_each_waiting_lower_lane_gets_its_guard_and_no_more(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0.1))
    driver.enqueue_singles(40, priority="otp")
    driver.enqueue_singles(5, 50, priority="transactional")
    driver.enqueue_singles(1, 60, priority="bulk")
    assert lanes_of(driver, 35) == [*[0] * 10, 1, 0, 2, *[0] * 9, 1, *[0] * 10, 1, 0]


def test_with_all_lanes_full_none_starves_and_the_highest_gets_nearly_all(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0.05))
    for first, lane in enumerate(LANES):
        driver.enqueue_singles(110, 200 * first, priority=lane)
    found = lanes_of(driver, 110)
    assert Counter(found) == {0: 101, 1: 5, 2: 4}
    assert found[20:110:22] == [1] * 5
    assert found[22:110:22] == [2] * 4


def test_the_lowest_lane_gets_its_guard_below_a_middle_one_too(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0.1))
    driver.enqueue_singles(30, priority="transactional")
    driver.enqueue_singles(30, 50, priority="bulk")
    assert lanes_of(driver, 22) == [*[1] * 10, 2, *[1] * 10, 2]


def test_a_guard_of_every_claim_still_leaves_the_highest_lane_its_turn(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=1))
    for first, lane in enumerate(LANES):
        driver.enqueue_singles(10, 20 * first, priority=lane)
    assert lanes_of(driver, 12) == [0, 1, 0, 2] * 3


def test_a_lane_that_may_not_go_saves_up_no_turns(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0.2))
    steering = Steering(redis, driver.queue.account, "send", "test")
    driver.enqueue_singles(30, priority="otp")
    driver.enqueue_singles(5, 50, priority="bulk")
    steering.pause(Scope(lane="bulk"))
    assert lanes_of(driver, 8) == [0] * 8
    steering.resume(Scope(lane="bulk"))
    assert lanes_of(driver, 6) == [*[0] * 5, 2]


def test_a_paced_lane_saves_up_no_turns_until_its_time(redis: Redis) -> None:
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue_of(calls(60, 60), guard=0.2, paced=frozenset({"bulk"})))
        driver.enqueue_singles(5, 50, priority="bulk")
        assert lanes_of(driver, 1) == [2]
        driver.enqueue_singles(30, priority="otp")
        assert lanes_of(driver, 8) == [0] * 8
        clock.forward(2)
        assert lanes_of(driver, 6) == [*[0] * 5, 2]


def test_a_turn_by_the_guard_leaves_the_floors_of_the_other_lanes_alone(redis: Redis) -> None:
    driver = Driver(redis, queue_of(messages(10, 60), guard=0.25, floors={"otp": 0.3}, batch_max=10))
    driver.enqueue_singles(4, priority="otp")
    driver.enqueue(message=text(7), priority="bulk")
    driver.enqueue_singles(9, 20, priority="transactional")
    assert lanes_of(driver, 4) == [0] * 4
    assert lanes_of(driver, 3) == [1] * 3, "bulk is first, but its text does not fit; the rest is kept for otp"
    driver.refused()


@pytest.mark.parametrize(("before", "jobs"), [(0, 3), (1, 2), (3, 1)])
def test_a_turn_by_the_guard_takes_of_what_the_floors_keep_one_job_at_the_most(redis: Redis, before: int, jobs: int) -> None:
    driver = Driver(redis, queue_of(messages(10, 60), guard=0.25, floors={"otp": 0.3}, batch_max=10))
    driver.enqueue_singles(before + 4, priority="otp")
    lanes_of(driver, before)
    driver.enqueue(*numbers(9, 100), priority="bulk", message="a campaign")
    assert lanes_of(driver, 4) == [0] * 4
    turn = driver.send()
    assert (turn.lane, len(turn.jobs)) == (2, jobs)
    driver.enqueue_singles(10, 20, priority="otp")
    left = 10 - (before + 4) - jobs
    assert lanes_of(driver, left) == [0] * left
    driver.refused()


def test_a_lane_whose_turn_is_now_does_not_wait_for_company(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), messages(100, 60), guard=0.25, floors={"otp": 0.1}, batch_max=50))
    for index in range(5):
        driver.enqueue(*numbers(18), priority="otp", message=text(1, f"to many {index}"))
    lanes_of(driver, 1)
    driver.enqueue(*numbers(50, 100), priority="bulk", message="a campaign")
    assert lanes_of(driver, 4) == [0] * 4
    turn = driver.send()
    assert (turn.lane, len(turn.jobs)) == (2, 1)


def test_turns_are_counted_only_while_a_lower_lane_waits(redis: Redis) -> None:
    driver = Driver(redis, queue_of(guard=0.1))
    driver.enqueue_singles(3, priority="otp")
    driver.enqueue_singles(1, 50, priority="bulk")
    driver.send()
    assert redis.hget(driver.queue.keys.state, "passed_over") == b"0 1"
    lanes_of(driver, 3)
    assert not redis.hexists(driver.queue.keys.state, "passed_over")


def test_a_lower_lane_does_not_take_what_a_higher_one_is_waiting_for(redis: Redis) -> None:
    driver = Driver(redis, queue_of(messages(5, 60), batch_max=10))
    driver.enqueue(number(1), message=text(3, "a"), priority="otp")
    driver.enqueue(number(2), message=text(3, "b"), priority="otp")
    driver.enqueue(number(3), message=text(1, "c"), priority="bulk")
    driver.send()
    driver.refused()


def test_a_lower_lane_leaves_the_floors_of_the_higher_ones_alone(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), floors={"otp": 0.2, "transactional": 0.3}))
    driver.enqueue_singles(9, priority="bulk")
    assert [driver.send().lane for _ in range(5)] == [2] * 5
    driver.refused()
    driver.enqueue_singles(9, 20, priority="transactional")
    assert [driver.send().lane for _ in range(3)] == [1] * 3
    driver.refused()
    driver.enqueue_singles(9, 40, priority="otp")
    assert [driver.send().lane for _ in range(2)] == [0] * 2
    driver.refused()


def test_a_floor_that_nobody_needs_is_open_to_its_own_lane_only(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), floors={"otp": 0.2}))
    driver.enqueue_singles(12, priority="otp")
    assert [driver.send().lane for _ in range(10)] == [0] * 10


@pytest.mark.parametrize("limit", [calls(1, 60), messages(1, 60), calls(1.5, 60)])
def test_a_floor_never_closes_a_lane(redis: Redis, limit: Limit) -> None:
    driver = Driver(redis, queue_of(limit, floors={"otp": 0.9, "transactional": 0.1}))
    driver.enqueue_singles(2, priority="bulk")
    driver.send()
    driver.refused()


def test_a_floor_never_closes_a_lane_to_a_long_text(redis: Redis) -> None:
    driver = Driver(redis, queue_of(messages(10, 60), floors={"otp": 0.5}))
    driver.enqueue(message=text(7), priority="bulk")
    driver.send()
