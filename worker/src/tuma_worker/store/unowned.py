"""Recipients that have not ended and that nobody has in hand: finding them without an index, and giving them a job again.

A set of open intents would cost every enqueue and every end a write. So whoever looks walks the account's records with SCAN, in
pages: nearly all recipients are found to be owned by composing the name of their job; the few others are looked for in one walk
through the queue, in the order in which jobs move on: due, line, in flight. A job on its way can be missed there only by going back
meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.connection import server_for
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.scripts import load
from tuma_worker.store.attempts import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis

    from tuma_worker.queue.config import QueueConfig

_UNOWNED = load(__package__, "unowned")
_RESTORE = load(__package__, "restore")

_PAGE = 500  # keys, fields or members in one step
_AT_ONCE = 5_000  # recipients that are looked for in one walk through the queue

Seen = dict[Target, str]  # recipients with their fields as they were seen


@dataclass(frozen=True, slots=True)
class Unowned:
    """The recipients of one account that nobody has in hand."""

    redis: Redis
    queue: QueueConfig

    def look(self) -> Seen:
        """All that have not ended and that no job and no call is there for.

        A job that moves meanwhile may be missed, so look twice.
        """
        found: Seen = {}
        doubtful: Seen = {}
        for short_id in self._open_intents():
            for numbers in self._waiting(short_id):
                doubtful |= self._unnamed(short_id, numbers)
            if len(doubtful) >= _AT_ONCE:
                found |= self._not_in_queue(doubtful)
                doubtful = {}
        return found | self._not_in_queue(doubtful)

    def restore(self, seen: Mapping[Target, str]) -> int:
        """Give those a job again that still stand as they were seen and are in nobody's hand. Returns how many."""
        keys, account = self.queue.keys, self._account
        restored = 0
        for short_id in sorted({target.intent for target in seen}):
            pairs = [(target.number, packed) for target, packed in sorted(seen.items()) if target.intent == short_id]
            for page in _pages(pairs):
                restored += int(
                    _RESTORE.run(
                        self.redis,
                        [*self.queue.line_keys, keys.inflight, keys.state, keys.bell, account.intent(short_id)],
                        [short_id, *(word for pair in page for word in pair)],
                    )
                )
        return restored

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that looks after this account, for so long from now; the first to ask is."""
        key, milliseconds = self._account.sweeper, round(seconds * 1000)
        if self.redis.set(key, name, nx=True, px=milliseconds):
            return True
        leader = cast("bytes | None", self.redis.get(key))
        return leader == name.encode() and bool(self.redis.pexpire(key, milliseconds))

    @property
    def _account(self) -> AccountKeys:
        return AccountKeys(self.queue.account)

    def _open_intents(self) -> Iterator[str]:
        prefix = self._account.intent("")
        server = server_for(self.redis, prefix)
        cursor: Any = None
        while cursor != 0:
            cursor, page = cast("Any", server.scan(cursor or 0, match=f"{prefix}*", count=_PAGE))
            pipeline = self.redis.pipeline(transaction=False)
            for key in page:
                pipeline.hget(key, "open")
            for key, still_open in zip(page, pipeline.execute(), strict=True):
                if still_open not in {None, b"0"}:
                    yield key.decode().removeprefix(prefix)

    def _waiting(self, short_id: str) -> Iterator[list[str]]:
        """The numbers of an intent's recipients that somebody must have in hand, page by page."""
        record = self.redis.hscan_iter(self._account.intent(short_id), match="+*", count=_PAGE)
        waiting = [name.decode() for name, packed in record if packed.startswith((b"queued", b"sending"))]
        yield from _pages(waiting)

    def _unnamed(self, short_id: str, numbers: list[str]) -> Seen:
        keys = self.queue.keys
        reply = _UNOWNED.run(
            self.redis, [keys.entries, keys.due, keys.inflight, self._account.intent(short_id)], [short_id, *numbers]
        )
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return {Target(short_id, number.decode()): packed.decode() for number, packed in pairs}

    def _not_in_queue(self, doubtful: Seen) -> Seen:
        wanted: dict[str, list[Target]] = {}
        for target, packed in doubtful.items():
            wanted.setdefault(_subject(target, packed), []).append(target)
        if wanted:
            for subject in self._subjects():
                wanted.pop(subject, None)
        return {target: doubtful[target] for targets in wanted.values() for target in targets}

    def _subjects(self) -> Iterator[str]:
        """What all jobs of the queue are about; of calls under way, their batch as well."""
        keys = self.queue.keys
        for members in (keys.due, keys.entries):
            for member, _ in self.redis.zscan_iter(members, count=_PAGE):
                yield member.decode().rpartition("|")[2]
        for name, packed in self.redis.hscan_iter(keys.inflight, count=_PAGE):
            if name.endswith(b":items"):
                yield from packed.decode().split()[1::2]
            elif packed.startswith(b"calling "):
                yield name.decode()


def _subject(target: Target, packed: str) -> str:
    """What the job that a recipient needs is about: itself, or the call that it is in."""
    state, *rest = packed.split("|")
    return rest[3] if state == "sending" else f"{target.intent}:{target.number}"


def _pages(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _PAGE):
        yield list(items[start : start + _PAGE])
