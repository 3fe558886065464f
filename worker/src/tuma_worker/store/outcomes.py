"""The bounds of an account's event stream, and the groups of consumers that still need what lies within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from tuma_producer.contract.ids import digest
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import load, token
from tuma_producer.contract.wire import EVENTS_KEPT, RETENTION_MS
from tuma_worker.store.clock import server_ms
from tuma_worker.store.lead import take_lead

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys

_WARN = load(__package__, "warn")
_FORGET_GROUP = load(__package__, "forget_group")

KEPT_READ = EVENTS_KEPT * 3 // 5  # events that are kept though every group has read them; above, only what some group has not
KEPT_FOR = RETENTION_MS  # ms, where an account is set to no less: as long as a finished intent
SILENT_FOR = 86_400_000  # ms until it is said again of a group that it is behind
_NEARLY = 0.8  # of either bound, at which it is said
_AT_ONCE = 10_000  # entries trimmed in one step, which must not hold up everybody else's


class Group(NamedTuple):
    """A group of consumers that is behind: its name, and the first entry that it needs, read and not acknowledged or never read."""

    name: str
    needs: str

    @property
    def since(self) -> int:
        """How old that is (Unix ms)."""
        return int(self.needs.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of one account, kept for so many ms."""

    redis: Redis
    account: str
    kept_for: int = KEPT_FOR

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that looks after the stream, for so long from now; the first to ask is."""
        return take_lead(self.redis, self._keys.trimmer, name, seconds)

    def make_room(self) -> list[Group]:
        """Trim what all groups have read, above what is kept of that. Returns the groups that will lose events if they do not read.

        The scripts that write events keep the stream from growing beyond `EVENTS_KEPT`, whoever has read what. So that nobody loses
        any unwarned, what has been read leaves room for what has not.
        """
        behind = self._behind()
        until: Any = {"minid": behind[0].needs} if behind else {"maxlen": KEPT_READ}
        length = self._length()
        while length > KEPT_READ and (
            gone := self.redis.xtrim(self._keys.events, **until, limit=min(length - KEPT_READ, _AT_ONCE))
        ):
            length -= gone
        now, full = server_ms(self.redis), length >= EVENTS_KEPT * _NEARLY
        return [group for group in behind if self._will_lose(group, behind[0], now, full=full)]

    def expire(self) -> None:
        """Trim what is too old, whoever has read it."""
        oldest = server_ms(self.redis) - self.kept_for
        while self.redis.xtrim(self._keys.events, minid=oldest, limit=_AT_ONCE):
            continue

    def warn(self, group: Group) -> bool:
        """Say by an event that a group is behind; False where that was said not long ago."""
        keys = [self._keys.warned(digest(group.name)), self._keys.events]
        return bool(_WARN.run(self.redis, keys, [group.name, SILENT_FOR, EVENTS_KEPT]))

    def groups(self) -> dict[str, str | None]:
        """The groups of consumers, each with the first entry that it needs; None where it has read all."""
        return {group["name"].decode(): self._needs(group) for group in self._groups()}

    def forget(self, group: str, *, by: str) -> bool:
        """Let a group of consumers go, with its place; False where there is none of this name."""
        keys = [self._keys.events, self._keys.answer(token()), self._keys.audit]
        return bool(_FORGET_GROUP.run(self.redis, keys, [group, by]))

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def _groups(self) -> list[dict[str, Any]]:
        try:
            return self.redis.xinfo_groups(self._keys.events)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return []

    def _behind(self) -> list[Group]:
        """The groups that need something of what is there, the one that needs the oldest first."""
        found = ((group["name"].decode(), self._needs(group)) for group in self._groups())
        return sorted((Group(name, needs) for name, needs in found if needs is not None), key=lambda one: _order(one.needs))

    def _needs(self, group: dict[str, Any]) -> str | None:
        waiting: Any = self.redis.xpending(self._keys.events, group["name"]) if group["pending"] else {"min": None}
        if waiting["min"] is not None:
            return str(waiting["min"].decode())
        first: Any = self.redis.xrange(self._keys.events, f"({group['last-delivered-id'].decode()}", "+", count=1)
        return str(first[0][0].decode()) if first else None

    def _length(self) -> int:
        return int(self.redis.xlen(self._keys.events))

    def _will_lose(self, group: Group, last: Group, now: int, *, full: bool) -> bool:
        """Whether what it needs is nearly too old, or the stream nearly full of what it and the last one need."""
        # How far from the stream's end an entry stands, nobody tells; when it came, it says itself.
        return now - group.since > self.kept_for * _NEARLY or (full and group.since <= (last.since + now) / 2)


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))
