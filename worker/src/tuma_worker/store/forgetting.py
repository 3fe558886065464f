"""Taking all that is known of one number out of an account's records, events and receipts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tuma_producer.contract.ids import full_id, home_of, split_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import CARRIED, redriven, tally
from tuma_producer.contract.scripts import load, token
from tuma_worker.core.states import ENDS
from tuma_worker.queue.config import SEND
from tuma_worker.store.inbox import UNMATCHED
from tuma_worker.store.moves import states_of
from tuma_worker.store.records import PAGE, Records, keys_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys

_FORGET = load(__package__, "forget")
_HIDE = load(__package__, "hide")
_NOTE_FORGETTING = load(__package__, "note_forgetting")

_GONE, _OPEN = 1, -1


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken out of an account: recipients of sends, events, and receipts as they came.

    `waits` are the sends and schedules in which something may still come of the number: there it was left. `unapplied` receipts
    name it and have moved nobody yet: as long as there are any, nothing is taken out. `suppressed`: it is on the account's
    suppression list, and stays there, or it would be called again; nobody reads it there any more.
    """

    account: str
    recipients: int
    events: int
    receipts: int
    waits: tuple[str, ...] = ()
    unapplied: int = 0
    suppressed: bool = False


class _Before(NamedTuple):
    """What named the number before the records were looked through."""

    calls: list[tuple[str, str]]
    parked: list[bytes]
    last_event: str


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What one account knows of one number, +E.164.

    `secret`, in hex, is one that nobody knows: the first number that is forgotten and stays on the suppression list is hidden with
    it, and later ones with the same.
    """

    redis: Redis
    account: str
    number: str
    secret: str

    def size(self) -> int:
        """How many steps `forget` takes, about."""
        return self.redis.xlen(self._keys.events) // PAGE

    def forget(self, step: Callable[[], None] = lambda: None, *, by: str) -> Forgotten:
        """Take the number out; `step` is called along the way. May be repeated: whoever was interrupted goes on where it was.

        That `by` asks for it is written down first. The record is what leads to most of the rest, so it goes last. Senders and
        workers go on meanwhile: what is no record is taken out only if it was there before the records were looked through, so it
        is of none that came after.
        """
        if unapplied := sum(1 for _ in self._in_inbox()):
            return Forgotten(self.account, 0, 0, 0, unapplied=unapplied)
        before = _Before(list(self._calls()), list(self._parked()), self._last_event())
        receipts, gone, waits = 0, 0, set[str]()
        naming = list(Records(self.redis, self.account).naming(self.number))
        keys = [self._keys.bad_numbers, self._keys.answer(token()), self._keys.audit]
        _NOTE_FORGETTING.run(self.redis, keys, [self.number, by, len(naming)])
        for short_id, batch_ids in naming:
            receipts += sum(self._receipts_of(batch_id) for batch_id in batch_ids)
            left = _OPEN if self._is_awaited_at_home(short_id) else self._record(short_id, batch_ids)
            gone += left == _GONE
            waits |= {short_id} if left == _OPEN else set()
        receipts += self._unled(before.calls, waits) + self._receipts_of(UNMATCHED)
        if before.parked and not waits:
            receipts += self.redis.zrem(self._keys.parked, *before.parked)
        events = self._events(before.last_event, waits, step)
        return Forgotten(
            self.account,
            gone,
            events,
            receipts,
            tuple(sorted(full_id(self.account, one) for one in waits)),
            suppressed=bool(_HIDE.run(self.redis, [self._keys.suppressed], [self.number, self.secret])),
        )

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def _is_awaited_at_home(self, short_id: str) -> bool:
        """Whether the intent whose recipient this one carries has not been told yet how it ended here: it would be sent again."""
        part = full_id(self.account, short_id)
        home = home_of(part)
        account, home_id = (home and split_id(home)) or (None, "")
        if account is None:
            return False
        found: Any = self.redis.hmget(account_keys(account).intent(home_id), CARRIED + self.number, self.number)
        carried_by, packed = (value.decode() if value else "" for value in found)
        return carried_by == part and f" {packed.partition('|')[0]} " not in states_of(ENDS)

    def _record(self, short_id: str, batch_ids: Iterable[str]) -> int:
        keys, number = self._keys, self.number
        self.redis.hdel(keys.queue(SEND).crashes, f"{short_id}:{number}")
        fields = [CARRIED + number, redriven(number), tally(number)]
        return int(
            _FORGET.run(
                self.redis,
                [keys.intent(short_id), keys.dead, *map(keys.batch, batch_ids)],
                [short_id, number, states_of(ENDS), *fields],
            )
        )

    def _unled(self, calls: Iterable[tuple[str, str]], waits: set[str]) -> int:
        """Take it out of those of these calls, and their receipts, to which no record leads any more: it was kept for less long."""
        keys, receipts = self._keys, 0
        for batch_id, intent in calls:
            if intent not in waits:
                self.redis.hdel(keys.batch(batch_id), self.number)
                receipts += self._receipts_of(batch_id)
        return receipts + sum(map(self._receipts_of, self._receipts_alone()))

    def _calls(self) -> Iterator[tuple[str, str]]:
        """The attempts that name the number, each with the short id of its intent."""
        prefix = self._keys.batch("")
        for page in keys_with(self.redis, prefix):
            pipeline: Any = self.redis.pipeline(transaction=False)
            for key in page:
                pipeline.hget(key, self.number)
            found = zip(page, pipeline.execute() if page else (), strict=True)
            yield from ((key.decode().removeprefix(prefix), intent.decode()) for key, intent in found if intent)

    def _receipts_alone(self) -> Iterator[str]:
        """The attempts that are gone and of which receipts are kept."""
        prefix = self._keys.raw_receipts("")
        for page in keys_with(self.redis, prefix):
            pipeline: Any = self.redis.pipeline(transaction=False)
            batch_ids = [key.decode().removeprefix(prefix) for key in page]
            for batch_id in batch_ids:
                pipeline.exists(self._keys.batch(batch_id))
            found = zip(batch_ids, pipeline.execute() if page else (), strict=True)
            yield from (batch_id for batch_id, there in found if not there and batch_id != UNMATCHED)

    def _last_event(self) -> str:
        found: Any = self.redis.xrevrange(self._keys.events, count=1)
        return found[0][0].decode() if found else "0-0"

    def _events(self, last: str, waits: set[str], step: Callable[[], None]) -> int:
        """Take the number's events up to the last out of the stream, but those of sends in which something may still come of it."""
        gone = 0
        for page in self._entries(self._keys.events, last):
            its = [entry for entry, fields in page if self._is_about(fields) and fields.get(b"i", b"").decode() not in waits]
            gone += self.redis.xdel(self._keys.events, *its) if its else 0
            step()
        return gone

    def _is_about(self, fields: Mapping[bytes, bytes]) -> bool:
        return self.number.encode() in {fields.get(b"r"), fields.get(b"from")}  # a recipient, or whoever wrote to us

    def _receipts_of(self, batch_id: str) -> int:
        """Take those that were kept of an attempt and name the number."""
        key = self._keys.raw_receipts(batch_id)
        kept = cast("dict[bytes, bytes]", self.redis.hgetall(key))
        its = [digest for digest, content in kept.items() if self._is_named_in(content)]
        return self.redis.hdel(key, *cast("Any", its)) if its else 0

    def _in_inbox(self) -> Iterator[bytes]:
        """The receipts that were not applied yet and name it. One may be somebody's STOP, so they are not ours to take."""
        for page in self._entries(self._keys.inbox, "+"):
            yield from (entry for entry, fields in page if self._is_named_in(fields[b"d"]))

    def _parked(self) -> Iterator[bytes]:
        """The receipts that wait for their call to be known, and name it."""
        for member, _ in self.redis.zscan_iter(self._keys.parked, count=PAGE):
            if self._is_named_in(cast("bytes", member)):
                yield cast("bytes", member)

    def _is_named_in(self, text: bytes) -> bool:
        return re.search(rb"(?<!\d)" + self.number.removeprefix("+").encode() + rb"(?!\d)", text) is not None

    def _entries(self, stream: str, last: str) -> Iterator[list[tuple[bytes, dict[bytes, bytes]]]]:
        after = "-"
        while page := cast("Any", self.redis.xrange(stream, after, last, count=PAGE)):
            yield page
            after = "(" + page[-1][0].decode()
