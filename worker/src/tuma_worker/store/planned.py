"""The schedules of an account as they are listed, of either custody: forgotten once their records are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.wire import BODY_FIELDS, decode, full_id
from tuma_worker.store.records import pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from tuma_producer import Intent

_PAGE = 500  # ids in one step
_CUSTODY = ("custody", "of", "first", "last", "wish", "verb", "asked", "result")
# What a record says but for its recipients, of whom there may be thousands.
_ABOUT = ("source", "lane", "at", "expires", "open", "held", "next", "fired", *_CUSTODY, *BODY_FIELDS)


@dataclass(frozen=True, slots=True)
class Planned:
    """The schedules of one account."""

    redis: Redis
    account: str

    def size(self) -> int:
        """How many there are, about: those whose record is gone may be among them."""
        return self.redis.zcard(account_keys(self.account).schedules)

    def latest(self, most: int) -> list[Intent]:
        """So many of those that were accepted last, the last one first; without recipients and occurrences."""
        ids = cast("list[bytes]", self.redis.zrange(account_keys(self.account).schedules, 0, most - 1, desc=True))
        pipeline: Any = self.redis.pipeline(transaction=False)
        for short_id in ids:
            pipeline.hmget(account_keys(self.account).intent(short_id.decode()), _ABOUT)
        records = [_record(values) for values in (pipeline.execute() if ids else ())]
        return [self._told(short_id.decode(), one) for short_id, one in zip(ids, records, strict=True) if "open" in one]

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


def _record(values: list[bytes | None]) -> dict[str, str]:
    return record_texts({name.encode(): value for name, value in zip(_ABOUT, values, strict=True) if value is not None})
