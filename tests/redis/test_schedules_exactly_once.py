"""Each occurrence of a schedule fires once, whoever dies, repeats or is late, and none is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from structlog.testing import capture_logs
from tests.redis.driver import Driver, VirtualClock, number, queue_of
from tests.redis.scheduling import LEASE, ask, children, every_minute, fired_at, get, in_seconds

from tuma_producer import At
from tuma_producer.contract.scheduling import firing_of
from tuma_producer.contract.times import milliseconds, moment
from tuma_worker.dispatch.firing import fire
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.results import Verb
    from tuma_worker.store.schedules import ScheduleStanding


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


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


# ---------------------------------------------------------------------------------------------------------------- in any order


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
