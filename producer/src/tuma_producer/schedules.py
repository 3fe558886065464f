"""When an intent is to be sent: at given times, or again and again."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tuma_producer import recurrence
from tuma_producer.errors import InvalidSchedule
from tuma_producer.findings import first_finding
from tuma_producer.recurrence import FIRST_DAY, LAST_DAY, Firing, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_TIMES = 10_000  # of one schedule, which is written and read as a whole

T = TypeVar("T")
Day = TypeVar("Day", bound=date)  # or an instant, which is a date with a time

Frequency = Literal["daily", "weekly", "monthly", "yearly", "seconds"]
Misfire = Literal["skip", "once", "all"]
Times = str | datetime | Collection[str | datetime]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MAX_SECONDS = 10 * 366 * 86_400  # of an interval or a grace; more than anybody means, and small enough to add to a time
_REACH = timedelta(
    days=3
)  # how far a local day lies from that of its instant elsewhere: two offsets, and a gap (Samoa's was a day)
_NO_OFFSET = "has no offset; write one (2026-12-24T08:00+01:00), or give tz"
# Found beside the zones, and another one on another machine, or in another count of seconds.
_OF_THE_MACHINE = re.compile(r"localtime|posixrules|Factory|(right|posix)/.*")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")


# -------------------------------------------------------------------------------------------------- what fields understand


def _zone(name: str) -> str:
    try:
        key = ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        key = None
    if key is None or _OF_THE_MACHINE.fullmatch(key):
        message = "must be an IANA time zone that is known here, such as Africa/Kinshasa"
        raise ValueError(message)
    return key


def _counted(value: object) -> object:
    if isinstance(value, bool):
        message = "must be a whole number"
        raise ValueError(message)  # noqa: TRY004 - pydantic turns ValueError, and not TypeError, into a finding
    return value


def _day_or_instant(value: object) -> object:
    """A date, or a date with a time, from what people and JSON write; pydantic would read a number as one, too."""
    found = value
    if isinstance(value, str):
        found = _read(date.fromisoformat, value) if _DAY.fullmatch(value) else _instant_text(value)
    if not isinstance(found, date):
        message = "must be a date such as 2026-12-01, or a date and time such as 2026-12-01T08:00"
        raise ValueError(message)  # noqa: TRY004 - pydantic turns ValueError, and not TypeError, into a finding
    return in_range(found)


def _instant(value: object) -> datetime:
    found = _instant_text(value) if isinstance(value, str) else value
    if not isinstance(found, datetime):
        message = "must be a date and time such as 2026-12-24T08:00 or 2026-12-24T08:00+01:00"
        raise ValueError(message)  # noqa: TRY004 - as above
    in_range(found)
    return found


def in_range(found: Day) -> Day:
    """A day or an instant as it is. Raises `ValueError` so near to the calendar's ends that nothing can be added."""
    if not FIRST_DAY.year < found.year <= LAST_DAY.year:
        message = f"must be in the years {FIRST_DAY.year + 1} to {LAST_DAY.year}"
        raise ValueError(message)
    return found


def _instant_text(value: str) -> datetime | None:
    return _read(datetime.fromisoformat, value) if _INSTANT.fullmatch(value) else None


def _time(value: object) -> time:
    found = _read(time.fromisoformat, value) if isinstance(value, str) and _TIME.fullmatch(value) else value
    if not isinstance(found, time) or found.tzinfo is not None:
        message = "must be a time of day such as 08:00, without a zone"
        raise ValueError(message)
    return found.replace(fold=0)


def _weekday(value: object) -> object:
    found = value.lower() if isinstance(value, str) else value
    if found not in WEEKDAYS:
        message = f"must be one of {', '.join(WEEKDAYS)}"
        raise ValueError(message)
    return found


