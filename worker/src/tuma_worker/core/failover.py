"""Who may leave a halted account, and which account carries them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from tuma_producer.senders import is_approved
from tuma_worker.core.next_step import Untaken
from tuma_worker.core.states import ENDS, corrections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from tuma_producer.quiet import Quiet
    from tuma_worker.core.states import RecipientState

# Phases of calls that the provider did not take, as far as it said. After any other nobody knows, or knew for a while.
_REFUSED = frozenset({"refused", "rejected"})
ANY_PROOF = frozenset(Untaken)
UNSENT = frozenset({Untaken.UNSENT})

_FINAL = frozenset(end for end in ENDS if not corrections()[end])
SOON, LATE, ENDED_LATE = 1.0, 60.0, 600.0  # seconds between two looks: the least, the most, and the most after the end
CORRECTIBLE_FOR = 4 * 86_400.0  # seconds after the last news for which an end may still be corrected: attempts are known so long


@dataclass(frozen=True, slots=True)
class CarrierTerms:
    """On what terms an account carries for others.

    `countries` are beginnings of numbers such as `+243`, none for all numbers; `senders` those that it may show beside its own
    `sender_id`, none for all. With `own_sender` it shows its own where it may not show the intent's. `lanes` are the priorities,
    None for all. `approved` says to which beginnings of numbers each sender may be shown, to all where it is empty.
    """

    countries: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    sender_id: str | None = None
    own_sender: bool = False
    lanes: tuple[str, ...] | None = None
    approved: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def may_show(self, sender: str | None) -> bool:
        """Whether an intent of this sender goes out as it is; one without a sender shows the account's own."""
        return sender is None or not self.senders or sender in {self.sender_id, *self.senders}


@dataclass(frozen=True, slots=True)
class Carrier:
    """An account that others may fail over to. `works` is false while it is halted, paused or unattended, or its breaker open.

    A text of more than `most_segments` is heavier than a whole window of one of its limits.
    """

    account: str
    environment: str
    works: bool
    terms: CarrierTerms
    most_segments: float = inf
    quiet: Quiet | None = None


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is to be carried: an intent of this priority and sender, from an account of this environment.

    It has so many segments, is to be carried `at` that time, and goes in quiet hours too where it is `loud`.
    """

    lane: str
    sender: str | None
    environment: str
    segments: int
    at: datetime
    loud: bool = False

    def disturbs(self, number: str, quiet: Quiet | None) -> bool:
        """Whether this may not be sent to the number now, by these quiet hours."""
        if quiet is None or self.loud or self.lane not in quiet.priorities:
            return False
        return quiet.until(number, self.at) is not None


def carrier_for(number: str, cargo: Cargo, carriers: Sequence[Carrier]) -> Carrier | None:
    """The first that can carry this recipient; None where none can."""
    return next((carrier for carrier in carriers if _can_carry(carrier, number, cargo)), None)


def _can_carry(carrier: Carrier, number: str, cargo: Cargo) -> bool:
    terms = carrier.terms
    return (
        carrier.works
        and carrier.environment == cargo.environment  # what is real must not end in a sandbox, nor the other way
        and (terms.lanes is None or cargo.lane in terms.lanes)
        and (not terms.countries or number.startswith(terms.countries))
        and _may_show(terms, cargo.sender, number)
        and cargo.segments <= carrier.most_segments
        and not cargo.disturbs(number, carrier.quiet)
    )


def _may_show(terms: CarrierTerms, sender: str | None, number: str) -> bool:
    """Whether it would go out there under its sender, or else under the account's own."""
    shown = sender or terms.sender_id if terms.may_show(sender) else terms.sender_id
    return (terms.may_show(sender) or terms.own_sender) and is_approved(terms.approved, shown, number)


@dataclass(frozen=True, slots=True)
class Called:
    """A call of an intent: its phase, what proves that it was not taken, if anything, and whom it was for.

    A phase of None is that of a call which is not remembered any more: whom it was for is not known either.
    """

    phase: str | None
    untaken: str | None
    numbers: frozenset[str]


def may_leave(numbers: Iterable[str], tried: frozenset[str], calls: Sequence[Called], proofs: frozenset[Untaken]) -> set[str]:
    """Those of the numbers of whom one of these proofs says that no call for them was taken. `tried` have been in a call."""
    uncertain: set[str] = set()
    for call in calls:
        if call.phase is None:
            uncertain |= tried
        elif call.phase not in _REFUSED or call.untaken not in proofs:
            uncertain |= call.numbers
    return set(numbers) - uncertain


def look_again(states: frozenset[RecipientState], silence: float) -> float | None:
    """In how many seconds to look again at those that another account carries, who are in these states there.

    The last news of them is `silence` seconds old. None where there will be no more: all have ended so that nothing can correct it.
    """
    ended = states <= ENDS
    if states <= _FINAL or (ended and silence > CORRECTIBLE_FOR):
        return None
    return min(max(SOON, silence / 10), ENDED_LATE if ended else LATE)
