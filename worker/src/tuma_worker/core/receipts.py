"""What a provider tells us unasked, in our words: what became of one recipient, or what one wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuma_worker.core.states import Evidence, RecipientState


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that a person wrote: from the number `sender`, +E.164, `to` a number or sender ID of ours where that is told."""

    sender: str
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """One piece of news about a call or one of its recipients.

    `number` is E.164 with its plus sign; None when the news is about the whole call. `state` is None for an event that nobody here
    understands. `provider_id` is the id under which the provider knows the call or the message;
    `reason` is the provider's code, never free text. `occurred_at` is Unix milliseconds, the provider's clock, None if absent.
    `inbound` is what such an event brings that is about no call of ours.
    """

    event: str
    provider_id: str | None
    number: str | None
    state: RecipientState | None
    evidence: Evidence
    reason: str | None = None
    occurred_at: int | None = None
    event_id: str | None = None
    inbound: Inbound | None = None
