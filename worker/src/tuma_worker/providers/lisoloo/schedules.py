"""Lisoloo's own schedules: how one is written into a call, and what its answers about one mean. No I/O."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tuma_producer.schedules import At
from tuma_worker.core.answers import AccountFault, Rejected, TryLater
from tuma_worker.core.custody import Shown, Sighting, Steered, Told
from tuma_worker.providers.http import Arrived
from tuma_worker.providers.lisoloo.statuses import meaning
from tuma_worker.providers.reading import identifier, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_producer.results import Verb
    from tuma_producer.schedules import Every, Schedule
    from tuma_worker.core.answers import Answer

VERBS: Mapping[Verb, tuple[str, str]] = {
    "cancel": ("DELETE", "/cancel"),
    "pause": ("POST", "/pause"),
    "resume": ("POST", "/resume"),
}

# The documented statuses, and the two words that the documentation lacks; what is paused may be shown as `scheduled`.
STATUSES: Mapping[str, Shown] = {
    "pending": Shown.WAITING,
    "scheduled": Shown.WAITING,
    "processing": Shown.WAITING,
    "accepted": Shown.WAITING,
    "enroute": Shown.WAITING,
    "sent": Shown.WAITING,
    "paused": Shown.PAUSED,
    "cancelled": Shown.CANCELLED,
    "canceled": Shown.CANCELLED,
    "delivered": Shown.ENDED,
    "partially_delivered": Shown.ENDED,
    "delivery_unknown": Shown.ENDED,
    "undelivered": Shown.ENDED,
    "rejected": Shown.ENDED,
    "expired": Shown.ENDED,
    "failed": Shown.ENDED,
}

_MISSING = frozenset({404, 405, 501})
_NOT_ABOUT_ITS_STATE = frozenset({401, 402, 403, 408, 429})
_PATIENCE = 60.0  # seconds, where it names none


def fields(schedule: Schedule, zone: str) -> dict[str, object]:
    """The fields of a call that hands this schedule over, in the account's zone."""
    if isinstance(schedule, At):
        locals_ = (firing.at.astimezone(ZoneInfo(zone)) for firing in schedule.firings())
        pairs = [{"date": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"} for local in locals_]
        return {"sending_type": "scheduled", "scheduled_dates": pairs}
    return {"sending_type": "recurring", "recurring_schedule": _recurrence(schedule)}


def _recurrence(every: Every) -> dict[str, object]:
    return {
        "start_date": f"{every.start:%Y-%m-%d}",
        "end_date": f"{_last_day(every):%Y-%m-%d}",
        "frequency": every.frequency,
        "interval": every.interval or 1,
        "times": [f"{one:%H:%M}" for one in every.times or ()],
    }


def _last_day(every: Every) -> date:
    """The last day on which it fires. Where the day after it cannot be one, that: right whether the end belongs to it or not.

    Lisoloo's pages contradict each other about that. For every single day it is taken to belong, as its other example has it.
    """
    *_, last = every.firings()
    day = last.local.date()
    every_day = every.frequency == "daily" and (every.interval or 1) == 1
    return day if every_day else day + timedelta(days=1)


def steered(arrived: Arrived | Answer) -> Steered:
    """What came of a cancel, a pause or a resume. None of this is documented: assumed."""
    if not isinstance(arrived, Arrived):
        return _not_arrived(arrived)
    if arrived.success:
        return Steered(Told.DONE)
    answer, code = meaning(arrived)
    if arrived.status in _MISSING:
        return Steered(Told.UNSUPPORTED, code)
    if isinstance(answer, (TryLater, AccountFault)):
        return Steered(Told.LATER, code, _after(answer))
    about_its_state = 400 <= arrived.status < 500 and arrived.status not in _NOT_ABOUT_ITS_STATE  # noqa: PLR2004 - HTTP's own numbers
    return Steered(Told.REFUSED if about_its_state or isinstance(answer, Rejected) else Told.UNKNOWN, code)


def _not_arrived(answer: Answer) -> Steered:
    if isinstance(answer, (TryLater, AccountFault)):
        return Steered(Told.LATER, answer.code, _after(answer))
    return Steered(Told.UNKNOWN, getattr(answer, "code", ""))


def standing(arrived: Arrived | Answer) -> Sighting:
    """What `/status` shows."""
    if isinstance(arrived, Arrived) and arrived.success:
        word = identifier(section(arrived.body, "data").get("status")) or ""
        return Sighting(STATUSES.get(word.lower(), Shown.UNTOLD))
    if isinstance(arrived, Arrived) and arrived.status == 404:  # noqa: PLR2004 - HTTP's own number
        return Sighting(Shown.GONE, meaning(arrived)[1])
    answer, code = meaning(arrived) if isinstance(arrived, Arrived) else (arrived, getattr(arrived, "code", ""))
    if isinstance(answer, (TryLater, AccountFault)):
        return Sighting(Shown.LATER, code, _after(answer))
    return Sighting(Shown.UNTOLD, code)


def _after(answer: TryLater | AccountFault) -> float:
    after = answer.after if isinstance(answer, TryLater) else None
    return _PATIENCE if after is None else after
