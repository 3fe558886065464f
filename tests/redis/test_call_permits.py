"""Permits for calls that no job asks for, such as an operator's questions: they count where the claims count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.redis.driver import Driver, VirtualClock, calls, messages, queue_of, virtual_clock

from tuma_worker.queue.scripts import Claim, Release, Wait, Why, permit, release
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis

TRANSACTIONAL = 1
LEASE = 10.0


def take(driver: Driver, call: str = "call-1", *, lane: int = TRANSACTIONAL, sends: int = 0) -> Wait | None:
    return permit(driver.redis, driver.queue, call, "operator", lane=lane, lease=LEASE, messages=sends)


def give_up(driver: Driver, call: str = "call-1", how: Release = Release.CALLED, *, blocked: float = 0.0) -> bool:
    return release(driver.redis, driver.queue, call, how, blocked=blocked)


def test_a_call_counts_until_a_window_after_its_end(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60)))
    driver.enqueue()
    assert take(driver) is None
    clock.forward(5)
    assert give_up(driver)
    clock.forward(59.9)
    assert driver.refused().why is Why.LIMIT
    clock.forward(0.2)
    assert isinstance(driver.claim(), Claim)


def test_what_its_answer_says_is_left_lowers_our_view_once_and_never_raises_it(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(10, 60)))
    (limit,) = driver.queue.limits

    def told(call: str, left: int) -> float:
        assert take(driver, call) is None
        for _ in range(2):  # the second finds nothing held
            release(redis, driver.queue, call, Release.CALLED, left={limit.name: left, "another": 0})
        return driver.used(limit)

    assert [told("one", 9), told("two", 3), told("three", 9)] == [1, 7, 8]


def test_where_the_window_is_full_it_says_until_when(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60)))
    driver.enqueue()
    driver.send()
    waits = take(driver)
    assert isinstance(waits, Wait)
    assert (waits.why, 60_000 <= waits.milliseconds <= 60_100) == (Why.LIMIT, True)
    clock.forward(waits.milliseconds / 1000)
    assert take(driver) is None


def test_the_floor_of_a_higher_lane_is_not_touched(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(2, 60), floors={"otp": 0.5}))
    assert take(driver, "one") is None
    assert isinstance(take(driver, "two"), Wait)
    driver.enqueue(priority="otp")
    assert isinstance(driver.claim(), Claim)


def test_a_call_that_was_never_made_gives_its_permit_back(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(1, 60)))
    assert take(driver, "one") is None
    assert give_up(driver, "one", Release.DONE)
    assert take(driver, "two") is None


def test_a_repeat_after_a_lost_reply_takes_no_second_permit(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(2, 60)))
    assert take(driver) is None
    before = driver.snapshot()
    assert take(driver) is None
    assert driver.snapshot() == before


def test_messages_count_where_the_call_may_send_some(redis: Redis, clock: VirtualClock) -> None:
    del clock
    driver = Driver(redis, queue_of(calls(10, 60), messages(10, 60)))
    assert take(driver, "one", sends=8) is None
    assert isinstance(take(driver, "two", sends=8), Wait)
    assert take(driver, "three", sends=2) is None


def test_the_permit_of_a_maker_that_died_counts_until_a_grace_after_its_lease(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60), grace=5.0))
    assert take(driver, "one") is None
    clock.forward(LEASE + 0.1)
    assert isinstance(take(driver, "two"), Wait)
    assert not give_up(driver, "one")
    clock.forward(5.1)
    waits = take(driver, "two")
    assert isinstance(waits, Wait)
    clock.forward(60.1)
    assert take(driver, "two") is None


def test_neither_a_pause_nor_a_halt_holds_it_back_but_a_block_does(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    Steering(redis, driver.queue.account, "send", "test").pause(Scope())
    redis.hset(driver.queue.keys.state, "halt", "{}")
    assert take(driver, "one") is None
    assert give_up(driver, "one", blocked=30.0)
    waits = take(driver, "two")
    assert isinstance(waits, Wait)
    assert (waits.why, waits.milliseconds) == (Why.BLOCKED, 30_000)
    clock.forward(30.001)
    assert take(driver, "two") is None


def test_a_block_holds_the_sends_too_and_one_goes_first_after_it(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    driver.enqueue_singles(2)
    assert take(driver) is None
    assert give_up(driver, blocked=30.0)
    assert driver.refused().why is Why.BLOCKED
    clock.forward(30.001)
    assert isinstance(driver.claim(), Claim)
    assert driver.refused().why is Why.PROBING


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["ask", "send"]), st.floats(0, 4), st.floats(0, 3)), min_size=10, max_size=40))
def test_sends_and_questions_together_never_exceed_the_limit(redis: Redis, steps: list[tuple[str, float, float]]) -> None:
    redis.flushall()
    arrivals = []
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue_of(calls(4, 10), floors={"otp": 0.25}))
        driver.enqueue_singles(len(steps))
        for index, (kind, before, took) in enumerate(steps):
            clock.forward(before)
            if kind == "ask" and take(driver, f"call-{index}") is None:
                clock.forward(took)
                arrivals.append(clock.ms)
                assert give_up(driver, f"call-{index}")
            elif kind == "send" and isinstance(batch := driver.claim(), Claim):
                assert driver.begin(batch) is not None
                clock.forward(took)
                arrivals.append(clock.ms)
                driver.settle(batch)
    assert all(later - earlier >= 10_000 for earlier, later in zip(arrivals, arrivals[4:], strict=False))
    redis.flushall()


def test_a_repeat_after_the_lease_is_no_permit_and_one_before_renews_it(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(1, 60), grace=5.0))
    assert take(driver) is None
    clock.forward(LEASE - 1)
    assert take(driver) is None  # the answer to the first was lost
    clock.forward(LEASE - 1)
    assert take(driver, "call-2") is not None, "the permit is in somebody's hand"
    assert give_up(driver)
    assert take(driver, "call-3") is not None
    clock.forward(61)
    assert take(driver, "call-3") is None
    clock.forward(LEASE + 1)
    assert take(driver, "call-4") is not None  # it finds the dead one
    late = take(driver, "call-3")
    assert late is not None
    assert late.why is Why.LIMIT
