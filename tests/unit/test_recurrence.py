"""Which instants a schedule means, held against dateutil's rules and against the clocks of real places."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule, rruleset
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import At, Every, recurrence

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
PLACES = [
    "Africa/Kinshasa",
    "Africa/Nairobi",
    "Europe/Paris",
    "America/New_York",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Pacific/Apia",
]
RULES: dict[str, Literal[0, 1, 2, 3]] = {"daily": DAILY, "weekly": WEEKLY, "monthly": MONTHLY, "yearly": YEARLY}

starts = st.dates(date(1995, 1, 1), date(2060, 12, 31))
times_of_day = st.lists(st.builds(time, st.integers(0, 23), st.integers(0, 59)), min_size=1, max_size=4)
frequencies = st.sampled_from(sorted(RULES))
intervals = st.integers(1, 14)


def every(**fields: Any) -> Every:  # noqa: ANN401 - fields of Every
    return Every(**({"frequency": "daily", "times": "08:00", "tz": "Africa/Kinshasa"} | fields))


def shown(schedule: At | Every, count: int = 5, after: datetime | None = None) -> list[str]:
    """The first local times, as people would write them."""
    return [firing.local.isoformat(timespec="minutes") for firing in islice(schedule.firings(after), count)]


# -------------------------------------------------------------------------------------------------------------- the oracle


def oracle(frequency: str, interval: int, start: date, times: list[time], weekdays: list[str] | None) -> rruleset:
    """What dateutil makes of it: a rule for each time of day. A month that is too short has its last day by `bysetpos`."""
    more: dict[str, Any] = {}
    if weekdays:
        more["byweekday"] = [WEEKDAYS.index(day) for day in weekdays]
    if frequency in {"monthly", "yearly"} and start.day > 28:
        more |= {"bymonthday": list(range(28, start.day + 1)), "bysetpos": -1}
        more |= {"bymonth": start.month} if frequency == "yearly" else {}
    found = rruleset()
    for one in times:
        found.rrule(rrule(RULES[frequency], interval=interval, dtstart=datetime.combine(start, one), **more))
    return found


@given(frequencies, intervals, starts, times_of_day, st.lists(st.sampled_from(WEEKDAYS), max_size=4))
def test_where_clocks_never_change_it_is_what_dateutil_says(
    frequency: str, interval: int, start: date, times: list[time], days: list[str]
) -> None:
    weekdays = days if frequency == "weekly" and days else None
    schedule = every(frequency=frequency, interval=interval, start=start, times=times, weekdays=weekdays, tz="Africa/Nairobi")
    found = [firing.local.replace(tzinfo=None) for firing in islice(schedule.firings(), 25)]
    assert found == list(islice(oracle(frequency, interval, start, times, weekdays), 25))


@given(frequencies, intervals, starts, times_of_day, st.sampled_from(PLACES))
def test_where_clocks_change_it_is_what_dateutil_says_but_for_times_that_do_not_exist(
    frequency: str, interval: int, start: date, times: list[time], place: str
) -> None:
    zone = ZoneInfo(place)
    schedule = every(frequency=frequency, interval=interval, start=start, times=times, tz=place, gap="skip")
    found = [firing.local.replace(tzinfo=None) for firing in islice(schedule.firings(), 40)]
    candidates = islice(oracle(frequency, interval, start, times, None), 80)
    exist = [one for one in candidates if one.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == one]
    assert [one.replace(fold=0) for one in found] == exist[:40]


@given(
    st.fixed_dictionaries(
        {
            "frequency": frequencies,
            "interval": intervals,
            "start": starts,
            "times": times_of_day,
            "tz": st.sampled_from(PLACES),
            "gap": st.sampled_from(["forward", "skip"]),
        }
    ),
    st.integers(0, 50),
    st.sampled_from([timedelta(0), timedelta.resolution]),
)
def test_firings_ascend_without_duplicates_and_after_begins_in_their_midst(
    fields: dict[str, Any], position: int, later: timedelta
) -> None:
    schedule = every(**fields)
    found = list(islice(schedule.firings(), 60))
    assert all(one.at < other.at for one, other in pairwise(found))
    assert all(firing.at.tzinfo is UTC and firing.at == firing.local.astimezone(UTC) for firing in found)
    assert list(islice(schedule.firings(found[position].at + later), 9)) == found[position + 1 : position + 10]
    assert next(schedule.firings(found[position].at - timedelta.resolution)) == found[position]


@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.integers(1, 10**8),
    st.integers(0, 10**9),
)
def test_seconds_pass_evenly_whatever_clocks_show(start: datetime, interval: int, later: int) -> None:
    schedule = Every(frequency="seconds", interval=interval, start=start, tz="America/New_York")
    assert [one.at for one in islice(schedule.firings(), 3)] == [start + timedelta(seconds=n * interval) for n in range(3)]
    after = start + timedelta(seconds=later)
    following = next(schedule.firings(after)).at
    assert after < following <= after + timedelta(seconds=interval)
    assert (following - start) % timedelta(seconds=interval) == timedelta(0)


# ---------------------------------------------------------------------------------------------------------- the clock moves

# Place, times of day, the days around a change, and what fires on them. Where a zone's past cannot change, tests stay true.
CHANGES = {
    "Paris, forward": (
        "Europe/Paris", "02:30", "2025-03-29",
        ["2025-03-29T02:30+01:00", "2025-03-30T03:30+02:00", "2025-03-31T02:30+02:00"],
    ),
    "Paris, back: the first of two": (
        "Europe/Paris", "02:30", "2025-10-25",
        ["2025-10-25T02:30+02:00", "2025-10-26T02:30+02:00", "2025-10-27T02:30+01:00"],
    ),
    "New York, forward": (
        "America/New_York", "02:00", "2025-03-08",
        ["2025-03-08T02:00-05:00", "2025-03-09T03:00-04:00", "2025-03-10T02:00-04:00"],
    ),
    "New York, back": (
        "America/New_York", "01:59", "2025-11-01",
        ["2025-11-01T01:59-04:00", "2025-11-02T01:59-04:00", "2025-11-03T01:59-05:00"],
    ),
    "Casablanca, back as Ramadan begins": (
        "Africa/Casablanca", "02:30", "2025-02-22",
        ["2025-02-22T02:30+01:00", "2025-02-23T02:30+01:00", "2025-02-24T02:30+00:00"],
    ),
    "Casablanca, forward as it is over": (
        "Africa/Casablanca", "02:30", "2025-04-05",
        ["2025-04-05T02:30+00:00", "2025-04-06T03:30+01:00", "2025-04-07T02:30+01:00"],
    ),
    "Cairo, forward at midnight": (
        "Africa/Cairo", "00:00", "2024-04-25",
        ["2024-04-25T00:00+02:00", "2024-04-26T01:00+03:00", "2024-04-27T00:00+03:00"],
    ),
    "Samoa, a day left out": (
        "Pacific/Apia", "08:00", "2011-12-29",
        ["2011-12-29T08:00-10:00", "2011-12-31T08:00+14:00", "2012-01-01T08:00+14:00"],
    ),
    "Kinshasa, never": (
        "Africa/Kinshasa", "02:30", "2025-03-29",
        ["2025-03-29T02:30+01:00", "2025-03-30T02:30+01:00", "2025-03-31T02:30+01:00"],
    ),
    "Nairobi, never": (
        "Africa/Nairobi", "02:30", "2025-10-25",
        ["2025-10-25T02:30+03:00", "2025-10-26T02:30+03:00", "2025-10-27T02:30+03:00"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("place", "at", "start", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_time_that_does_not_exist_moves_by_the_gap_and_of_two_the_first_fires(
    place: str, at: str, start: str, expected: list[str]
) -> None:
    assert shown(every(times=at, start=start, tz=place), 3) == expected
    assert shown(At(times=[f"{start}T{at}"], tz=place)) == expected[:1]


def test_with_skip_a_time_that_does_not_exist_does_not_fire() -> None:
    found = every(times="02:30", start="2025-03-29", tz="Europe/Paris", gap="skip")
    assert shown(found, 2) == ["2025-03-29T02:30+01:00", "2025-03-31T02:30+02:00"]
    at = At(times=["2025-03-30T02:30", "2025-03-30T03:30"], tz="Europe/Paris", gap="skip")
    assert shown(at) == ["2025-03-30T03:30+02:00"]


def test_a_moved_time_is_told_as_moved_and_falls_into_its_place_among_the_others() -> None:
    found = every(times=["02:30", "03:00", "03:30"], start="2025-03-30", end="2025-03-30", tz="Europe/Paris")
    assert [(one.local.strftime("%H:%M"), one.moved) for one in found.firings()] == [("03:00", False), ("03:30", False)]
    (moved,) = At(times="2025-03-30T02:45", tz="Europe/Paris").firings()
    assert (moved.moved, moved.at) == (True, datetime(2025, 3, 30, 1, 45, tzinfo=UTC))


def test_intervals_of_days_keep_the_local_hour_and_intervals_of_seconds_do_not() -> None:
    by_day = every(start="2025-03-29", tz="Europe/Paris")
    by_second = Every(frequency="seconds", interval=86_400, start="2025-03-29T08:00", tz="Europe/Paris")
    assert shown(by_day, 2) == ["2025-03-29T08:00+01:00", "2025-03-30T08:00+02:00"]
    assert shown(by_second, 2) == ["2025-03-29T08:00+01:00", "2025-03-30T09:00+02:00"]


# ------------------------------------------------------------------------------------------------------------ the calendar


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"frequency": "monthly", "start": "2027-01-31"}, ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]),
        ({"frequency": "monthly", "start": "2028-01-30"}, ["2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30"]),
        ({"frequency": "monthly", "start": "2026-12-31", "interval": 2}, ["2026-12-31", "2027-02-28", "2027-04-30", "2027-06-30"]),
        ({"frequency": "yearly", "start": "2024-02-29"}, ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
        ({"frequency": "yearly", "start": "2096-02-29", "interval": 4}, ["2096-02-29", "2100-02-28", "2104-02-29"]),
        ({"frequency": "weekly", "start": "2026-12-01"}, ["2026-12-01", "2026-12-08", "2026-12-15"]),
        ({"frequency": "weekly", "start": "2026-12-02", "weekdays": "mon"}, ["2026-12-07", "2026-12-14"]),
        (
            {"frequency": "weekly", "start": "2026-12-02", "weekdays": ["sun", "MON"], "interval": 2},
            ["2026-12-06", "2026-12-14", "2026-12-20", "2026-12-28"],
        ),
        ({"frequency": "daily", "start": "2026-12-30", "interval": 3}, ["2026-12-30", "2027-01-02"]),
    ],
    ids=str,
)
def test_the_anchor_does_not_drift(fields: dict[str, Any], expected: list[str]) -> None:
    assert [one[:10] for one in shown(every(**fields), len(expected))] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"end": "2026-12-02"}, ["2026-12-01T08:00+01:00", "2026-12-02T08:00+01:00"]),
        ({"end": "2026-12-02", "end_inclusive": False}, ["2026-12-01T08:00+01:00"]),
        ({"end": "2026-12-02T08:00"}, ["2026-12-01T08:00+01:00", "2026-12-02T08:00+01:00"]),
        ({"end": "2026-12-02T08:00", "end_inclusive": False}, ["2026-12-01T08:00+01:00"]),
        ({"end": "2026-12-02T07:00Z"}, ["2026-12-01T08:00+01:00", "2026-12-02T08:00+01:00"]),
        ({"start": "2026-12-01T08:01", "end": "2026-12-02"}, ["2026-12-02T08:00+01:00"]),
    ],
    ids=str,
)
def test_the_end_is_a_day_or_an_instant_and_belongs_to_it_or_not(fields: dict[str, Any], expected: list[str]) -> None:
    assert shown(every(**({"start": "2026-12-01"} | fields))) == expected


@given(starts, intervals, st.integers(0, 2_000_000), st.lists(st.integers(0, 6), min_size=1, unique=True))
def test_what_lies_before_is_jumped_over_and_not_walked_through(anchor: date, step: int, later: int, wanted: list[int]) -> None:
    since = anchor + timedelta(days=later)
    first = next(recurrence.days(anchor, step, since))
    assert since <= first < since + timedelta(days=step)
    assert next(recurrence.months(anchor, step, since)) >= since.replace(day=1)
    monday = since - timedelta(days=since.weekday())
    assert next(recurrence.weekdays(anchor, step, sorted(wanted), since)) >= monday
    start, after = datetime.combine(anchor, time(), UTC), datetime.combine(since, time(), UTC)
    assert after < next(recurrence.instants(start, step, after)) <= after + timedelta(seconds=step)


def test_a_series_without_an_end_ends_with_the_calendar() -> None:
    last = list(every(frequency="yearly", start="2020-12-31").firings(datetime(8990, 1, 1, tzinfo=UTC)))
    assert [one.at.year for one in last] == list(range(8990, 9000))
    assert list(every(start="2020-01-01").firings(datetime.max.replace(tzinfo=UTC))) == []
    assert next(every(start="2020-01-01").firings(datetime.min.replace(tzinfo=UTC))).local.year == 2020
