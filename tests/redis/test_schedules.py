"""Schedules as they are accepted, fired and listed: each occurrence at its time, or as the misfire policy says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of
from tests.redis.scheduling import LEASE, ask, children, every_minute, fired_at, get, in_seconds, told

from tuma_producer import At, InvalidSend, Producer, Send
from tuma_producer.contract.times import moment
from tuma_worker.queue.scripts import Claim, Release, Wait
from tuma_worker.store.schedule_index import ScheduleIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


# -------------------------------------------------------------------------------------------------------------------- accepted


def test_a_schedule_is_one_job_that_waits_for_its_first_firing(driver: Driver, clock: VirtualClock) -> None:
    schedule = in_seconds(clock, 60, 3600)
    intent = driver.enqueue(*numbers(3), schedule=schedule, metadata={"campaign": "spring"})
    assert driver.due() == {intent: clock.ms + 60_000}
    assert driver.waiting() == []
    assert told(driver, intent) == ["scheduled"]
    found = get(driver, intent)
    assert (found.state, found.schedule, found.next_firing) == ("scheduled", schedule, moment(clock.ms + 60_000))
    assert (found.recipients, found.counts, found.fired, found.occurrences) == ((), {}, 0, ())
    assert found.metadata == {"campaign": "spring"}


def test_what_lies_in_the_past_when_it_is_accepted_was_never_owed(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=in_seconds(clock, -60, -1, 5, misfire="all"))
    assert driver.due() == {intent: clock.ms + 5_000}
    clock.forward(5)
    driver.fire_all()
    assert len(children(driver, intent)) == 1


def test_a_schedule_of_which_nothing_is_to_come_is_refused_and_leaves_nothing(driver: Driver, clock: VirtualClock) -> None:
    before = driver.snapshot()
    with pytest.raises(InvalidSend, match="schedule: is over: none of its times is still to come"):
        driver.enqueue(schedule=in_seconds(clock, -60, -1), idempotency_key="k")
    assert driver.snapshot() == before


@pytest.mark.parametrize("wrong_by", [-86_400, -61, -1, 1, 61, 86_400])
def test_a_producer_whose_clock_is_wrong_schedules_as_any_other(
    redis: Redis, producer_for: Callable[..., AnyProducer], monkeypatch: pytest.MonkeyPatch, wrong_by: int
) -> None:
    driver = Driver(redis, queue_of())
    now = driver.server_ms()
    monkeypatch.setattr("tuma_producer.contract.scheduling.time.time_ns", lambda: (now + wrong_by * 1000) * 1_000_000)
    soon, late = (moment(now + 1000 * seconds) for seconds in (30, 100_000))
    send = Send(account=driver.queue.account, to=number(0), message="Hello", schedule=At(times=[soon, late]))
    producer = producer_for()
    assert producer.get(producer.enqueue(send).id).next_firing == soon
    (receipt,) = producer.enqueue_many([send])
    assert producer.get(receipt.id).next_firing == soon


def test_the_same_key_is_the_same_schedule(driver: Driver, clock: VirtualClock) -> None:
    schedule = every_minute(clock)
    first, second = (
        driver.enqueue(schedule=schedule, message="Hello", idempotency_key="k"),
        driver.enqueue(schedule=schedule, message="Hello", idempotency_key="k"),
    )
    assert first == second
    assert len(driver.due()) == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"cancel_within": 30}, "cancel_within"),
        ({"expires_at": datetime(2027, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"schedule": {"times": "noon"}}, "schedule"),
        ({"schedule": "noon"}, "schedule"),
        ({"schedule": {"frequency": "daily", "start": "2026-12-01"}}, "schedule"),
    ],
)
def test_what_cannot_go_with_a_schedule_is_said_in_one_line(more: dict[str, Any], field: str) -> None:
    fields = {"account": "lisoloo-main", "to": number(0), "message": "x", "schedule": At(times="2026-12-24T18:00Z")}
    with pytest.raises(InvalidSend) as raised:
        Send(**(fields | more))
    assert raised.value.field == field
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------------------------------------------------------------- firing


def test_each_firing_is_an_intent_of_its_own_and_the_last_one_ends_the_schedule(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(*numbers(2), schedule=in_seconds(clock, 60, 120), message="Hello", metadata={"a": "b"})
    start = clock.ms
    clock.forward(59.999)
    assert isinstance(driver.claim(), Wait)
    clock.forward(0.001)
    driver.fire_all()
    (child,) = children(driver, intent)
    found = get(driver, child)
    assert (found.state, found.counts, found.parent) == ("active", {"queued": 2}, f"{driver.queue.account}.{intent}")
    assert (found.accepted, found.metadata, found.schedule) == (moment(clock.ms), {"a": "b"}, None)
    assert (get(driver, intent).state, get(driver, intent).next_firing) == ("scheduled", moment(start + 120_000))
    clock.forward(60)
    driver.fire_all()
    assert fired_at(driver, intent) == [start + 60_000, start + 120_000]
    assert told(driver, intent) == ["scheduled", "fired", "fired", "done"]
    whole = get(driver, intent)
    assert (whole.state, whole.fired, whole.next_firing) == ("done", 2, None)
    assert whole.occurrences == tuple(f"{driver.queue.account}.{child}" for child in children(driver, intent))
    assert sorted(driver.due()) == []


def test_an_occurrence_has_its_deadline_from_its_firing(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=in_seconds(clock, 3600), expires_in=60)
    clock.forward(3600)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert get(driver, child).expires == moment(clock.ms + 60_000)
    assert driver.redis.zscore(driver.queue.keys.deadlines, child) == clock.ms + 60_000


@pytest.mark.parametrize(("late", "end"), [(20, "submitted"), (3600, "expired")])
def test_an_occurrence_that_fires_late_has_what_is_left_of_its_time(
    driver: Driver, clock: VirtualClock, late: float, end: str
) -> None:
    firing = clock.ms + 5000
    intent = driver.enqueue(number(1), schedule=in_seconds(clock, 5), expires_in=60)
    clock.forward(5 + late)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert get(driver, child).expires == moment(firing + 60_000)
    while isinstance(batch := driver.claim(), Claim):
        if batch.actor == "expire":
            driver.attempts.expire([job.subject for job in batch.jobs])
        elif driver.begin(batch):
            driver.settle(batch)
        driver.release(batch, Release.DONE)
    assert driver.state_of(child, number(1)) == end


def test_occurrences_of_several_schedules_with_one_text_share_a_call(driver: Driver, clock: VirtualClock) -> None:
    schedule = in_seconds(clock, 60)
    for place in range(3):
        driver.enqueue(number(place), schedule=schedule, message="The same")
    clock.forward(60)
    batch = driver.taken()
    assert len(batch.jobs) == 3
    driver.fire(batch)
    assert len(driver.taken().jobs) == 3


@pytest.mark.parametrize("coalesce", [True, False])
def test_whether_occurrences_may_share_calls_is_the_sends_wish(driver: Driver, clock: VirtualClock, coalesce: bool) -> None:  # noqa: FBT001 - pytest calls it by keyword
    driver.enqueue(number(1), schedule=in_seconds(clock, 60, 61, misfire="all"), message="The same", coalesce=coalesce)
    clock.forward(3600)
    driver.fire_all()
    assert len(driver.groups()) == (1 if coalesce else 2)


def test_an_occurrence_keeps_all_that_the_send_asked_for(driver: Driver, clock: VirtualClock) -> None:
    more = {"message": "Hé " * 100, "sender_id": "KITOKO", "on_unknown": "resend", "campaign_name": "spring", "priority": "bulk"}
    plain = get(driver, driver.enqueue(*numbers(3), **more))
    intent = driver.enqueue(*numbers(3), schedule=in_seconds(clock, 60), **more)
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    found = get(driver, child)
    for name in ("priority", "source", "counts", "campaign_name", "recipients", "expires"):
        assert getattr(found, name) == getattr(plain, name), name
    by_number: dict[str, list[str]] = {}
    while isinstance(batch := driver.claim(), Claim):
        begun = driver.begin(batch)
        assert begun is not None
        assert (begun.message, begun.sender_id) == (more["message"], "KITOKO")
        for target in begun.targets:
            by_number.setdefault(target.number, []).append(target.intent)
    assert {name: len(sent) for name, sent in by_number.items()} == dict.fromkeys(numbers(3), 2)


@pytest.mark.parametrize(
    ("misfire", "seconds_later", "expected"),
    [
        ("skip", 301, [5]),
        ("once", 301, [5]),
        ("once", 400, [6]),
        ("all", 301, [1, 2, 3, 4, 5]),
        ("skip", 1_000, []),
        ("once", 1_000, [16]),
    ],
)
def test_what_was_missed_fires_as_the_policy_says_and_then_it_goes_on(
    driver: Driver, clock: VirtualClock, misfire: str, seconds_later: float, expected: list[int]
) -> None:
    start = clock.ms
    intent = driver.enqueue(schedule=every_minute(clock, misfire=misfire, grace=30.0))
    clock.forward(seconds_later)
    driver.fire_all()
    assert [(at - start) // 60_000 for at in fired_at(driver, intent)] == expected
    assert driver.due() == {intent: start + (seconds_later // 60 + 1) * 60_000}


def test_when_many_were_missed_they_fire_a_few_at_a_time(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock, misfire="all"))
    clock.forward(60 * 25 + 1)
    driver.fire(driver.taken())
    assert len(fired_at(driver, intent)) == 10
    driver.fire_all()
    assert fired_at(driver, intent) == sorted(set(fired_at(driver, intent)))
    assert len(fired_at(driver, intent)) == 25


def test_the_last_hundred_occurrences_are_named_and_older_ones_until_they_have_ended(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock, misfire="all"))
    clock.forward(60 * 104)
    driver.fire_all()
    made = children(driver, intent)
    assert [one.rpartition(".")[2] for one in get(driver, intent).occurrences] == made
    for old in made[1:4]:
        assert ask(driver, "cancel", old).outcome == "done"
    clock.forward(60)
    driver.fire_all()
    whole = get(driver, intent)
    assert (whole.fired, len(whole.occurrences)) == (105, 102)
    assert [one.rpartition(".")[2] for one in whole.occurrences[:2]] == [made[0], made[4]]


def test_a_cancel_finds_every_occurrence_that_waits_however_old(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock, misfire="all"))
    clock.forward(60 * 130)
    driver.fire_all()
    result = ask(driver, "cancel", intent)
    assert (result.outcome, len(result.stopped)) == ("done", 130)
    assert driver.waiting() == []


# ---------------------------------------------------------------------------------------------------------------------- listed


def test_schedules_are_listed_until_they_are_forgotten(driver: Driver, clock: VirtualClock) -> None:
    once, again = driver.enqueue(schedule=in_seconds(clock, 10)), driver.enqueue(*numbers(3), schedule=every_minute(clock))
    driver.enqueue()
    index = ScheduleIndex(driver.redis, driver.queue.account)
    found = {one.id.rpartition(".")[2]: one for one in index.latest(10)}
    assert found.keys() == {once, again}
    assert (found[again].state, found[again].next_firing) == ("scheduled", moment(clock.ms + 60_000))
    Producer(driver.redis).cancel(f"{driver.queue.account}.{once}")
    assert {one.id.rpartition(".")[2]: one.state for one in index.latest(10)} == {once: "cancelled", again: "scheduled"}
    assert len(index.latest(1)) == 1
    assert (index.forget(), index.size()) == (0, 2)
    driver.redis.delete(driver.account.intent(once))
    assert [one.id.rpartition(".")[2] for one in index.latest(10)] == [again]
    assert (index.forget(), index.size()) == (1, 1)
