"""When a schedule fires, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.schedules import Every

if TYPE_CHECKING:
    from tuma_producer.schedules import Schedule

_EACH = {"daily": "day", "weekly": "week", "monthly": "month", "yearly": "year", "seconds": "second"}


def in_words(schedule: Schedule) -> str:
    """When a schedule fires."""
    zone = f" ({schedule.tz})" if schedule.tz else ""
    if not isinstance(schedule, Every):
        first = f"{schedule.times[0]:%Y-%m-%d %H:%M}"
        return (first if len(schedule.times) == 1 else f"{len(schedule.times)} times, the first {first}") + zone
    each, interval = _EACH[schedule.frequency], schedule.interval or 1
    parts = [
        f"every {each}" if interval == 1 else f"every {interval} {each}s",
        "on " + ", ".join(schedule.weekdays) if schedule.weekdays else "",
        "at " + ", ".join(f"{one:%H:%M}" for one in schedule.times) if schedule.times else "",
        f"until {schedule.end:%Y-%m-%d}" if schedule.end else "",
    ]
    return " ".join(part for part in parts if part) + zone
