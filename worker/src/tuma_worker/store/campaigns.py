"""The campaigns of an account, forgotten together with the last of their intents."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import nlargest
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import load
from tuma_producer.contract.wire import RETENTION_MS, campaign_keys
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

_FORGET = load(__package__, "forget_campaign")
_PAGE = 500  # names or ids in one step


@dataclass(frozen=True, slots=True)
class CampaignStanding:
    """How a campaign stands. `at` is when something arrived under its name last, to within an hour (Unix ms).

    `paused` is by whom it is paused, `cancelling` by whom it is being cancelled; None where it is not.
    """

    name: str
    at: int
    paused: str | None
    cancelling: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a campaign's recipients: how many are in which state, of so many `counted` of its `intents`.

    `schedules` of the intents are no more than that: their occurrences belong to no campaign.
    """

    intents: int
    counted: int
    schedules: int
    states: Counter[str]


@dataclass(slots=True)
class Tally:
    """Counts on from look to look, a bounded number of records each time: all of a large campaign is known after several.

    What has ended is not looked at again, unless somebody of it ended as unknown; what is open is, in turn. Thread-safe.
    """

    account: str
    name: str
    _last: str = ""
    _states: Counter[str] = field(default_factory=Counter)
    _ended: int = 0
    _schedules: int = 0
    _open: dict[str, Counter[str]] = field(default_factory=dict)
    _turn: deque[str] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    def read(self, redis: Redis, most: int) -> Progress:
        """Look once more, at so many records of what is open, and at what is new: at as many together, or a quarter of that."""
        with self._lock:
            index = campaign_keys(self.account, self.name)[1]
            intents = redis.zcard(index)
            if not self._read_new(redis, index, most) and self._seen < intents:
                self._begin_anew()  # something arrived behind what was read, by the clock of who made its id
            return Progress(intents, min(self._seen, intents), self._schedules, +self._states)

    @property
    def _seen(self) -> int:
        return self._ended + len(self._open) + self._schedules

    def _begin_anew(self) -> None:
        self._last, self._ended, self._schedules = "", 0, 0
        self._states.clear()
        self._open.clear()
        self._turn.clear()

    def _read_new(self, redis: Redis, index: str, most: int) -> bool:
        """Look at what is open, in turn, and at what is new. Whether there is more that is new."""
        known = [self._turn.popleft() for _ in range(min(len(self._turn), most))]
        self._look(redis, known)
        left = max(most // 4, most - len(known), 1)
        while left > 0:
            first = f"({self._last}" if self._last else "-"
            page = cast(
                "list[bytes]", redis.zrange(index, cast("Any", first), cast("Any", "+"), bylex=True, offset=0, num=min(_PAGE, left))
            )
            if not page:
                return False
            self._last = page[-1].decode()
            self._look(redis, [short_id.decode() for short_id in page])
            left -= len(page)
        return True

    def _look(self, redis: Redis, short_ids: list[str]) -> None:
        for start in range(0, len(short_ids), _PAGE):
            some = short_ids[start : start + _PAGE]
            pipeline: Any = redis.pipeline(transaction=False)
            for short_id in some:
                pipeline.hgetall(account_keys(self.account).intent(short_id))
            for short_id, raw in zip(some, pipeline.execute(), strict=True):
                self._note(short_id, raw)

    def _note(self, short_id: str, raw: dict[bytes, bytes]) -> None:
        self._states.subtract(self._open.pop(short_id, Counter()))
        if b"fired" in raw:
            self._schedules += 1
            return
        states = Counter(value.partition(b"|")[0].decode() for name, value in raw.items() if name.startswith(b"+"))
        self._states.update(states)
        if raw.get(b"open") in {None, b"0"} and "unknown" not in states:
            self._ended += 1
        else:
            self._open[short_id] = states
            self._turn.append(short_id)


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The campaigns of one account."""

    redis: Redis
    account: str

    def latest(self, most: int) -> tuple[list[CampaignStanding], int]:
        """So many of them, under whose name something arrived last, the last one first; and how many there are in all."""
        found = [_standing(name, packed) for name, packed in self._all()]
        return nlargest(most, found, key=lambda one: (one.at, one.name)), len(found)

    def named(self, name: str) -> CampaignStanding | None:
        """The one of this name; None where there is none."""
        packed = cast("bytes | None", self.redis.hget(account_keys(self.account).campaigns, name))
        return None if packed is None else _standing(name.encode(), packed)

    def _all(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self.redis.hscan_iter(account_keys(self.account).campaigns, count=_PAGE)

    def forget(self) -> int:
        """Forget the campaigns whose intents have all been forgotten. Returns how many.

        Looked at is one under whose name nothing has arrived for a retention time, and again after as long.
        """
        return sum(self._forget(name) for name in self._quiet())

    def _quiet(self) -> Iterator[str]:
        before = server_ms(self.redis) - RETENTION_MS
        for name, packed in self._all():
            if json.loads(packed)["at"] < before:
                yield name.decode()

    def _forget(self, name: str) -> bool:
        keys = campaign_keys(self.account, name)
        gone = [short_id for page in self._pages(keys[1]) for short_id in self._gone(page)]
        return bool(_FORGET.run(self.redis, keys, [name, *gone]))

    def _pages(self, index: str) -> Iterator[list[bytes]]:
        last = b"-"
        while page := cast("list[bytes]", self.redis.zrange(index, last, b"+", bylex=True, offset=0, num=_PAGE)):
            yield page
            last = b"(" + page[-1]

    def _gone(self, page: list[bytes]) -> Iterator[bytes]:
        """Those whose record is no more."""
        pipeline = self.redis.pipeline(transaction=False)
        for short_id in page:
            pipeline.exists(account_keys(self.account).intent(short_id.decode()))
        return (short_id for short_id, there in zip(page, pipeline.execute(), strict=True) if not there)


def _standing(name: bytes, packed: bytes) -> CampaignStanding:
    told = json.loads(packed)
    return CampaignStanding(name.decode(), told["at"], told.get("paused"), told.get("by") if "cancelling" in told else None)
