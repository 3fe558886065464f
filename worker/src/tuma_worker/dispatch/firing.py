"""Fire schedules: each occurrence that has come due becomes an intent, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_producer.contract.connection import unavailable
from tuma_producer.contract.scheduling import next_firing
from tuma_producer.contract.times import milliseconds, moment
from tuma_worker.core.misfires import MOST, decide_due
from tuma_worker.logs import Event, complain
from tuma_worker.store.schedules import Decided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_worker.queue.leases import Held
    from tuma_worker.store.schedules import Schedules, ScheduleStanding

_log = structlog.get_logger(__name__)

_OCCURRENCES = 10  # in one atomic step, which must not hold up everybody else's
_RECIPIENTS = 10_000  # of all of them: as many as one send may have


@dataclass(frozen=True, slots=True)
class Firer:
    """Fires the schedules of the accounts that this process is configured with. Thread-safe."""

    accounts: dict[str, Schedules]

    def fire(self, held: Held) -> None:
        """Fire what has come due of each schedule of a claimed batch.

        A worker that dies here leaves the rest of its batch to another one. Who is late, or comes a second time, finds the schedule
        moved on and changes nothing.
        """
        schedules, short_ids = self.accounts[held.queue.account], [job.subject for job in held.claim.jobs]
        try:
            fire(schedules, schedules.load(short_ids))
        except Exception as error:
            if unavailable(error):
                raise
            for short_id in short_ids:
                _fire_alone(schedules, short_id)


def _fire_alone(schedules: Schedules, short_id: str) -> None:
    """Fire one of several with one of which something is wrong. That one loses its place, which the sweeper gives it back."""
    try:
        fire(schedules, schedules.load([short_id]))
    except Exception as error:
        if unavailable(error):
            raise
        complain(error, Event.SCHEDULE_NOT_FIRED, account=schedules.queue.account, schedule=short_id)


def fire(schedules: Schedules, standing: Sequence[ScheduleStanding]) -> None:
    """One bounded step of each. Where more has come due, a schedule is due again at once."""
    decided, missed = [], []
    for one in standing:
        firings, passed_over, following = _decide(one)
        decided.append(Decided(one, firings, following))
        missed.append(passed_over)
    for one, passed_over, occurrences in zip(standing, missed, schedules.fire(decided), strict=True):
        if occurrences is not None and (occurrences or passed_over):
            _say(schedules.queue.account, one, occurrences, passed_over)


def _say(account: str, standing: ScheduleStanding, occurrences: Sequence[str], missed: int) -> None:
    late = standing.now - standing.following
    _log.info(
        Event.SCHEDULE_FIRED, account=account, schedule=standing.short_id, occurrences=occurrences, missed=missed, late_ms=late
    )


def _decide(standing: ScheduleStanding) -> tuple[list[int], int, int | None]:
    """The firings to make now, how many are passed over, and the one to wait for."""
    schedule = standing.schedule
    most = _OCCURRENCES if schedule.misfire == "all" else MOST
    due = decide_due(schedule, moment(standing.following - 1), moment(standing.now), most=most)
    fire = list(dict.fromkeys(milliseconds(firing.at) for firing in due.fire))
    at_once = max(1, min(_OCCURRENCES, _RECIPIENTS // standing.recipients))
    if len(fire) > at_once:
        return fire[:at_once], len(due.missed), fire[at_once]
    following = milliseconds(due.following.at) if due.following else next_firing(schedule, milliseconds(due.settled))
    return fire, len(due.missed), following
