"""Find out what became of a call that nobody answered, or decide what to believe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker import metrics
from tuma_worker.core.answers import Accepted, Untold, what_is_left
from tuma_worker.core.evidence import Decision, Found, Judgement, judge, without_evidence
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.logs import Event
from tuma_worker.providers.base import Call
from tuma_worker.queue.scripts import Release, push, release

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.core.answers import Trace
    from tuma_worker.dispatch.sending import Outlet
    from tuma_worker.queue.leases import Held
    from tuma_worker.store.attempts import Attempt

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves attempts of all accounts that this process is configured with.

    `heed` applies the receipts of an account that have come and were not applied yet: what they prove must be known before anything
    is believed for want of evidence.
    """

    redis: Redis
    outlets: dict[str, Outlet]
    heed: Callable[[str], object]

    def resolve(self, held: Held) -> None:
        """Look at one attempt again. Makes no call and needs no permit.

        Before its time is over, wait on for a receipt. Then ask the provider's books, where it keeps some; that is a call, which
        waits in line for its permit. Where it keeps none, do what the intent asked for.
        """
        outlet = self.outlets[held.queue.account]
        self.heed(held.queue.account)
        attempt = _unanswered(outlet, held)
        if attempt is None:
            return
        until = attempt.started / 1000 + outlet.policy.resolve_after
        now = outlet.attempts.now()
        remaining = until - now
        if remaining > 0:
            outlet.attempts.awaits(attempt.batch_id, until)
            held.settled = release(self.redis, held.queue, held.claim.batch_id, Release.LATER, delay=remaining)
        elif outlet.keeps_books:
            self._ask(held, attempt)
        else:
            judgement = Judgement(Found.NO_BOOKS, without_evidence(attempt.on_unknown))
            outlet.attempts.looked(attempt.batch_id, Found.NO_BOOKS, now, judgement)
            self._believe(outlet, attempt)

    def trace(self, held: Held) -> None:
        """Search the provider's books for one attempt, under the permit that this job was claimed with."""
        outlet = self.outlets[held.queue.account]
        self.heed(held.queue.account)
        attempt = _unanswered(outlet, held)
        if attempt is None:
            return
        began = outlet.attempts.now()
        trace = outlet.client.trace(_call(outlet, attempt), attempt.started / 1000)
        metrics.called(held.queue.account, "trace", type(trace).__name__)
        self.heed(held.queue.account)  # the search may have taken a while
        self._follow(held, outlet, attempt, trace, began)
        # Last: a worker that dies before leaves the job to the next one, and its permit counts until a grace after its lease.
        held.settled = release(self.redis, held.queue, held.claim.batch_id, Release.CALLED, left=what_is_left(trace.quotas))

    def _ask(self, held: Held, attempt: Attempt, *, delay: float = 0.0) -> None:
        group = f"trace.1.1.{attempt.batch_id}"
        push(self.redis, held.queue, group, attempt.batch_id, delay=delay, lane=attempt.lane, source=attempt.source)

    def _follow(self, held: Held, outlet: Outlet, attempt: Attempt, trace: Trace, began: float) -> None:
        """Adopt what is found. What two looks at complete books, far apart, have not found was never accepted: it is sent again."""
        look = held.claim.batch_id
        strangers = () if isinstance(trace, Untold) else _others(outlet, trace.found)
        looks = [*({look: began} | dict(attempt.looks)).values()]
        judgement = judge(trace, strangers, looks, outlet.policy.resolve_after, attempt.on_unknown)
        # Before it is acted on: a worker that dies here has looked.
        outlet.attempts.looked(attempt.batch_id, look, began, judgement)
        if judgement.call is not None:
            self._adopt(held, outlet, attempt, judgement.call)
        elif judgement.decision is Decision.ABSENT:
            again = _resend(outlet, attempt, Evidence.PROVIDER, "never-accepted")
            _say(outlet, attempt.batch_id, f"{again} sent again: the provider has no such call")
        elif judgement.decision is Decision.LOOK_AGAIN:
            self._ask(held, attempt, delay=outlet.policy.resolve_after)
        else:
            self._believe(outlet, attempt)

    def _adopt(self, held: Held, outlet: Outlet, attempt: Attempt, found: Accepted) -> None:
        moved = outlet.attempts.adopt(attempt.batch_id, attempt.targets, found)
        if moved is None:  # another attempt adopted it since it was seen to be a stranger
            self._ask(held, attempt, delay=outlet.policy.resolve_after)
        else:
            _say(outlet, attempt.batch_id, f"{moved} adopted: the provider has the call")

    def _believe(self, outlet: Outlet, attempt: Attempt) -> None:
        """No evidence, and the time is over: the intent said what it would rather have, none or two."""
        if attempt.on_unknown == "resend":
            again = _resend(outlet, attempt, Evidence.ASSUMED, "unanswered")
            _say(outlet, attempt.batch_id, f"{again} sent again, as the intent asks")
            return
        unknown = outlet.attempts.apply(
            attempt.batch_id, attempt.targets, RecipientState.UNKNOWN, Evidence.ASSUMED, reason="unanswered", phase="unknown"
        )
        _say(outlet, attempt.batch_id, f"{unknown} unknown")


def _unanswered(outlet: Outlet, held: Held) -> Attempt | None:
    """The attempt that a job is about; None where its answer is known by now, or where it has been forgotten."""
    batch_id = held.claim.jobs[0].subject
    attempt = outlet.attempts.load(batch_id)
    if attempt is None:
        _say(outlet, batch_id, "forgotten")
    elif not attempt.unanswered:
        _say(outlet, batch_id, f"0 unknown: {attempt.phase} meanwhile")
        return None
    return attempt


def _say(outlet: Outlet, batch_id: str, outcome: str) -> None:
    _log.info(Event.DELIVERY_RESOLVED, account=outlet.attempts.queue.account, batch=batch_id, outcome=outcome)


def _call(outlet: Outlet, attempt: Attempt) -> Call:
    """The call as it was made, for recognising it."""
    return Call(
        numbers=[target.number for target in attempt.targets],
        message=attempt.message,
        sender_id=attempt.sender_id or outlet.sender_id,
        reference=attempt.batch_id,
        template=attempt.kept,
    )


def _others(outlet: Outlet, found: tuple[Accepted, ...]) -> tuple[Accepted, ...]:
    """Those that no attempt of ours is known by: the same text may have gone to the same number before."""
    return tuple(one for one in found if not outlet.attempts.is_ours(one.provider_id))


def _resend(outlet: Outlet, attempt: Attempt, evidence: Evidence, reason: str) -> int:
    return outlet.attempts.resend(attempt.batch_id, attempt.targets, evidence, reason=reason)
