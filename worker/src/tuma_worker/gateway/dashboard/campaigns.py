"""Campaigns as a page: how far each has come, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_worker.gateway.dashboard.words import share
from tuma_worker.store.campaigns import Campaigns

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tuma_worker.gateway.dashboard.view import View
    from tuma_worker.store.campaigns import CampaignStanding, Progress

_MOST = 20  # of each account
_RECORDS = 2000  # of all campaigns together, about, that one look reads: receipts come to this process too

# Which states a bar shows as one, in the order of the bar.
STAGES = {
    "delivered": ("delivered",),
    "failed": ("failed", "undelivered", "rejected"),
    "unknown": ("unknown",),
    "withdrawn": ("expired", "cancelled", "suppressed"),
    "under way": ("sending", "submitted", "sent"),
    "waiting": ("accepted", "queued"),
}
_ENDS = frozenset(name for stage in ("delivered", "failed", "unknown", "withdrawn") for name in STAGES[stage])


@dataclass(frozen=True, slots=True)
class Piece:
    """One stage of a bar: how many are there, and which hundredths of the bar they fill."""

    stage: str
    number: int
    begins: float
    length: float


@dataclass(frozen=True, slots=True)
class Row:
    """A campaign as the page shows it."""

    account: str
    standing: CampaignStanding
    progress: Progress

    @property
    def states(self) -> Counter[str]:
        """How many recipients are in which state."""
        return self.progress.states

    @property
    def ended(self) -> int:
        """How many recipients have ended."""
        return sum(number for state, number in self.states.items() if state in _ENDS)

    @property
    def pieces(self) -> list[Piece]:
        """The bar."""
        pieces, total, before = [], self.states.total(), 0
        for stage, names in STAGES.items():
            number = sum(self.states[name] for name in names)
            pieces.append(Piece(stage, number, share(before, total), share(number, total)))
            before += number
        return pieces

    @property
    def state(self) -> tuple[str, str]:
        """How it stands, and how grave that is."""
        if self.standing.cancelling is not None:
            return "being cancelled", "warn"
        if self.standing.paused is not None:
            return "paused", "warn"
        if self.ended < self.states.total() or self.progress.schedules:
            return "under way", "good"
        return "done", "calm"


async def look(view: View) -> dict[str, Any]:
    """The latest campaigns of all accounts, the latest first."""
    names = await view.accounts()
    rows, more = await run_in_threadpool(_rows, view, names)
    return {"rows": sorted(rows, key=lambda row: (-row.standing.at, row.standing.name)), "more": more, "most": _MOST}


def _rows(view: View, accounts: Sequence[str]) -> tuple[list[Row], int]:
    """The latest of each account, and how many there are besides."""
    store = view.desk.store
    found = {account: Campaigns(store, account).latest(_MOST) for account in accounts}
    listed = [(account, one) for account, (latest, _) in found.items() for one in latest]
    view.memory.keep_tallies({(account, one.name) for account, one in listed})
    each = _RECORDS // max(1, len(listed))
    rows = [Row(account, one, view.memory.tally(account, one.name).read(store, each)) for account, one in listed]
    return rows, sum(size for _, size in found.values()) - len(listed)
