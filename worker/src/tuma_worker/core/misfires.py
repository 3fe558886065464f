"""Which occurrences of a schedule fire now, and which were missed. Pure: it decides, somebody else fires and records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tuma_producer.recurrence import Firing
    from tuma_producer.schedules import Schedule

MOST = 1_000  # occurrences in one decision


@dataclass(frozen=True, slots=True)
class Due:
    """What is decided of the occurrences that have come due: those that fire now and those that were missed, both ascending.

    `settled` is the instant up to which nothing is left to decide, where the next decision starts. `more` is true where more have
    come due than one decision takes: then decide again from there. `following` is the first occurrence still to come; None where
    there is none, and where `more` is true.
    """

    fire: tuple[Firing, ...]
    missed: tuple[Firing, ...]
    settled: datetime
    more: bool
    following: Firing | None


def decide_due(schedule: Schedule, settled: datetime, now: datetime, *, most: int = MOST) -> Due:
    """Decide the occurrences after `settled` and up to `now`, at most `most` of them, by the schedule's misfire policy.

    `settled` is the instant of the last one decided, or that at which the schedule was accepted: what lay before was never owed.
    """
    coming = schedule.firings(settled)
    due, following = _split(coming, now, most)
    more = following is not None and following.at <= now
    fire = _to_fire(due, schedule, now, more=more)
    fired_at = {firing.at for firing in fire}
    missed = tuple(firing for firing in due if firing.at not in fired_at)
    return Due(fire, missed, due[-1].at if due else settled, more, None if more else following)


def _split(coming: Iterator[Firing], now: datetime, most: int) -> tuple[tuple[Firing, ...], Firing | None]:
    """The first that have come due, at most so many, and the one behind them, due or not."""
    due: list[Firing] = []
    for firing in islice(coming, most + 1):
        if firing.at > now or len(due) == most:
            return tuple(due), firing
        due.append(firing)
    return tuple(due), None


def _to_fire(due: tuple[Firing, ...], schedule: Schedule, now: datetime, *, more: bool) -> tuple[Firing, ...]:
    in_time = tuple(firing for firing in due if now - firing.at <= timedelta(seconds=schedule.grace))
    match schedule.misfire:
        case "all":
            return due
        case "once":
            # Where more have come due than these, the latest is among those.
            return in_time if in_time or more else due[-1:]
        case "skip":
            return in_time
        case _:
            assert_never(schedule.misfire)
