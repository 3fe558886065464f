"""How long a one-time password waits behind backlogs that never end: for as many permits to end as passwords came too many.

What floors keep is a reserve. It is lent to passwords alone, and each permit that ends gives back what it held until all of it is
there again. The oracle knows that much, when each password came and when each permit stopped counting; it says when each password
must have gone. It does not know who else used what ended.
"""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from itertools import accumulate
from math import floor
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from tests.redis.driver import LANES, Driver, calls, messages, number, numbers, queue_of, text, virtual_clock
from tests.redis.simulation import Fate, Simulation

from tuma_worker.core.limits import Counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from tuma_worker.core.limits import Limit
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.scripts import Claim

    Weights = Mapping[str, int]  # what is held or given back, by the limit's name

LONG = bool(os.environ.get("TUMA_TEST_LONG"))
MILLISECOND = 1000  # microseconds


def examples(count: int) -> settings:
    """So many examples, always the same; many more, and new ones, where TUMA_TEST_LONG is set."""
    return settings(
        max_examples=20 * count if LONG else count,
        deadline=None,
        derandomize=not LONG,
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if LONG else ())),  # explaining takes minutes, shrinking too
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def weights(limits: Sequence[Limit], segments: int) -> Weights:
    """What a call of so many messages holds of each limit."""
    return {limit.name: 1 if limit.counted is Counted.CALLS else segments for limit in limits}


def kept(queue: QueueConfig, backlog: Sequence[str], segments: int) -> Weights:
    """What all of these lanes together leave to passwords, in whole calls or messages. A job may always go by itself."""
    found = {}
    for limit in queue.limits:
        least = 1 if limit.counted is Counted.CALLS else segments
        shares = (sum(queue.floors.get(above, 0.0) for above in LANES[: LANES.index(lane)]) for lane in backlog)
        most = max(max(limit.count - share * limit.count, min(limit.count, least)) for share in shares)
        found[limit.name] = floor(limit.count) - floor(most)
    return found


