"""How fast somebody may ask: a whole window at once, then evenly, and never for what was refused."""

from __future__ import annotations

import pytest

from tuma_worker.core.limits import Limit
from tuma_worker.core.rates import spend

LIMIT = Limit.parse("10/s")


def test_a_whole_window_may_be_asked_for_at_once_and_then_one_by_one() -> None:
    due, waits = 0.0, []
    for _ in range(13):
        due, wait = spend(due, 100.0, 1, LIMIT)
        waits.append(wait)
    assert waits == [0.0] * 10 + [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.3)]


def test_what_was_not_asked_for_is_not_saved_up_beyond_a_window() -> None:
    due, _ = spend(0.0, 100.0, 10, LIMIT)
    assert spend(due, 100.5, 5, LIMIT)[1] == pytest.approx(0.0)
    assert spend(due, 100.5, 6, LIMIT)[1] == pytest.approx(0.1)
    assert spend(due, 900.0, 11, LIMIT)[1] == pytest.approx(0.1)


def test_over_a_long_time_it_is_the_rate() -> None:
    due, now = 0.0, 100.0
    for _ in range(1000):
        due, wait = spend(due, now, 7, LIMIT)
        now += wait
    assert now - 100.0 == pytest.approx(700.0, rel=0.01)
