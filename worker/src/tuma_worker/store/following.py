"""The accounts' event streams, followed from a place that the follower keeps: takes nothing from any group of consumers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.connection import is_cluster
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.streams import by_account, turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis.asyncio import Redis

    from tuma_producer import Event

BEGINNING = "0-0"
_READ_AT_ONCE = 500  # events


class Follower:
    """Reads on from `places`: account to the id of the stream entry that was read last. They move as events are read."""

    def __init__(self, redis: Redis, places: Mapping[str, str]) -> None:
        self._redis = redis
        self.places = dict(places)

    def meet(self, accounts: Iterable[str]) -> None:
        """Follow these accounts as well, each that is new from its first event."""
        self.places = dict.fromkeys(accounts, BEGINNING) | self.places

    async def read(self, seconds: float) -> list[Event]:
        """What is new, in each account's order; waits for it so long at the most."""
        streams = {account_keys(name).events: name for name in self.places}
        if not streams:
            await asyncio.sleep(seconds)
            return []
        if not is_cluster(self._redis):
            return await self._read(streams, round(seconds * 1000))
        for key, milliseconds in turns(list(streams), seconds):  # no command may name streams of two accounts there
            if found := await self._read({key: streams[key]}, milliseconds):
                return found
        return []

    async def _read(self, streams: Mapping[str, str], milliseconds: int | None) -> list[Event]:
        places: Any = {key: self.places[name] for key, name in streams.items()}
        reply = await self._redis.xread(places, count=_READ_AT_ONCE, block=milliseconds)
        events = []
        for account, found in by_account(streams, reply):
            for entry_id, event in found:
                self.places[account] = entry_id
                events.append(event)
        return events


async def end_of(redis: Redis, account: str) -> str:
    """The id of the account's last event, or the beginning where there is none."""
    last: Any = await redis.xrevrange(account_keys(account).events, count=1)
    return last[0][0].decode() if last else BEGINNING
