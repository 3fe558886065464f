"""What became of an account's recipients of late, in parts of equal length: counted from its events, by whoever wants to see it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

PARTS = 60
PART_MS = 15_000
_SPAN_MS = PARTS * PART_MS
_PAGE = 2000  # events
_MOST = 20_000  # events that one look reads: a campaign at full speed must not hold up whoever looks


@dataclass(slots=True)
class Pulse:
    """Counts on from where it stopped. `since` (Unix ms) says from when on it has seen all. Thread-safe."""

    account: str
    since: int = 0
    _lock: Lock = field(default_factory=Lock)
    _place: str = ""
    _parts: dict[int, Counter[str]] = field(default_factory=dict)

    def read(self, redis: Redis, now: int) -> list[Counter[str]]:
        """How many recipients came into each state in each of the last parts, the oldest first. `now`: the server's time in ms."""
        with self._lock:
            if not self._place or self._behind(now) > _SPAN_MS or not self._go_on(redis):
                self._begin(redis, now)
            last = now // PART_MS
            self._parts = {part: counts for part, counts in self._parts.items() if part > last - PARTS}
            return [Counter(self._parts.get(part)) for part in range(last - PARTS + 1, last + 1)]

    def _behind(self, now: int) -> int:
        return now - int(self._place.partition("-")[0])

    def _begin(self, redis: Redis, now: int) -> None:
        """Count what is there backwards, as far as one look may."""
        self._parts, self.since, self._place = {}, now - _SPAN_MS, f"{now}-0"
        upper, left = "+", _MOST
        while page := self._page(redis, upper, str(self.since), newest_first=True):
            if upper == "+":
                self._place = page[0][0].decode()
            self._count(page)
            upper, left = f"({page[-1][0].decode()}", left - len(page)
            if left <= 0:
                self.since = _time(page[-1][0])
                return

    def _go_on(self, redis: Redis) -> bool:
        """Count what came since. False where that is more than one look may read."""
        left = _MOST
        while page := self._page(redis, f"({self._place}", "+"):
            self._count(page)
            self._place, left = page[-1][0].decode(), left - len(page)
            if left <= 0:
                return False
        return True

    def _page(self, redis: Redis, first: str, last: str, *, newest_first: bool = False) -> list[Any]:
        read: Any = redis.xrevrange if newest_first else redis.xrange
        found: list[Any] = read(account_keys(self.account).events, first, last, count=_PAGE)
        return found

    def _count(self, page: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for entry_id, fields in page:
            if b"r" in fields:
                self._parts.setdefault(_time(entry_id) // PART_MS, Counter())[fields[b"e"].decode()] += 1


def _time(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])
