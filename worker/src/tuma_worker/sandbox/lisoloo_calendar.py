"""Lisoloo's schedules: the rules for `scheduled_dates` and `recurring_schedule`, and the moments that they stand for."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice, takewhile
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from tuma_worker.sandbox.lisoloo_errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_worker.sandbox.settings import Lisoloo

    Fields = dict[str, object]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{2}:\d{2}", re.ASCII)
_FREQUENCIES = ("daily", "weekly", "monthly", "yearly")
_MOST = 100_000  # dispatches of one send, before anything else is thought about


def check_dates(body: Fields, settings: Lisoloo, now: float) -> Problem | None:
    """What is wrong with the dates of a `scheduled` send."""
    dates = body.get("scheduled_dates")
    if not isinstance(dates, list) or not dates:
        return _bad_date("scheduled_dates", "A list of 1 to 20 dates")
    if len(dates) > settings.most_dates:
        return Problem(settings.too_many_dates, (("scheduled_dates", "At most 20 dates", "INVALID_SCHEDULED_DATE"),))
    found = [_check_date(f"scheduled_dates[{i}]", one, settings, now) for i, one in enumerate(dates)]
    return next((problem for problem in found if problem is not None), None)


def _check_date(path: str, one: object, settings: Lisoloo, now: float) -> Problem | None:
    local = _local(one)
    if local is None:
        return _bad_date(path, "A date YYYY-MM-DD and a time HH:mm")
    moment = _moment(local, settings)
    if moment is None:
        return Problem("1110", ((path, "The clock leaves this time out", "INVALID_FIELD_FORMAT"),))
    if moment < now + settings.lead:
        return _bad_date(path, "Must not be past")
    if settings.horizon and moment > now + settings.horizon:
        return _bad_date(path, "Too far ahead")
    return None


def check_recurrence(body: Fields, settings: Lisoloo, now: float) -> Problem | None:
    """What is wrong with the recurrence of a `recurring` send."""
    told = body.get("recurring_schedule")
    if not isinstance(told, dict):
        return _bad_recurrence("recurring_schedule", "An object")
    start, end, times, interval = _day(told.get("start_date")), _day(told.get("end_date")), told.get("times"), told.get("interval")
    complaints = {
        "start_date": start is None,
        "end_date": end is None or (start is not None and end < start),
        "frequency": told.get("frequency") not in _FREQUENCIES,
        "interval": not isinstance(interval, int) or isinstance(interval, bool) or interval < 1,
        "times": not isinstance(times, list) or not times or any(_clock_time(one) is None for one in times),
    }
    for name, true in complaints.items():
        if true:
            return _bad_recurrence(f"recurring_schedule.{name}", "Missing or malformed")
    moments = recurring(cast("Fields", told), settings, now)
    if not moments or (settings.most_dispatches is not None and len(moments) > settings.most_dispatches):
        return _bad_recurrence("recurring_schedule", "Nothing is to come, or too much")
    return None


def moments(body: Fields, settings: Lisoloo, now: float) -> list[float]:
    """When a send that broke no rule goes out, ascending; empty for one that goes at once."""
    if body.get("sending_type") == "scheduled":
        found = [_moment(local, settings) for one in cast("list[object]", body["scheduled_dates"]) if (local := _local(one))]
        return sorted({moment for moment in found if moment is not None})
    if body.get("sending_type") == "recurring":
        return recurring(cast("Fields", body["recurring_schedule"]), settings, now)
    return []


def recurring(told: Fields, settings: Lisoloo, now: float) -> list[float]:
    """The moments still to come of a recurrence; a time that the clock leaves out is skipped."""
    start, end = cast("date", _day(told["start_date"])), cast("date", _day(told["end_date"]))
    days = _days(start, str(told["frequency"]), cast("int", told["interval"]))
    eligible = takewhile(lambda day: day <= end if settings.end_inclusive else day < end, days)
    times = [cast("time", _clock_time(one)) for one in cast("list[object]", told["times"])]
    found = (_moment(datetime.combine(day, one), settings) for day in islice(eligible, _MOST) for one in times)
    return sorted({moment for moment in found if moment is not None and moment >= now})


def _days(start: date, frequency: str, interval: int) -> Iterator[date]:
    for number in count():
        step = number * interval
        try:
            if frequency in {"daily", "weekly"}:
                yield start + timedelta(days=step * (7 if frequency == "weekly" else 1))
            else:
                yield _months_after(start, step * (12 if frequency == "yearly" else 1))
        except (OverflowError, ValueError):
            return


def _months_after(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def _moment(local: datetime, settings: Lisoloo) -> float | None:
    """The epoch second of a local time, of two the first; None where the clock leaves it out."""
    zone = ZoneInfo(settings.timezone)
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return at.timestamp() if at.astimezone(zone).replace(tzinfo=None, fold=0) == local else None


def _local(one: object) -> datetime | None:
    if not isinstance(one, dict):
        return None
    day, clock_time = _day(one.get("date")), _clock_time(one.get("time"))
    return datetime.combine(day, clock_time) if day and clock_time is not None else None


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) and _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _clock_time(text: object) -> time | None:
    try:
        return time.fromisoformat(text) if isinstance(text, str) and _TIME.fullmatch(text) else None
    except ValueError:
        return None


def _bad_date(path: str, text: str) -> Problem:
    return Problem("1106", ((path, text, "INVALID_SCHEDULED_DATE"),))


def _bad_recurrence(path: str, text: str) -> Problem:
    return Problem("1107", ((path, text, "INVALID_RECURRING_SCHEDULE"),))
