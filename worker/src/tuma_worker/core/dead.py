"""Which ends are dead letters, and of what class: ends on our side of the operator, for a reason that a person may put right."""

from __future__ import annotations

from enum import StrEnum

from tuma_worker.core.states import Evidence, RecipientState

WORKER_DIED = "worker-died"  # the reason of those that we end because they were there at each of several deaths
OVER_LIMIT = "over-limit"  # the reason of those that we end because no window could ever carry them
NOT_APPROVED = "sender-not-approved"  # the reason of those to whom their sender must not be shown


class DeadClass(StrEnum):
    """Why a recipient ended without having reached anybody. The comment says what may put it right."""

    EXHAUSTED = "exhausted"  # all tries are used up; once the provider works again, or through another account
    WORKER_DIED = "worker-died"  # a worker died each time it was held; once the workers' trouble is mended
    OVER_LIMIT = "over-limit"  # heavier than a whole window; with other limits, or through another account
    REJECTED = (
        "rejected"  # the provider refused it, or its sender is not approved there; with another sender, or through another account
    )
    UNKNOWN = "unknown"  # it may have arrived; only a person can say whether a second copy is better than none


_REFUSED_BY_US = {
    OVER_LIMIT: DeadClass.OVER_LIMIT,
    NOT_APPROVED: DeadClass.REJECTED,
}  # not a number that is known to be bad: there is nothing to put right
_BEYOND = frozenset({Evidence.HANDSET, Evidence.OPERATOR})  # what they report went past the provider: no key of ours opens that


def dead_class(state: RecipientState, evidence: Evidence, reason: str) -> DeadClass | None:
    """The class of a recipient in this state; None where it is no dead letter."""
    if state is RecipientState.UNKNOWN:
        return DeadClass.UNKNOWN
    if evidence in _BEYOND:
        return None
    ours = evidence is Evidence.INFERRED  # a provider's code may be the same word
    if state is RecipientState.FAILED:
        return DeadClass.WORKER_DIED if ours and reason == WORKER_DIED else DeadClass.EXHAUSTED
    if state is RecipientState.REJECTED:
        return _REFUSED_BY_US.get(reason) if ours else DeadClass.REJECTED
    return None
