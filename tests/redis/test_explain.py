"""Why an intent waits, what goes before it and when it will go: held against what holds it and when it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, number, numbers, queue_of, target_of, text

from tuma_producer import Producer, Send
from tuma_producer.contract import explaining
from tuma_producer.contract.reading import Lookup
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.queue.scripts import Claim
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer import Explanation


def explained(driver: Driver, clock: VirtualClock, intent: str) -> Explanation:
    """What `Producer.explain` tells, in virtual time."""
    lookup = Lookup.of(f"{driver.queue.account}.{intent}")
    keys, run = driver.account, cast("Any", driver.redis).execute_command
    record = lookup.record(cast("Any", driver.redis.hgetall(keys.intent(intent))))
    state, profile = driver.redis.hgetall(keys.queue("send").state), driver.redis.hget(keys.profile, "queue")
    steps = explaining.explain(lookup.found(record, [divmod(clock.now, 1_000_000), state, profile]))
    try:
        commands = next(steps)
        while True:
            commands = steps.send([divmod(clock.now, 1_000_000) if one == ("TIME",) else run(*one) for one in commands])
    except StopIteration as answered:
        found: Explanation = answered.value
        return found


def work(driver: Driver, clock: VirtualClock, intent: str, count: int) -> tuple[int, int]:
    """Let a worker, whose calls take no time, go on until so many of the intent are called: how many others, and when."""
    others = own = 0
    while own < count:
        batch = driver.claim()
        if not isinstance(batch, Claim):
            clock.forward(batch.milliseconds / 1000)
            continue
        found = sum(target_of(job.subject).intent == intent for job in batch.jobs)
        own, others = own + found, others + len(batch.jobs) - found
        assert driver.begin(batch) is not None
        assert driver.settle(batch)
    return others, clock.ms


ROADS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    # the queue, what waits before it, and what is asked about
    "its own source": ({"batch_max": 1}, [{"count": 25}], {}),
    "the same text": ({"batch_max": 5}, [{"count": 37, "message": "The same"}], {"message": "The same"}),
    "a priority above": ({"batch_max": 1}, [{"count": 15, "priority": "otp"}, {"count": 4}], {}),
    "a priority below": ({"batch_max": 1, "guard": 0.0}, [{"count": 30, "priority": "bulk"}, {"count": 4}], {}),
    "many recipients": ({"batch_max": 1}, [{"count": 12}], {"to": numbers(5, 900)}),
    "more groups than are looked at": ({"batch_max": 1}, [{"count": 130}], {}),
    "another source": ({"batch_max": 1}, [{"count": 60, "source": "crm"}, {"count": 10}], {}),
}


@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS)
def test_so_many_go_before_it_and_it_goes_when_it_was_expected_to(
    redis: Redis, clock: VirtualClock, road: tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]
) -> None:
    queue, waiting, asked = road
    driver = Driver(redis, queue_of(calls(10, 60), **queue))
    for place, each in enumerate(waiting):
        fields = {name: value for name, value in each.items() if name != "count"}
        driver.enqueue_singles(each["count"], 1000 * place, **fields)
    clock.forward(0.01)
    fields = {"to": [number(999_999)], "message": text(1, "asked for"), **asked}
    to = fields.pop("to")
    intent = driver.enqueue(*to, **fields)
    clock.forward(0.01)
    driver.enqueue_singles(20, 5000)  # what its own source has put there after it goes after it
    told, started = explained(driver, clock, intent), clock.ms
    assert told.in_line == len(to)
    others, went = work(driver, clock, intent, len(to))
    slack = 1 if len(waiting) > 1 else 0  # of two sources or priorities one may have had its turn
    assert abs(told.ahead - others) <= slack
    assert told.expected is not None
    assert abs(told.expected.timestamp() * 1000 - went) <= 0.03 * (went - started) + 0.04 * 60_000


def test_each_pause_tells_since_when_and_by_whom(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    intent = driver.enqueue()
    scopes = {"queue-paused": Scope(), "priority-paused": Scope(lane="transactional"), "source-paused": Scope(source="billing")}
    before = driver.server_ms()
    for scope in scopes.values():
        Steering(redis, driver.queue.account, "send", "night shift").pause(scope)
    told = producer_for().explain(f"{driver.queue.account}.{intent}")
    assert [hold.kind for hold in told.holds] == list(scopes)
    assert {hold.by for hold in told.holds} == {"night shift"}
    assert all(hold.since is not None and before <= hold.since.timestamp() * 1000 <= driver.server_ms() for hold in told.holds)
    assert (told.in_line, told.expected) == (1, None)


def test_a_halt_and_a_used_up_limit_tell_since_when_or_until_when(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver = Driver(redis, queue_of(calls(1, 3600)))
    driver.enqueue()
    driver.send()
    intent = driver.enqueue()
    driver.refused()
    intent_id, producer, now = f"{driver.queue.account}.{intent}", producer_for(), driver.server_ms() / 1000
    (limit,) = producer.explain(intent_id).holds
    assert limit.kind == "limit"
    assert limit.until is not None
    assert 3500 < limit.until.timestamp() - now < 3700
    Steering(redis, driver.queue.account, "send", "test").halt(Halt(Fault.MONEY, "1501", operator=True, after=0.0))
    redis.hset(driver.queue.keys.state, "halted_at", round(now * 1000))
    halted, *_ = producer.explain(intent_id).holds
    assert halted.kind == "halted"
    assert halted.since is not None
    assert halted.since.timestamp() == pytest.approx(now, abs=0.001)


def test_a_paused_intent_tells_since_when_and_is_in_no_line(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    intent_id = f"{driver.queue.account}.{driver.enqueue()}"
    producer = producer_for()
    before = driver.server_ms()
    producer.pause(intent_id)
    told = producer.explain(intent_id)
    (hold,) = told.holds
    assert hold.kind == "intent-paused"
    assert hold.since is not None
    assert before <= hold.since.timestamp() * 1000 <= driver.server_ms()
    assert (told.in_line, told.ahead, told.expected) == (0, 0, None)


def test_an_intent_that_is_held_back_tells_until_when(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    told = explained(driver, clock, driver.enqueue(number(1), number(2), cancel_within=90))
    (hold,) = told.holds
    assert (hold.kind, told.in_line) == ("later", 0)
    assert hold.until is not None
    assert hold.until - told.at == timedelta(seconds=90)
    clock.forward(91)
    driver.taken()


def test_quiet_hours_tell_when_they_are_over(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), quiet=Quiet(Hours.parse("21:00-07:00"))))
    clock.forward(11 * 3600)  # 20:00 in Kinshasa, 21:00 in Lubumbashi
    told = explained(driver, clock, driver.enqueue(priority="bulk"))
    (hold,) = told.holds
    assert hold.kind == "quiet"
    assert hold.until == told.expected


def test_what_has_ended_waits_for_nothing(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    intent_id = f"{driver.queue.account}.{driver.enqueue()}"
    producer = producer_for()
    producer.cancel(intent_id)
    told = producer.explain(intent_id)
    assert (told.intent.state, told.holds, told.in_line, told.expected) == ("cancelled", (), 0, None)


def test_explaining_changes_nothing(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    receipt = Producer(redis).enqueue(Send(account=driver.queue.account, to=number(1), message="hello"))
    before = driver.snapshot()
    assert Producer(redis).explain(receipt.id).in_line == 1
    assert driver.snapshot() == before
