"""The budgets of an account's sources: set and looked at here, heeded by the scripts that accept."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from tuma_producer.contract.budgets import PERIODS
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.money import from_micros, micros
from tuma_producer.contract.reading import texts
from tuma_producer.contract.scripts import load
from tuma_worker.core.budgets import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from tuma_producer.contract.budgets import Period

_ONE = Decimal(1)
_SET = load(__package__, "set_budget")


@dataclass(frozen=True, slots=True)
class Kept:
    """A source's budget, and how much of it was `used` in the period that the last send it counted was in.

    `since` is the first day of that period, numbered from the Unix epoch by the account's clocks; None where none was counted yet.
    """

    source: str
    budget: Budget
    used: Decimal
    since: int | None


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets of one account."""

    redis: Redis
    account: str

    def price(self) -> tuple[Decimal, str] | None:
        """The account's `unit_price`, as its workers have told it."""
        told = cast("bytes | None", self.redis.hget(account_keys(self.account).profile, "price"))
        amount, _, currency = (told or b"").decode().partition(" ")
        return (Decimal(amount), currency) if amount else None

    def set(self, source: str, budget: Budget, *, by: str) -> None:
        """Let the source use so much from now on. What it has used in this period stands, if that was counted in the same way."""
        told = f"{micros(budget.most)} {micros(budget.price or _ONE)} {budget.counts} {budget.unit}"
        self._set(source, budget.period, told, by)

    def remove(self, source: str, period: Period, *, by: str) -> bool:
        """Let the source use what it wants. False where it had no such budget."""
        return self._set(source, period, "", by)

    def _set(self, source: str, period: Period, told: str, by: str) -> bool:
        keys = [self._key, account_keys(self.account).audit]
        return bool(_SET.run(self.redis, keys, [f"{source}|{period}", told, by]))

    def all(self) -> list[Kept]:
        """Every budget, by source."""
        fields = texts(cast("dict[bytes, bytes]", self.redis.hgetall(self._key)))
        return sorted(_kept(fields), key=lambda one: (one.source, one.budget.period))

    @property
    def _key(self) -> str:
        return account_keys(self.account).budgets


def _kept(fields: Mapping[str, str]) -> Iterator[Kept]:
    for field, told in fields.items():
        source, _, period = field.partition("|")
        if period not in PERIODS:
            continue
        most, each, _counts, unit = told.split(" ")
        price = None if unit in {"messages", "recipients"} else from_micros(each)
        since, used = fields.get(f"{field}|used", " 0").split(" ")
        budget = Budget(from_micros(most), unit, "day" if period == "day" else "month", price)
        yield Kept(source, budget, from_micros(used), int(since) if since else None)
