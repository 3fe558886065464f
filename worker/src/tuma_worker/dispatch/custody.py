"""Sends whose dates the provider keeps: hand them over, ask for verbs about them, and look how they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from tuma_producer.contract import custody as terms_
from tuma_producer.contract.times import milliseconds, moment
from tuma_producer.errors import InvalidSend
from tuma_worker import metrics
from tuma_worker.core.answers import Rejected, Reply
from tuma_worker.core.custody import Conclusion, Custody, Result, Shown, Told, conclude, together
from tuma_worker.logs import Event
from tuma_worker.queue.scripts import Release, release

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.contract.custody import Terms
    from tuma_producer.schedules import Schedule
    from tuma_worker.providers.base import Call, Custodian
    from tuma_worker.queue.leases import Held
    from tuma_worker.store.custody import Custodies, Kept

_log = structlog.get_logger(__name__)

_SOON = 1.0  # seconds between two looks whether a hand-over is over


@dataclass(frozen=True, slots=True)
class Keeper:
    """What an account's provider keeps, and by which terms."""

    custodian: Custodian
    kept: Custodies
    terms: Terms

    def hand_over(self, batch_id: str, call: Call, schedule: Schedule, *, priority: str, ignore_quiet: bool) -> Reply:
        """Make the one call that hands a send over; refused without a call where the terms have changed since it was accepted."""
        now, whose = moment(self.kept.now()), call.numbers
        try:
            firings = terms_.check(schedule, self.terms, now, to=whose, priority=priority, ignore_quiet=ignore_quiet)
        except InvalidSend as error:
            return Reply(Rejected(f"custody-{error.field}", ours=True))
        # Before the call: what tells whom its receipts are about must outlast its dates.
        self.kept.keep(batch_id, milliseconds(firings[-1].at))
        return self.custodian.hand_over(call, schedule)


