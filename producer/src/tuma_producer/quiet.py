"""Quiet hours: when nobody is to be disturbed, by the clocks where the number's people live. Pure: no clock, no models.

It lives with the producer because `get` tells by it what is waited for; workers hold calls back by the same code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self
from zoneinfo import ZoneInfo

from tuma_producer.countries import CODES, code_of, zones_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Action = Literal["defer", "expire"]

_HOURS = re.compile(r"(?P<begin>[0-2][0-9]:[0-5][0-9]) ?- ?(?P<end>[0-2][0-9]:[0-5][0-9])")
_OFF = "off"
_ONE_DAY = timedelta(days=1)
_PATIENCE = timedelta(days=3)  # longer than any zones of one country could keep each other waiting, if they ever agree


@dataclass(frozen=True, slots=True)
class Hours:
    """From a time of day to another, which may be the next day's. What falls on the beginning is quiet, on the end not."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read hours as people write them, `21:00-07:00`; None for `off`. Raises `ValueError` with the rule."""
        match = _HOURS.fullmatch(text.strip())
        if match is None and text.strip() != _OFF:
            message = "must be two times of day such as 21:00-07:00, or off"
            raise ValueError(message)
        if match is None:
            return None
        try:
            found = cls(time.fromisoformat(match["begin"]), time.fromisoformat(match["end"]))
        except ValueError:
            message = "must be two times of day such as 21:00-07:00, the latest 23:59"
            raise ValueError(message) from None
        if found.begin == found.end:
            message = "must begin and end at different times"
            raise ValueError(message)
        return found

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def end_of(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet time ends that `at` is in; None where it is in none."""
        today = at.astimezone(zone).date()
        spans = (self._span(today + days * _ONE_DAY, zone) for days in (-1, 0))
        return max((end for begin, end in spans if begin <= at < end), default=None)

    def begin_after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """When it is quiet next, seen from a time at which it is not."""
        today = at.astimezone(zone).date()
        begins = (self._span(today + days * _ONE_DAY, zone)[0] for days in (0, 1, 2))
        return min(begin for begin in begins if begin > at)

    def _span(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The quiet time that begins on a day. Where clocks change over one of its ends, it is the longer one."""
        last = day if self.begin < self.end else day + _ONE_DAY
        return min(_instants(day, self.begin, zone)), max(_instants(last, self.end, zone))


def _instants(day: date, local: time, zone: ZoneInfo) -> list[datetime]:
    """The instants that a local time may be: two where clocks show it twice, or jump over it."""
    return [datetime.combine(day, local, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)]


@dataclass(frozen=True)
class Quiet:
    """An account's quiet hours: for which priorities, what becomes of what may not go, and by which clocks.

    `hours` is for all countries but those that have their own in `countries`; None is never. `zone` is that of numbers whose
    country nobody knows.
    """

    hours: Hours | None
    priorities: tuple[str, ...] = ("bulk",)
    action: Action = "defer"
    countries: Mapping[str, Hours | None] = field(default_factory=dict)
    zone: str = "UTC"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """From what `as_json` gave."""
        countries = {country: Hours.parse(hours) for country, hours in found["countries"].items()}
        return cls(Hours.parse(found["hours"]), tuple(found["priorities"]), found["action"], countries, found["zone"])

    def as_json(self) -> dict[str, Any]:
        """What producers may read of it."""
        countries = {country: str(hours or _OFF) for country, hours in self.countries.items()}
        return {
            "hours": str(self.hours or _OFF), "priorities": list(self.priorities), "action": self.action, "countries": countries,
            "zone": self.zone,
        }  # fmt: skip

    def until(self, number: str, at: datetime) -> datetime | None:
        """When the quiet time ends that a number is in at that instant; None where it is in none."""
        return self.until_for(code_of(number), at)

    def until_for(self, code: str | None, at: datetime) -> datetime | None:
        """The same for a calling code, None for what has none that is known.

        Where several zones may be a number's own, all of them must be awake; where they never are together, the first decides.
        """
        clocks = self._clocks(code)
        awake = at
        while ends := [end for hours, zone in clocks if (end := hours.end_of(awake, zone)) is not None]:
            awake = max(ends)
            if awake - at > _PATIENCE:
                clocks, awake = clocks[:1], at
        return awake if awake > at else None

    def begins(self, number: str, at: datetime) -> datetime | None:
        """When it is quiet for a number next, seen from a time at which it is not; None for never."""
        return self.begins_for(code_of(number), at)

    def begins_for(self, code: str | None, at: datetime) -> datetime | None:
        """The same for a calling code."""
        return min((hours.begin_after(at, zone) for hours, zone in self._clocks(code)), default=None)

    def _clocks(self, code: str | None) -> list[tuple[Hours, ZoneInfo]]:
        """The quiet hours in every zone that may be that of a number with this code."""
        found = []
        for country in CODES.get(code or "", ("",)):
            hours = self.countries.get(country, self.hours)
            zones = zones_of(country) or (self.zone,)
            found += [(hours, ZoneInfo(zone)) for zone in zones] if hours is not None else []
        return found
