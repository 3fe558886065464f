"""Schedules: each occurrence fires once, at its time or as its misfire policy says, whatever happens around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from structlog.testing import capture_logs
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of

from tuma_producer import At, Every, InvalidSend, Producer, Send
from tuma_producer.contract.scheduling import firing_of
from tuma_producer.contract.times import milliseconds, moment
from tuma_worker.core.answers import Rejected
from tuma_worker.dispatch.firing import fire
from tuma_worker.queue.scripts import Claim, Release, Wait
from tuma_worker.store.schedule_index import ScheduleIndex
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer import ControlResult, Intent
    from tuma_producer.results import Verb
    from tuma_worker.store.schedules import ScheduleStanding

LEASE = 15.0  # seconds


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


def in_seconds(clock: VirtualClock, *seconds: float, **more: Any) -> At:  # noqa: ANN401 - fields of At
    """At these times from now."""
    return At(times=[moment(clock.ms) + timedelta(seconds=later) for later in seconds], **more)


def every_minute(clock: VirtualClock, **more: Any) -> Every:  # noqa: ANN401 - fields of Every
    """Every minute from the next on."""
    return Every(frequency="seconds", interval=60, start=moment(clock.ms) + timedelta(seconds=60), **more)


def get(driver: Driver, intent: str) -> Intent:
    return Producer(driver.redis).get(f"{driver.queue.account}.{intent}")


def ask(driver: Driver, verb: Verb, intent: str) -> ControlResult:
    result: ControlResult = getattr(Producer(driver.redis), verb)(f"{driver.queue.account}.{intent}")
    return result


def told(driver: Driver, intent: str) -> list[str]:
    return [event["e"] for event in driver.events() if event.get("i") == intent]


def fired_at(driver: Driver, schedule: str) -> list[int]:
    """The times of the schedule's occurrences, as its events tell them."""
    return [int(event["t"]) for event in driver.events() if event["e"] == "fired" and event["i"] == schedule]


def children(driver: Driver, schedule: str) -> list[str]:
    """The short ids of the schedule's occurrences."""
    return [event["o"] for event in driver.events() if event["e"] == "fired" and event["i"] == schedule]


# -------------------------------------------------------------------------------------------------------------- accepted


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


# ---------------------------------------------------------------------------------------------------------------- firing


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


# ------------------------------------------------------------------------------------------- crashes, repeats, two workers


def test_a_schedule_that_cannot_be_read_holds_up_no_other(driver: Driver, clock: VirtualClock) -> None:
    at = At(times=[moment(clock.ms + 5_000).replace(tzinfo=None)], tz="UTC")
    readable, broken, another = (driver.enqueue(number(place), schedule=at) for place in range(3))
    record = driver.account.intent(broken)
    for name, piece in cast("dict[bytes, bytes]", driver.redis.hgetall(record)).items():
        driver.redis.hset(record, name.decode(), piece.replace(b'"UTC"', b'"XYZ"'))  # a zone that this worker's data lacks
    clock.forward(10)
    with capture_logs() as told:
        driver.fire_all()
    assert [len(children(driver, one)) for one in (readable, broken, another)] == [1, 0, 1]
    assert [(line["event"], line["schedule"]) for line in told if line["log_level"] == "error"] == [("schedule.not_fired", broken)]
    unowned = Unowned(driver.redis, driver.queue)
    assert unowned.restore(unowned.look().lost) == 1, "the sweeper gives it its place again"


def test_firing_repeated_changes_nothing(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=in_seconds(clock, 60, 120))
    clock.forward(60)
    standing = driver.standing(intent)
    assert standing is not None
    assert driver.fire_at(standing, [clock.ms], clock.ms + 60_000) is not None
    before = driver.snapshot()
    assert driver.fire_at(standing, [clock.ms], clock.ms + 60_000) is None
    assert driver.snapshot() == before


