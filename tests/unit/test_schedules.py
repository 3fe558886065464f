"""What a schedule may be, and what its refusals say."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuma_producer import At, Every, InvalidSchedule, InvalidSend

DAILY: dict[str, Any] = {"frequency": "daily", "times": ["08:00"], "start": "2026-12-01", "tz": "Africa/Kinshasa"}
SECONDS: dict[str, Any] = {"frequency": "seconds", "interval": 900, "start": "2026-12-01T08:00Z"}
NAIVE = datetime(2026, 12, 24, 18, 0)  # noqa: DTZ001 - a local time, whose zone stands beside it


def test_times_are_understood_as_instants_and_as_local_times_of_a_zone() -> None:
    paris = NAIVE.replace(tzinfo=ZoneInfo("Europe/Paris"))
    at = At(times=[NAIVE, paris, "2026-12-24T16:00Z"], tz="America/New_York")
    assert [firing.at.hour for firing in at.firings()] == [16, 17, 23]
    assert [firing.local.isoformat() for firing in at.firings()][2] == "2026-12-24T18:00:00-05:00"


def test_what_a_schedule_is_about_needs_no_name() -> None:
    assert At("2026-12-24T18:00Z") == At(times=["2026-12-24T18:00Z"])
    assert Every("daily", **{name: value for name, value in DAILY.items() if name != "frequency"}) == Every(**DAILY)
    with pytest.raises(InvalidSchedule, match="frequency: is given twice"):
        Every("weekly", **DAILY)
    with pytest.raises(InvalidSchedule, match="times: is given twice"):
        At("2026-12-24T18:00Z", times=["2026-12-24T18:00Z"])


def test_instants_are_kept_in_order_and_each_once() -> None:
    at = At(times=["2026-12-24T18:00+01:00", "2026-12-01T00:00Z", "2026-12-24T17:00Z"])
    assert [one.isoformat() for one in at.times] in (
        ["2026-12-01T00:00:00+00:00", "2026-12-24T18:00:00+01:00"],
        ["2026-12-01T00:00:00+00:00", "2026-12-24T17:00:00+00:00"],
    )
    every = Every(**(DAILY | {"times": ["18:00", "08:00", time(18)]}))
    assert every.times == (time(8), time(18))
    assert Every(**(DAILY | {"frequency": "weekly", "weekdays": ["fri", "mon", "FRI"]})).weekdays == ("mon", "fri")


def test_what_falls_on_after_is_over() -> None:
    at = At(times=["2026-12-01T00:00Z", "2026-12-02T00:00Z"])
    assert [one.at.day for one in at.firings(datetime(2026, 12, 1, tzinfo=UTC))] == [2]
    assert list(at.firings(datetime(2026, 12, 2, tzinfo=UTC))) == []


@pytest.mark.parametrize("schedule", [At(times=["2026-12-24T18:00"], tz="Africa/Kinshasa"), Every(**DAILY), Every(**SECONDS)])
def test_after_must_have_an_offset(schedule: At | Every) -> None:
    with pytest.raises(TypeError, match="offset-naive"):
        next(schedule.firings(NAIVE))


Mistakes = list[tuple[dict[str, Any], str, str]]

EVERY_MISTAKES: Mistakes = [
    ({"frequency": "hourly"}, "frequency", "'daily', 'weekly', 'monthly', 'yearly' or 'seconds'"),
    ({"interval": 0}, "interval", "must be greater than or equal to 1"),
    ({"interval": True}, "interval", "must be a whole number"),
    ({"interval": 10**12}, "interval", "less than or equal"),
    ({"times": []}, "times", "at least one"),
    ({"times": None}, "times", "must be given with daily"),
    ({"times": ["08:00", "8 o'clock"]}, "times", "entry 1: must be a time of day such as 08:00"),
    ({"times": "24:00"}, "times", "entry 0: must be a time of day"),
    ({"times": time(8, tzinfo=UTC)}, "times", "without a zone"),
    ({"times": 8}, "times", "entry 0: must be a time of day"),
    ({"start": "01.12.2026"}, "start", "must be a date such as 2026-12-01"),
    ({"start": "2026-02-30"}, "start", "must be a date such as 2026-12-01"),
    ({"start": 20261201}, "start", "must be a date such as 2026-12-01"),
    ({"start": "0001-01-01"}, "start", "must be in the years 1971 to 8999"),
    ({"end": "9999-12-31"}, "end", "must be in the years 1971 to 8999"),
    ({"end": "2026-11-30"}, "end", "must not be before start"),
    ({"end": "2026-11-30T23:59"}, "end", "must not be before start"),
    ({"end": "2026-12-01", "end_inclusive": False}, "end", "must not be before or on start"),
    ({"end": "2026-12-01T07:59"}, "end", "nothing ever fires between start and end"),
    ({"frequency": "weekly", "weekdays": "sun", "end": "2026-12-05"}, "end", "nothing ever fires"),
    (
        {"times": "02:30", "start": "2027-03-28", "end": "2027-03-28", "tz": "Europe/Paris", "gap": "skip"},
        "end",
        "nothing ever fires",
    ),
    ({"weekdays": "mon", "frequency": "monthly"}, "weekdays", "go with weekly only, not with monthly"),
    ({"weekdays": "mon"}, "weekdays", "go with weekly only, not with daily"),
    ({"weekdays": ["mon", "noday"], "frequency": "weekly"}, "weekdays", "entry 1: must be one of mon, tue"),
    ({"weekdays": [], "frequency": "weekly"}, "weekdays", "at least one"),
    ({"tz": None}, "tz", "must be given with daily"),
    ({"tz": "Africa/Atlantis"}, "tz", "must be an IANA time zone"),
    ({"tz": "localtime"}, "tz", "must be an IANA time zone"),
    ({"tz": "right/Europe/Paris"}, "tz", "must be an IANA time zone"),
    ({"tz": "Africa"}, "tz", "must be an IANA time zone"),
    ({"tz": "../etc/passwd"}, "tz", "must be an IANA time zone"),
    ({"gap": "backward"}, "gap", "'forward' or 'skip'"),
    ({"misfire": "never"}, "misfire", "'skip', 'once' or 'all'"),
    ({"grace": -1}, "grace", "must be greater than or equal to 0"),
    ({"colour": "red"}, "colour", "is no field"),
]
SECONDS_MISTAKES: Mistakes = [
    ({"interval": None}, "interval", "must be given with seconds"),
    ({"times": "08:00"}, "times", "cannot go with seconds"),
    ({"weekdays": "mon"}, "weekdays", "cannot go with seconds"),
    ({"start": "2026-12-01T08:00"}, "start", "has no offset"),
    ({"end": "2026-12-02T08:00"}, "end", "has no offset"),
    ({"start": "2026-12-01"}, "tz", "must be given where start or end is a day"),
    ({"end": "2026-12-02"}, "tz", "must be given where start or end is a day"),
    ({"end": "2026-12-01T08:00Z", "end_inclusive": False}, "end", "must not be before or on start"),
]
AT_MISTAKES: Mistakes = [
    ({"times": []}, "times", "at least one entry"),
    ({"times": ["2026-12-24"]}, "times", "entry 0: must be a date and time"),
    ({"times": ["2026-12-24T18:00+01:00", "tomorrow"]}, "times", "entry 1: must be a date and time"),
    ({"times": [1795356653]}, "times", "entry 0: must be a date and time"),
    ({"times": ["2026-12-24T18:00+01:00", "2026-12-24T18:00"]}, "times", "entry 1: has no offset; write one"),
    ({"times": [NAIVE]}, "times", "entry 0: has no offset"),
    ({"times": ["2026-12-24T18:00Z"] * 10_001}, "times", "at most 10000"),
    ({"times": ["2027-03-28T02:30"], "tz": "Europe/Paris", "gap": "skip"}, "times", "none of them ever comes"),
    ({"times": [NAIVE], "tz": "Kinshasa"}, "tz", "must be an IANA time zone"),
]


@pytest.mark.parametrize(
    ("kind", "fields", "field", "rule"),
    [
        *((Every, DAILY | fields, field, rule) for fields, field, rule in EVERY_MISTAKES),
        *((Every, SECONDS | fields, field, rule) for fields, field, rule in SECONDS_MISTAKES),
        *((At, fields, field, rule) for fields, field, rule in AT_MISTAKES),
    ],
)
def test_a_broken_rule_is_named_with_its_field(kind: type[At | Every], fields: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        kind(**fields)
    assert (caught.value.field, rule in caught.value.rule) == (field, True), str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, InvalidSend)


@pytest.mark.parametrize("field", ["frequency", "start"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidSchedule, match=f"{field}: must be given"):
        Every(**{name: value for name, value in DAILY.items() if name != field})


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first draw of a time reads the zones, on a busy machine for seconds
@given(
    st.dictionaries(
        st.sampled_from(sorted(Every.model_fields)),
        st.one_of(
            st.none(), st.text(max_size=12), st.integers(), st.floats(), st.dates(), st.datetimes(), st.times(), st.booleans()
        ),
    )
)
def test_nonsense_is_refused_with_invalid_schedule_and_with_nothing_else(fields: dict[str, Any]) -> None:
    for kind, valid in ((Every, DAILY), (Every, SECONDS), (At, {"times": "2026-12-24T18:00Z"})):
        known = {name: value for name, value in fields.items() if name in kind.model_fields}
        with suppress(InvalidSchedule):  # whatever else is raised fails the test
            assert next(kind(**(valid | known)).firings()).at.tzinfo is UTC


@pytest.mark.parametrize(
    "schedule",
    [
        At(times=["2026-12-24T18:00", "2026-12-24T18:00Z"], tz="Europe/Paris", gap="skip"),
        Every(**DAILY, end="2026-12-24", end_inclusive=False, misfire="all"),
        Every(**(DAILY | {"frequency": "weekly", "weekdays": ["mon"], "end": "2026-12-24T00:00", "start": "2026-12-01T00:00"})),
        Every(**SECONDS, grace=5),
    ],
)
def test_a_schedule_comes_back_from_json_as_it_was(schedule: At | Every) -> None:
    assert type(schedule)(**schedule.model_dump(mode="json")) == schedule
    assert type(schedule).model_json_schema()["required"]


def test_a_day_stays_a_day_and_midnight_an_instant() -> None:
    by_day, at_midnight = Every(**DAILY), Every(**(DAILY | {"start": datetime(2026, 12, 1, tzinfo=UTC)}))
    assert type(by_day.start) is date
    assert type(at_midnight.start) is datetime


def test_a_schedule_cannot_be_changed_and_may_be_a_key() -> None:
    every = Every(**DAILY)
    with pytest.raises(ValueError, match="frozen"):
        every.interval = 2  # type: ignore[misc] # that is the mistake
    assert hash(every) == hash(Every(**DAILY))
    assert every.grace == timedelta(minutes=1).total_seconds()
