"""What a subscription is to be told: its place in the account's stream, and what was read from there and not taken yet.

The stream itself is the book of that: an entry that was read for a group stays pending until it is acknowledged. Whoever comes
after a process that has died finds all of it under the same consumer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import ResponseError

from tuma_producer.contract.ids import calls_back
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import BODY_FIELDS, body_in
from tuma_producer.contract.scripts import load
from tuma_producer.contract.streams import entries, group_vanished, is_part, pages
from tuma_worker.store.lead import leave_lead, take_lead

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys
    from tuma_producer.outcomes import Event
    from tuma_worker.store.subscriptions import Subscription

_REGROUP = load(__package__, "regroup")

Entry = tuple[str, "Event | None"]

AT_ONCE = 500  # entries in one page
MISSED = "missed"  # among the troubles: how many events are never told to it, and when the last of them was given up or gone
_CONSUMER = "push"


class Trouble(NamedTuple):
    """How often an event was tried in vain, and since when (Unix ms)."""

    tries: int
    since: int


@dataclass(frozen=True, slots=True)
class Feed:
    """What one subscription of an account is to be told.

    A read whose reply was lost must not be repeated, or what it brought is pending and nobody knows: `redis` is of `connect_once`
    where news are read.
    """

    redis: Redis
    account: str
    subscription: Subscription

    def wants(self, event: Event) -> bool:
        """Whether it is told of this event. Of an intent that carries another's recipients, that one tells."""
        source, told = self.subscription.source, self.subscription.url is not None or calls_back(event.intent or "")
        return told and (source is None or (event.source in {None, source} and not is_part(event)))

    def pending(self, after: str) -> list[Entry]:
        """A page of what was read and not acknowledged, from after this entry on; without an event, what was trimmed meanwhile."""
        return [(entry_id.decode(), self._event(entry_id, fields)) for entry_id, fields in self._read(after)]

    def news(self) -> list[Entry]:
        """A page of what was never read; it is pending from now on."""
        return [(entry_id.decode(), self._event(entry_id, fields)) for entry_id, fields in self._read(">")]

    def between(self, first: str, last: str) -> list[Entry]:
        """A page of what is in the stream from one entry to another, both included; `(` before the first one leaves it out."""
        found: Any = self.redis.xrange(self._keys.events, first, last, count=AT_ONCE)
        return [(entry_id.decode(), self._event(entry_id, fields)) for entry_id, fields in found]

    def place(self) -> str:
        """The last entry that was read."""
        group = self._group()
        return group["last-delivered-id"].decode() if group else "0-0"

    def waiting(self) -> int:
        """How many events were read and not taken yet."""
        return int(self._group().get("pending", 0))

    def missed(self) -> Trouble:
        """How many events it is never told, since it was enabled last, and when the last of them was given up or gone (Unix ms)."""
        packed = cast("bytes | None", self.redis.hget(self._keys.troubles(self.subscription.id), MISSED))
        return Trouble(*map(int, packed.split())) if packed else Trouble(0, 0)

    def events(self, entry_ids: Sequence[str]) -> dict[str, Event]:
        """These entries; without those that were trimmed."""
        pipeline = self.redis.pipeline(transaction=False)
        for entry_id in entry_ids:
            pipeline.xrange(self._keys.events, entry_id, entry_id)
        found: list[Any] = pipeline.execute() if entry_ids else []
        return {entry_id: event for page in found for entry_id, event in entries(self.account, page)}

    def callbacks(self, intents: Collection[str]) -> dict[str, str]:
        """Where the events of these intents are to go, by their ids; without those that are not remembered."""
        pipeline = self.redis.pipeline(transaction=False)
        for intent_id in intents:
            pipeline.hmget(self._keys.intent(intent_id.rpartition(".")[2]), BODY_FIELDS)
        found = zip(intents, pipeline.execute() if intents else (), strict=True)
        return {intent_id: url for intent_id, pieces in found if (url := body_in(pieces).get("callback_url")) is not None}

    def troubles(self) -> dict[str, Trouble]:
        """The events that were tried in vain, by entry."""
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self._keys.troubles(self.subscription.id)))
        return {entry_id.decode(): Trouble(*map(int, packed.split())) for entry_id, packed in raw.items()}

    def note(self, troubles: Mapping[str, Trouble]) -> None:
        """Keep how often these were tried."""
        packed: Any = {entry_id: f"{tries} {since}" for entry_id, (tries, since) in troubles.items()}
        self.redis.hset(self._keys.troubles(self.subscription.id), mapping=packed)

    def forget_troubles(self) -> None:
        """Begin to count tries anew."""
        self.redis.delete(self._keys.troubles(self.subscription.id))

    def acknowledge(self, entry_ids: Sequence[str], *, troubled: Iterable[str] = ()) -> None:
        """Be done with these; `troubled` are those of them that were tried in vain before."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.xack(self._keys.events, self.subscription.group, *entry_ids)
        if gone := list(troubled):
            pipeline.hdel(self._keys.troubles(self.subscription.id), *gone)
        pipeline.execute()

    def put_back(self, entry_ids: Sequence[str]) -> None:
        """Let these be told again, whether they have been or not. Whoever tells looks for them when the subscription says so."""
        group = self.subscription.group
        self.redis.xclaim(self._keys.events, group, _CONSUMER, 0, list(entry_ids), force=True, justid=True)

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def _group(self) -> dict[str, Any]:
        groups: Any = self.redis.xinfo_groups(self._keys.events)
        return next((group for group in groups if group["name"] == self.subscription.group.encode()), {})

    def _event(self, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Event | None:
        return next((event for _, event in entries(self.account, [(entry_id, fields)])), None)

    def _read(self, after: str) -> list[tuple[bytes, dict[bytes, bytes] | None]]:
        key = self._keys.events
        try:
            reply: Any = self.redis.xreadgroup(self.subscription.group, _CONSUMER, {key: after}, count=AT_ONCE)
        except ResponseError as error:
            if not group_vanished(error):
                raise
            # The stream was lost and the subscription was not; or that was taken off a moment ago.
            _REGROUP.run(self.redis, [self._keys.subscriptions, key], [self.subscription.id, self.subscription.group])
            return []
        return [entry for _, found in pages(reply) for entry in found]


def lead(redis: Redis, account: str, name: str, seconds: float) -> bool:
    """Whether `name` is the one process that tells this account's subscribers, for so long from now; the first to ask is."""
    return take_lead(redis, account_keys(account).pusher, name, seconds)


def wait_for_news(redis: Redis, places: Mapping[str, str], seconds: float) -> None:
    """Return when something came after one of these accounts' entries, or after so long. On one server only."""
    streams: Any = {account_keys(account).events: place for account, place in places.items()}
    redis.xread(streams, count=1, block=max(1, round(seconds * 1000)))


def leave(redis: Redis, account: str, name: str) -> None:
    """Let any other process than `name` tell this account's subscribers."""
    leave_lead(redis, account_keys(account).pusher, name)
