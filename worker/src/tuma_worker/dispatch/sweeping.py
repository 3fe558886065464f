"""Look after what nobody owns, and end what nobody will tell of any more.

Every step of the road hands a recipient on together with the job for it, in one script. Should a job be lost all the same (a fault
of ours, a member that somebody deleted, a replica that became master without the last moments), its recipient would wait for ever.
So would one that the provider took and of which it never says another word, and one whose call nobody remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from tuma_worker import metrics
from tuma_worker.logs import Event
from tuma_worker.rounds import one_by_one
from tuma_worker.store.campaigns import Campaigns
from tuma_worker.store.schedule_index import ScheduleIndex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event as Signal

    from tuma_worker.store.ages import Ages
    from tuma_worker.store.unowned import Seen, Unowned

_log = structlog.get_logger(__name__)

_SHOWN = 5  # ids: enough to find it by


@dataclass(frozen=True, slots=True)
class Swept:
    """What one look at an account came to.

    `suspected` recipients were seen without an owner for the first time; `restored` were so at the look before as well, and have a
    job again; `intents` names a few of theirs. `ended` have ended as unknown, since nothing more will be heard of them. `campaigns`
    have been forgotten with the last of their intents, as schedules are with their records. `looked` is false where another process
    looks after the account.
    """

    account: str
    looked: bool
    suspected: int = 0
    restored: int = 0
    intents: tuple[str, ...] = ()
    ended: int = 0
    campaigns: int = 0


@dataclass(slots=True)
class Sweeper:
    """Looks after some accounts in the name of `worker`, every `every` seconds.

    Of all workers one looks after an account, for as long as it goes on doing so; without a name it looks whoever else does, which
    costs reading twice and changes nothing else. `ages` are those of accounts that remember less than others. A recipient gets a
    job again only if two looks of the same process saw it without an owner and unchanged.
    """

    accounts: Sequence[Unowned]
    worker: str | None
    every: float
    ages: Mapping[str, Ages] = field(default_factory=dict)
    _suspects: dict[str, Seen] = field(default_factory=dict)

    def keep_sweeping(self, stop: Signal) -> None:
        """Look again and again until told to stop, and say what was put back."""
        while not stop.wait(self.every):
            for swept in one_by_one(self.accounts, _account, self._sweep, Event.SWEEP_FAILED):
                _say(swept)

    def run_once(self) -> list[Swept]:
        """Look at each account once."""
        return [self._sweep(unowned) for unowned in self.accounts]

    def _sweep(self, unowned: Unowned) -> Swept:
        account = unowned.queue.account
        # The lead outlasts a look that takes its time; a leader that has died is followed after so long.
        if self.worker is not None and not unowned.lead(self.worker, self.every * 3):
            self._suspects.pop(account, None)
            metrics.unanswered_seen(account, 0, 0.0)
            return Swept(account, looked=False)
        look = unowned.look()
        metrics.unanswered_seen(account, look.unanswered, look.oldest)
        seen, before = look.lost, self._suspects.get(account, {})
        lost = {target: packed for target, packed in seen.items() if before.get(target) == packed}
        ended = unowned.close(look.silent) + unowned.end_forgotten(lost)
        restored = unowned.restore(lost)  # who has ended is left
        if account in self.ages:
            self.ages[account].heed()
        forgotten = Campaigns(unowned.redis, account).forget()
        ScheduleIndex(unowned.redis, account).forget()
        self._suspects[account] = {target: packed for target, packed in seen.items() if target not in lost}
        intents = sorted({target.intent for target in lost})[:_SHOWN] if restored else ()
        suspected = len(self._suspects[account])
        return Swept(
            account,
            looked=True,
            suspected=suspected,
            restored=restored,
            intents=tuple(intents),
            ended=ended,
            campaigns=forgotten,
        )


def _account(unowned: Unowned) -> str:
    return unowned.queue.account


def _say(swept: Swept) -> None:
    if swept.ended:
        _log.warning(Event.DELIVERY_UNHEARD, account=swept.account, recipients=swept.ended)
    if swept.restored:
        _log.error(Event.DELIVERY_STRANDED, account=swept.account, recipients=swept.restored, intents=list(swept.intents))
