"""The budgets of an account's sources: set and looked at here, heeded by the scripts that accept."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.money import from_micros, micros
from tuma_producer.contract.reading import texts
from tuma_worker.core.budgets import PERIODS, Budget, Period

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

_ONE = Decimal(1)


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

    def set(self, source: str, budget: Budget) -> None:
        """Let the source use so much from now on. What it has used in this period stands, if that was counted in the same way."""
        field = f"{source}|{budget.period}"
        told = f"{micros(budget.most)} {micros(budget.price or _ONE)} {budget.counts} {budget.unit}"
        before = cast("bytes | None", self.redis.hget(self._key, field))
        pipeline: Any = self.redis.pipeline(transaction=True)
        pipeline.hset(self._key, field, told)
        if before is not None and before.decode().split(" ")[1:] != told.split(" ")[1:]:
            pipeline.hdel(self._key, f"{field}|used")
        pipeline.execute()

    def remove(self, source: str, period: Period) -> bool:
        """Let the source use what it wants. False where it had no such budget."""
        field = f"{source}|{period}"
        return bool(self.redis.hdel(self._key, field, f"{field}|used"))

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
