"""What the sources of an account may use in a day or a month, as the scripts keep it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from tuma_producer.contract.money import from_micros
from tuma_producer.contract.times import moment
from tuma_producer.errors import OverBudget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = ("day", "month")
_DAY = 86_400_000  # ms
_EPOCH = date(1970, 1, 1)
_KNOWN_FOR = 400  # days for which a zone's offsets are told ahead; workers tell them again and again


def over_budget(source: str, told: bytes) -> OverBudget:
    """What the script says of a send that was not accepted, as an error."""
    period, unit, *numbers, opens = told.decode().split(" ")
    most, used, wanted = (from_micros(number).normalize() for number in numbers)
    begins = moment(int(opens))
    return OverBudget(source, period, unit=unit, most=most, used=used, wanted=wanted, opens=begins)


def fields(source: str) -> tuple[str, ...]:
    """What to read of an account's budgets to know what a source may still use."""
    return tuple(f"{source}|{period}{part}" for period in PERIODS for part in ("", "|used"))


class Spending:
    """What a source may still use, if one send after the other is counted as budget.lua would; nothing is written."""

    def __init__(self, source: str, told: Sequence[bytes | None], zone: str, now: int) -> None:
        """`told` are the `fields` as they were read, `zone` the account's `offsets`, `now` Unix ms."""
        self._source = source
        pairs = zip(PERIODS, told[::2], told[1::2], strict=True)
        self._budgets = [_Budget.read(period, budget, used or b"", zone, now) for period, budget, used in pairs if budget]

    def use(self, recipients: int, segments: int) -> OverBudget | None:
        """Count a send; with nothing counted, what refuses it where it exceeds a budget."""
        wanted = [one.each * recipients * (segments if one.counts == "messages" else 1) for one in self._budgets]
        for budget, more in zip(self._budgets, wanted, strict=True):
            if budget.used + more > budget.most:
                return budget.exceeded(self._source, more)
        self._budgets = [replace(one, used=one.used + more) for one, more in zip(self._budgets, wanted, strict=True)]
        return None


@dataclass(frozen=True, slots=True)
class _Budget:
    """One budget in the period that is now, which ends when the next `opens` (Unix ms). Amounts are millionths."""

    period: str
    most: int
    each: int
    counts: str
    unit: str
    used: int
    opens: int

    @classmethod
    def read(cls, period: str, budget: bytes, used: bytes, zone: str, now: int) -> _Budget:
        most, each, counts, unit = budget.decode().split(" ")
        first, following = _bounds(period, (now + _offset_in(zone, now)) // _DAY)
        since, _, amount = used.decode().partition(" ")
        opens = following * _DAY - _offset_in(zone, following * _DAY - _offset_in(zone, now))
        return cls(period, int(most), int(each), counts, unit, int(amount) if since == str(first) else 0, opens)

    def exceeded(self, source: str, wanted: int) -> OverBudget:
        most, used, more = (from_micros(amount).normalize() for amount in (self.most, self.used, wanted))
        opens = moment(self.opens)
        return OverBudget(source, self.period, unit=self.unit, most=most, used=used, wanted=more, opens=opens)


def _bounds(period: str, day: int) -> tuple[int, int]:
    """The first day of the period that a day is in, and that of the next one, numbered from the Unix epoch."""
    if period == "day":
        return day, day + 1
    first = (_EPOCH + timedelta(days=day)).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return (first - _EPOCH).days, (following - _EPOCH).days


def _offset_in(zone: str, at: int) -> int:
    changes = (change.partition(":") for change in zone.split())
    return next((int(offset) for begins, _, offset in reversed(list(changes)) if int(begins) <= at), 0)


def offsets(zone: str, now: datetime) -> str:
    """A zone's offsets from a day ago on, as `from:offset` in ms each: scripts have no calendar of their own."""
    return " ".join(f"{at}:{offset}" for at, offset in _changes(ZoneInfo(zone), now - timedelta(days=1)))


def _changes(zone: ZoneInfo, start: datetime) -> Iterator[tuple[int, int]]:
    """Every change of the offset, to the quarter of an hour, the first of which has always been."""
    step, quarter = timedelta(days=1), timedelta(minutes=15)
    start = start.replace(minute=0, second=0, microsecond=0)
    before = _offset(zone, start)
    yield 0, before
    for day in range(_KNOWN_FOR):
        at = start + day * step
        if _offset(zone, at + step) != before:
            while _offset(zone, at) == before:
                at += quarter
            before = _offset(zone, at)
            yield round(at.timestamp() * 1000), before


def _offset(zone: ZoneInfo, at: datetime) -> int:
    return round((at.astimezone(zone).utcoffset() or timedelta()).total_seconds() * 1000)
