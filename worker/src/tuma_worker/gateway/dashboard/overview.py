"""The first page: how every account stands, who waits, and what is to be done about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_producer.contract.wire import LANES
from tuma_worker.gateway.dashboard.charts import Chart, stacked
from tuma_worker.queue.config import SEND
from tuma_worker.queue.scripts import SYSTEM
from tuma_worker.store import accounts, line
from tuma_worker.store.dead import DeadLetters
from tuma_worker.store.pulse import PART_MS, PARTS
from tuma_worker.store.steering import pauses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_worker.gateway.dashboard.view import View
    from tuma_worker.store.accounts import Standing
    from tuma_worker.store.line import Line, Waiting
    from tuma_worker.store.steering import Paused

_LIFTED = frozenset({"halted", "breaker", "queue-paused", "priority-paused", "source-paused"})  # shown with what lifts them
_TAKEN = {"taken": ("submitted",)}
_ENDED = {
    "delivered": ("delivered",),
    "failed": ("failed", "undelivered", "rejected"),
    "unknown": ("unknown",),
    "withdrawn": ("expired", "cancelled", "suppressed"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One account as the page shows it. `others` are its queues beside that of its sends."""

    standing: Standing
    line: Line
    others: tuple[Line, ...]
    pauses: tuple[Paused, ...]
    dead: int
    parts: Sequence[Counter[str]]
    since: int

    @property
    def name(self) -> str:
        """The account's name."""
        return self.standing.account

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Who waits, without the system's own."""
        return tuple(one for one in self.line.waiting if not one.source.startswith(SYSTEM))

    @property
    def paused(self) -> bool:
        """Whether all of it is."""
        return any(one.scope.lane is None and one.scope.source is None for one in self.pauses)

    @property
    def state(self) -> tuple[str, str]:
        """How it stands in a word or two, and how grave that is."""
        if self.standing.halted:
            return "halted", "bad"
        if self.standing.breaker:
            return "breaker open", "bad"
        if self.paused:
            return "paused", "warn"
        if self.waiting and self.line.next_permit is not None:
            return "at its limit", "busy"
        if self.waiting or self.standing.in_flight:
            return "sending", "good"
        return "idle", "calm"

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds its sends besides halt, breaker and pauses, which are shown with what lifts them."""
        return tuple(hold.text for hold in self.line.holds if hold.kind not in _LIFTED)

    @property
    def cut(self) -> bool:
        """Whether there was more than one look reads, so that its charts begin later than they might."""
        return self.since > self.line.now - PARTS * PART_MS

    @property
    def taken(self) -> Chart:
        """How many the provider took."""
        return stacked(self.parts, _TAKEN)

    @property
    def ended(self) -> Chart:
        """What became of them."""
        return stacked(self.parts, _ENDED)


async def look(view: View) -> dict[str, Any]:
    """All accounts."""
    names = await view.accounts()
    cards = await run_in_threadpool(lambda: [_card(view, name) for name in names])
    together = [sum((card.parts[place] for card in cards), Counter()) for place in range(PARTS)]
    return {
        "cards": cards,
        "troubled": [card for card in cards if card.state[1] in {"bad", "warn"} or card.pauses],
        "taken": stacked(together, _TAKEN),
        "ended": stacked(together, _ENDED),
        "since": max((card.since for card in cards if card.cut), default=None),
        "minutes": PARTS * PART_MS // 60_000,
        "seconds": PART_MS // 1000,
        "lanes": LANES,
    }


def _card(view: View, name: str) -> Card:
    store = view.desk.store
    sends = line.look(store, name)
    others = [line.look(store, name, one) for one in line.operations(store, name) if one != SEND]
    pulse = view.memory.pulse(name)
    return Card(
        standing=accounts.standing(store, name),
        line=sends,
        others=tuple(others),
        pauses=tuple(pauses(store, name, SEND)),
        dead=DeadLetters(store, name).size(),
        parts=pulse.read(store, sends.now),
        since=pulse.since,
    )
