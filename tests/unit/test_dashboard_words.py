"""How the dashboard writes numbers, spans and schedules, and what its charts are drawn from."""

from __future__ import annotations

from collections import Counter

import pytest

from tuma_producer import At, Every
from tuma_worker.core.timetables import in_words
from tuma_worker.gateway.dashboard import words
from tuma_worker.gateway.dashboard.charts import HEIGHT, stacked


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-1, "0 s"), (0, "0 s"), (0.24, "0.2 s"), (9.94, "9.9 s"), (59.4, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (754, "12 min"),
     (3600 + 120, "1 h 2 min"), (86_400 * 2 + 3600, "2 d 1 h"), (86_400 * 30, "30 d")],
)  # fmt: skip
def test_a_span_says_what_matters(seconds: float, told: str) -> None:
    assert words.span(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(1, "second"), (60, "minute"), (3600, "hour"), (86_400, "day"), (10, "10 s"), (0.5, "0.5 s")]
)
def test_a_window_is_named_by_its_length(seconds: float, told: str) -> None:
    assert words.per(seconds) == told


def test_numbers_have_their_thousands_apart_and_as_many_digits_as_they_need() -> None:
    assert [words.count(one) for one in (0, 999, 1234567, 2.5, 16.7)] == ["0", "999", "1\u202f234\u202f567", "2.5", "16.7"]
    assert (words.many(1, "call"), words.many(2, "call")) == ("1 call", "2 calls")
    assert [words.share(1, 3), words.share(5, 4), words.share(1, 0)] == [33.33, 100.0, 0.0]
    assert words.sentence("the limit is used up until 2026-11-28T13:33:52+00:00") == "The limit is used up until 13:33:52 UTC."


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (Every(frequency="daily", times=["08:00", "17:30"], start="2030-01-01", tz="Africa/Kinshasa"),
         "every day at 08:00, 17:30 (Africa/Kinshasa)"),
        (Every(frequency="weekly", interval=2, weekdays=["fri", "mon"], times=["10:00"], start="2030-01-01", end="2030-06-01",
               tz="Africa/Nairobi"), "every 2 weeks on mon, fri at 10:00 until 2030-06-01 (Africa/Nairobi)"),
        (Every(frequency="seconds", interval=90, start="2030-01-01T00:00Z"), "every 90 seconds"),
        (At(times=["2030-12-24T18:00Z"]), "2030-12-24 18:00"),
        (At(times=["2030-12-31T18:00", "2030-12-24T18:00"], tz="Africa/Kinshasa"),
         "2 times, the first 2030-12-24 18:00 (Africa/Kinshasa)"),
    ],
)  # fmt: skip
def test_a_schedule_is_told_in_words(schedule: At | Every, told: str) -> None:
    assert in_words(schedule) == told


def test_a_chart_stands_its_kinds_on_each_other_and_scales_to_its_highest_bar() -> None:
    parts = [Counter({"a": 3, "b": 1}), Counter(), Counter({"c": 2})]
    chart = stacked(parts, {"good": ("a",), "bad": ("b", "c")})
    assert (chart.peak, chart.total, [layer.total for layer in chart.layers]) == (4, 6, [3, 3])
    good, bad = (layer.path for layer in chart.layers)
    assert good == f"M0.0 {HEIGHT:.1f}v-30.0h79.0v30.0z"
    assert bad == "M0.0 10.0v-10.0h79.0v10.0zM160.0 40.0v-20.0h79.0v20.0z"
    assert [layer.kind for layer in stacked(parts[1:2], {"good": ("a",)}).shown] == []
    assert stacked([], {"good": ("a",)}).layers[0].path == ""
