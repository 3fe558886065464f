"""The limiter under an adversary: whatever calls, deaths, delays and repeats there are, no window sees more than its limit.

The scripts are the real ones on a real server; only their clock is the test's. The oracle does not know what a permit is: it has
the times at which calls arrived at the provider, chosen by hypothesis anywhere between a call's start and the last moment at which
the provider may have read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pyrate_limiter import InMemoryBucket, Rate, RateItem
from tests.redis.driver import LANES, Driver, calls, messages, number, queue_of, text, virtual_clock
from tests.redis.simulation import (
    SECOND,
    Arrival,
    End,
    Fate,
    Process,
    Simulation,
    most_in_a_fixed_window,
    most_in_a_window,
)

from tuma_worker.core.limits import Counted
from tuma_worker.queue.scripts import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.core.limits import Limit
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.scripts import Wait

    OnWait = Callable[[Simulation, Wait], None]

LONG = bool(os.environ.get("TUMA_TEST_LONG"))
_profile = settings(
    deadline=None,
    derandomize=not LONG,
    phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if LONG else ())),  # explaining takes minutes, shrinking too
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def examples(count: int) -> settings:
    """So many examples, always the same; many more, and new ones, where TUMA_TEST_LONG is set."""
    return settings(_profile, max_examples=20 * count if LONG else count)


WINDOWS = (0.2, 1.0, 7.3, 60.0, 3600.0)
OFFSETS = (0.0, 0.25, 0.5, 0.9)

windows = st.sampled_from(WINDOWS)
call_counts = st.one_of(st.integers(1, 6).map(float), st.sampled_from([1.5, 2.7, 4.99]))
call_limits = st.builds(calls, call_counts, windows)
message_limits = st.builds(messages, st.integers(4, 20).map(float), windows)
some_limits = st.one_of(
    st.tuples(call_limits),
    st.tuples(message_limits),
    st.tuples(call_limits, call_limits).filter(lambda pair: pair[0].name != pair[1].name),
    st.tuples(call_limits, message_limits),
    st.tuples(st.builds(calls, call_counts, st.just(1.0)), st.builds(calls, call_counts, st.just(60.0)),
              st.builds(messages, st.integers(6, 40).map(float), st.just(3600.0))),
)  # fmt: skip
floors = st.fixed_dictionaries(
    {}, optional={"otp": st.sampled_from([0.05, 0.2, 0.5]), "transactional": st.sampled_from([0.1, 0.3])}
)


@st.composite
def fates(draw: st.DrawFn, window: float, *, healthy: bool = False) -> list[Fate]:
    """What happens to batches, in turn. Latencies from a microsecond to several windows."""
    ends = st.just(End.SENT) if healthy else st.sampled_from(list(End))
    fate = st.builds(
        Fate,
        end=ends,
        begin=st.sampled_from([0, 1, 999, 40_000]),
        latency=st.one_of(
            st.integers(1, 2_000),
            st.sampled_from([150_000, 300_000, 2_500_000, 20_000_000]),
            st.sampled_from([0.01, 0.5, 0.999, 1.0, 1.7]).map(lambda share: max(1, round(share * min(window, 120.0) * SECOND))),
        ),
        arrival=st.sampled_from([0.0, 0.001, 0.5, 0.999, 1.0]),
        repeats=st.sampled_from([0, 0, 0, 1, 2]),
    )
    found = draw(st.lists(fate, min_size=1, max_size=8))
    return found if any(one.end is End.SENT for one in found) else [*found, Fate()]


@st.composite
def sends(draw: st.DrawFn, lanes: tuple[str, ...] = LANES, most_segments: int = 3) -> list[tuple[float, dict[str, Any]]]:
    """Bursts of sends: when, as a share of the longest window, and what."""
    send = st.fixed_dictionaries(
        {
            "priority": st.sampled_from(lanes),
            "source": st.sampled_from(["billing", "shop", "login"]),
            "recipients": st.integers(1, 5),
            "segments": st.integers(1, most_segments),
            "name": st.sampled_from("ab"),
            "coalesce": st.booleans(),
        },
    )
    burst = st.tuples(st.sampled_from([0.0, 0.0, 0.1, 0.99, 1.0, 1.5, 2.2]), send, st.integers(1, 12))
    found: list[tuple[float, dict[str, Any]]] = []
    for at, one, times in draw(st.lists(burst, min_size=1, max_size=6)):
        found += [(at, one)] * times
    return found


def accept(driver: Driver, first: int, one: dict[str, Any]) -> None:
    to = [number(first * 5 + index) for index in range(one["recipients"])]
    more = {name: one[name] for name in ("priority", "source", "coalesce", "expires_in") if name in one}
    driver.enqueue(*to, message=text(one["segments"], one["name"]), **more)


def simulate(
    redis: Redis, queue: QueueConfig, work: list[tuple[float, dict[str, Any]]], fated: list[Fate], threads: tuple[int, ...], *,
    knocks: tuple[int, ...] = (), most_claims: int = 250, on_wait: OnWait | None = None,
    seconds: float | None = None,
) -> Simulation:  # fmt: skip
    """Run it all in an empty server. `knocks` are further times, in microseconds, at which a sleeping process claims."""
    redis.flushall()
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue)
        simulation = Simulation(driver, clock, fated, threads, most_claims)
        if on_wait is not None:
            simulation.on_wait = lambda found: on_wait(simulation, found)
        for knock in knocks:
            simulation.at(knock, simulation.knock)
        longest = max((limit.window for limit in queue.limits), default=1.0)
        for first, (at, one) in enumerate(work):
            simulation.at(round(at * longest * SECOND), partial(accept, driver, first, one))
        simulation.run(6 * longest + 120 if seconds is None else seconds)
    return simulation


def assert_within(simulation: Simulation, limits: tuple[Limit, ...]) -> None:
    for limit in limits:
        assert most_in_a_window(simulation.arrivals, limit) <= limit.count, f"{limit} in a sliding window"
        for offset in OFFSETS:
            assert most_in_a_fixed_window(simulation.arrivals, limit, offset) <= limit.count, f"{limit} in a fixed window"
        assert somebody_elses_limiter_agrees(simulation, limit), f"{limit} as pyrate-limiter counts"


def somebody_elses_limiter_agrees(simulation: Simulation, limit: Limit) -> bool:
    """Whether an independent limiter would have let every arrival in. It counts an arrival exactly one window ago, we do not."""
    bucket = InMemoryBucket([Rate(floor(limit.count), round(limit.window * SECOND) - 1)])
    line = sorted(simulation.arrivals, key=lambda one: one.at)
    return all(bucket.put(RateItem("call", one.at, weight=one.weight(limit))) for one in line)


@examples(80)
@given(
    data=st.data(),
    limits=some_limits,
    floors=floors,
    threads=st.sampled_from([(1,), (3,), (2, 1), (4, 4, 4)]),
    knocks=st.lists(st.integers(0, 3_000_000), max_size=6).map(tuple),
)
def test_no_window_of_any_limit_ever_sees_more_than_it_allows(
    redis: Redis,
    *,
    data: st.DataObject,
    limits: tuple[Limit, ...],
    floors: dict[str, float],
    threads: tuple[int, ...],
    knocks: tuple[int, ...],
) -> None:
    queue = queue_of(
        *limits,
        floors=floors,
        paced=data.draw(st.sampled_from([frozenset(), frozenset({"bulk"})]), label="paced"),
        cold_start=data.draw(st.sampled_from(["burst", "paced"]), label="cold start"),
        batch_max=data.draw(st.sampled_from([1, 3, 100]), label="batch_max"),
        count_segments=data.draw(st.booleans(), label="count_segments"),
        lease=data.draw(st.sampled_from([3.0, 15.0]), label="lease"),
        grace=data.draw(st.sampled_from([0.0, 1.0, 5.0]), label="grace"),
        idle=max(5.0, max(limit.window for limit in limits) / 3),
    )
    work = data.draw(sends(), label="sends")
    fated = data.draw(fates(limits[0].window), label="fates")
    assert_within(simulate(redis, queue, work, fated, threads, knocks=knocks), limits)


@dataclass
class Book:
    """Who claimed what in which order, and from when on the queue has known a limit that comes and goes."""

    limit: Limit
    redis: Redis
    claims: list[tuple[int, str, bool, bytes | None]] = field(default_factory=list)

    def note(self, simulation: Simulation, process: Process, found: Claim | Wait) -> None:
        queue = process.driver.queue
        born = cast("bytes | None", self.redis.hget(queue.keys.state, f"born:{self.limit.name}"))
        batch = found.batch_id if isinstance(found, Claim) else ""
        self.claims.append((simulation.clock.now, batch, self.limit in queue.limits, born))

    def check(self, arrivals: list[Arrival], *, paced: bool, least: int) -> None:
        """See that no claim of a worker with the limit passed it, whoever claimed the others, nor opened its first window early."""
        order = {batch: index for index, (_, batch, _, _) in enumerate(self.claims) if batch}
        births: dict[bytes | None, int] = {}
        for index, (_, _, _, born) in enumerate(self.claims):
            births.setdefault(born, index)
        for last in arrivals:
            at, _, knows, born = self.claims[order[last.batch]]
            if not knows:
                continue
            assert born is not None
            known = [one for one in arrivals if births[born] <= order[one.batch] <= order[last.batch]]
            around = [one for one in known if abs(one.at - last.at) < self.limit.window * SECOND]
            assert most_in_a_window(around, self.limit) <= self.limit.count, f"{self.limit} in a sliding window"
            opened = (at - int(born) * 1000) / (self.limit.window * SECOND)
            if paced and opened < 1:
                assert sum(one.weight(self.limit) for one in known) <= max(least, self.limit.count * opened) + 1e-6


@examples(60)
@given(
    data=st.data(),
    kept=st.one_of(call_limits, st.builds(calls, st.sampled_from([10.0, 40.0]), st.sampled_from([0.2, 1.0]))),
    goes=st.one_of(call_limits, message_limits),
    cold_start=st.sampled_from(["burst", "paced"]),
    threads=st.sampled_from([(1, 1), (3, 2), (4, 4, 4)]),
    first=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    healthy=st.booleans(),
)
def test_while_a_limit_comes_and_goes_it_is_passed_by_no_worker_that_has_it_and_the_others_by_none(
    redis: Redis,
    *,
    data: st.DataObject,
    kept: Limit,
    goes: Limit,
    cold_start: str,
    threads: tuple[int, ...],
    first: tuple[bool, bool, bool],
    healthy: bool,
) -> None:
    assume(kept.name != goes.name)
    redis.flushall()
    batch_max = data.draw(st.sampled_from([1, 3]), label="batch_max")
    more: dict[str, Any] = {"cold_start": cold_start, "batch_max": batch_max, "lease": 3.0, "grace": 1.0, "idle": goes.window}
    change = st.tuples(st.sampled_from([0.01, 0.3, 0.9, 1.1, 2.5, 4.0]), st.integers(0, len(threads) - 1), st.booleans())
    changes = data.draw(st.lists(change, max_size=8), label="when, whose, whether it has the limit")
    work = data.draw(sends(), label="sends")
    with virtual_clock(redis) as clock:
        drivers = {True: Driver(redis, queue_of(kept, goes, **more)), False: Driver(redis, queue_of(kept, **more))}
        simulation = Simulation(drivers[True], clock, data.draw(fates(goes.window, healthy=healthy), label="fates"), threads, 250)
        book = Book(goes, redis)
        simulation.on_claim = partial(book.note, simulation)
        for index in range(len(threads)):
            simulation.reconfigure(index, drivers[first[index]])
        for at, index, has in changes:
            simulation.at(round(at * goes.window * SECOND), partial(simulation.reconfigure, index, drivers[has]))
        for index, (at, one) in enumerate(work):
            simulation.at(round(at * goes.window * SECOND), partial(accept, drivers[True], index, one))
        simulation.run(6 * goes.window + 120)
    assert_within(simulation, (kept,))
    book.check(simulation.arrivals, paced=cold_start == "paced", least=1 if goes.counted is Counted.CALLS else 3)
    assert not [name for name, weight in redis.hgetall(drivers[True].queue.keys.used).items() if float(weight) < -1e-9]


@pytest.mark.parametrize("window", WINDOWS)
def test_an_end_counts_to_the_last_microsecond_of_its_millisecond(redis: Redis, window: float) -> None:
    limit = calls(1, window)
    with virtual_clock(redis) as clock:
        driver = Driver(redis, queue_of(limit))
        driver.enqueue_singles(2)
        first = driver.taken()
        driver.begin(first)
        length = max(1, floor(window))  # ms; the end of a slot, as far as the slots of this window are long
        clock.set(clock.now + 1000 * length * 7 + 999)
        driver.settle(first)
        ended = clock.now
        clock.set(ended + round(window * SECOND) - 999)
        driver.refused()
        clock.set(ended + round(window * SECOND) + 2000 * length)
        driver.taken()


@examples(30)
@given(data=st.data(), limits=some_limits, threads=st.sampled_from([(1,), (3,), (4, 4, 4)]))
def test_a_waiting_one_time_password_is_refused_only_where_its_room_is_really_taken(
    redis: Redis, data: st.DataObject, limits: tuple[Limit, ...], threads: tuple[int, ...]
) -> None:
    def has_a_reason(simulation: Simulation, found: Wait) -> None:
        if redis.zcard(simulation.driver.queue.keys.groups):
            slack = {limit: 2 * max(0.001, limit.window / 1000) + 0.002 for limit in limits}
            full = [limit for limit in limits if simulation.counted(limit, slack[limit]) + 1 > limit.count]
            assert full, f"there is room, and the answer was {found}"

    queue = queue_of(*limits, batch_max=data.draw(st.sampled_from([1, 3, 100])), lease=3.0, idle=1200.0)
    work = data.draw(sends(lanes=("otp",), most_segments=1), label="sends")
    fated = data.draw(fates(limits[0].window), label="fates")
    simulate(redis, queue, work, fated, threads, on_wait=has_a_reason)


@examples(15)
@given(
    data=st.data(),
    limits=some_limits,
    floors=floors,
    paced=st.booleans(),
    cold_start=st.sampled_from(["burst", "paced"]),
    threads=st.integers(1, 4),
)
def test_a_consumer_that_wakes_when_it_was_told_to_is_refused_a_few_times_for_each_claim_and_everything_is_sent(
    redis: Redis,
    *,
    data: st.DataObject,
    limits: tuple[Limit, ...],
    floors: dict[str, float],
    paced: bool,
    cold_start: str,
    threads: int,
) -> None:
    longest, shortest = max(limit.window for limit in limits), min(limit.window for limit in limits)
    lanes = frozenset(LANES if paced else ())
    queue = queue_of(*limits, floors=floors, paced=lanes, cold_start=cold_start, batch_max=5, idle=longest * 10)
    work = [(0.0, one) for _, one in data.draw(sends(most_segments=2), label="sends")]
    fated = data.draw(fates(shortest, healthy=True), label="fates")
    simulation = simulate(redis, queue, work, fated, (threads,), most_claims=2000, seconds=200 * longest + 3600)
    # While a call is in flight nobody knows its end: it is looked for once in a window of the shortest limit.
    busy = (simulation.claims[-1][0] - simulation.start) / SECOND
    assert simulation.timer_refusals <= 3 * len(simulation.claims) + busy / shortest + 5
    assert redis.zcard(queue.keys.groups) == 0, f"something still waits: {simulation.waits[-1]}"


@st.composite
def backlogs(draw: st.DrawFn) -> tuple[tuple[Limit, ...], int, int]:
    """Limits, with what a call carries at the most and how many segments a text has.

    Calls and messages are limited together only as far as full calls fill both, or the messages are scarcer than calls of one job:
    elsewhere a claim that waits for a worthwhile call leaves a few messages of each window.
    """
    kind = draw(st.sampled_from(["calls", "calls", "messages", "two", "full calls", "three"]))
    window, count = draw(windows), draw(st.integers(2, 6))
    if kind == "calls":
        return (calls(draw(st.integers(1, 10)), window),), 1, 1
    if kind == "messages":
        return (messages(draw(st.integers(4, 20)), window),), draw(st.sampled_from([1, 3])), draw(st.integers(1, 3))
    if kind == "full calls":
        most = draw(st.sampled_from([2, 5]))
        return (calls(count, window), messages(count * most, window)), most, 1
    both = (calls(count, 1.0), calls(draw(st.integers(6, 14)), 10.0))
    return (both if kind == "two" else (*both, messages(draw(st.integers(10, 30)), 60.0))), 1, 1


def pace_of(limit: Limit, floors: dict[str, float], lane: int, *, latency: float, batch_max: int, segments: int) -> float:
    """Seconds from one job to the next: each permit is held for the limit's window and its call, and floors keep their share."""
    kept = sum(floors.get(name, 0.0) for name in LANES[:lane]) * limit.count
    least = 1 if limit.counted is Counted.CALLS else segments
    most = floor(max(limit.count - kept, min(limit.count, least)))  # a job may always go by itself
    return (limit.window + latency) / (most * batch_max if limit.counted is Counted.CALLS else most // segments)


@examples(30)
@given(
    backlog=backlogs(),
    floors=floors,
    latency=st.sampled_from([0.001, 0.05, 0.5, 1.5]),
    threads=st.sampled_from([(20,), (10, 10), (1,) * 20]),
    waiting=st.sampled_from([("otp",), ("transactional",), ("bulk",), ("bulk",), ("otp", "bulk"), ("transactional", "bulk")]),
    paced=st.sampled_from([frozenset(), frozenset({"bulk"})]),
)
def test_with_a_backlog_the_allowance_is_used(
    redis: Redis,
    *,
    backlog: tuple[tuple[Limit, ...], int, int],
    floors: dict[str, float],
    latency: float,
    threads: tuple[int, ...],
    waiting: tuple[str, ...],
    paced: frozenset[str],
) -> None:
    limits, batch_max, segments = backlog
    lane = LANES.index(waiting[0])  # the highest of them: the others have what it leaves
    pace = max(pace_of(limit, floors, lane, latency=latency, batch_max=batch_max, segments=segments) for limit in limits)
    longest = max(limit.window for limit in limits)
    seconds = 3.2 * (longest + latency)
    jobs = floor(seconds / pace) + 30  # more than a window may hold beyond its share
    one = {"source": "billing", "recipients": jobs, "segments": segments, "name": "a", "coalesce": True, "expires_in": 1e6}
    simulation = simulate(
        redis,
        queue_of(*limits, floors=floors, paced=paced, batch_max=batch_max, idle=longest),
        [(0.0, one | {"priority": name}) for name in waiting],
        [Fate(latency=round(latency * SECOND))], threads, seconds=seconds, most_claims=4000,
    )  # fmt: skip
    done = 0
    for at, batch in simulation.claims:
        assert batch.actor == "send"
        assert (at - simulation.start) / SECOND <= done * pace / 0.99, f"job {done} is late"
        done += len(batch.jobs)
    assert done < jobs * len(waiting), "there was no backlog to the end"
    assert done * pace / 0.99 >= seconds, f"only {done} jobs went"


@examples(30)
@given(data=st.data(), limits=some_limits, threads=st.sampled_from([(1,), (4, 4)]))
def test_a_limiter_without_history_opens_its_first_window_evenly(
    redis: Redis, data: st.DataObject, limits: tuple[Limit, ...], threads: tuple[int, ...]
) -> None:
    segments = 3
    queue = queue_of(*limits, cold_start="paced", batch_max=data.draw(st.sampled_from([1, 100])), lease=3.0)
    work = data.draw(sends(most_segments=segments), label="sends")
    fated = data.draw(fates(limits[0].window), label="fates")
    simulation = simulate(redis, queue, work, fated, threads)
    for limit in limits:
        born = int(redis.hget(queue.keys.state, f"born:{limit.name}") or 0) * 1000
        total = 0
        for arrival in sorted(simulation.arrivals, key=lambda one: one.at):
            total += arrival.weight(limit)
            opened = (arrival.at - born) / (limit.window * SECOND)
            least = 1 if limit.counted is Counted.CALLS else segments  # something may always go
            if opened < 1:
                assert total <= max(least, limit.count * opened) + 1e-6, f"{limit} {opened:.3f} of its first window"
