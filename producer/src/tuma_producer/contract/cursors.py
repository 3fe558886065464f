"""Cursors: a consumer's place in the event streams of some accounts, from which it reads, and acknowledges what it is done with."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from tuma_producer.contract.connection import is_cluster, translated
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.streams import (
    NO_TIME,
    READ_AT_ONCE,
    STALLED_MS,
    Grasp,
    Places,
    begins_after,
    by_account,
    entries,
    group_vanished,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from tuma_producer.contract.streams import Start
    from tuma_producer.outcomes import Event


class _AnyCursor:
    """What a cursor is, whoever waits for Redis."""

    def __init__(self, where: str, group: str, start: Start) -> None:
        self._where = where
        self._group = group
        self._start = start
        begins_after(start, "")  # a mistake is said before anything is read
        self._consumer = secrets.token_hex(8)
        self._joined: set[str] = set()
        self._last: str | None = None
        self._places = Places()
        self.searched = True  # whether all that others may have left behind was looked at

    def _order(self, streams: dict[str, str]) -> list[str]:
        keys = list(streams)
        place = (keys.index(self._last) + 1) % len(keys) if self._last in streams else 0
        return keys[place:] + keys[:place]


class Cursor(_AnyCursor):
    """A cursor for ordinary, synchronous code."""

    def __init__(self, redis: Redis, where: str, group: str, start: Start) -> None:
        super().__init__(where, group, start)
        self._redis = redis

    def read(self, accounts: Iterable[str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        """The next events, first those that another consumer left behind. Waits for them at most `block` seconds."""
        streams = {account_keys(account).events: account for account in accounts}
        if not streams:
            time.sleep(block)  # there is no account yet, hence nothing that one could wait for in Redis
            return []
        try:
            with translated(self._where):
                return self._read(streams, block)
        except ResponseError as error:
            if not group_vanished(error):
                raise
            # The server lost its data, or somebody removed the group: all that is in the streams now is new to us.
            self._joined.clear()
            return []

    def _read(self, streams: dict[str, str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        for key in streams.keys() - self._joined:
            self._join(key, begins_after(self._start, streams[key]))
        self._start = "beginning"  # an account that appears later has nothing but news
        stalled = [(account, found) for key, account in streams.items() if (found := self._stalled(key, account))]
        self.searched = not self._places.more(streams)
        if stalled:
            return stalled
        if not self.searched:
            block = NO_TIME
        if is_cluster(self._redis):
            return self._read_in_turn(streams, block)
        return self._read_news(streams, round(block * 1000))

    def _read_in_turn(self, streams: dict[str, str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        """No command may name the streams of two accounts. What is read last is asked first the next time, and waited for."""
        for key, milliseconds in turns(self._order(streams), block):
            self._last = key
            if found := self._read_news({key: streams[key]}, milliseconds):
                return found
        return []

    def _read_news(self, streams: dict[str, str], milliseconds: int | None) -> list[tuple[str, list[tuple[str, Event]]]]:
        reply = self._redis.xreadgroup(
            self._group, self._consumer, dict.fromkeys(streams, ">"), count=READ_AT_ONCE, block=milliseconds
        )
        return [batch for batch in by_account(streams, reply) if batch[1]]

    def _join(self, key: str, after: str) -> None:
        try:
            self._redis.xgroup_create(key, self._group, id=after, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # the group is there already: that is what we wanted
                raise
        self._joined.add(key)

    def _stalled(self, key: str, account: str) -> list[tuple[str, Event]]:
        begin = self._places.begin(key)
        reply: Any = self._redis.xautoclaim(key, self._group, self._consumer, STALLED_MS, begin, count=READ_AT_ONCE)
        self._places.went(key, reply[0])
        return list(entries(account, reply[1]))

    def acknowledged(
        self, account: str, found: list[tuple[str, Event]], wanted: Callable[[Event], bool]
    ) -> Generator[Event, None, None]:
        """Yield the wanted events; acknowledge those for which the caller came back, in one command or a few.

        Those that still wait for a caller who takes long are kept from seeming to be left behind; where one took too long for
        that, they are not told here: another consumer may have them, or they come again.
        """
        done: list[str] = []
        grasp = Grasp(STALLED_MS)
        try:
            for place, (entry_id, event) in enumerate(found, start=1):
                if wanted(event):
                    yield event
                done.append(entry_id)
                if grasp.lost:
                    return
                if grasp.slackens and (rest := [entry for entry, _ in found[place:]]):
                    self._acknowledge(account, done)
                    self._hold(account, rest)
                    done.clear()
                    grasp.renew()
        finally:
            if done:
                self._acknowledge(account, done)

    def _acknowledge(self, account: str, entry_ids: Sequence[str]) -> None:
        with translated(self._where):
            self._redis.xack(account_keys(account).events, self._group, *entry_ids)

    def _hold(self, account: str, entry_ids: list[Any]) -> None:
        """Say that these are still being worked on."""
        with translated(self._where):
            self._redis.xclaim(account_keys(account).events, self._group, self._consumer, 0, entry_ids, justid=True)


class AsyncCursor(_AnyCursor):
    """A cursor for an event loop; `Cursor` says why each step is as it is."""

    def __init__(self, redis: AsyncRedis, where: str, group: str, start: Start) -> None:
        super().__init__(where, group, start)
        self._redis = redis

    async def read(self, accounts: Iterable[str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        """See `Cursor.read`."""
        streams = {account_keys(account).events: account for account in accounts}
        if not streams:
            await asyncio.sleep(block)
            return []
        try:
            with translated(self._where):
                return await self._read(streams, block)
        except ResponseError as error:
            if not group_vanished(error):
                raise
            self._joined.clear()
            return []

    async def _read(self, streams: dict[str, str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        for key in streams.keys() - self._joined:
            await self._join(key, begins_after(self._start, streams[key]))
        self._start = "beginning"
        stalled = [(account, found) for key, account in streams.items() if (found := await self._stalled(key, account))]
        self.searched = not self._places.more(streams)
        if stalled:
            return stalled
        if not self.searched:
            block = NO_TIME
        if is_cluster(self._redis):
            return await self._read_in_turn(streams, block)
        return await self._read_news(streams, round(block * 1000))

    async def _read_in_turn(self, streams: dict[str, str], block: float) -> list[tuple[str, list[tuple[str, Event]]]]:
        for key, milliseconds in turns(self._order(streams), block):
            self._last = key
            if found := await self._read_news({key: streams[key]}, milliseconds):
                return found
        return []

    async def _read_news(self, streams: dict[str, str], milliseconds: int | None) -> list[tuple[str, list[tuple[str, Event]]]]:
        reply = await self._redis.xreadgroup(
            self._group, self._consumer, dict.fromkeys(streams, ">"), count=READ_AT_ONCE, block=milliseconds
        )
        return [batch for batch in by_account(streams, reply) if batch[1]]

    async def _join(self, key: str, after: str) -> None:
        try:
            await self._redis.xgroup_create(key, self._group, id=after, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._joined.add(key)

    async def _stalled(self, key: str, account: str) -> list[tuple[str, Event]]:
        begin = self._places.begin(key)
        reply: Any = await self._redis.xautoclaim(key, self._group, self._consumer, STALLED_MS, begin, count=READ_AT_ONCE)
        self._places.went(key, reply[0])
        return list(entries(account, reply[1]))

    async def acknowledged(
        self, account: str, found: list[tuple[str, Event]], wanted: Callable[[Event], bool]
    ) -> AsyncGenerator[Event, None]:
        """See `Cursor.acknowledged`."""
        done: list[str] = []
        grasp = Grasp(STALLED_MS)
        try:
            for place, (entry_id, event) in enumerate(found, start=1):
                if wanted(event):
                    yield event
                done.append(entry_id)
                if grasp.lost:
                    return
                if grasp.slackens and (rest := [entry for entry, _ in found[place:]]):
                    await self._acknowledge(account, done)
                    await self._hold(account, rest)
                    done.clear()
                    grasp.renew()
        finally:
            if done:
                await self._acknowledge(account, done)

    async def _acknowledge(self, account: str, entry_ids: Sequence[str]) -> None:
        with translated(self._where):
            await self._redis.xack(account_keys(account).events, self._group, *entry_ids)

    async def _hold(self, account: str, entry_ids: list[Any]) -> None:
        with translated(self._where):
            await self._redis.xclaim(account_keys(account).events, self._group, self._consumer, 0, entry_ids, justid=True)
