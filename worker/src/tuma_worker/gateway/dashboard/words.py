"""How pages write numbers, times and spans."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tuma_producer.contract.times import moment

_THIN = "\N{NARROW NO-BREAK SPACE}"
_SHORT = 10  # below that, tenths of seconds mean something, and so do the seconds beside minutes
_TODAY = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\+00:00")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_PER = {1: "second", _MINUTE: "minute", _HOUR: "hour", _DAY: "day"}


def count(number: float) -> str:
    """A number with its thousands apart."""
    return f"{number:,.10g}".replace(",", _THIN)


def many(number: int, one: str, more: str | None = None) -> str:
    """So many of something."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def span(seconds: float) -> str:
    """A span in the unit, or the two, that say most."""
    left = max(0.0, seconds)
    if left < _SHORT:
        return f"{left:.1f} s" if left else "0 s"
    whole = round(left)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, large: int, name: str, small: int, other: str) -> str:
    many, rest = whole // large, whole % large // small
    return f"{many} {name}" + (f" {rest} {other}" if rest and many < _SHORT else "")


def per(seconds: float) -> str:
    """The length of a window, as one says it after `per`."""
    return _PER.get(round(seconds) if float(seconds).is_integer() else 0) or span(seconds).replace(".0 s", " s")


def sentence(text: str) -> str:
    """A text of ours as a sentence; of the instants in it, which are near, the time of day."""
    told = _TODAY.sub(r"\1 UTC", text)
    return told[:1].upper() + told[1:] + "."


def time_of(milliseconds: int | datetime) -> str:
    """An instant, to the second."""
    return _at(milliseconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(milliseconds: int | datetime) -> str:
    """An instant as machines read it."""
    return _at(milliseconds).isoformat(timespec="seconds")


def _at(when: int | datetime) -> datetime:
    return when.astimezone(UTC) if isinstance(when, datetime) else moment(when)


def share(part: float, whole: float) -> float:
    """A part in hundredths, none below 0 or above 100."""
    return round(100 * min(1.0, max(0.0, part / whole)), 2) if whole else 0.0