def stops_counting(limit: Limit, ended: int) -> int:
    """When a permit whose call ended at this millisecond stops counting: a window after the end of its slot."""
    length = max(1, floor(limit.window))
    return (ended // length + 1) * length + round(limit.window * 1000)


def latest(reserve: Weights, ends: Sequence[tuple[int, Weights]], turns: Sequence[tuple[int, Weights]],
           comes: Sequence[tuple[int, Weights]]) -> list[int]:  # fmt: skip
    """When each password goes at the latest, in the order in which they come. Times in milliseconds.

    `ends` say what stops counting, `turns` what another lane took before all passwords: the guard gives it that.
    """
    free = dict(reserve)
    waiting: deque[Weights] = deque()
    found: list[int] = []

    def lend() -> None:  # while a password waits no other lane goes, so what ends is kept for all who wait
        for name, most in reserve.items():
            free[name] = min(free[name], most + sum(one[name] for one in waiting))

    def serve(at: int) -> None:
        while waiting and all(free[name] >= weight for name, weight in waiting[0].items()):
            for name, weight in waiting.popleft().items():
                free[name] -= weight
            found.append(at)
        lend()

    def change(by: int, happenings: Sequence[tuple[int, Weights]], at: int) -> None:
        for held in (held for when, held in happenings if when == at):
            for name, weight in held.items():
                free[name] += by * weight

    for at in sorted({at for at, _ in (*ends, *comes, *turns)}):
        change(1, ends, at)
        lend()
        change(-1, turns, at)
        serve(at)
        waiting.extend(held for when, held in comes if when == at)
        serve(at)
    return found


def of_one(limit: Limit, of: float) -> int:
    """So many permit intervals of this limit, in milliseconds: in each of them it allows one call."""
    return round(1000 * of * limit.window / limit.count)


windows = st.sampled_from([1.0, 10.0, 60.0])
some_limits = st.one_of(
    st.tuples(st.builds(calls, st.integers(1, 12), windows)),
    st.tuples(st.builds(messages, st.integers(6, 24), windows)),
    st.tuples(st.builds(calls, st.integers(2, 6), st.just(1.0)), st.builds(calls, st.integers(6, 20), st.just(10.0))),
    st.tuples(st.builds(calls, st.integers(3, 8), st.just(10.0)), st.builds(messages, st.integers(8, 24), st.just(10.0))),
)
floors = st.fixed_dictionaries({"otp": st.sampled_from([0.05, 0.2, 0.5])}, optional={"transactional": st.just(0.1)})
gaps = st.lists(st.sampled_from([0.0, 0.0, 0.3, 1.0, 1.0, 1.2, 3.0]), min_size=3, max_size=25)


class Behind:
    """Passwords behind backlogs that never end."""

    def __init__(self, redis: Redis, queue: QueueConfig, backlog: Sequence[str], segments: int) -> None:
        self.redis, self.queue, self.backlog, self.segments = redis, queue, backlog, segments
        self.comes: list[tuple[int, int]] = []  # ms, segments
        self.turns: list[tuple[int, Weights]] = []

    def run(self, comes: Sequence[tuple[int, int]], latencies: Sequence[int], threads: tuple[int, ...], seconds: float) -> None:
        """Let passwords come at these milliseconds, of so many segments; calls take so many milliseconds, in turn."""
        self.redis.flushall()
        with virtual_clock(self.redis) as clock:
            driver = Driver(self.redis, self.queue)
            fates = [Fate(latency=one * MILLISECOND) for one in latencies]
            self.simulation = simulation = Simulation(driver, clock, fates, threads, most_claims=4000)
            simulation.on_permit = self._note
            self.start = clock.ms
            self.until = clock.ms + round(seconds * 1000)
            for index, lane in enumerate(self.backlog):
                campaign = {"priority": lane, "message": text(self.segments, lane), "source": "shop"}
                simulation.at(0, partial(driver.enqueue, *numbers(300, 1000 * index), **campaign))
            for index, (at, segments) in enumerate(comes):
                password = {"priority": "otp", "message": text(segments, f"code {index}"), "source": "login"}
                simulation.at(at * MILLISECOND, partial(driver.enqueue, number(5000 + index), **password))
                self.comes.append((self.start + at, segments))
            simulation.run(seconds)
        assert len(simulation.claims) + len(simulation.waits) < simulation.most_claims
        for lane in self.backlog:
            assert self.redis.zcard(self.queue.keys.sources(LANES.index(lane))), "the backlog has come to an end"

    def _note(self, batch: Claim) -> None:
        if batch.lane > 0 and self.redis.hget(self.queue.keys.state, "favoured"):
            held = weights(self.queue.limits, self.segments * len(batch.jobs))
            self.turns.append((self.simulation.clock.ms, held))

    @property
    def went(self) -> list[int]:
        """When passwords were claimed."""
        return [at // MILLISECOND for at, batch in self.simulation.claims if batch.lane == 0]

    @property
    def ends(self) -> list[tuple[int, Weights]]:
        """When permits stopped counting against which limit, and what they had held of it."""
        over = [(one.ends // MILLISECOND, one.messages) for one in self.simulation.permits.values() if one.ends is not None]
        return [
            (stops_counting(limit, at), {limit.name: weights([limit], held)[limit.name]})
            for at, held in over
            for limit in self.queue.limits
        ]

    def latest(self) -> list[int]:
        """When passwords must have been claimed, of those for whom that is within the run."""
        comes = [(at, weights(self.queue.limits, segments)) for at, segments in self.comes]
        found = latest(kept(self.queue, self.backlog, self.segments), self.ends, self.turns, comes)
        return [at for at in found if at <= self.until]


@examples(40)
@given(
    limits=some_limits,
    floors=floors,
    guard=st.sampled_from([0.0, 0.01, 0.25]),
    paced=st.sampled_from([frozenset(), frozenset({"bulk"})]),
    batch_max=st.sampled_from([1, 3]),
    backlog=st.sampled_from([("bulk",), ("bulk",), ("transactional",), ("transactional", "bulk")]),
    segments=st.tuples(st.integers(1, 3), st.lists(st.integers(1, 2), min_size=1, max_size=3)),
    latencies=st.lists(st.sampled_from([1, 50, 300, 2500]), min_size=1, max_size=3),
    threads=st.sampled_from([(26,), (13, 13)]),
    first=st.sampled_from([0.0, 0.9, 1.3]),
    gaps=gaps,
)
def test_a_one_time_password_waits_for_as_many_permits_to_end_as_passwords_came_beyond_the_reserve(
    redis: Redis,
    *,
    limits: tuple[Limit, ...],
    floors: dict[str, float],
    guard: float,
    paced: frozenset[str],
    batch_max: int,
    backlog: tuple[str, ...],
    segments: tuple[int, list[int]],
    latencies: list[int],
    threads: tuple[int, ...],
    first: float,
    gaps: list[float],
) -> None:
    queue = queue_of(*limits, floors=floors, guard=guard, paced=paced, batch_max=batch_max, idle=60.0)
    longest, scarcest = max(limit.window for limit in limits), max(limits, key=lambda one: one.window / one.count)
    times = accumulate((max(1, of_one(scarcest, gap)) for gap in gaps), initial=round(first * longest * 1000))
    campaign, of_passwords = segments
    comes = [(at, of_passwords[index % len(of_passwords)]) for index, at in enumerate(times)]
    behind = Behind(redis, queue, backlog, campaign)
    behind.run(comes, latencies, threads, 3.3 * longest)
    due, went = behind.latest(), behind.went
    assume(due)
    assert len(went) >= len(due), "a password still waits whose permit has ended"
    late = [(index, at - must) for index, (at, must) in enumerate(zip(went, due, strict=False)) if at > must]
    assert not late, f"passwords and the ms that they were late: {late}"


@examples(10)
@given(
    limit=st.sampled_from([calls(2, 1.0), calls(5, 1.0), calls(10, 10.0), calls(16, 10.0), calls(20, 60.0), calls(40, 10.0)]),
    of_an_interval=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    first=st.integers(1300, 2500),
    gaps=st.lists(st.sampled_from([1.5, 1.5, 1.5, 1.6, 2.0, 3.1]), min_size=20, max_size=60),
)
def test_passwords_that_take_two_of_three_permits_beside_a_running_campaign_wait_for_one_interval_at_most(
    redis: Redis, limit: Limit, of_an_interval: float, first: int, gaps: list[float]
) -> None:
    """With the floor, the pace and the guard that an account has unless it sets others."""
    interval = of_one(limit, 1.0)
    latency = max(1, round(of_an_interval * interval))
    queue = queue_of(limit, floors={"otp": 0.05}, paced=frozenset({"bulk"}), idle=60.0)
    permits = floor(0.95 * limit.count)  # the campaign's, each of which ends once in a window and a call
    apart = (1000 * limit.window + latency) / permits
    times = accumulate((round(apart * gap) for gap in gaps), initial=round(first * limit.window))
    behind = Behind(redis, queue, ["bulk"], 1)
    behind.run([(at, 1) for at in times], [latency], (50,), 5 * limit.window)
    went = behind.went
    assert went
    assert max(at - came for at, (came, _) in zip(went, behind.comes, strict=False)) <= interval
    assert all(came > behind.until - interval for came, _ in behind.comes[len(went) :])
