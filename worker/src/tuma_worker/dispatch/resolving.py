"""Find out what became of a call that nobody answered, or decide what to believe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.logs import Event
from tuma_worker.queue.scripts import Release, release

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.dispatch.sending import Lane
    from tuma_worker.queue.leases import Held
    from tuma_worker.store.attempts import Attempt

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves attempts of all accounts that this process is configured with. `now` gives Unix seconds."""

    redis: Redis
    lanes: dict[str, Lane]
    now: Callable[[], float]

    def resolve(self, held: Held) -> None:
        """Look at one attempt again. Before its time is over, wait on for a receipt; then do what the intent asked for.

        A receipt that has come meanwhile has moved its recipients on; only those that are still `sending` are touched here.
        """
        lane, batch_id = self.lanes[held.queue.account], held.claim.jobs[0].subject
        log = _log.bind(account=held.queue.account, batch=batch_id)
        attempt = lane.attempts.load(batch_id)
        if attempt is None:
            log.warning(Event.DELIVERY_RESOLVED, outcome="forgotten")
            return
        remaining = attempt.started / 1000 + lane.policy.resolve_after - self.now()
        if remaining > 0:
            held.settled = release(self.redis, held.queue, held.claim.batch_id, Release.LATER, delay=remaining)
            return
        log.info(Event.DELIVERY_RESOLVED, outcome=self._decide(lane, attempt))

    def _decide(self, lane: Lane, attempt: Attempt) -> str:
        if attempt.on_unknown == "resend":
            again = lane.attempts.resend(attempt.batch_id, attempt.targets, Evidence.ASSUMED, reason="unanswered")
            return f"{again} sent again"
        unknown = lane.attempts.apply(
            attempt.batch_id, attempt.targets, RecipientState.UNKNOWN, Evidence.ASSUMED, reason="unanswered", phase="unknown"
        )
        return f"{unknown} unknown"
