"""`claim.lua`: what it takes, in which order, and what it answers where nothing may move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, number, numbers, queue_of, text

from tuma_worker.queue.scripts import PROBE, SYSTEM, Release, Wait, Why, push

if TYPE_CHECKING:
    from redis import Redis


def test_an_empty_queue_is_idle(redis: Redis) -> None:
    wait = Driver(redis, queue_of(idle=7)).refused()
    assert (wait.why, wait.milliseconds) == (Why.IDLE, 7000)


def test_the_systems_source_without_any_job_holds_nobody_up(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    redis.zadd(driver.queue.keys.sources(0), {SYSTEM: 0})
    redis.hset(driver.queue.keys.state, "turn", "others")
    driver.refused()
    driver.enqueue()
    assert driver.send().lane == 1


def test_what_was_accepted_first_goes_first(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of())
    accepted = []
    for index in range(5):
        accepted.append(driver.enqueue(number(index)))
        clock.forward(0.001)
    assert [driver.send().jobs[0].subject.partition(":")[0] for _ in range(5)] == accepted


def test_a_job_knows_since_when_it_could_have_gone(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of())
    accepted_at = clock.ms
    driver.enqueue()
    clock.forward(30)
    assert driver.taken().jobs[0].ready == accepted_at


def test_sends_with_the_same_text_and_sender_share_a_call(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    for index in range(3):
        driver.enqueue(number(index), message="The same for all")
    assert len(driver.taken().jobs) == 3


@pytest.mark.parametrize(
    "difference",
    [{"message": "Another text"}, {"sender_id": "KITOKO"}, {"coalesce": False}, {"source": "shop"}, {"priority": "otp"}],
)
def test_what_differs_does_not_share_a_call(redis: Redis, difference: dict[str, Any]) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    driver.enqueue(number(1), message="A text")
    driver.enqueue(number(2), **{"message": "A text", **difference})
    assert [len(driver.taken().jobs), len(driver.taken().jobs)] == [1, 1]


def test_a_call_carries_at_most_what_the_provider_takes(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=4))
    driver.enqueue(*numbers(10))
    assert [len(driver.send().jobs) for _ in range(3)] == [4, 4, 2]


def test_a_number_that_waits_twice_goes_in_two_calls(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    driver.enqueue(*numbers(3), message="A text")
    driver.enqueue(*numbers(2), message="A text")
    assert [len(driver.send().jobs) for _ in range(2)] == [3, 2]
    driver.refused()


def test_a_claim_whose_reply_was_lost_is_answered_again_and_nothing_more_is_taken(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(5, 60), batch_max=2))
    driver.enqueue(*numbers(6))
    first = driver.taken("one token")
    before = driver.snapshot()
    assert driver.taken("one token") == first
    after = driver.snapshot()
    assert {key for key in before if before[key] != after[key]} <= {driver.queue.keys.leases.encode()}


def test_a_repeated_claim_keeps_its_lease_from_the_repeat_on(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(lease=15))
    driver.enqueue()
    driver.taken("one token")
    clock.forward(10)
    driver.taken("one token")
    clock.forward(10)
    driver.refused()
    assert len(driver.in_flight()) == 1


def test_a_repeated_claim_whose_call_may_have_been_made_by_another_gets_nothing(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(60, 60), lease=15.0, grace=5.0))
    redis.hset(driver.queue.keys.state, "halt", '{"code":"x","fault":"money","operator":false}')
    push(redis, driver.queue, "probe.1.1.-", "x", source=PROBE)
    assert driver.taken("token").actor == "probe"
    clock.forward(16)
    assert driver.taken("another", worker="w2").actor == "probe"
    found = driver.claim("token")
    assert isinstance(found, Wait), found
    assert driver.used(calls(60, 60)) == 2, "the call of the lapsed claim counts for a grace and a window"


def test_a_job_for_later_goes_at_its_time_and_not_before(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(idle=600))
    push(redis, driver.queue, "work.0.1.x", "a-job", delay=30, message=b"")
    wait = driver.refused()
    assert (wait.why, wait.milliseconds) == (Why.DUE, 30_000)
    clock.forward(29.9)
    driver.refused()
    clock.forward(0.1)
    assert driver.taken().jobs[0].subject == "a-job"


def test_many_due_jobs_are_moved_in_bounded_steps_and_all_go(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(batch_max=1000))
    driver.enqueue(*numbers(2500))
    for _ in range(3):
        driver.release(driver.taken(), Release.LATER, delay=5)
    assert len(driver.due()) == 2500
    clock.forward(5)
    found = 0
    for _ in range(20):
        batch = driver.claim()
        found += len(getattr(batch, "jobs", ()))
    assert found == 2500


def test_a_send_that_expires_in_a_workers_hands_is_ended_by_begin(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of())
    intent = driver.enqueue(number(1), expires_at=datetime.fromtimestamp(clock.ms / 1000, UTC) + timedelta(seconds=5))
    batch = driver.taken()
    clock.forward(6)
    begun = driver.begin(batch)
    assert begun is not None
    assert begun.targets == ()
    assert driver.state_of(intent, number(1)) == "expired"
    assert [event["e"] for event in driver.events()] == ["accepted", "expired", "done"]


@pytest.mark.parametrize(("field", "why"), [("paused", Why.PAUSED), ("halt", Why.HALTED)])
def test_a_paused_or_halted_queue_gives_nothing_away(redis: Redis, field: str, why: Why) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue()
    redis.hset(driver.queue.keys.state, field, "{}")
    assert driver.refused().why is why
    redis.hdel(driver.queue.keys.state, field)
    driver.taken()


def test_a_worker_that_is_full_hands_the_watch_on(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(2)
    redis.delete(driver.queue.keys.bell)
    driver.claim(last=True)
    assert redis.llen(driver.queue.keys.bell) == 1


def test_a_worker_that_is_full_rings_for_nobody_where_nothing_is_left(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(1)
    redis.delete(driver.queue.keys.bell)
    driver.claim(last=True)
    assert redis.llen(driver.queue.keys.bell) == 0


def test_an_arrival_rings_unless_a_claim_has_said_that_its_lane_cannot_go_before_its_alarm(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(2, 60), floors={"otp": 0.5}))
    driver.enqueue_singles(2, priority="bulk")
    driver.send()
    driver.refused()
    redis.delete(driver.queue.keys.bell)
    driver.enqueue(number(50), priority="bulk")
    assert redis.llen(driver.queue.keys.bell) == 0
    driver.enqueue(number(51), priority="otp")
    assert redis.llen(driver.queue.keys.bell) == 1


def test_the_bell_holds_at_most_one_token(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(20)
    assert redis.llen(driver.queue.keys.bell) == 1


def test_work_without_a_call_does_not_wait_for_the_limiter(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(1, 60)))
    driver.enqueue_singles(3)
    driver.send()
    driver.refused()
    redis.delete(driver.queue.keys.bell)
    push(redis, driver.queue, "work.0.1.x", "a-job", delay=0, message=b"")
    assert redis.llen(driver.queue.keys.bell) == 1, "nobody is told"
    assert driver.taken().actor == "work"


def test_a_text_of_many_segments_and_one_of_one_are_both_claimed(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=3))
    driver.enqueue(*numbers(3), message=text(4, "long"))
    driver.enqueue(*numbers(3), message=text(1, "short"))
    assert [len(driver.send().jobs) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("dead", [False, True], ids=["by a worker that lives", "by one that dies of it"])
def test_a_group_whose_only_job_was_lost_is_taken_once_and_keeps_neither_a_permit_nor_its_place(
    redis: Redis, clock: VirtualClock, *, dead: bool
) -> None:
    limit = calls(1, 60)
    driver = Driver(redis, queue_of(limit, lease=15))
    driver.enqueue(message="The shop opens at 8")
    redis.delete(driver.queue.keys.entries)
    empty = driver.taken()
    assert empty.jobs == ()
    if dead:
        clock.forward(16)
    else:
        begun = driver.begin(empty)
        assert begun is not None
        assert begun.targets == ()
        assert driver.release(empty, Release.DONE)
    assert driver.refused().why is Why.IDLE
    assert (driver.used(limit), driver.groups(), driver.in_flight()) == (0, [], [])
    driver.enqueue(number(1), message="The shop opens at 8")
    assert len(driver.send().jobs) == 1


def test_a_source_whose_groups_were_deleted_from_outside_does_not_hold_up_the_others(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue(number(1), source="broken")
    redis.delete(driver.queue.keys.groups)
    driver.enqueue(number(2), source="whole")
    assert driver.send().source == "whole"
    driver.refused()


def test_a_password_does_not_wait_behind_the_systems_own_jobs(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    for index in range(50):
        push(redis, driver.queue, f"resolve.0.1.b{index}", f"b{index}")
    driver.enqueue(priority="otp")
    driver.enqueue(priority="bulk")
    found = [driver.taken() for _ in range(52)]
    assert [index for index, batch in enumerate(found) if batch.actor == "send"] == [1, 3]
    driver.refused()
