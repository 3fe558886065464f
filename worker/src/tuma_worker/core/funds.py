"""What is left of an account's money, what is kept of it for those who cannot wait, and how long it lasts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGES = "messages"
_RESERVE = re.compile(r"(?P<amount>\d{1,12}(?:\.\d{1,6})?) (?P<unit>[A-Z]{3}|messages)")
_HOUR = 3_600_000
_LEAST = 300_000  # ms of readings before they say anything about an hour


@dataclass(frozen=True, slots=True)
class Balance:
    """What a provider says that an account has. `price` is that of one segment to one recipient, None where it is not told."""

    amount: Decimal
    currency: str
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """What bulk leaves of the balance for the lanes above it: an amount in `unit`, a currency or `messages`."""

    amount: Decimal
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5000 CDF` or `2000 messages`. Raises `ValueError`."""
        found = _RESERVE.fullmatch(text.strip())
        if found is None:
            message = (
                "is no reserve; write an amount of the account's currency, such as '5000 CDF', or of messages: '2000 messages'"
            )
            raise ValueError(message)
        return cls(Decimal(found["amount"]), found["unit"])

    def of(self, balance: Balance) -> Decimal | None:
        """The same in the balance's currency; None where that is another one, or where no price says what a message costs."""
        if self.unit == balance.currency:
            return self.amount
        if self.unit != MESSAGES or balance.price is None:
            return None
        return self.amount * balance.price


@dataclass(frozen=True, slots=True)
class Reading:
    """A balance as it was told at `at` (Unix ms)."""

    at: int
    amount: Decimal


def per_hour(readings: Sequence[Reading]) -> Decimal | None:
    """What was spent in an hour, on the average of these readings, oldest first; None where they are of too short a time to tell.

    Whatever made the balance fall was spent, by us or by others. What made it rise was paid in.
    """
    lasted = readings[-1].at - readings[0].at if readings else 0
    if lasted < _LEAST:
        return None
    return sum((max(Decimal(0), before.amount - after.amount) for before, after in pairwise(readings)), Decimal(0)) * _HOUR / lasted


def runway(amount: Decimal, spent_per_hour: Decimal | None) -> float | None:
    """For how many hours this lasts if it is spent as before; None where that cannot be told, or nothing is spent."""
    return round(float(max(Decimal(0), amount) / spent_per_hour), 1) if spent_per_hour else None
