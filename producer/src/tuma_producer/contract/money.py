"""How money is counted, and what the state of an account's sends says of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MICRO = 1_000_000


def micros(amount: Decimal) -> int:
    """An amount in millionths of its currency, as scripts count."""
    return round(amount * _MICRO)


def from_micros(count: str | int) -> Decimal:
    """The amount that so many millionths are."""
    return Decimal(count) / _MICRO


@dataclass(frozen=True, slots=True)
class FundsLeft:
    """How much is `left` of an account's money as far as anybody knows, and how much of it is `kept` from bulk."""

    left: Decimal
    kept: Decimal
    currency: str


def funds_left(state: Mapping[str, str]) -> FundsLeft | None:
    """The money of the account whose sends have this state; None where nobody watches it."""
    if "funds" not in state:
        return None
    stops_at, kept, currency = state["funds"].split(" ")
    left = int(stops_at) + int(kept) - int(state.get("spent", 0))
    return FundsLeft(from_micros(left), from_micros(kept), currency)
