"""The limiter under an adversary: whatever calls, deaths, delays and repeats there are, no window sees more than its limit.

The scripts are the real ones on a real server; only their clock is the test's. The oracle does not know what a permit is: it has
the times at which calls arrived at the provider, chosen by hypothesis anywhere between a call's start and the last moment at which
the provider may have read it.
"""

from __future__ import annotations

import os
from math import floor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyrate_limiter import Rate, RateItem
from tests.redis.driver import Driver, calls, messages, number, queue_of, text, virtual_clock
from tests.redis.simulation import SECOND, End, Fate, Simulation, most_in_a_fixed_window, most_in_a_window
from tuma_worker.core.limits import Counted

if TYPE_CHECKING:
    from redis import Redis
    from tuma_worker.core.limits import Limit
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.scripts import Wait

LONG = bool(os.environ.get("TUMA_TEST_LONG"))
property_settings = settings(
    max_examples=2000 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

WINDOWS = (0.2, 1.0, 7.3, 60.0, 3600.0)
OFFSETS = (0.0, 0.25, 0.5, 0.9)
LANES = ("otp", "transactional", "bulk")

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
    more = {"priority": one["priority"], "source": one["source"], "coalesce": one["coalesce"]}
    driver.enqueue(*to, message=text(one["segments"], one["name"]), **more)


def simulate(
    redis: Redis, queue: QueueConfig, work: list[tuple[float, dict[str, Any]]], fated: list[Fate], threads: tuple[int, ...],
    phase: int = 0, most_claims: int = 250,
) -> Simulation:  # fmt: skip
    """Run it all in an empty server. `phase` is where in a millisecond time begins."""
    redis.flushall()
    with virtual_clock(redis) as clock:
        clock.set(clock.now + phase)
        driver = Driver(redis, queue)
        simulation = Simulation(driver, clock, fated, threads, most_claims)
        longest = max((limit.window for limit in queue.limits), default=1.0)
        for first, (at, one) in enumerate(work):
            simulation.at(round(at * longest * SECOND), lambda first=first, one=one: accept(driver, first, one))  # type: ignore[misc] # the defaults bind the loop's values
        simulation.run(seconds=6 * longest + 120)
    return simulation


def assert_within(simulation: Simulation, limits: tuple[Limit, ...]) -> None:
    for limit in limits:
        assert most_in_a_window(simulation.arrivals, limit) <= limit.count, f"{limit} in a sliding window"
        for offset in OFFSETS:
            assert most_in_a_fixed_window(simulation.arrivals, limit, offset) <= limit.count, f"{limit} in a fixed window"


@property_settings
@given(data=st.data(), limits=some_limits, floors=floors, threads=st.sampled_from([(1,), (3,), (2, 1), (4, 4, 4)]))
def test_no_window_of_any_limit_ever_sees_more_than_it_allows(
    redis: Redis, data: st.DataObject, limits: tuple[Limit, ...], floors: dict[str, float], threads: tuple[int, ...]
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
    phase = data.draw(st.sampled_from([0, 1, 500, 999]), label="phase")
    assert_within(simulate(redis, queue, work, fated, threads, phase), limits)
