"""Who is told of an account's events over HTTP. A subscription's place in them is a group of consumers of the stream."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import load
from tuma_producer.contract.wire import EVENTS_KEPT
from tuma_producer.errors import TumaError
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys
    from tuma_producer.contract.scripts import Argument

_SUBSCRIBE = load(__package__, "subscribe")
_UNSUBSCRIBE = load(__package__, "unsubscribe")
_AMEND = load(__package__, "amend")

GROUP = "@"  # begins the names of subscriptions' groups of consumers


class UnknownSubscriptionError(TumaError, LookupError):
    """The account has no subscription of this id."""

    def __init__(self, subscription: str, account: str) -> None:
        super().__init__(f"subscription: {subscription!r} is none of {account}; see: tuma subscriptions list {account}")


class Key(NamedTuple):
    """A secret that messages are signed with, until then (Unix ms; None: until it is replaced)."""

    secret: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber of an account, since `created` (Unix ms). `keys`: the newest first.

    With `source`, it is told that source's events and the account's own; without, all. Where there is no `url`, each event goes
    where its intent wants it to go. `disabled` says why it is told nothing. `replays` counts how often something was put back.
    """

    id: str
    source: str | None
    url: str | None
    keys: tuple[Key, ...]
    created: int
    disabled: str | None = None
    replays: int = 0

    @property
    def group(self) -> str:
        """Its group of consumers. No group of a source's or of an operator's is called so by chance: see `reading.group_of`."""
        return f"{GROUP}{self.id}"

    def __str__(self) -> str:
        where = "each intent's own address" if self.url is None else urlsplit(self.url).hostname
        told = [f"{self.source or 'all'} to {where}", f"secrets: {len(self.keys)}"]
        told += [f"disabled: {self.disabled}"] if self.disabled else []
        return ", ".join([*told, f"replays: {self.replays}"] if self.replays else told)

    def secrets(self, now: int) -> list[str]:
        """What to sign with at this time (Unix ms)."""
        return [key.secret for key in self.keys if key.until is None or now < key.until]

    def rotated(self, secret: str, now: int, overlap: int) -> Subscription:
        """The same with a new secret; what was believed until now is believed for `overlap` ms more."""
        old = [Key(key.secret, min(key.until or now + overlap, now + overlap)) for key in self.keys]
        return replace(self, keys=(Key(secret), *(key for key in old if now < (key.until or 0))))


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The subscriptions of one account."""

    redis: Redis
    account: str

    def add(self, subscription: Subscription, after: str, *, by: str) -> bool:
        """Keep a new one, which is told what came after this entry of the stream; `0`: all that is there, `$`: only news.

        False where there is another one of this id.
        """
        args = [subscription.id, _packed(subscription), subscription.group, after, by, str(subscription)]
        return bool(_SUBSCRIBE.run(self.redis, [self._keys.subscriptions, self._keys.events, self._keys.audit], args))

    def remove(self, subscription_id: str, *, by: str) -> None:
        """Take one off, and forget its place. Raises `UnknownSubscriptionError`."""
        keys = [self._keys.subscriptions, self._keys.events, self._keys.troubles(subscription_id), self._keys.audit]
        if not _UNSUBSCRIBE.run(self.redis, keys, [subscription_id, f"{GROUP}{subscription_id}", by]):
            raise UnknownSubscriptionError(subscription_id, self.account)

    def all(self) -> list[Subscription]:
        """Every one, oldest first."""
        return unpacked(cast("Any", self.redis.hgetall(self._keys.subscriptions)))

    def named(self, subscription_id: str) -> Subscription:
        """The one of this id. Raises `UnknownSubscriptionError`."""
        return _unpacked(subscription_id, self._written(subscription_id))

    def change(
        self,
        subscription_id: str,
        to: Callable[[Subscription], Subscription],
        event: str = "",
        *,
        by: str,
        why: str = "",
        act: str = "",
    ) -> Subscription:
        """Make of one what `to` makes of it, and say it as `event` where that changes it. Raises `UnknownSubscriptionError`.

        `act` is what the audit calls it: nothing where it is no person's doing.
        """
        while True:
            seen = self._written(subscription_id)
            before = _unpacked(subscription_id, seen)
            changed = to(before)
            args: list[Argument] = [subscription_id, seen, _packed(changed), event, why, by, EVENTS_KEPT]
            keys = [self._keys.subscriptions, self._keys.events, self._keys.audit]
            if _AMEND.run(self.redis, keys, [*args, act, str(before), str(changed)]):
                return changed

    def now(self) -> int:
        """The server's clock in Unix milliseconds."""
        return server_ms(self.redis)

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def _written(self, subscription_id: str) -> bytes:
        found = cast("bytes | None", self.redis.hget(self._keys.subscriptions, subscription_id))
        if found is None:
            raise UnknownSubscriptionError(subscription_id, self.account)
        return found


def disabled(subscription: Subscription, why: str | None) -> Subscription:
    """The same, told nothing for this reason; without one, told again."""
    return replace(subscription, disabled=why)


def of_accounts(redis: Redis, accounts: Iterable[str]) -> dict[str, list[Subscription]]:
    """The subscriptions of these accounts, without those that have none, in one trip."""
    names = list(accounts)
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(account_keys(name).subscriptions)
    found = zip(names, pipeline.execute() if names else (), strict=True)
    return {name: unpacked(raw) for name, raw in found if raw}


def unpacked(raw: Mapping[bytes, bytes]) -> list[Subscription]:
    """Subscriptions as they are kept."""
    return sorted((_unpacked(name.decode(), packed) for name, packed in raw.items()), key=lambda one: (one.created, one.id))


def _packed(subscription: Subscription) -> str:
    kept = {name: value for name, value in asdict(subscription).items() if name != "id" and value is not None}
    return json.dumps(kept, separators=(",", ":"), sort_keys=True)


def _unpacked(subscription_id: str, packed: bytes) -> Subscription:
    """One as any release has written it: what is not known here is left out."""
    kept: dict[str, Any] = json.loads(packed)
    fields = {name: kept.get(name) for name in ("source", "url", "disabled")}
    keys = tuple(Key(*key) for key in kept["keys"])
    return Subscription(subscription_id, keys=keys, created=kept["created"], replays=kept.get("replays", 0), **fields)
