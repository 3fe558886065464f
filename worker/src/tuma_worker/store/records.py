"""Walking through all records of an account, in pages: for whoever looks for recipients without an index of them.

A set of open intents would cost every enqueue and every end a write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.connection import server_for
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.wire import RETENTION_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

PAGE = 500  # keys, fields or members in one step

_MOVING = (b"queued", b"sending", b"submitted", b"sent")


@dataclass(frozen=True, slots=True)
class Open:
    """An intent of which something is to come: its `following` firing, news of its recipients, or of a verb that was `asked` for.

    Until the `last` date, in Unix ms, silence means nothing.
    """

    short_id: str
    following: str | None
    last: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Over:
    """An intent that is over, for `age` ms, and is `kept` for so many from its end; whether it still has its text."""

    short_id: str
    age: int
    kept: int
    has_text: bool


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one account."""

    redis: Redis
    account: str

    def open(self) -> Iterator[Open]:
        """Those that have not ended, or that a verb is under way for; schedules only while they wait for a firing."""
        for short_id, (still_open, following, held, last, verb) in self._all("open", "next", "held", "last", "verb"):
            if verb or (still_open not in {None, b"0"} and not (following and held)):
                yield Open(short_id, following.decode() if following else None, int(last or 0), asked=bool(verb))

    def over(self) -> Iterator[Over]:
        """Those of which nothing is to come any more."""
        for page in self._keys():
            pipeline: Any = self.redis.pipeline(transaction=False)
            for key in page:
                pipeline.pttl(key)
                pipeline.hmget(key, "open", "kept", "textless")
            found = pipeline.execute()
            for key, left, (still_open, kept, textless) in zip(page, found[::2], found[1::2], strict=True):
                if left >= 0 and still_open is not None:
                    for_ms = RETENTION_MS if kept is None or left > int(kept) else int(kept)
                    yield Over(self._short_id(key), for_ms - left, for_ms, textless is None)

    def naming(self, number: str) -> Iterator[tuple[str, list[str]]]:
        """Those of which the number is a recipient, schedules too, with the attempts that there were for each."""
        for short_id, (packed, scheduled, attempts) in self._all(number, "to", "attempts"):
            if packed or number in (scheduled or b"").decode().split():
                yield short_id, (attempts or b"").decode().split()

    def look(self, place: int, *fields: str) -> tuple[int, list[tuple[str, Sequence[bytes | None]]]]:
        """About a page of what is in Redis: the place behind it, 0 where that was all; and each record's short id, with fields."""
        place, page = self._page(place)
        return place, list(self._read(page, fields))

    def _all(self, *fields: str) -> Iterator[tuple[str, Sequence[bytes | None]]]:
        """Every record's short id, with these fields of it."""
        for page in self._keys():
            yield from self._read(page, fields)

    def _keys(self) -> Iterator[list[bytes]]:
        return keys_with(self.redis, account_keys(self.account).intent(""))

    def _page(self, place: int) -> tuple[int, list[bytes]]:
        return _page_of(self.redis, account_keys(self.account).intent(""), place)

    def _read(self, page: Sequence[bytes], fields: Sequence[str]) -> Iterator[tuple[str, Sequence[bytes | None]]]:
        pipeline = self.redis.pipeline(transaction=False)
        for key in page:
            pipeline.hmget(key, fields)
        yield from zip(map(self._short_id, page), pipeline.execute(), strict=True)

    def _short_id(self, key: bytes) -> str:
        return key.decode().removeprefix(account_keys(self.account).intent(""))

    def moving(self, short_id: str) -> Iterator[list[tuple[str, str]]]:
        """The numbers of an intent's recipients that somebody must move on, with their fields, page by page."""
        record = self.redis.hscan_iter(account_keys(self.account).intent(short_id), match="+*", count=PAGE)
        yield from pages([(name.decode(), packed.decode()) for name, packed in record if packed.startswith(_MOVING)])


def keys_with(redis: Redis, prefix: str) -> Iterator[list[bytes]]:
    """The keys of one account that begin so, page by page."""
    place, page = _page_of(redis, prefix, 0)
    yield page
    while place != 0:
        place, page = _page_of(redis, prefix, place)
        yield page


def _page_of(redis: Redis, prefix: str, place: int) -> tuple[int, list[bytes]]:
    following, page = cast("Any", server_for(redis, prefix).scan(place, match=f"{prefix}*", count=PAGE))
    return int(following), page


def batch_of(packed: str) -> str:
    """The call that a recipient was last in; empty where it was in none."""
    return packed.split("|")[4] if "|" in packed else ""


def is_silent(packed: str, stood: int, last: int = 0) -> bool:
    """Whether the provider took this recipient and nothing was heard of it since `stood` (Unix ms), nor its `last` date later."""
    state, since, *_ = packed.split("|") if "|" in packed else (packed, "0")
    return state in {"submitted", "sent"} and max(int(since), last) <= stood


def pages(items: Sequence[Any]) -> Iterator[list[Any]]:
    """The items, at most a page at a time."""
    for start in range(0, len(items), PAGE):
        yield list(items[start : start + PAGE])
