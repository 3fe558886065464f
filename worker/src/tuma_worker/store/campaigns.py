"""The campaigns of an account, forgotten together with the last of their intents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

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
class Campaigns:
    """The campaigns of one account."""

    redis: Redis
    account: str

    def forget(self) -> int:
        """Forget the campaigns whose intents have all been forgotten. Returns how many.

        Looked at is one under whose name nothing has arrived for a retention time, and again after as long.
        """
        return sum(self._forget(name) for name in self._quiet())

    def _quiet(self) -> Iterator[str]:
        before = server_ms(self.redis) - RETENTION_MS
        for name, packed in self.redis.hscan_iter(account_keys(self.account).campaigns, count=_PAGE):
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