@dataclass(frozen=True, slots=True)
class Steerer:
    """Asks the providers of all accounts that this process is configured with for verbs. Thread-safe."""

    redis: Redis
    keepers: dict[str, Keeper]

    def steer(self, held: Held) -> None:
        """Ask for the verb that is under way about one call, under the permit that this job was claimed with.

        A worker that dies here leaves the job to the next one, which asks again: a verb that was taken before is refused then or
        taken once more, and the look that follows says how it stands.
        """
        keeper = self.keepers[held.queue.account]
        kept = self._ripe(held, keeper)
        if kept is None:
            return
        left = [batch_id for batch_id in kept.calls if batch_id not in kept.told]
        if not left:
            return  # all was said, and the job that looks is there
        if not held.alive() or not keeper.kept.take_up(kept):
            self._put_off(held, _SOON)
            return
        steered = keeper.custodian.steer(kept.verb, kept.calls[left[0]])
        self._say(held, kept, steered.told, steered.code)
        if steered.told is Told.LATER:
            self._again(held, steered.after)
            return
        keeper.kept.told(kept, left[0], steered.told, last=len(left) == 1)
        self._done(held, more=len(left) > 1)

    def _ripe(self, held: Held, keeper: Keeper) -> Kept | None:
        """What there is a verb to ask for; None where there is none, it must wait, or it holds without the provider."""
        kept = keeper.kept.load(held.claim.jobs[0].subject)
        if kept is None:
            return None
        if kept.under_way:
            self._put_off(held, _SOON)
            return None
        if not kept.calls:
            self._without_calls(keeper, kept)
            return None
        return kept

    def _without_calls(self, keeper: Keeper, kept: Kept) -> None:
        """The hand-over came to nothing, and what was asked for holds without the provider; or nobody can tell what it came to."""
        unknown = kept.custody is not Custody.HANDING_OVER and kept.custody is not Custody.NOT_HANDED_OVER
        known = Conclusion(kept.stood, Result.UNKNOWN if unknown else Result.DONE)
        keeper.kept.conclude(kept, known, of=None, skipped=0, shows_pauses=False)

    def look(self, held: Held) -> None:
        """Look how one call stands after a verb, under the permit that this job was claimed with; after the last, conclude."""
        keeper = self.keepers[held.queue.account]
        kept = keeper.kept.load(held.claim.jobs[0].subject)
        if kept is None or not kept.told:
            return  # another verb is under way by now, and its last answer brings a look
        left = [batch_id for batch_id in kept.calls if batch_id not in kept.shown]
        if left:
            standing = keeper.custodian.standing(kept.calls[left[0]])
            self._say(held, kept, standing.shown, standing.code)
            if standing.shown is Shown.LATER:
                self._again(held, standing.after)
                return
            keeper.kept.shown(kept, left[0], standing.shown)
            kept = replace(kept, shown={**kept.shown, left[0]: standing.shown})
        if len(left) <= 1:
            self._conclude(keeper, kept)
        self._done(held, more=len(left) > 1)

    def abandon(self, held: Held) -> None:
        """End a verb whose job was there each time a worker died: it may be the cause, and the caller must not wait for ever.

        Whether the provider was asked nobody knows, so asking again asks it anew.
        """
        keeper = self.keepers[held.queue.account]
        kept = self._ripe(held, keeper)
        if kept is None:
            return
        keeper.kept.conclude(kept, Conclusion(Custody.UNKNOWN, Result.WORKER_DIED), of=None, skipped=0, shows_pauses=False)
        _log.error(Event.CUSTODY_ABANDONED, account=keeper.kept.account, intent=kept.short_id, verb=kept.verb)

    def _conclude(self, keeper: Keeper, kept: Kept) -> None:
        found = together(
            [
                conclude(
                    kept.verb,
                    kept.told.get(batch_id, Told.UNKNOWN),
                    kept.shown[batch_id],
                    stood=kept.stood,
                    shows_pauses=kept.shows_pauses,
                )
                for batch_id in kept.calls
            ]
        )
        of, skipped = _owed(kept, found)
        shows_pauses = Shown.PAUSED in kept.shown.values()
        keeper.kept.conclude(kept, found, of=of, skipped=skipped, shows_pauses=shows_pauses)
        _log.info(
            Event.CUSTODY_CONCLUDED,
            account=keeper.kept.account,
            intent=kept.short_id,
            verb=kept.verb,
            custody=found.custody,
            result=found.result,
        )

    def _say(self, held: Held, kept: Kept, said: str, code: str) -> None:
        metrics.called(held.queue.account, held.queue.operation, said)
        _log.info(
            Event.CUSTODY_ASKED, account=held.queue.account, intent=kept.short_id, verb=kept.verb,
            operation=held.queue.operation, said=said, code=code,
        )  # fmt: skip

    def _put_off(self, held: Held, seconds: float) -> None:
        """No call was made."""
        held.settled = release(self.redis, held.queue, held.claim.batch_id, Release.LATER, delay=seconds)

    def _again(self, held: Held, after: float | None) -> None:
        """A call was made, and is to be made again."""
        held.settled = release(self.redis, held.queue, held.claim.batch_id, Release.AGAIN, delay=after or _SOON)

    def _done(self, held: Held, *, more: bool) -> None:
        """Last: a worker that dies before leaves the job to the next one, which finds what was noted."""
        how = Release.AGAIN if more else Release.CALLED
        held.settled = release(self.redis, held.queue, held.claim.batch_id, how)


def _owed(kept: Kept, found: Conclusion) -> tuple[int | None, int]:
    """How many dispatches the provider owes from now on, None where that is as it was; and how many more fell into a pause."""
    times = [milliseconds(firing.at) for firing in kept.schedule.firings()]
    leaves_pause = kept.paused_at is not None and found.custody is not Custody.PAUSED
    skipped = sum((kept.paused_at or 0) < at <= kept.now for at in times) if leaves_pause else 0
    if found.custody is Custody.CANCELLED:
        return sum(at <= kept.now for at in times) - kept.skipped - skipped, skipped
    return (len(times) - kept.skipped - skipped, skipped) if skipped else (None, 0)
