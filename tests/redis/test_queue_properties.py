"""A queue under random use: what floors keep is never taken, no job is lost or doubled, and every batch is well formed."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.redis.driver import GIVEN_UP, LANES, NEVER_LEFT, SUBMIT, Driver, calls, messages, numbers, queue_of, text, virtual_clock
from tests.redis.simulation import SECOND, Fate, Simulation

from tuma_worker.core.answers import Rejected, TryLater
from tuma_worker.core.limits import Counted
from tuma_worker.queue.scripts import Claim, Release

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


# ---------------------------------------------------------------------------------------------------------------------- floors


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


# ------------------------------------------------------------------------------------------------------ batches, and all of it


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
