"""What fires late, and what is written down as missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import Every, Firing
from tuma_worker.core.misfires import decide_due

START = datetime(2026, 12, 1, 8, tzinfo=UTC)
BEFORE = START - timedelta(seconds=1)
DAY = timedelta(days=1)

Policy = Literal["skip", "once", "all"]


def daily(misfire: Policy, *, days: int = 30) -> Every:
    return Every(frequency="daily", times="08:00", start=START, end=START + days * DAY, tz="UTC", misfire=misfire, grace=60)


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_what_is_in_time_fires_whatever_the_policy(misfire: Policy) -> None:
    for late in (0, 60):
        due = decide_due(daily(misfire), BEFORE, START + timedelta(seconds=late))
        assert ([one.at for one in due.fire], due.missed, due.settled, due.more) == ([START], (), START, False)
        assert due.following is not None
        assert due.following.at == START + DAY


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_before_it_is_due_nothing_fires_and_nothing_is_settled(misfire: Policy) -> None:
    due = decide_due(daily(misfire), BEFORE, BEFORE)
    assert (due.fire, due.missed, due.settled, due.more) == ((), (), BEFORE, False)
    assert due.following is not None
    assert due.following.at == START


@pytest.mark.parametrize(("misfire", "fires"), [("skip", []), ("once", [3]), ("all", [0, 1, 2, 3])])
def test_after_an_outage_the_policy_says_which_fire_and_the_others_are_missed(misfire: Policy, fires: list[int]) -> None:
    due = decide_due(daily(misfire), BEFORE, START + 3 * DAY + timedelta(hours=1))
    assert [(one.at - START) // DAY for one in due.fire] == fires
    assert [(one.at - START) // DAY for one in due.missed] == [day for day in range(4) if day not in fires]
    assert due.settled == START + 3 * DAY


@pytest.mark.parametrize(("misfire", "fires"), [("skip", [3]), ("once", [3]), ("all", [0, 1, 2, 3])])
def test_where_the_latest_is_in_time_it_stands_for_those_before_it(misfire: Policy, fires: list[int]) -> None:
    due = decide_due(daily(misfire), BEFORE, START + 3 * DAY)
    assert [(one.at - START) // DAY for one in due.fire] == fires


def test_what_is_settled_is_not_decided_again_and_a_series_ends() -> None:
    first = decide_due(daily("all", days=1), BEFORE, START + 10 * DAY)
    assert (len(first.fire), first.following) == (2, None)
    again = decide_due(daily("all", days=1), first.settled, START + 10 * DAY)
    assert (again.fire, again.missed, again.settled, again.following) == ((), (), first.settled, None)


@given(
    st.sampled_from(["skip", "once", "all"]),
    st.integers(-1, 40),
    st.sampled_from([0, 30, 61, 3600]),
    st.integers(1, 7),
    st.integers(0, 3 * 86_400),
)
def test_decided_in_pieces_it_is_what_is_decided_at_once(misfire: Policy, days: int, late: int, most: int, grace: int) -> None:
    schedule = daily(misfire).model_copy(update={"grace": float(grace)})
    now = START + days * DAY + timedelta(seconds=late)
    whole = decide_due(schedule, BEFORE, now)
    fire: list[Firing] = []
    missed: list[Firing] = []
    settled = BEFORE
    while (piece := decide_due(schedule, settled, now, most=most)).more:
        assert len(piece.fire) + len(piece.missed) == most
        fire += piece.fire
        missed += piece.missed
        settled = piece.settled
    assert (*fire, *piece.fire) == whole.fire
    assert (*missed, *piece.missed) == whole.missed
    assert (piece.settled, piece.following) == (whole.settled, whole.following)
    together = sorted([*whole.fire, *whole.missed], key=lambda one: one.at)
    assert together == [one for one in schedule.firings(BEFORE) if one.at <= now]
    assert all(one.at < other.at for one, other in pairwise(together))
