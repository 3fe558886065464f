"""An account's money as Redis knows it: what the provider said is left, less what calls have cost since."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.money import from_micros, funds_left, micros
from tuma_producer.contract.reading import texts
from tuma_producer.contract.scripts import load
from tuma_producer.contract.wire import EVENTS_KEPT
from tuma_worker.core.funds import Reading, per_hour, runway
from tuma_worker.queue.config import SEND
from tuma_worker.store.clock import server_ms
from tuma_worker.store.lead import take_lead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys, QueueKeys
    from tuma_worker.core.funds import Balance

_RECKON = load(__package__, "reckon")
_KEPT = 6 * 3_600_000  # ms of readings, by which it is told how long the money lasts


class Became(StrEnum):
    """What a reading makes of bulk."""

    HELD = "held"
    RELEASED = "released"
    SAME = "same"
    OLDER = "older"


@dataclass(frozen=True, slots=True)
class Asking:
    """What was known right before the provider was asked: the time (Unix ms), and what calls had cost by then (millionths)."""

    at: int
    spent: int


@dataclass(frozen=True, slots=True)
class Money:
    """An account's money. `left` was told at `read_at` (Unix ms), less what calls have cost since; `kept` is the reserve.

    Bulk has waited since `held_at` (Unix ms), None where it goes. `per_hour` was spent in the last hours, at which what is left
    lasts for `runway` hours; None where nobody can tell yet, or nothing is spent.
    """

    left: Decimal
    kept: Decimal
    currency: str
    read_at: int | None
    held_at: int | None
    per_hour: Decimal | None
    runway: float | None


@dataclass(frozen=True, slots=True)
class Funds:
    """The money of one account, as workers look after it."""

    redis: Redis
    account: str

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that asks for the balance, for so long from now."""
        return take_lead(self.redis, self._keys.reckoner, name, seconds)

    def asking(self) -> Asking:
        """What a reading must know of the time before it."""
        spent = cast("bytes | None", self.redis.hget(self._queue.state, "spent"))
        return Asking(server_ms(self.redis), int(spent or 0))

    def note(self, asking: Asking, balance: Balance, kept: Decimal, token: str) -> Became:
        """Note what the provider answered, and let bulk wait or go by it. `token` is new for each reading."""
        return self._reckon(token, micros(kept), asking.at, asking.spent, micros(balance.amount), balance.currency, _KEPT)

    def keep_nothing(self, token: str) -> Became:
        """Let bulk go, whatever is left: the account has no reserve any more."""
        if not self.redis.hexists(self._queue.state, "funds"):
            return Became.SAME
        return self._reckon(token, "")

    def _reckon(self, token: str, *told: str | int) -> Became:
        keys = [self._queue.state, self._queue.bell, self._keys.events, self._keys.readings, self._keys.answer(token)]
        return Became(_RECKON.run(self.redis, keys, [EVENTS_KEPT, *told]).decode())

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    @property
    def _queue(self) -> QueueKeys:
        return self._keys.queue(SEND)


def look(redis: Redis, account: str) -> Money | None:
    """How the account's money stands; None where nobody watches it, or the provider has not told it yet."""
    keys = account_keys(account)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.hgetall(keys.queue(SEND).state)
    pipeline.zrange(keys.readings, 0, -1)
    state, readings = pipeline.execute()
    return read(texts(state), readings)


def read(state: Mapping[str, str], members: Iterable[bytes]) -> Money | None:
    """The same from what was read: the state of the account's sends, and the readings of its balance."""
    found = funds_left(state)
    if found is None:
        return None
    readings = [_reading(*member.decode().split(" ")) for member in members if member.endswith(found.currency.encode())]
    by_hour = per_hour(readings)
    return Money(
        left=found.left,
        kept=found.kept,
        currency=found.currency,
        read_at=readings[-1].at if readings else None,
        held_at=int(state["short"]) if "short" in state else None,
        per_hour=by_hour,
        runway=runway(found.left, by_hour),
    )


def _reading(at: str, left: str, _currency: str) -> Reading:
    return Reading(int(at), from_micros(left))
