"""Calls of which no receipt has told in time: when the provider is asked about them, and what its counts prove. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_worker.core.states import RecipientState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_APART = 43_200_000  # ms between two questions about a call at the most

_FAILURES = (RecipientState.FAILED, RecipientState.UNDELIVERED, RecipientState.REJECTED, RecipientState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Silent:
    """A recipient that the provider took and of whom no end was told: its intent, and the provider's id for its message.

    The id is empty where the provider gave none.
    """

    intent: str
    provider_id: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """A call of `size` recipients about which the provider is to be asked. It began at `started` (Unix ms) and carried `message`.

    `provider_id` is the provider's id for the whole call. `silent` are those of whom no end was told, by number; `told` says how
    many ended in which state by this very call.
    """

    batch_id: str
    provider_id: str
    started: int
    message: str
    size: int
    silent: Mapping[str, Silent]
    told: Mapping[RecipientState, int]


def asks_again(started: int, asked: Sequence[int], after: int) -> int:
    """When to ask again about a call that was asked about at these times. All in Unix ms; `after` is the least between two times.

    It has then waited as long again as until the last time: what is not told soon is told late, and each question costs a call.
    """
    if not asked:
        return started + after
    last = max(asked)
    return last + min(max(last - started, after), MOST_APART)


def alike(call: Overdue, *, total: int | None, delivered: int | None, failed: int | None) -> RecipientState | None:
    """What all those have come to of whom no end was told, by the provider's counts of the call; None where they prove nothing.

    Counts name nobody. They prove something only if everybody has ended and all who are not known to have ended came to the same.
    """
    if total != call.size or delivered is None or failed is None or delivered + failed != total:
        return None
    if sum(call.told.get(state, 0) for state in _FAILURES) == failed:
        return RecipientState.DELIVERED
    if call.told.get(RecipientState.DELIVERED, 0) == delivered:
        return RecipientState.FAILED
    return None
