"""Who goes first: strict order of priorities with floors, sources in turn, batches of one group; and no job is ever lost."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.redis.driver import GIVEN_UP, NEVER_LEFT, SUBMIT, Driver, calls, messages, number, numbers, queue_of, text, virtual_clock
from tests.redis.simulation import SECOND, Fate, Simulation

from tuma_worker.core.answers import Rejected, TryLater
from tuma_worker.core.limits import Counted
from tuma_worker.queue.scripts import Claim, Release
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis
    from tests.redis.driver import VirtualClock

    from tuma_worker.core.limits import Limit

LONG = bool(os.environ.get("TUMA_TEST_LONG"))
property_settings = settings(
    max_examples=1000 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if LONG else ())),  # explaining takes minutes, shrinking too
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
LANES = ("otp", "transactional", "bulk")


def sources_of(driver: Driver, count: int) -> str:
    """The sources of the next batches, a letter each; every batch is accepted by the provider."""
    return "".join(driver.send().source for _ in range(count))


# ------------------------------------------------------------------------------------------------------------------ priorities


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


@property_settings
@given(
    data=st.data(),
    floors=st.fixed_dictionaries({"otp": st.sampled_from([0.05, 0.3, 0.5]), "transactional": st.sampled_from([0.0, 0.2, 0.4])}),
    limit=st.one_of(st.builds(calls, st.integers(1, 8), st.just(1.0)), st.builds(messages, st.integers(3, 20), st.just(1.0))),
    latency=st.sampled_from([1000, 300_000, 1_500_000]),
)
def test_what_floors_keep_is_never_taken(
    redis: Redis, data: st.DataObject, floors: dict[str, float], limit: Limit, latency: int
) -> None:
    redis.flushall()
    work = data.draw(
        st.lists(
            st.tuples(st.integers(0, 4 * SECOND), st.sampled_from(LANES), st.integers(1, 4), st.integers(1, 3)),
            min_size=5,
            max_size=25,
        ),
        label="sends: when, lane, recipients, segments",
    )
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue_of(limit, floors=floors, batch_max=data.draw(st.sampled_from([1, 4]))))
        simulation = Simulation(driver, clock, [Fate(latency=latency)], threads=(2, 2, 2), most_claims=200)

        def within(batch: Claim) -> None:
            """Counted with the new permit, those below a floor have left it alone; a lone job may go where nothing else does."""
            kept, one = 0.0, 1 if limit.counted is Counted.CALLS else int(batch.group.split(".")[1])
            for above, lane in enumerate(LANES[: batch.lane]):
                kept += floors[lane] * limit.count
                assert simulation.counted(limit, below=above) <= max(limit.count - kept, one) + 1e-9

        simulation.on_permit = within
        for index, (at, lane, recipients, segments) in enumerate(work):
            to, message = numbers(recipients, 10 * index), text(segments, str(index % 3))
            simulation.at(at, partial(driver.enqueue, *to, message=message, priority=lane))
        simulation.run(60)
    assert simulation.claims


# --------------------------------------------------------------------------------------------------------------------- sources


def test_two_sources_with_equal_sends_alternate(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(100, 60)))
    driver.enqueue_singles(6, source="a")
    driver.enqueue_singles(6, 10, source="b")
    assert sources_of(driver, 12) == "ab" * 6


def test_a_source_with_a_thousand_waiting_does_not_hold_up_another_ones_ten(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue(*numbers(1000), source="a")
    sources_of(driver, 5)
    driver.enqueue_singles(10, 2000, source="b")
    assert sources_of(driver, 20).count("b") == 10


def test_sources_share_by_what_they_use_and_not_by_calls(redis: Redis) -> None:
    driver = Driver(redis, queue_of(messages(10_000, 60), batch_max=10))
    for index in range(4):
        driver.enqueue(*numbers(10, 10 * index), source="a")
    driver.enqueue_singles(40, 100, source="b")
    found = sources_of(driver, 22)
    assert 18 <= found.count("b") <= 20, found


@pytest.mark.parametrize("limits", [(), (calls(1000, 60), messages(5000, 60))], ids=["no limits", "limits"])
@pytest.mark.parametrize("recipients", [1, 20])
def test_a_source_that_always_has_one_send_waiting_gets_no_more_than_its_share(
    redis: Redis, limits: tuple[Limit, ...], recipients: int
) -> None:
    driver = Driver(redis, queue_of(*limits, batch_max=20))
    driver.enqueue_singles(40, 100, source="b")
    driver.enqueue(*numbers(recipients), source="a")
    found = ""
    while len(found) < 24:
        found += driver.send().source
        if found[-1] == "a":
            driver.enqueue(*numbers(recipients), source="a")
    share = 12 if recipients == 1 or not limits else 4  # calls of twenty use more of the messages than of the calls
    assert found.count("a") <= share + 1, found
    assert found.count("a") >= 1, found


def test_a_source_that_was_away_gets_no_credit_for_it(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(40, source="a")
    driver.enqueue("+243990000500", source="b")
    sources_of(driver, 20)
    driver.enqueue_singles(20, 600, source="b")
    assert 4 <= sources_of(driver, 10).count("b") <= 6


def test_a_source_that_was_paused_gets_no_credit_for_it(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    steering = Steering(redis, driver.queue.account, "send", "test")
    driver.enqueue_singles(20, source="a")
    driver.enqueue_singles(60, 100, source="b")
    sources_of(driver, 4)
    steering.pause(Scope(source="a"))
    assert sources_of(driver, 30) == "b" * 30
    steering.resume(Scope(source="a"))
    assert sources_of(driver, 10).count("a") in {5, 6}


def test_any_number_of_paused_sources_is_passed_over(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    steering = Steering(redis, driver.queue.account, "send", "test")
    for index in range(101):
        driver.enqueue(number(index), source=f"paused-{index}")
        steering.pause(Scope(source=f"paused-{index}"))
    driver.enqueue(number(500), source="works")
    assert driver.send().source == "works"


def test_a_paused_source_is_passed_over_and_a_paused_lane_too(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    driver.enqueue_singles(2, source="a", priority="otp")
    driver.enqueue_singles(2, 10, source="b", priority="otp")
    driver.enqueue_singles(2, 20, source="c", priority="bulk")
    redis.hset(driver.queue.keys.state, "paused:source:a", 1)
    assert sources_of(driver, 2) == "bb"
    redis.hdel(driver.queue.keys.state, "paused:source:a")
    redis.hset(driver.queue.keys.state, "paused:lane:0", 1)
    assert sources_of(driver, 2) == "cc"
    driver.refused()


# ----------------------------------------------------------------------------------------------------------- batches, and all of it


class Line:
    """A queue under random use, with a ledger of what was accepted."""

    def __init__(self, driver: Driver, clock: VirtualClock) -> None:
        self.driver = driver
        self.clock = clock
        self.accepted: list[tuple[str, str]] = []
        self.held: list[Claim] = []

    def accept(self, lane: str, source: str, recipients: int, first: int, name: str) -> None:
        to = numbers(recipients, first)
        intent = self.driver.enqueue(*to, priority=lane, source=source, message=text(1, name))
        self.accepted += [(intent, recipient) for recipient in to]

    def claim(self) -> None:
        before = self._entries()
        found = self.driver.claim()
        if isinstance(found, Claim):
            self._check(found, before)
            self.held.append(found)

    def _entries(self) -> list[tuple[str, ...]]:
        found = cast("list[bytes]", self.driver.redis.zrange(self.driver.queue.keys.entries, 0, -1))
        return [tuple(member.decode().split("|")) for member in found]

    def _check(self, batch: Claim, before: list[tuple[str, ...]]) -> None:
        assert not [entry for entry in before if int(entry[0]) < batch.lane], "a higher lane was waiting"
        _, segments, most, _ = batch.group.split(".", 3)
        subjects = [job.subject for job in batch.jobs]
        assert 1 <= len(subjects) <= (int(most) or self.driver.queue.batch_max)
        recipients = {subject.rpartition(":")[2] for subject in subjects}
        assert len(recipients) == len(subjects), "a number is there twice"
        assert [job.ready for job in batch.jobs] == sorted(job.ready for job in batch.jobs)
        group = [entry for entry in before if entry[:3] == (str(batch.lane), batch.source, batch.group)]
        known = {entry[4]: entry[3] for entry in group}
        if segments != "0" and all(subject in known for subject in subjects):
            last = max((known[subject], subject) for subject in subjects)
            passed = [entry[4] for entry in group if (entry[3], entry[4]) < last and entry[4] not in subjects]
            assert all(subject.rpartition(":")[2] in recipients for subject in passed), "an older job of the group was passed over"

    def act(self, which: int, what: str) -> None:
        """Do something with one of the held batches."""
        batch = self.held.pop(which % len(self.held))
        if batch.actor != "send":
            self.driver.release(batch, Release.LATER, delay=5.0)
        elif what == "put back":
            self.driver.release(batch, Release.BACK)
        elif what == "die before":
            self.clock.forward(self.driver.queue.lease + 1)
        else:
            self._attempt(batch, what)

    def _attempt(self, batch: Claim, what: str) -> None:
        begun = self.driver.begin(batch)
        if begun is None:
            return
        if what == "die after":
            self.clock.forward(self.driver.queue.lease + 1)
            return
        answers: dict[str, Any] = {
            "accepted": SUBMIT,
            "never left": NEVER_LEFT,
            "given up": GIVEN_UP,
            "later": TryLater("busy", after=3.0),
            "bisected": Rejected("bad-number", suspect_numbers=True),
            "blamed": Rejected("bad-number", frozenset({begun.targets[0].number})),
        }
        self.driver.settle(batch, answers[what])

    def assert_all_there(self) -> None:
        """Every recipient that was accepted is in exactly one place, and nobody else is anywhere."""
        places: Counter[tuple[str, str]] = Counter()
        for subject in [*self.driver.waiting(), *self.driver.due(), *self.driver.in_flight()]:
            places.update([self._recipient(subject)] if ":" in subject else self._unanswered(subject))
        places.update(one for one in self.accepted if self.driver.state_of(*one) not in {"queued", "sending"})
        assert places == Counter(self.accepted)

    @staticmethod
    def _recipient(subject: str) -> tuple[str, str]:
        intent, _, recipient = subject.partition(":")
        return intent, recipient

    def _unanswered(self, batch_id: str) -> list[tuple[str, str]]:
        """Those that a resolve job stands for."""
        record = cast("dict[bytes, bytes]", self.driver.redis.hgetall(self.driver.account.batch(batch_id)))
        targets = [(intent.decode(), name.decode()) for name, intent in record.items() if name.startswith(b"+")]
        return [one for one in targets if self.driver.state_of(*one) == "sending"]


WHAT = ("accepted", "accepted", "never left", "given up", "later", "bisected", "blamed", "put back", "die before", "die after")
steps = st.one_of(
    st.tuples(
        st.just("accept"),
        st.sampled_from(LANES),
        st.sampled_from("ab"),
        st.integers(1, 7),
        st.integers(0, 6),
        st.sampled_from("xy"),
    ),
    st.tuples(st.just("claim")),
    st.tuples(st.just("claim")),
    st.tuples(st.just("act"), st.integers(0, 9), st.sampled_from(WHAT)),
    st.tuples(st.just("act"), st.integers(0, 9), st.sampled_from(WHAT)),
    st.tuples(st.just("forward"), st.sampled_from([0.001, 1.0, 6.0, 70.0])),
)  # fmt: skip


@property_settings
@given(
    script=st.lists(steps, min_size=10, max_size=50),
    limits=st.sampled_from([(), (calls(3, 10.0),), (calls(2, 1.0), messages(9, 10.0))]),
    batch_max=st.sampled_from([1, 3, 10]),
)
def test_whatever_happens_no_job_is_lost_or_doubled_and_every_batch_is_well_formed(
    redis: Redis, script: list[tuple[Any, ...]], limits: tuple[Limit, ...], batch_max: int
) -> None:
    redis.flushall()
    with virtual_clock(redis) as clock:
        line = Line(Driver(redis, queue_of(*limits, batch_max=batch_max)), clock)
        for name, *more in script:
            match name:
                case "accept":
                    line.accept(*more)
                case "claim":
                    line.claim()
                case "act" if line.held:
                    line.act(*more)
                case "forward":
                    clock.forward(*more)
            line.assert_all_there()
