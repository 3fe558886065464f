"""Schedules as a page: which there are, when each fires next, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_worker.core.timetables import in_words
from tuma_worker.gateway.dashboard.intent import GRAVITY, VERBS
from tuma_worker.store.schedule_index import ScheduleIndex, following

if TYPE_CHECKING:
    from tuma_producer import Intent
    from tuma_worker.gateway.dashboard.view import View

_MOST = 200  # of each account
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """A schedule as the page shows it. `told` is when it fires, in words; `following` when it does next, None where it will not."""

    intent: Intent
    told: str
    following: datetime | None
    gravity: str
    verbs: tuple[str, ...]

    @property
    def over(self) -> bool:
        """Whether nothing is to come of it any more."""
        return self.intent.state not in VERBS


async def look(view: View) -> dict[str, Any]:
    """Those that the viewer may see: what is to come first, by when."""
    names = await view.accounts()
    indexes = [ScheduleIndex(view.desk.store, name) for name in names]
    found, sizes = await run_in_threadpool(lambda: ([one.latest(_MOST) for one in indexes], [one.size() for one in indexes]))
    rows = [_row(intent, view) for intents in found for intent in intents if view.rights.may_see(intent.source)]
    return {
        "coming": sorted((row for row in rows if not row.over), key=lambda row: (row.following or _NEVER, row.intent.id)),
        "over": [row for row in rows if row.over],
        "more": sum(max(0, size - _MOST) for size in sizes),
        "most": _MOST,
    }


def _row(intent: Intent, view: View) -> Row:
    verbs = VERBS.get(intent.state, ()) if view.rights.may_steer(intent.source) else ()
    told = in_words(intent.schedule) if intent.schedule is not None else ""
    return Row(intent, told, following(intent), GRAVITY.get(intent.state, "calm"), verbs)