def _read(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _each(read: Callable[[object], object]) -> Callable[[object], list[Any]]:
    """A list of at least one, every entry read; one value may stand alone."""

    def check(value: object) -> list[Any]:
        entries = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        if not 0 < len(entries) <= MAX_TIMES:
            message = f"must have at least one entry and at most {MAX_TIMES}"
            raise ValueError(message)
        return [_entry(position, entry, read) for position, entry in enumerate(entries)]

    return check


def _entry(position: int, entry: object, read: Callable[[object], object]) -> object:
    try:
        return read(entry)
    except ValueError as error:
        message = f"entry {position}: {error}"
        raise ValueError(message) from None


def _ascending(times: tuple[time, ...]) -> tuple[time, ...]:
    return tuple(sorted(set(times)))


def _in_week_order(days: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
    return tuple(sorted(set(days), key=WEEKDAYS.index))


Zone = Annotated[str, AfterValidator(_zone)]
DayOrInstant = Annotated[date | datetime, BeforeValidator(_day_or_instant)]


# ------------------------------------------------------------------------------------------------------------ the two kinds


class _Schedule(BaseModel):
    """What both kinds of schedule have."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tz: Zone | None = None
    """The IANA zone that local times are in, such as `Africa/Kinshasa`. They stay local until they fire."""
    gap: Gap = "forward"
    """What becomes of a local time that the clock leaves out: it fires later by the length of the gap, or not at all."""
    misfire: Misfire = "once"
    """What fires of occurrences that nobody could fire in time: none of them, the latest, or all."""
    grace: Annotated[float, Field(ge=0, le=_MAX_SECONDS)] = 60.0
    """Seconds by which an occurrence may be late and is still in time."""


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn pydantic's error into ours."""
    try:
        yield
    except ValidationError as error:
        raise InvalidSchedule(*first_finding(error)) from None


def _with_first(name: str, value: object, data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a schedule whose first one may go without its name."""
    if value is None:
        return data
    if name in data:
        _refuse(name, "is given twice, with its name and without")
    return {name: value, **data}


def _firing(given: datetime, tz: str | None) -> Firing:
    """The firing at a given instant, or at a local time of `tz`, which a local time cannot be without."""
    if given.tzinfo is None:
        return recurrence.in_zone(given, ZoneInfo(str(tz)))
    return Firing(given.astimezone(UTC), given.astimezone(ZoneInfo(tz)) if tz else given)


class At(_Schedule):
    """At each of these times, once. A time that breaks a rule raises `InvalidSchedule` naming field and rule.

    >>> at = At(["2026-12-24T18:00", "2026-12-31T23:00"], tz="Africa/Kinshasa")
    >>> next(at.firings()).at.isoformat()
    '2026-12-24T17:00:00+00:00'
    """

    times: Annotated[tuple[datetime, ...], BeforeValidator(_each(_instant))]
    """Instants with an offset, or local times of `tz`, or both; kept in their order, each instant once."""

    def __init__(self, times: Times | None = None, /, **data: Any) -> None:  # noqa: ANN401 - pydantic checks every field
        with _refusals():
            super().__init__(**_with_first("times", times, data))

    @field_validator("times")
    @classmethod
    def _order(cls, times: tuple[datetime, ...], info: ValidationInfo) -> tuple[datetime, ...]:
        tz = info.data.get("tz")
        for position, one in enumerate(times):
            if one.tzinfo is None and tz is None:
                message = f"entry {position}: {_NO_OFFSET}"
                raise ValueError(message)
        # Of two at the same instant the one that was not moved out of a gap is kept, which `gap` has no say in.
        read = sorted(((_firing(one, tz), one) for one in times), key=lambda pair: pair[0].moved, reverse=True)
        kept = {firing.at: one for firing, one in read}
        return tuple(kept[at] for at in sorted(kept))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if next(self.firings(), None) is None:
            _refuse("times", "none of them ever comes: the clock leaves them out, and gap is skip")
        return self

    def firings(self, after: datetime | None = None) -> Iterator[Firing]:
        """The occurrences after an instant, or all, strictly ascending."""
        found = (_firing(one, self.tz) for one in self.times)
        kept = (firing for firing in found if self.gap == "forward" or not firing.moved)
        return _later(recurrence.distinct(kept), after)


class Every(_Schedule):
    """Again and again. A field that breaks a rule raises `InvalidSchedule` naming field and rule.

    >>> every_day = Every("daily", times=["08:00", "18:00"], start="2026-12-01", tz="Africa/Kinshasa")
    >>> next(every_day.firings()).local.isoformat()
    '2026-12-01T08:00:00+01:00'
    """

    frequency: Frequency
    """The unit that `interval` counts. Days, weeks, months and years are those of the calendar in `tz`."""
    interval: Annotated[int, BeforeValidator(_counted), Field(ge=1, le=_MAX_SECONDS)] | None = None
    """Every how many of them: 1 where absent. With `seconds` it must be given."""
    times: Annotated[tuple[time, ...], BeforeValidator(_each(_time)), AfterValidator(_ascending)] | None = None
    """The times of day, in `tz`; each applies on every day that recurs. None with `seconds`."""
    weekdays: Annotated[tuple[Weekday, ...], BeforeValidator(_each(_weekday)), AfterValidator(_in_week_order)] | None = None
    """With `weekly`, on which days of the week; that of `start` where absent."""
    start: DayOrInstant
    """The anchor that everything is counted from, and before which nothing fires: a day, or an instant."""
    end: DayOrInstant | None = None
    """The last day, or instant. Without one there is no end."""
    end_inclusive: bool = True
    """Whether what falls on `end` still fires."""

    def __init__(self, frequency: Frequency | None = None, /, **data: Any) -> None:  # noqa: ANN401 - as above
        with _refusals():
            super().__init__(**_with_first("frequency", frequency, data))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.frequency == "seconds":
            self._agree_on_seconds()
        else:
            self._agree_on_days()
        for name, given in (("start", self.start), ("end", self.end)):
            if isinstance(given, datetime) and given.tzinfo is None and self.tz is None:
                _refuse(name, _NO_OFFSET)
        self._agree_on_range()
        return self

    def _agree_on_seconds(self) -> None:
        if self.interval is None:
            _refuse("interval", "must be given with seconds: every how many of them")
        for name in ("times", "weekdays"):
            if getattr(self, name) is not None:
                _refuse(name, "cannot go with seconds, which pass whatever the calendar says")
        if self.tz is None and not all(isinstance(one, datetime) for one in (self.start, self.end or self.start)):
            _refuse("tz", "must be given where start or end is a day")

    def _agree_on_days(self) -> None:
        if self.tz is None:
            _refuse("tz", f"must be given with {self.frequency}: the zone that the times are in")
        if self.times is None:
            _refuse("times", f"must be given with {self.frequency}: one or more times of day")
        if self.weekdays is not None and self.frequency != "weekly":
            _refuse("weekdays", f"go with weekly only, not with {self.frequency}")

    def _agree_on_range(self) -> None:
        if self.end is not None and self._is_past(self._begin()):
            exclusive = "" if self.end_inclusive else " or on"
            _refuse("end", f"must not be before{exclusive} start")
        if next(self.firings(), None) is None:
            _refuse("end" if self.end else "start", "nothing ever fires between start and end")

    def firings(self, after: datetime | None = None) -> Iterator[Firing]:
        """The occurrences after an instant, or all, strictly ascending and found one by one.

        Where `after` is long after the start, what lies between is not walked through.
        """
        begin = self._begin()
        found = self._instants(begin, after) if self.frequency == "seconds" else self._days(begin, after)
        return _later(takewhile(lambda firing: not self._is_past(firing), found), after)

    def _begin(self) -> Firing:
        start = self.start if isinstance(self.start, datetime) else datetime.combine(self.start, time.min)
        return _firing(start, self.tz)

    def _is_past(self, firing: Firing) -> bool:
        """Whether it lies beyond the end."""
        if self.end is None:
            return False
        if isinstance(self.end, datetime):
            end: date = _firing(self.end, self.tz).at
            reached: date = firing.at
        else:
            end, reached = self.end, firing.local.date()
        return reached > end or (reached == end and not self.end_inclusive)

    def _instants(self, begin: Firing, after: datetime | None) -> Iterator[Firing]:
        found = recurrence.instants(begin.at, self.interval or 1, after or begin.at - timedelta.resolution)
        return (_firing(at, self.tz) for at in found)

    def _days(self, begin: Firing, after: datetime | None) -> Iterator[Firing]:
        zone = ZoneInfo(str(self.tz))
        anchor = begin.local.astimezone(zone).date() if isinstance(self.start, datetime) else self.start
        since = max(after or begin.at, begin.at).date() - _REACH  # by whatever offset it has: it may be the last that there is
        found = recurrence.in_order(self._local_times(anchor, since), zone, self.gap)
        return dropwhile(lambda firing: firing.at < begin.at, found)

    def _local_times(self, anchor: date, since: date) -> Iterator[datetime]:
        return (datetime.combine(day, one) for day in self._recurring(anchor, since) for one in self.times or ())

    def _recurring(self, anchor: date, since: date) -> Iterator[date]:
        step = self.interval or 1
        match self.frequency:
            case "daily":
                return recurrence.days(anchor, step, since)
            case "weekly":
                wanted = [WEEKDAYS.index(day) for day in self.weekdays] if self.weekdays else [anchor.weekday()]
                return recurrence.weekdays(anchor, step, wanted, since)
            case "monthly":
                return recurrence.months(anchor, step, since)
            case _:
                return recurrence.months(anchor, 12 * step, since)


Schedule = At | Every


def read_schedule(value: object) -> Schedule:
    """A schedule from its wire form, the fields of an `At` or an `Every`. Raises `ValueError`, naming field and rule."""
    if isinstance(value, (At, Every)):
        return value
    if not isinstance(value, dict):
        message = "must be an At or an Every, or the fields of one"
        raise ValueError(message)  # noqa: TRY004 - pydantic turns ValueError, and not TypeError, into a finding
    return Every(**value) if "frequency" in value else At(**value)


def _later(firings: Iterator[Firing], after: datetime | None) -> Iterator[Firing]:
    return firings if after is None else dropwhile(lambda firing: firing.at <= after, firings)


def _refuse(field: str, rule: str) -> NoReturn:
    raise InvalidSchedule(field, rule)
