"""A queue as operators look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, messages, numbers, queue_of, text

from tuma_producer import Producer, Send
from tuma_worker.store import accounts
from tuma_worker.store.line import look, note_busy, operations
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize("profile", ["{}", '{"batch_max": 5}', '{"limits": [{"name": "calls-60s"}]}'])
def test_a_profile_that_another_release_wrote_is_looked_at_as_far_as_it_goes(redis: Redis, profile: str) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    driver.enqueue()
    redis.hset(driver.account.profile, "queue", profile)
    found = look(redis, driver.queue.account)
    assert [one.jobs for one in found.waiting] == [1]
    assert found.windows == ()


@pytest.mark.parametrize(("counts_segments", "seconds"), [(True, 30.0), (False, 10.0)])
def test_the_backlog_of_a_limit_of_messages_is_told_in_segments_where_the_provider_counts_those(
    redis: Redis, *, counts_segments: bool, seconds: float
) -> None:
    driver = Driver(redis, queue_of(messages(10, 10), batch_max=100, count_segments=counts_segments))
    driver.enqueue(*numbers(10), message=text(3))
    assert look(redis, driver.queue.account).backlog_seconds == seconds


def test_each_queue_of_an_account_is_looked_at_by_its_own_limits(redis: Redis) -> None:
    control = queue_of(calls(30, 60), operation="control")
    accounts.register(
        redis, control.account, provider="lisoloo", environment="sandbox", queue=queue_of(calls(60, 60)).for_claim,
        others={"control": control.for_claim},
    )  # fmt: skip
    assert operations(redis, control.account) == ["send", "control"]
    found = [look(redis, control.account, operation).windows[0].count for operation in ("send", "control")]
    assert found == [60, 30]


def test_what_the_floors_keep_for_others_is_not_allowed_to_those_who_wait(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 10), floors={"otp": 0.25}, batch_max=1))
    driver.enqueue(*numbers(3), priority="bulk")
    assert look(redis, driver.queue.account).calls_per_second == 0.7
    driver.enqueue(*numbers(3), priority="otp")
    assert look(redis, driver.queue.account).calls_per_second == 1.0


def test_the_useful_slots_follow_what_calls_were_seen_to_last(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 10), batch_max=1))
    driver.enqueue(*numbers(120))
    before = look(redis, driver.queue.account)
    assert (before.useful_slots, before.busy_seconds) == (1, 0.5)
    note_busy(redis, driver.queue.keys, 2, 7.0)
    note_busy(redis, driver.queue.keys, 1, 5.0)
    after = look(redis, driver.queue.account)
    assert (after.useful_slots, after.busy_seconds) == (5, 4.0)


def test_the_limits_are_what_holds_once_they_have_no_room_and_not_while_too_few_call(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(4, 10), floors={"otp": 0.25}, batch_max=1))
    driver.enqueue(*numbers(120))

    def bound() -> bool:
        found = look(redis, driver.queue.account)
        assert found.useful_slots == 1
        return found.provider_bound

    assert not bound(), "nobody calls, however much waits"
    for count in range(3):
        assert not bound(), f"{count} calls"
        driver.taken()
    assert bound(), "the rest is kept for passwords"


def test_an_hour_that_is_spent_holds_however_little_waits(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), calls(100, 3600), batch_max=1))
    driver.enqueue(*numbers(101))
    for _ in range(10):
        for _ in range(10):
            driver.send()
        assert look(redis, driver.queue.account).provider_bound
        clock.forward(62)
    clock.forward(600)
    driver.refused()
    assert look(redis, driver.queue.account).provider_bound


def test_what_the_provider_makes_the_text_of_needs_a_call_for_each(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(60, 60), batch_max=100))
    account = driver.queue.account
    texts: dict[str, Any] = {"templates": {"code": "Your code is {{code}}"}, "provider_templates": {"code": "tpl_1"}}
    accounts.register(redis, account, provider="lineserve", environment="sandbox", queue=driver.queue.for_claim, **texts)
    Producer(redis).enqueue(Send(account=account, to=numbers(100), template_id="code", variables={"code": "7"}))
    assert look(redis, account).backlog_seconds == 100.0


def test_a_limit_of_messages_holds_whoever_waits_for_company(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(5, 10), messages(50, 10), batch_max=20))
    driver.enqueue(*numbers(200))
    for _ in range(2):
        driver.taken()
    assert not look(redis, driver.queue.account).provider_bound, "ten messages are left: as many as a call should have"
    driver.taken()
    assert look(redis, driver.queue.account).provider_bound


def test_a_paused_queue_asks_for_no_workers(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 10), batch_max=1))
    driver.enqueue(*numbers(120))
    Steering(redis, driver.queue.account, driver.queue.operation, "ops").pause(Scope())
    found = look(redis, driver.queue.account)
    assert (found.useful_slots, found.provider_bound) == (0, False)
    assert [one.hold for one in found.waiting] == ["queue-paused"]


@pytest.mark.parametrize("scope", [Scope(lane="bulk"), Scope(source="billing")], ids=["a lane", "a source"])
def test_of_what_is_paused_in_part_the_rest_asks_for_workers(redis: Redis, scope: Scope) -> None:
    driver = Driver(redis, queue_of(calls(100, 10), batch_max=1))
    driver.enqueue(*numbers(120), priority="bulk")
    Steering(redis, driver.queue.account, driver.queue.operation, "ops").pause(scope)
    assert look(redis, driver.queue.account).useful_slots == 0
    driver.enqueue(*numbers(120), priority="otp", source="shop")
    assert look(redis, driver.queue.account).useful_slots == 2


def test_a_window_tells_what_of_it_is_in_flight(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), messages(100, 60), batch_max=3))
    driver.enqueue(*numbers(5), message=text(2))
    first, _second = driver.taken("a"), driver.taken("b")
    assert [(one.used, one.in_flight) for one in look(redis, driver.queue.account).windows] == [(2, 2), (10, 10)]
    assert driver.begin(first) is not None
    assert driver.settle(first)
    assert [(one.used, one.in_flight) for one in look(redis, driver.queue.account).windows] == [(2, 1), (10, 4)]
