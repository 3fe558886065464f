"""What a message costs, by what a provider charged for a call. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted

if TYPE_CHECKING:
    from tuma_worker.core.answers import Answer

_PLACES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one message, that is of one segment to one recipient."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


def charged(answer: Answer, *, recipients: int, segments: int) -> Price | None:
    """What a message cost on the average of this call; None where the answer does not tell."""
    if not isinstance(answer, Accepted) or answer.cost is None or answer.cost <= 0 or not answer.currency:
        return None
    refused = sum(not one.accepted for one in answer.recipients.values())
    messages = (recipients - refused) * segments
    if messages <= 0:
        return None
    return Price((answer.cost / messages).quantize(_PLACES, ROUND_HALF_EVEN).normalize(), answer.currency)