def test_of_two_workers_that_fire_the_same_one_does(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    clock.forward(60)
    first, second = driver.standing(intent), driver.standing(intent)
    assert first is not None
    assert second is not None
    assert driver.fire_at(first, [clock.ms], clock.ms + 60_000) is not None
    clock.forward(61)
    assert driver.fire_at(second, [clock.ms], clock.ms + 60_000) is None
    assert len(children(driver, intent)) == 1


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_who_was_held_between_the_look_and_the_firing_does_not_fire(driver: Driver, clock: VirtualClock, verb: Verb) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    clock.forward(60)
    standing = driver.standing(intent)
    assert standing is not None
    assert ask(driver, verb, intent).outcome == "done"
    before = driver.snapshot()
    assert driver.fire_at(standing, [clock.ms], clock.ms + 60_000) is None
    assert driver.snapshot() == before


def test_a_worker_that_dies_before_it_fires_is_followed_by_another(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    clock.forward(60)
    assert driver.taken(worker="dies").actor == "fire"
    clock.forward(LEASE + 1)
    driver.fire_all()
    assert len(children(driver, intent)) == 1


def test_a_worker_that_dies_after_it_fired_leaves_one_occurrence_and_the_next_in_its_place(
    driver: Driver, clock: VirtualClock
) -> None:
    intent, start = driver.enqueue(schedule=every_minute(clock)), clock.ms
    clock.forward(60)
    driver.taken(worker="dies")
    standing = driver.standing(intent)
    assert standing is not None
    assert driver.fire_at(standing, [clock.ms], clock.ms + 60_000) is not None
    clock.forward(LEASE + 1)
    driver.fire_all()
    assert fired_at(driver, intent) == [start + 60_000]
    assert driver.due() == {intent: start + 120_000}


def test_a_job_that_comes_too_early_puts_its_schedule_back_in_its_place(driver: Driver, clock: VirtualClock) -> None:
    intent, start = driver.enqueue(schedule=every_minute(clock)), clock.ms
    driver.redis.zadd(driver.queue.keys.due, {f"0|~|fire.0.100.-|{intent}": clock.ms + 1})
    clock.forward(1)
    driver.fire_all()
    assert driver.due() == {intent: start + 60_000}
    assert children(driver, intent) == []


# --------------------------------------------------------------------------------------------------------------- control


def test_a_cancelled_schedule_leaves_nothing_waiting_and_its_open_occurrences_are_cancelled(
    driver: Driver, clock: VirtualClock
) -> None:
    intent = driver.enqueue(*numbers(2), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.stopped, result.with_provider, result.next_firing) == ("done", tuple(numbers(2)), (), None)
    assert (get(driver, intent).state, get(driver, child).state) == ("cancelled", "cancelled")
    assert (driver.due(), driver.waiting()) == ({}, [])
    assert told(driver, intent) == ["scheduled", "fired", "cancelled"]
    assert ask(driver, "cancel", intent) == result
    assert {ask(driver, verb, intent).outcome for verb in ("pause", "resume")} == {"refused"}


def test_what_of_an_occurrence_is_with_the_provider_is_told_and_older_ones_that_ended_are_not(
    driver: Driver, clock: VirtualClock
) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    batch = next_send(driver)
    assert driver.begin(batch) is not None
    assert driver.settle(batch, Rejected("1103"))
    clock.forward(60)
    driver.fire_all()
    batch = next_send(driver)
    assert driver.begin(batch) is not None
    result = ask(driver, "cancel", intent)
    assert (result.outcome, result.stopped, result.with_provider, result.ended) == ("partly", (), (number(1),), ())


def test_what_comes_and_goes_during_a_pause_is_passed_over(driver: Driver, clock: VirtualClock) -> None:
    intent, start = driver.enqueue(schedule=every_minute(clock, misfire="all")), clock.ms
    clock.forward(30)
    paused = ask(driver, "pause", intent)
    assert (paused.outcome, paused.next_firing) == ("done", None)
    assert (get(driver, intent).state, get(driver, intent).next_firing, driver.due()) == ("paused", None, {})
    clock.forward(200)
    driver.fire_all()
    resumed = ask(driver, "resume", intent)
    assert (resumed.outcome, resumed.next_firing) == ("done", moment(start + 240_000))
    assert ask(driver, "resume", intent) == resumed
    clock.forward(10)
    driver.fire_all()
    assert fired_at(driver, intent) == [start + 240_000]


def test_a_pause_holds_the_occurrence_that_is_under_way_and_resuming_lets_it_go_on(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert ask(driver, "pause", intent).stopped == (number(1),)
    assert get(driver, child).state == "paused"
    assert ask(driver, "resume", intent).stopped == (number(1),)
    assert next_send(driver).jobs[0].subject == f"{child}:{number(1)}"


def test_a_schedule_whose_times_all_passed_during_its_pause_is_done_when_it_is_resumed(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=in_seconds(clock, 60))
    ask(driver, "pause", intent)
    clock.forward(61)
    resumed = ask(driver, "resume", intent)
    assert (resumed.outcome, resumed.next_firing) == ("done", None)
    assert get(driver, intent).state == "done"
    assert told(driver, intent) == ["scheduled", "paused", "resumed", "done"]
    assert ask(driver, "cancel", intent).outcome == "too-late"


def test_an_occurrence_is_steered_by_its_own_id(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(schedule=every_minute(clock))
    clock.forward(60)
    driver.fire_all()
    (child,) = children(driver, intent)
    assert ask(driver, "cancel", child).outcome == "done"
    assert get(driver, intent).state == "scheduled"


def test_either_kind_of_producer_steers_a_schedule_with_its_occurrences(
    redis: Redis, producer_for: Callable[..., AnyProducer]
) -> None:
    driver = Driver(redis, queue_of())
    soon, later = (moment(driver.server_ms() + ms) for ms in (1_000, 1_000_000))
    producer = producer_for()
    send = Send(account=driver.queue.account, to=number(1), message="Hello", schedule=At(times=[soon, later]))
    schedule_id = producer.enqueue(send).id
    driver.until(milliseconds(soon))
    driver.fire(driver.taken())
    results = [getattr(producer, verb)(schedule_id) for verb in ("pause", "resume", "cancel")]
    assert [(one.outcome, one.stopped, one.next_firing) for one in results] == [
        ("done", (number(1),), None),
        ("done", (number(1),), later),
        ("done", (number(1),), None),
    ]


def next_send(driver: Driver) -> Claim:
    """The next batch that is to be sent."""
    batch = driver.taken()
    while batch.actor == "fire":
        driver.fire(batch)
        batch = driver.taken()
    return batch


# --------------------------------------------------------------------------------------------------------- in any order


class AnyOrder(RuleBasedStateMachine):
    """Workers that come, look, fire, die and come late, while somebody pauses, resumes and cancels, and time goes by."""

    redis: Redis  # set by the test
    clock: VirtualClock

    @initialize(misfire=st.sampled_from(["skip", "once", "all"]), last=st.integers(1, 60))
    def begin_anew(self, misfire: str, last: int) -> None:
        self.redis.flushall()
        self.clock.set(self.clock.now)
        self.driver = Driver(self.redis, queue_of(batch_max=10, lease=LEASE))
        end = moment(self.clock.ms) + timedelta(seconds=60 * last)
        self.schedule = every_minute(self.clock, end=end, misfire=misfire)
        self.intent = self.driver.enqueue(schedule=self.schedule)
        self.looks: list[ScheduleStanding] = []  # what workers have seen and not fired yet
        self.spans: list[tuple[int, int]] = []  # from when until when it was free to fire
        self.free_since: int | None = self.clock.ms
        self.fired_when_held = 0

    @rule(seconds=st.sampled_from([0.001, 1, 30, 59.999, 60, 61, 200, 700]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule()
    def worker_comes(self) -> None:
        self.driver.fire_all()

    @rule()
    def worker_dies_with_what_it_claimed(self) -> None:
        self.driver.claim(worker="dies")

    @rule(later=st.sampled_from([0, 60, 61]))
    def worker_looks(self, later: float) -> None:
        self.clock.forward(later)
        standing = self.driver.standing(self.intent)
        if standing is not None:
            self.looks.append(standing)

    @precondition(lambda self: self.looks)
    @rule(data=st.data())
    def worker_that_looked_fires(self, data: st.DataObject) -> None:
        fire(self.driver.schedules, [self.looks.pop(data.draw(st.integers(0, len(self.looks) - 1)))])

    @rule(verb=st.sampled_from(["pause", "resume", "cancel"]))
    def somebody_is_faster_than_a_worker_that_looked(self, verb: Verb) -> None:
        self.worker_looks(60)
        self.steer(verb)
        while self.looks:
            fire(self.driver.schedules, [self.looks.pop()])

    @rule()
    def the_line_is_lost_and_swept_up(self) -> None:
        keys = self.driver.queue.keys
        self.redis.delete(keys.due, keys.entries, keys.groups, keys.inflight, keys.leases, *map(keys.sources, range(3)))
        unowned = Unowned(self.redis, self.driver.queue)
        unowned.restore(unowned.look().lost)

    @rule(verb=st.sampled_from(["pause", "pause", "resume", "resume", "cancel"]))
    def steer(self, verb: Verb) -> None:
        result = ask(self.driver, verb, self.intent)
        state = get(self.driver, self.intent).state
        assert (result.outcome == "refused") == (state == "cancelled" and verb != "cancel")
        assert (result.next_firing is not None) == (state == "scheduled")
        free = state in {"scheduled", "done"}
        if free and self.free_since is None:
            self.free_since = self.clock.ms
        elif not free and self.free_since is not None:
            self.spans.append((self.free_since, self.clock.ms))
            self.free_since = None
            self.fired_when_held = len(fired_at(self.driver, self.intent))

    @invariant()
    def nothing_fires_twice_or_early_or_while_it_is_held(self) -> None:
        if not hasattr(self, "driver"):
            return
        fired = fired_at(self.driver, self.intent)
        assert fired == sorted(set(fired))
        assert set(fired) <= {milliseconds(firing.at) for firing in self.schedule.firings()}
        spans = self.spans if self.free_since is None else [*self.spans, (self.free_since, self.clock.ms)]
        assert all(any(since < at <= until for since, until in spans) for at in fired)
        assert self.free_since is not None or len(fired) == self.fired_when_held
        assert [firing_of(child) for child in children(self.driver, self.intent)] == fired

    def teardown(self) -> None:
        """In the end a healthy worker is there, and what came due since it was last free to fire has fired, unless skipped."""
        if not hasattr(self, "driver"):
            return
        for seconds in (LEASE + 1, 10_000):
            self.clock.forward(seconds)
            self.driver.fire_all()
        self.nothing_fires_twice_or_early_or_while_it_is_held()
        if self.free_since is None or self.schedule.misfire == "skip":
            return
        since = self.free_since
        owed = [at for firing in self.schedule.firings() if (at := milliseconds(firing.at)) > since]
        wanted = owed if self.schedule.misfire == "all" else owed[-1:]
        assert set(wanted) <= set(fired_at(self.driver, self.intent)), "an occurrence was lost"
        assert get(self.driver, self.intent).state == "done"


def test_every_occurrence_fires_at_most_once_none_when_held_and_none_is_lost(redis: Redis, clock: VirtualClock) -> None:
    AnyOrder.redis, AnyOrder.clock = redis, clock
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[*HealthCheck]),
    )


# ----------------------------------------------------------------------------------------------------------------- listed


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
