"""Ask the provider about calls of which no receipt has told in time: receipts are lost, and nobody says that one was.

The questions are calls under the account's own limits, in the lowest lane. What they tell moves recipients by the same step as
a receipt does, and what they do not tell is left to the receipts, the next question, and in the end to the sweeper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker import metrics
from tuma_worker.logs import Event
from tuma_worker.providers.operations import NotDone
from tuma_worker.rounds import keep_on
from tuma_worker.store.moves import Target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Event as Signal

    from tuma_worker.core.polling import Overdue
    from tuma_worker.core.receipts import Receipt
    from tuma_worker.core.states import Evidence, RecipientState
    from tuma_worker.providers.operations import Exchange
    from tuma_worker.providers.provider import Inquire
    from tuma_worker.store.attempts import Attempts
    from tuma_worker.store.overdue import OverdueCalls

_log = structlog.get_logger(__name__)

_LEAD = 120.0  # seconds, at the least, after which a leader that has died is followed: waiting for permits takes its time


@dataclass(frozen=True, slots=True)
class Polled:
    """What one round came to: calls that were asked about, and recipients whose state that changed.

    `looked` is false where another process asks about the account's calls.
    """

    looked: bool
    asked: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Poller:
    """Asks about the overdue calls of one account in the name of `worker`, every `every` seconds."""

    overdue: OverdueCalls
    attempts: Attempts
    inquire: Inquire
    exchange: Exchange
    worker: str
    every: float

    def keep_polling(self, stop: Signal) -> None:
        """Ask again and again until told to stop."""
        stop.wait(self.every)
        keep_on(stop, self.run_once, Event.POLL_FAILED, every=self.every, account=self._account)

    def run_once(self) -> Polled:
        """Ask once about every call that is due, as far as the provider answers."""
        if not self._lead():
            return Polled(looked=False)
        asked = moved = 0
        try:
            for call, news in self.inquire(self.exchange, self.overdue.look()):
                told = self._learn(call, news)
                # Last: a worker that dies before leaves the question to the next one.
                self.overdue.note_asked(call.batch_id)
                metrics.polled(self._account, told=told > 0)
                asked, moved = asked + 1, moved + told
                if not self._lead():
                    break
        except NotDone as error:
            _log.warning(Event.POLL_FAILED, account=self._account, code=error.refusal.code)
        if asked:
            _log.info(Event.DELIVERY_POLLED, account=self._account, calls=asked, moved=moved)
        return Polled(looked=True, asked=asked, moved=moved)

    @property
    def _account(self) -> str:
        return self.overdue.account

    def _lead(self) -> bool:
        return self.overdue.lead(self.worker, max(_LEAD, self.every * 3))

    def _learn(self, call: Overdue, news: Iterable[Receipt]) -> int:
        """Move the recipients that this is about; those that come into the same state go in one step. Returns how many moved."""
        together: dict[tuple[RecipientState, Evidence, str], list[Target]] = {}
        for receipt in news:
            silent = call.silent.get(receipt.number or "")
            if receipt.state is not None and silent is not None:
                kind = (receipt.state, receipt.evidence, receipt.reason or "")
                together.setdefault(kind, []).append(Target(silent.intent, receipt.number or ""))
        return sum(
            self.attempts.apply(call.batch_id, targets, state, evidence, reason=reason)
            for (state, evidence, reason), targets in together.items()
        )
