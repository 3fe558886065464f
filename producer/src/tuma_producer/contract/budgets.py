"""What the sources of an account may use in a day or a month, as the scripts keep it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tuma_producer.contract.money import from_micros
from tuma_producer.errors import OverBudget

if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN_FOR = 400  # days for which a zone's offsets are told ahead; workers tell them again and again


def over_budget(source: str, told: bytes) -> OverBudget:
    """What the script says of a send that was not accepted, as an error."""
    period, unit, *numbers, opens = told.decode().split(" ")
    most, used, wanted = (from_micros(number).normalize() for number in numbers)
    begins = datetime.fromtimestamp(int(opens) / 1000, UTC)
    return OverBudget(source, period, unit=unit, most=most, used=used, wanted=wanted, opens=begins)


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
