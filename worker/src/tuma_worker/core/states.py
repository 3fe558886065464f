"""The states of a recipient and of an intent, and every move that is allowed between them.

This table is the only place where the rule is written. Python asks it which states a move may start from and hands that set to
the script that makes the move; the script only checks that the recipient is still in one of them.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecipientState(StrEnum):
    """Where one recipient of an intent stands. The comment says who moves it on."""

    ACCEPTED = "accepted"  # held back: its intent is paused, until it is resumed; or another account carries it, which tells of it
    QUEUED = "queued"  # waits in the account's queue; a claim takes it
    SENDING = "sending"  # an attempt is written down and its call may be on the wire; its answer, or evidence, moves it on
    SUBMITTED = "submitted"  # the provider took it; a receipt moves it on
    SENT = "sent"  # the provider handed it to the operator; a receipt moves it on
    DELIVERED = "delivered"  # the handset confirmed it
    FAILED = "failed"  # the provider or the operator gave up on it
    UNDELIVERED = "undelivered"  # the operator could not reach the handset
    REJECTED = "rejected"  # refused for good before it was sent
    EXPIRED = "expired"  # its deadline passed before it was handed over, or its validity ran out at the operator
    CANCELLED = "cancelled"  # withdrawn before it was handed over, or by the provider before its first date
    SUPPRESSED = "suppressed"  # the recipient opted out
    UNKNOWN = "unknown"  # handed over perhaps, and no evidence came; better evidence may still correct it


class IntentState(StrEnum):
    """Where an intent stands as a whole."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class Evidence(StrEnum):
    """Who says that a recipient reached its state, from the strongest to the weakest."""

    HANDSET = "handset"
    OPERATOR = "operator"
    PROVIDER = "provider"
    INFERRED = "inferred"
    ASSUMED = "assumed"


R = RecipientState

_MOVES: dict[RecipientState, frozenset[RecipientState]] = {
    # Who waits after a call that seemed lost may still be heard of: evidence about that call ends the waiting, or it is sent twice.
    # Of whom another account carries, all may be heard that happens there, also that nobody knows.
    R.ACCEPTED: frozenset(
        {
            R.QUEUED,
            R.SUBMITTED,
            R.SENT,
            R.DELIVERED,
            R.FAILED,
            R.UNDELIVERED,
            R.REJECTED,
            R.EXPIRED,
            R.CANCELLED,
            R.SUPPRESSED,
            R.UNKNOWN,
        },
    ),
    R.QUEUED: frozenset(
        {
            R.ACCEPTED,
            R.SENDING,
            R.SUBMITTED,
            R.SENT,
            R.DELIVERED,
            R.FAILED,
            R.UNDELIVERED,
            R.REJECTED,
            R.EXPIRED,
            R.CANCELLED,
            R.SUPPRESSED,
        },
    ),
    # Back to the queue only where the call is known not to have been accepted; where the intent has been paused or cancelled
    # meanwhile, to `accepted` or `cancelled` instead.
    R.SENDING: frozenset(
        {
            R.ACCEPTED,
            R.CANCELLED,
            R.QUEUED,
            R.SUBMITTED,
            R.SENT,
            R.DELIVERED,
            R.FAILED,
            R.UNDELIVERED,
            R.REJECTED,
            R.EXPIRED,
            R.UNKNOWN,
        },
    ),
    # Withdrawn where the provider keeps the dates and none of them had come.
    R.SUBMITTED: frozenset({R.CANCELLED, R.SENT, R.DELIVERED, R.FAILED, R.UNDELIVERED, R.REJECTED, R.EXPIRED, R.UNKNOWN}),
    R.SENT: frozenset({R.DELIVERED, R.FAILED, R.UNDELIVERED, R.REJECTED, R.EXPIRED, R.UNKNOWN}),
    # Ends. `unknown` was never evidence, and a handset outranks whoever reported a failure: both may be corrected. So may a
    # withdrawal, where the provider had taken the call although its answer, or the search for it, said otherwise. Only that it was
    # sent contradicts it: a failure means as well that nothing came of it.
    R.DELIVERED: frozenset(),
    R.FAILED: frozenset({R.DELIVERED}),
    R.UNDELIVERED: frozenset({R.DELIVERED}),
    R.REJECTED: frozenset({R.DELIVERED}),
    R.EXPIRED: frozenset({R.DELIVERED}),
    R.CANCELLED: frozenset({R.SENT, R.DELIVERED}),
    R.SUPPRESSED: frozenset(),
    R.UNKNOWN: frozenset({R.SUBMITTED, R.SENT, R.DELIVERED, R.FAILED, R.UNDELIVERED, R.REJECTED, R.EXPIRED}),
}

ENDS: frozenset[RecipientState] = frozenset(
    {R.DELIVERED, R.FAILED, R.UNDELIVERED, R.REJECTED, R.EXPIRED, R.CANCELLED, R.SUPPRESSED, R.UNKNOWN},
)


def may_move(origin: RecipientState, target: RecipientState) -> bool:
    """Whether a recipient in `origin` may move to `target`."""
    return target in _MOVES[origin]


@cache
def origins(target: RecipientState) -> frozenset[RecipientState]:
    """The states from which a recipient may move to `target`."""
    return frozenset(origin for origin, targets in _MOVES.items() if target in targets)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    arrows = [
        f"    {origin} --> {target}"
        for origin in RecipientState
        for target in RecipientState
        if may_move(origin, target) and origin not in ENDS
    ]
    ends = [f"    {end} --> [*]" for end in RecipientState if end in ENDS]
    return "\n".join(["stateDiagram-v2", "    [*] --> accepted", *arrows, *ends])


def corrections() -> dict[RecipientState, list[RecipientState]]:
    """Which ends better evidence may still correct, and into what."""
    return {end: [target for target in RecipientState if may_move(end, target)] for end in RecipientState if end in ENDS}


def in_words(counts: Mapping[str, int]) -> str:
    """Counts of recipients in the order of their way: `queued 3, sent 2`."""
    return ", ".join(f"{state} {counts[state]}" for state in RecipientState if counts.get(state)) or "nothing"
