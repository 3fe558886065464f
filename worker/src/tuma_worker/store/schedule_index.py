"""The schedules of an account as they are listed, of either custody: forgotten once their records are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tuma_producer.contract.ids import full_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.records import BODY_FIELDS, decode
from tuma_worker.store.records import pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from redis import Redis

    from tuma_producer import Intent

_PAGE = 500  # ids in one step
_CUSTODY = ("custody", "of", "first", "last", "wish", "verb", "asked", "result")
# What a record says but for its recipients, of whom there may be thousands.
_ABOUT = ("source", "lane", "at", "expires", "open", "held", "next", "fired", *_CUSTODY, *BODY_FIELDS)


class Place(NamedTuple):
    """A place among the schedules: when one was accepted, in Unix ms, and its short id."""

    at: int
    short_id: str


NOW = Place(2**53, "")  # before the last one


@dataclass(frozen=True, slots=True)
class ScheduleIndex:
    """The schedules of one account."""

    redis: Redis
    account: str

    def size(self) -> int:
        """How many there are, about: those whose record is gone may be among them."""
        return self.redis.zcard(account_keys(self.account).schedules)

    def latest(self, most: int) -> list[Intent]:
        """So many of those that were accepted last, the last one first; without recipients and occurrences."""
        ids = cast("list[bytes]", self.redis.zrange(account_keys(self.account).schedules, 0, most - 1, desc=True))
        return self._read([short_id.decode() for short_id in ids])

    def page(self, place: Place, most: int) -> tuple[list[Intent], Place | None]:
        """So many of them, the last one first, behind this place; and the place to go on from, None where there are no more."""
        places = self._behind(place, most + 1)
        return self._read([one.short_id for one in places[:most]]), places[most - 1] if len(places) > most else None

    def all(self) -> Iterator[Intent]:
        """Every one, the last one first."""
        place: Place | None = NOW
        while place is not None:
            page, place = self.page(place, _PAGE)
            yield from page

    def _behind(self, place: Place, most: int) -> list[Place]:
        """There is no offset: schedules that come and go meanwhile would shift it."""
        index, count = account_keys(self.account).schedules, most
        while True:
            raw: Any = self.redis.zrevrangebyscore(index, place.at, "-inf", start=0, num=count, withscores=True)
            found = [one for member, score in raw if (one := Place(int(score), member.decode())) < place]
            if len(found) >= most or len(raw) < count:
                return found[:most]
            count *= 2  # so many were accepted in one millisecond

    def _read(self, short_ids: list[str]) -> list[Intent]:
        pipeline: Any = self.redis.pipeline(transaction=False)
        for short_id in short_ids:
            pipeline.hmget(account_keys(self.account).intent(short_id), _ABOUT)
        records = [_record(values) for values in (pipeline.execute() if short_ids else ())]
        return [self._told(short_id, one) for short_id, one in zip(short_ids, records, strict=True) if "open" in one]

    def _told(self, short_id: str, record: Mapping[str, str]) -> Intent:
        intent = decode(full_id(self.account, short_id), record)
        if intent.custody is None or record["open"] != "0":
            return intent
        return replace(intent, state="done")  # whether all of it was withdrawn, only the recipients tell

    def forget(self) -> int:
        """Forget those whose records are gone. Returns how many."""
        return sum(self.redis.zrem(account_keys(self.account).schedules, *gone) for gone in self._gone() if gone)

    def _gone(self) -> Iterator[list[bytes]]:
        index = account_keys(self.account).schedules
        for page in pages([member for member, _ in self.redis.zscan_iter(index, count=_PAGE)]):
            pipeline = self.redis.pipeline(transaction=False)
            for short_id in page:
                pipeline.exists(account_keys(self.account).intent(short_id.decode()))
            yield [short_id for short_id, there in zip(page, pipeline.execute(), strict=True) if not there]


def following(one: Intent) -> datetime | None:
    """When a schedule fires next, or for the first time where the provider keeps its dates; None where it will not."""
    return one.custody.first if one.custody is not None else one.next_firing


def _record(values: list[bytes | None]) -> dict[str, str]:
    return record_texts({name.encode(): value for name, value in zip(_ABOUT, values, strict=True) if value is not None})
