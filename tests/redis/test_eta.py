"""When a send is expected to go, held against when it does go; and who is refused for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, messages, number, numbers, queue_of, target_of, text

from tuma_producer import At, InvalidSend, Producer, Receipt, Send, UnknownAccount, WouldBeLate
from tuma_producer.contract import backlog, scheduling
from tuma_producer.contract.times import milliseconds
from tuma_producer.contract.wire import Enqueue
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.queue.scripts import Claim
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_worker.queue.config import QueueConfig


def expected(driver: Driver, clock: VirtualClock, source: str = "billing", **fields: Any) -> int | None:  # noqa: ANN401 - fields of Send
    """What a receipt would tell, in virtual time."""
    send = Send(**{"account": driver.queue.account, "message": text(1, "asked for"), "eta": True, **fields})
    steps = backlog.ask([scheduling.request(send, source)])
    commands, run = next(steps), cast("Any", driver.redis).execute_command
    while True:
        replies = [divmod(clock.now, 1_000_000) if one == ("TIME",) else run(*one) for one in commands]
        try:
            commands = steps.send(replies)
        except StopIteration as answered:
            (found,) = answered.value
            assert isinstance(found, Enqueue)
            return None if found.eta is None else milliseconds(found.eta)


def some_work(driver: Driver) -> None:
    """A worker comes and makes a few calls, as far as it may."""
    for _ in range(10):
        if isinstance(batch := driver.claim(), Claim):
            assert driver.begin(batch) is not None
            assert driver.settle(batch)


def work(driver: Driver, clock: VirtualClock, intent: str, count: int) -> int:
    """Let a worker, whose calls take no time, go on until so many recipients of the intent are called. Returns when that is."""
    called = 0
    while True:
        batch = driver.claim()
        if not isinstance(batch, Claim):
            clock.forward(batch.milliseconds / 1000)
            continue
        called += sum(target_of(job.subject).intent == intent for job in batch.jobs)
        assert driver.begin(batch) is not None
        assert driver.settle(batch)
        if called == count:
            return clock.ms


ROADS: dict[str, tuple[QueueConfig, list[dict[str, Any]], dict[str, Any]]] = {
    # the queue, what waits, and what is asked for
    "nothing waits": (queue_of(calls(10, 60), batch_max=1), [], {}),
    "there is room": (queue_of(calls(10, 60), batch_max=1), [{"count": 5}], {}),
    "the window is used up": (queue_of(calls(10, 60), batch_max=1), [{"count": 10}], {}),
    "several windows": (queue_of(calls(10, 60), batch_max=1), [{"count": 47}], {}),
    "a long limit too": (queue_of(calls(10, 60), calls(100, 3600), batch_max=1), [{"count": 230}], {}),
    "another priority above": (queue_of(calls(10, 60), batch_max=1), [{"count": 25, "priority": "otp"}, {"count": 7}], {}),
    "another priority below": (queue_of(calls(10, 60), guard=0.0, batch_max=1), [{"count": 50, "priority": "bulk"}], {}),
    "in batches": (queue_of(calls(10, 60), batch_max=5), [{"count": 120, "message": "The same"}], {"message": "The same"}),
    "many recipients": (queue_of(calls(10, 60), batch_max=5), [{"count": 20}], {"to": numbers(40, 700)}),
    "messages": (queue_of(messages(20, 60), batch_max=5), [{"count": 70, "message": "The same"}], {"message": "The same"}),
    "long texts": (queue_of(messages(20, 60), batch_max=1), [{"count": 15, "message": text(2, "a")}], {"message": text(2, "a")}),
    "floors": (
        queue_of(calls(10, 60), floors={"otp": 0.2}, batch_max=1),
        [{"count": 30, "priority": "transactional"}],
        {"priority": "transactional"},
    ),
    "paced": (
        queue_of(calls(60, 60), paced=frozenset({"bulk"}), batch_max=1),
        [{"count": 90, "priority": "bulk"}],
        {"priority": "bulk"},
    ),
    "paced, messages": (
        queue_of(messages(60, 60), paced=frozenset({"bulk"}), batch_max=1),
        [{"count": 90, "priority": "bulk"}],
        {"priority": "bulk"},
    ),
    "a cold start": (queue_of(calls(60, 60), cold_start="paced", batch_max=1), [{"count": 30}], {}),
    "a fair share": (queue_of(calls(10, 60), batch_max=1), [{"count": 200, "source": "crm"}, {"count": 5}], {}),
    "no limit": (queue_of(batch_max=1), [{"count": 20}], {}),
}


@pytest.mark.parametrize("later", [0, 13])
@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS)
def test_it_goes_when_it_was_expected_to(
    redis: Redis, clock: VirtualClock, road: tuple[QueueConfig, list[dict[str, Any]], dict[str, Any]], later: int
) -> None:
    queue, waiting, asked = road
    driver = Driver(redis, queue)
    for place, each in enumerate(waiting):
        fields = {name: value for name, value in each.items() if name != "count"}
        driver.enqueue_singles(each["count"], 1000 * place, **fields)
    if later:
        some_work(driver)
    clock.forward(later + 0.001)
    fields = {"to": [number(999_999)], "message": text(1, "asked for"), **asked}
    told = expected(driver, clock, **fields)
    assert told is not None
    started = clock.ms
    intent = driver.enqueue(*fields.pop("to"), **fields)
    went = work(driver, clock, intent, len(asked.get("to", [1])))
    longest = max((round(limit.window * 1000) for limit in queue.limits), default=0)
    assert abs(told - went) <= 0.03 * (went - started) + 0.04 * longest, (told - started, went - started)


def test_where_nothing_moves_nobody_can_tell(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    steering = Steering(redis, driver.queue.account, "send", "test")
    for scope in (Scope(), Scope(lane="otp"), Scope(source="billing")):
        steering.pause(scope)
        assert expected(driver, clock, to=number(1), priority="otp") is None
        steering.resume(scope)
    assert expected(driver, clock, to=number(1), priority="otp") == clock.ms


def test_what_is_held_back_goes_no_sooner(redis: Redis, clock: VirtualClock) -> None:
    assert expected(Driver(redis, queue_of(calls(10, 60))), clock, to=number(1), cancel_within=30) == clock.ms + 30_000


def test_in_quiet_hours_it_is_expected_when_they_are_over(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), quiet=Quiet(Hours.parse("21:00-07:00"))))
    clock.forward(11 * 3600)  # 20:00 in Kinshasa, 21:00 in Lubumbashi
    assert expected(driver, clock, to=number(1), priority="bulk") == clock.ms + 11 * 3_600_000
    assert expected(driver, clock, to=number(1), priority="bulk", ignore_quiet=True) == clock.ms
    assert expected(driver, clock, to=number(1)) == clock.ms


def test_a_limit_that_was_changed_while_running_counts_as_it_is_now(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    driver.enqueue_singles(10)
    some_work(driver)
    clock.forward(1)
    assert expected(driver, clock, to=number(99)) == pytest.approx(clock.ms + 59_000, abs=100)
    Steering(redis, driver.queue.account, "send", "test").set_limit(replace(calls(10, 60), count=20))
    assert expected(driver, clock, to=number(99)) == clock.ms


# --------------------------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def busy(redis: Redis) -> Driver:
    """An account whose window of an hour is used up, but for one call."""
    driver = Driver(redis, queue_of(calls(3, 3600)))
    driver.enqueue_singles(2)
    some_work(driver)
    return driver


def late(driver: Driver, **more: Any) -> Send:  # noqa: ANN401 - fields of Send
    fields = {"account": driver.queue.account, "to": number(9), "message": "x", "refuse_if_late": True, "expires_in": 60}
    return Send(**(fields | more))


def test_what_cannot_make_its_deadline_is_refused_with_the_expected_time_and_leaves_nothing(
    busy: Driver, producer_for: Callable[..., AnyProducer]
) -> None:
    producer = producer_for()
    now = datetime.fromtimestamp(busy.server_ms() / 1000, UTC)
    receipt = producer.enqueue(late(busy))
    assert receipt.eta is not None
    assert abs(receipt.eta - now) < timedelta(seconds=30)
    before = busy.snapshot()
    with pytest.raises(WouldBeLate, match=r"^refuse_if_late: expected at 20.*; nothing was accepted$") as raised:
        producer.enqueue(late(busy))
    assert busy.snapshot() == before
    assert raised.value.expected is not None
    assert timedelta(minutes=59) < raised.value.expected - now < timedelta(minutes=61)
    assert abs(raised.value.deadline - now - timedelta(seconds=60)) < timedelta(seconds=30)
    assert producer.enqueue(late(busy, expires_in=7200)).eta == pytest.approx(raised.value.expected, abs=timedelta(seconds=60))
    assert producer.enqueue(late(busy, refuse_if_late=False)).eta is None


def test_in_a_list_those_before_count_and_who_is_refused_costs_no_other_its_place(
    busy: Driver, producer_for: Callable[..., AnyProducer]
) -> None:
    other = Send(account=busy.queue.account, to=number(1), message="y")
    results = list(producer_for().enqueue_many([late(busy), late(busy), other, late(busy, expires_in=7200)], return_errors=True))
    assert [type(one) for one in results] == [Receipt, WouldBeLate, Receipt, Receipt]
    assert len(busy.waiting()) == 3
    with pytest.raises(WouldBeLate):
        list(producer_for().enqueue_many([late(busy)]))


def test_a_list_longer_than_a_pipeline_is_answered_in_order(busy: Driver, producer_for: Callable[..., AnyProducer]) -> None:
    plain = [Send(account=busy.queue.account, to=number(place), message="y") for place in range(150)]
    refused = [late(busy) for _ in range(150)]
    mixed = [send for pair in zip(plain, refused, strict=True) for send in pair]
    results = list(producer_for().enqueue_many(mixed, return_errors=True))
    assert [type(one) for one in results] == [Receipt, WouldBeLate] * 150
    assert len(set(busy.waiting())) == 150


def test_what_was_accepted_before_under_its_key_is_not_refused(busy: Driver, producer_for: Callable[..., AnyProducer]) -> None:
    producer = producer_for()
    first = producer.enqueue(late(busy, idempotency_key="k", campaign_name="spring"))
    again = producer.enqueue(late(busy, idempotency_key="k", campaign_name="spring"))
    assert (again.id, again.duplicate, again.eta) == (first.id, True, None)


def test_where_the_account_is_halted_it_is_refused_with_the_reason(busy: Driver) -> None:
    Steering(busy.redis, busy.queue.account, "send", "test").halt(Halt(Fault.MONEY, "1202", operator=True, after=1.0))
    with pytest.raises(WouldBeLate, match=r"nobody can tell when it would go \(the account is halted: ") as raised:
        Producer(busy.redis).enqueue(late(busy))
    assert raised.value.expected is None


def test_an_account_that_nobody_knows_is_told_as_without_asking(busy: Driver) -> None:
    with pytest.raises(UnknownAccount):
        Producer(busy.redis).enqueue(late(busy, account="nobody"))


def test_who_does_not_ask_sends_no_command_more(busy: Driver) -> None:
    def commands() -> dict[str, int]:
        stats: Any = busy.redis.info("commandstats")
        return {name: entry["calls"] for name, entry in stats.items() if "zlexcount" in name or name == "cmdstat_time"}

    before, producer = commands(), Producer(busy.redis)
    producer.enqueue(late(busy, refuse_if_late=False))
    list(producer.enqueue_many([late(busy, refuse_if_late=False)] * 3))
    assert commands().get("cmdstat_zlexcount") == before.get("cmdstat_zlexcount")
    producer.enqueue(late(busy, refuse_if_late=False, eta=True))
    assert commands()["cmdstat_zlexcount"] == before.get("cmdstat_zlexcount", 0) + 8


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"expires_in": None}, "refuse_if_late"),
        ({"expires_in": None, "schedule": At(times="2030-12-24T18:00Z")}, "refuse_if_late"),
        ({"refuse_if_late": False, "eta": True, "schedule": At(times="2030-12-24T18:00Z")}, "eta"),
    ],
)
def test_what_cannot_be_looked_into_is_refused_by_its_field(more: dict[str, Any], field: str) -> None:
    fields = {"account": "lisoloo-main", "to": number(9), "message": "x", "refuse_if_late": True, "expires_in": 60}
    with pytest.raises(InvalidSend) as raised:
        Send(**(fields | more))
    assert raised.value.field == field


def test_a_one_time_password_has_its_own_deadline(busy: Driver) -> None:
    assert Producer(busy.redis).enqueue(late(busy, expires_in=None, priority="otp")).eta is not None
    with pytest.raises(WouldBeLate):
        Producer(busy.redis).enqueue(late(busy, expires_in=None, priority="otp"))
