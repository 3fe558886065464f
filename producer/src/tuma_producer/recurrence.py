"""Calendar arithmetic: which days recur, and which instant a local time is. Pure: no clock, no models.

It lives with the producer because a schedule that never fires is refused where it is made; workers expand with the same code.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

Gap = Literal["forward", "skip"]

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(8999, 12, 31)  # of any schedule; far enough from the calendar's own ends to add to

_ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """One occurrence of a schedule.

    `at` is the instant, in UTC. `local` is the same instant as the schedule's zone shows it, with its offset. `moved` is true where
    the local time that was asked for does not exist on that day, and the clock's gap was added to it.
    """

    at: datetime
    local: datetime
    moved: bool = False


def in_zone(local: datetime, zone: ZoneInfo) -> Firing:
    """The firing of a local time without a zone. Of a time that occurs twice it is the first."""
    # With fold 0 a time in a gap counts by the offset before it, so that the way back through UTC adds the gap's length.
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    shown = at.astimezone(zone)
    return Firing(at, shown, moved=shown.replace(tzinfo=None, fold=0) != local.replace(fold=0))


def in_order(locals_: Iterable[datetime], zone: ZoneInfo, gap: Gap) -> Iterator[Firing]:
    """The firings of ascending local times, strictly ascending."""
    found = (in_zone(local, zone) for local in locals_)
    return distinct(_sorted(firing for firing in found if gap == "forward" or not firing.moved))


def distinct(firings: Iterable[Firing]) -> Iterator[Firing]:
    """Ascending firings, each instant once."""
    last: datetime | None = None
    for firing in firings:
        if firing.at != last:
            yield firing
        last = firing.at


def _sorted(firings: Iterable[Firing]) -> Iterator[Firing]:
    """In order of instants, and lazily; of equal ones the firing that was not moved first.

    A time that is moved out of a gap may fall on or behind later ones. It is held until one comes that was not moved: nothing
    after that one is earlier.
    """
    held: list[tuple[datetime, bool, int, Firing]] = []
    for number, firing in enumerate(firings):
        heappush(held, (firing.at, firing.moved, number, firing))
        while held and not firing.moved and held[0][0] <= firing.at:
            yield heappop(held)[-1]
    while held:
        yield heappop(held)[-1]


def days(anchor: date, step: int, since: date) -> Iterator[date]:
    """Every `step`-th day from the anchor on, without those before `since`."""
    first, most = anchor.toordinal(), LAST_DAY.toordinal()
    return map(date.fromordinal, range(_first_stride(first, step, since.toordinal()), most + 1, step))


def weekdays(anchor: date, step: int, wanted: Sequence[int], since: date) -> Iterator[date]:
    """The wanted days (Monday is 0, ascending) of every `step`-th week from the anchor's on; weeks begin on Monday.

    Begins with the week that `since` is in, or the next that counts, and never before the anchor.
    """
    for monday in days(_monday(anchor), 7 * step, _monday(since)):
        for weekday in wanted:
            day = monday + timedelta(days=weekday)
            if anchor <= day <= LAST_DAY:
                yield day


def months(anchor: date, step: int, since: date) -> Iterator[date]:
    """The anchor's day of every `step`-th month; a month that is too short has its last day instead. The anchor does not drift.

    Begins with the month that `since` is in, or the next that counts.
    """
    first = _first_stride(_month(anchor), step, _month(since))
    for number in range(first, _month(LAST_DAY) + 1, step):
        year, month = divmod(number, 12)
        yield date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


def instants(start: datetime, step: int, after: datetime) -> Iterator[datetime]:
    """Every `step` seconds from the start on, without those up to `after`. Seconds that pass, whatever clocks show."""
    number = max(0, (after - start) // (step * _ONE_SECOND) + 1)
    most = (datetime.combine(LAST_DAY, datetime.max.time(), UTC) - start) // _ONE_SECOND
    for seconds in range(number * step, most + 1, step):
        yield start + timedelta(seconds=seconds)


def _first_stride(anchor: int, step: int, since: int) -> int:
    """The first number in strides from the anchor that is not below `since`."""
    return anchor + max(0, -((anchor - since) // step)) * step


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _month(day: date) -> int:
    return 12 * day.year + day.month - 1
