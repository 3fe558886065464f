"""Workers are scaled by the calls in flight that would help: not by a backlog, which a limit may hold."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_worker.core.scaling import Load, Need, need

if TYPE_CHECKING:
    from collections.abc import Callable

RATES = st.floats(0, 1000, allow_nan=False)
LOADS = st.builds(Load, permitted=RATES, arriving=RATES, backlog=st.floats(0, 1e6), busy=st.floats(0.01, 30))


def test_an_idle_account_needs_nothing() -> None:
    assert need(Load(permitted=50, arriving=0, backlog=0)) == Need(0, provider_bound=False)


def test_a_backlog_behind_a_limit_needs_what_the_limit_keeps_busy() -> None:
    assert need(Load(permitted=50, arriving=10, backlog=30_000, busy=0.4)) == Need(25, provider_bound=True)


def test_slower_calls_need_more_slots_for_the_same_rate() -> None:
    assert need(Load(permitted=50, arriving=10, backlog=30_000, busy=2.0)).slots == 125


def test_without_a_limit_the_drain_target_says_how_fast() -> None:
    load = Load(permitted=math.inf, arriving=1, backlog=600, busy=1.0)
    assert need(load, drain=60, headroom=1.0) == Need(11, provider_bound=False)


def test_a_provider_that_takes_few_calls_at_once_gets_no_more() -> None:
    assert need(Load(permitted=50, arriving=50, backlog=0, busy=2.0, concurrency=10)) == Need(10, provider_bound=True)


def test_a_spent_limit_holds_also_what_is_less_than_it_allows_on_the_average() -> None:
    assert need(Load(permitted=0.28, arriving=0, backlog=10)) == Need(1, provider_bound=True)
    assert not need(Load(permitted=0.28, arriving=0, backlog=10, room=True)).provider_bound
    assert not need(Load(permitted=0.28, arriving=0, backlog=0)).provider_bound


@given(LOADS, st.floats(0, 1e6))
def test_more_backlog_never_needs_fewer_slots_nor_more_than_the_limit_keeps_busy(load: Load, more: float) -> None:
    fuller = Load(load.permitted, load.arriving, load.backlog + more, load.busy)
    assert need(load).slots <= need(fuller).slots <= math.ceil(load.permitted * load.busy * 1.25)


# ---------------------------------------------------------------------------------------------------------- simulation

SLOTS, CEILING, HOUR = 8, 50, 3600  # threads of a replica, replicas at most, seconds
SYNC, START, CALM = 15, 20, 300  # seconds: between two looks, until a replica works, of lower demand before one is taken away
LIMIT, BASE, BURST = 50.0, 10.0, 30_000.0  # calls per second allowed and arriving; calls that come at once


@dataclass
class Seen:
    """What an hour was like."""

    drained: int
    peak: int
    replica_hours: float


def _hour(wanted: Callable[[float, float], int], busy: float) -> Seen:
    """One hour of a burst; `wanted(backlog, served)` says how many slots a scaler asks for."""
    backlog, replicas, peak, spent, drained = BURST, 1, 1, 0, 0
    starting: deque[int] = deque()
    asked: deque[int] = deque(maxlen=CALM // SYNC)
    served = BASE
    for second in range(HOUR):
        while starting and starting[0] <= second:
            starting.popleft()
            replicas += 1
        if second % SYNC == 0:
            asked.append(min(CEILING, max(1, math.ceil(wanted(backlog, served) / SLOTS))))
            starting.extend([second + START] * (asked[-1] - replicas - len(starting)))
            if not starting:
                replicas = max(*asked, min(replicas, asked[-1]))
        backlog += BASE
        served = min(LIMIT, replicas * SLOTS / busy, backlog)
        backlog -= served
        drained = drained or (second if backlog < BASE else 0)
        peak, spent = max(peak, replicas), spent + replicas
    return Seen(drained, peak, spent / HOUR)


def _by_need(busy: float) -> Callable[[float, float], int]:
    return lambda backlog, served: need(Load(LIMIT, served, backlog, busy)).slots


def _by_backlog(backlog: float, _served: float) -> int:
    return math.ceil(backlog / 100) * SLOTS


@pytest.mark.parametrize(("busy", "peak"), [(0.4, 4), (2.0, 16)])
def test_a_burst_behind_a_limit_drains_as_fast_with_few_replicas_as_with_fifty(busy: float, peak: int) -> None:
    ours, theirs = _hour(_by_need(busy), busy), _hour(_by_backlog, busy)
    assert ours.peak == peak
    assert theirs.peak == CEILING
    assert ours.drained <= theirs.drained + 20, "no replica beyond the useful ones drains it sooner"
    assert ours.replica_hours < theirs.replica_hours / 2


def test_replicas_go_when_the_burst_is_over() -> None:
    assert _hour(_by_need(0.4), 0.4).replica_hours < 2
