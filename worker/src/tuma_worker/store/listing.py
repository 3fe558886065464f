"""Looking through the intents of an account, a page at a time, without an index of them: that would cost every enqueue a write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.ids import full_id, home_of
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.records import decode
from tuma_producer.contract.wire import LANES
from tuma_worker.store.records import PAGE, Records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from tuma_producer import Intent

LOOKED_AT = 20_000  # keys that one page looks at, of everything in Redis; then it says where to go on
BEGINNING = 0
_READ_AT_ONCE = 20  # whole records in one trip: each may have ten thousand recipients


@dataclass(frozen=True, slots=True)
class Filter:
    """Which intents are meant; None where it does not matter. `first` and `last` are when they were accepted, in Unix ms."""

    source: str | None = None
    priority: str | None = None
    state: str | None = None
    first: int | None = None
    last: int | None = None

    def may_be(self, source: bytes | None, lane: bytes | None, at: bytes | None) -> bool:
        """Whether one is meant, as far as these three of its fields tell."""
        if source is None or lane is None or at is None:
            return False  # a stub, which only says that none is to come
        accepted = int(at)
        return (
            self.source in {None, source.decode()}
            and self.priority in {None, LANES[int(lane)]}
            and (self.first is None or self.first <= accepted)
            and (self.last is None or accepted <= self.last)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some intents, and the place from which to go on; None where all have been looked at."""

    intents: list[Intent]
    following: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The intents of one account, schedules among them; not those by which it carries another account's recipients."""

    redis: Redis
    account: str

    def page(self, wanted: Filter, place: int, least: int) -> Page:
        """At least so many of the wanted ones, from this place on, in no order; fewer where many were looked at for them.

        What is there all the while is met at least once, and perhaps twice.
        """
        found: list[Intent] = []
        for step in range(1, LOOKED_AT // PAGE + 1):
            place, looked_at = Records(self.redis, self.account).look(place, "source", "lane", "at")
            short_ids = [short_id for short_id, fields in looked_at if wanted.may_be(*fields) and home_of(short_id) is None]
            found += [one for one in self._read(short_ids) if wanted.state in {None, one.state}]
            if place == BEGINNING or len(found) >= least or step * PAGE >= LOOKED_AT:
                break
        return Page(found, place or None)

    def _read(self, short_ids: Sequence[str]) -> Iterator[Intent]:
        for start in range(0, len(short_ids), _READ_AT_ONCE):
            some = short_ids[start : start + _READ_AT_ONCE]
            pipeline: Any = self.redis.pipeline(transaction=False)
            for short_id in some:
                pipeline.hgetall(account_keys(self.account).intent(short_id))
            for short_id, raw in zip(some, pipeline.execute(), strict=True):
                if raw:  # else its time was over between the two looks
                    yield decode(full_id(self.account, short_id), record_texts(raw))
