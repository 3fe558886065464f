"""The ends of the accounts' event streams, for whoever only watches: takes nothing from any group of consumers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.streams import by_account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

_READ_AT_ONCE = 5000  # events
_RECIPIENT = "tuma.recipient."

Seen = Counter[str]  # how many recipients have come into each state since the watching began


class Tail:
    """Counts what is appended to the streams of some accounts from now on; an account that is new is read from its beginning."""

    def __init__(self, redis: Redis, accounts: Iterable[str]) -> None:
        self._redis = redis
        self._places = {name: self._end(name) for name in accounts}
        self._seen: dict[str, Seen] = {}

    def seen(self, account: str) -> Seen:
        """The account's counts so far."""
        return self._seen.setdefault(account, Counter())

    def read(self, accounts: Iterable[str]) -> None:
        """Count what was appended since the last time."""
        for name in accounts:
            while self._read_some(name) == _READ_AT_ONCE:
                continue

    def _read_some(self, account: str) -> int:
        key = account_keys(account).events
        reply = self._redis.xread({key: self._places.get(account, "0-0")}, count=_READ_AT_ONCE)
        found = [entry for _, entries in by_account({key: account}, reply) for entry in entries]
        for entry_id, event in found:
            self._places[account] = entry_id
            if event.type.startswith(_RECIPIENT):
                self.seen(account)[event.type.removeprefix(_RECIPIENT)] += 1
        return len(found)

    def _end(self, account: str) -> str:
        last: Any = self._redis.xrevrange(account_keys(account).events, count=1)
        return last[0][0].decode() if last else "0-0"
