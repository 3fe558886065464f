"""What a source may use in a day or a month, and in what that is counted. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tuma_producer.contract.budgets import Period


_AMOUNT = re.compile(r"(?P<most>\d{1,12}(?:\.\d{1,6})?) (?P<unit>[A-Z]{3}|messages|recipients)/(?P<period>day|month)")


@dataclass(frozen=True, slots=True)
class Budget:
    """At the `most` so much of `unit`, a currency, `messages` or `recipients`, in a `period`.

    Messages are segments times recipients. `price` is what one is counted as, where the unit is a currency.
    """

    most: Decimal
    unit: str
    period: Period
    price: Decimal | None = None

    @classmethod
    def parse(cls, text: str, price: tuple[Decimal, str] | None) -> Self:
        """Read `1000 recipients/day`, `50000 messages/month` or `200 USD/month`, at the account's price. Raises `ValueError`."""
        found = _AMOUNT.fullmatch(text.strip())
        if found is None:
            message = f"{text!r} is no budget; write '1000 recipients/day', '50000 messages/month' or '200 USD/month'"
            raise ValueError(message)
        most, unit = Decimal(found["most"]), found["unit"]
        period: Period = "day" if found["period"] == "day" else "month"
        if unit in {"messages", "recipients"}:
            return cls(most, unit, period)
        if price is None or price[1] != unit:
            told = "it has none" if price is None else f"that is in {price[1]}"
            message = f"a budget in {unit} needs the account's unit_price in that currency, and {told}; set it, or count messages"
            raise ValueError(message)
        return cls(most, unit, period, price[0])

    @property
    def counts(self) -> str:
        """What is multiplied: recipients, or messages."""
        return "recipients" if self.unit == "recipients" else "messages"

    def __str__(self) -> str:
        return f"{self.most:f} {self.unit}/{self.period}"
