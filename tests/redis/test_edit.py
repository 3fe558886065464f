"""Editing a schedule: from its next firing on it is another one, and what has fired stays what it was."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of

from tuma_producer import At, EditResult, Every, InvalidSend, NotEditable, Producer, Send, UnknownIntent
from tuma_producer.contract.editing import edit as edit_steps
from tuma_producer.contract.scheduling import firing_of
from tuma_producer.contract.times import moment
from tuma_worker.dispatch.firing import fire
from tuma_worker.queue.scripts import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer import Intent
    from tuma_producer.contract.scripts import ScriptCall
    from tuma_producer.results import Verb
    from tuma_worker.store.schedules import ScheduleStanding


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(batch_max=10))


def in_seconds(clock: VirtualClock, *seconds: float, **more: Any) -> At:  # noqa: ANN401 - fields of At
    return At(times=[moment(clock.ms) + timedelta(seconds=later) for later in seconds], **more)


def every_minute(clock: VirtualClock, **more: Any) -> Every:  # noqa: ANN401 - fields of Every
    return Every(frequency="seconds", interval=60, start=moment(clock.ms) + timedelta(seconds=60), **more)


def full(driver: Driver, intent: str) -> str:
    return f"{driver.queue.account}.{intent}"


def edit(driver: Driver, intent: str, **changes: Any) -> EditResult:  # noqa: ANN401 - as `Producer.edit`
    return Producer(driver.redis).edit(full(driver, intent), **changes)


def run(driver: Driver, calls: list[ScriptCall]) -> list[Any]:
    return [call.run(driver.redis) for call in calls]


def get(driver: Driver, intent: str) -> Intent:
    return Producer(driver.redis).get(full(driver, intent))


def children(driver: Driver, schedule: str) -> list[str]:
    return [event["o"] for event in driver.events() if event["e"] == "fired" and event["i"] == schedule]


def told(driver: Driver, intent: str) -> list[str]:
    return [event["e"] for event in driver.events() if event.get("i") == intent]


def texts_sent(driver: Driver) -> dict[str, str]:
    """What each recipient of each intent that can be sent now would get."""
    found: dict[str, str] = {}
    while isinstance(batch := driver.claim(), Claim):
        if batch.actor == "fire":
            driver.fire(batch)
            continue
        begun = driver.begin(batch)
        assert begun is not None
        found |= {f"{target.intent}:{target.number}": begun.message for target in begun.targets}
    return found


def test_another_text_is_sent_from_the_next_firing_on_and_what_fired_keeps_its_own(driver: Driver, clock: VirtualClock) -> None:
    long, short = "Before " * 60, "After"
    intent = driver.enqueue(number(1), schedule=every_minute(clock), message=long, metadata={"a": "b"}, sender_id="KITOKO")
    clock.forward(60)
    driver.fire_all()
    result = edit(driver, intent, message=short)
    assert (result.state, result.recipients, result.segments) == ("scheduled", 1, 1)
    assert result.next_firing == moment(clock.ms + 60_000)
    clock.forward(60)
    driver.fire_all()
    first, second = children(driver, intent)
    assert texts_sent(driver) == {f"{first}:{number(1)}": long, f"{second}:{number(1)}": short}
    assert get(driver, second).metadata == {"a": "b"}
    assert told(driver, intent) == ["scheduled", "fired", "edited", "fired"]


def test_other_recipients_take_the_place_of_all_of_them(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(*numbers(3), schedule=every_minute(clock))
    assert edit(driver, intent, to=[number(7), number(8), number(7)]).recipients == 2
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert [one.number for one in get(driver, child).recipients] == [number(7), number(8)]


def test_other_times_take_the_place_of_those_still_to_come(driver: Driver, clock: VirtualClock) -> None:
    intent, start = driver.enqueue(schedule=every_minute(clock)), clock.ms
    clock.forward(60)
    driver.fire_all()
    result = edit(driver, intent, schedule=in_seconds(clock, -30, 10, 20))
    assert result.next_firing == moment(start + 70_000)
    assert driver.due() == {intent: start + 70_000}
    clock.forward(20)
    driver.fire_all()
    assert get(driver, intent).state == "done"
    assert [firing_of(child) for child in children(driver, intent)] == [start + 60_000, start + 70_000, start + 80_000]


def test_the_same_edit_again_changes_nothing_and_answers_the_same(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    changes = {"message": "Another", "to": numbers(2), "schedule": in_seconds(clock, 50)}
    first, before = edit(driver, intent, **changes), driver.snapshot()
    assert edit(driver, intent, **changes) == first
    assert driver.snapshot() == before


def test_an_edit_whose_answer_was_lost_is_not_made_twice(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    steps = edit_steps(full(driver, intent), {"message": "Another"}, "somebody")
    change = steps.send(run(driver, next(steps)))
    first, before = run(driver, change), driver.snapshot()
    assert first[0][0] == b"edited"
    assert run(driver, change) == first
    assert driver.snapshot() == before


def test_of_two_edits_at_once_both_count(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock), message="One")
    steps = edit_steps(full(driver, intent), {"message": "Two"}, "somebody")
    late = steps.send(run(driver, next(steps)))
    edit(driver, intent, to=number(2))
    again = steps.send(run(driver, late))
    with pytest.raises(StopIteration):
        steps.send(run(driver, again))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert texts_sent(driver) == {f"{child}:{number(2)}": "Two"}


def test_a_worker_that_looked_before_the_edit_does_not_fire_what_was_edited_away(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock), message="Old")
    clock.forward(60)
    batch = driver.taken()
    standing = driver.standing(intent)
    assert standing is not None
    edit(driver, intent, message="New")
    fire(driver.schedules, [standing])
    assert children(driver, intent) == []
    assert driver.release(batch)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert texts_sent(driver) == {f"{child}:{number(1)}": "New"}


def test_an_occurrence_that_is_due_when_the_times_change_fires_if_the_new_have_it(driver: Driver, clock: VirtualClock) -> None:
    kept, dropped = (driver.enqueue(number(place), schedule=every_minute(clock)) for place in (1, 2))
    longer, others = every_minute(clock, end=moment(clock.ms) + timedelta(hours=1)), in_seconds(clock, 30, 90)
    clock.forward(60.5)
    edit(driver, kept, schedule=longer)
    edit(driver, dropped, schedule=others)
    driver.fire_all()
    assert (len(children(driver, kept)), len(children(driver, dropped))) == (1, 0)


def test_a_paused_schedule_is_edited_and_stays_paused(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock), message="Old")
    producer = Producer(driver.redis)
    producer.pause(full(driver, intent))
    result = edit(driver, intent, message="New", schedule=in_seconds(clock, 30))
    assert (result.state, result.next_firing) == ("paused", None)
    assert driver.due() == {}
    assert producer.resume(full(driver, intent)).next_firing == moment(clock.ms + 30_000)
    clock.forward(30)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert texts_sent(driver) == {f"{child}:{number(1)}": "New"}


def test_what_has_ended_or_is_no_schedule_is_refused_with_the_reason(driver: Driver, clock: VirtualClock) -> None:
    done, cancelled, plain = (
        driver.enqueue(schedule=in_seconds(clock, 1)),
        driver.enqueue(schedule=every_minute(clock)),
        driver.enqueue(),
    )
    Producer(driver.redis).cancel(full(driver, cancelled))
    clock.forward(1)
    driver.fire_all()
    before = driver.snapshot()
    for intent, why in ((done, "it is done"), (cancelled, "it is cancelled"), (plain, "it has no schedule")):
        with pytest.raises(NotEditable, match=why):
            edit(driver, intent, message="New")
    with pytest.raises(UnknownIntent):
        edit(driver, "0" * 26, message="New")
    with pytest.raises(UnknownIntent):
        Producer(driver.redis).edit("nonsense", message="New")
    assert driver.snapshot() == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "message"),
        ({"message": " "}, "message"),
        ({"to": "12"}, "to"),
        ({"to": []}, "to"),
        ({"schedule": At(times="2020-12-24T18:00Z")}, "schedule"),
        ({"schedule": "noon"}, "schedule"),
    ],
)
def test_a_change_that_breaks_a_rule_is_named_by_its_field_and_changes_nothing(
    driver: Driver, clock: VirtualClock, changes: dict[str, Any], field: str
) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    before = driver.snapshot()
    with pytest.raises(InvalidSend) as raised:
        edit(driver, intent, **changes)
    assert raised.value.field == field
    assert "\n" not in str(raised.value)
    assert driver.snapshot() == before


def test_either_kind_of_producer_edits(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver = Driver(redis, queue_of())
    later = moment(driver.server_ms() + 1_000_000)
    producer = producer_for()
    schedule_id = producer.enqueue(Send(account=driver.queue.account, to=number(1), message="Hello", schedule=At(times=later))).id
    after = later + timedelta(seconds=1)
    expected = EditResult(schedule_id, "scheduled", recipients=1, segments=1, next_firing=after)
    assert producer.edit(schedule_id, message="Bye", schedule=At(times=after)) == expected


class AnyOrder(RuleBasedStateMachine):
    """Workers that look and fire, sooner or later, while the text changes and the schedule is paused and resumed."""

    redis: Redis  # set by the test
    clock: VirtualClock

    @initialize()
    def begin_anew(self) -> None:
        self.redis.flushall()
        self.clock.set(self.clock.now)
        self.driver = Driver(self.redis, queue_of(batch_max=10))
        self.text = 0
        self.intent = self.driver.enqueue(schedule=every_minute(self.clock, misfire="all"), message="0")
        self.looks: list[ScheduleStanding] = []
        self.claims: list[Claim] = []
        self.expected: dict[str, str] = {}

    @rule(seconds=st.sampled_from([1, 60, 61, 130]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule()
    def worker_looks(self) -> None:
        if standing := self.driver.standing(self.intent):
            self.looks.append(standing)

    @precondition(lambda self: self.looks)
    @rule(data=st.data())
    def worker_that_looked_fires(self, data: st.DataObject) -> None:
        fire(self.driver.schedules, [self.looks.pop(data.draw(st.integers(0, len(self.looks) - 1)))])

    @rule()
    def worker_comes(self) -> None:
        self.driver.fire_all()

    @rule()
    def somebody_edits(self) -> None:
        self.text += 1
        edit(self.driver, self.intent, message=str(self.text))

    @rule(verb=st.sampled_from(["pause", "resume"]))
    def somebody_steers(self, verb: Verb) -> None:
        getattr(Producer(self.driver.redis), verb)(full(self.driver, self.intent))

    @invariant()
    def what_fires_has_the_text_of_that_moment(self) -> None:
        if not hasattr(self, "driver"):
            return
        for child in children(self.driver, self.intent):
            if child not in self.expected:
                self.expected[child] = str(self.text)
            body = self.redis.hget(self.driver.account.intent(child), "body") or b""
            assert f'"message":"{self.expected[child]}"'.encode() in body

    def teardown(self) -> None:
        """Whatever was edited, what comes due afterwards fires once."""
        if not hasattr(self, "driver"):
            return
        Producer(self.driver.redis).resume(full(self.driver, self.intent))
        before = children(self.driver, self.intent)
        self.clock.forward(60)
        self.driver.fire_all()
        after = children(self.driver, self.intent)
        assert len(after) > len(before)
        assert len(set(after)) == len(after)


def test_each_occurrence_is_wholly_old_or_wholly_new_and_none_is_lost_or_doubled(redis: Redis, clock: VirtualClock) -> None:
    AnyOrder.redis, AnyOrder.clock = redis, clock
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=[*HealthCheck]),
    )
