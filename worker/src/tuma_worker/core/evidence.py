"""What follows from a look for evidence about a call that nobody answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Untold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_worker.core.answers import Accepted, Trace

LOOKS = 2  # far apart, that find nothing in complete books before a call counts as never accepted: it may appear in them late
TRIES = 5  # looks at books that tell nothing before the intent's own wish decides


class Found(StrEnum):
    """What a look came upon."""

    RECEIPT = "receipt"
    ONE = "one"
    NOTHING = "nothing"
    SEVERAL = "several"
    INCOMPLETE = "incomplete"  # nothing, in books that do not tell all
    UNREADABLE = "unreadable"
    NO_BOOKS = "no-books"


class Decision(StrEnum):
    """What follows."""

    ADOPTED = "adopted"
    ABSENT = "absent"  # proven never accepted: sent again
    LOOK_AGAIN = "look-again"
    UNKNOWN = "unknown"
    RESENT = "resent"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, what follows, and the call to adopt where there is one."""

    found: Found
    decision: Decision
    call: Accepted | None = None


def judge(trace: Trace, strangers: tuple[Accepted, ...], looks: Sequence[float], apart: float, on_unknown: str) -> Judgement:
    """Judge a look. `strangers` are those of the calls it found that no attempt is known by.

    `looks` says when each look so far began, this one included, in seconds. Two prove an absence only if they are `apart` seconds
    apart: a worker that dies in a look leaves it to another, who looks much sooner.
    """
    found = _found(trace, strangers)
    if found is Found.ONE:
        return Judgement(found, Decision.ADOPTED, strangers[0])
    if found is Found.NOTHING and _far_apart(looks, apart) >= LOOKS:
        return Judgement(found, Decision.ABSENT)
    return Judgement(found, Decision.LOOK_AGAIN if len(looks) < TRIES else without_evidence(on_unknown))


def _far_apart(looks: Sequence[float], apart: float) -> int:
    """How many looks there were, without those that came too soon after the last one counted."""
    counted: list[float] = []
    for at in sorted(looks):
        if not counted or at - counted[-1] >= apart:
            counted.append(at)
    return len(counted)


def without_evidence(on_unknown: str) -> Decision:
    """What the intent would rather have, none or two."""
    return Decision.RESENT if on_unknown == "resend" else Decision.UNKNOWN


def _found(trace: Trace, strangers: tuple[Accepted, ...]) -> Found:
    if isinstance(trace, Untold):
        return Found.UNREADABLE
    if strangers:
        return Found.ONE if len(strangers) == 1 else Found.SEVERAL
    return Found.NOTHING if trace.complete else Found.INCOMPLETE
