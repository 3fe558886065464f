"""An account whose events are told over HTTP, driven by hand and by a clock that the test sets."""

from __future__ import annotations

import base64
import hmac
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, queue_of

from tuma_worker.events.posting import Guard, Poster
from tuma_worker.events.pushing import Pusher
from tuma_worker.events.signing import new_secret
from tuma_worker.store.feed import Feed, Trouble
from tuma_worker.store.subscriptions import Key, Subscription, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.support.subscriber import Subscriber

HERE = ip_network("127.0.0.0/8")
PATIENCE = 10.0  # seconds
HOUR, DAY = 3600.0, 86_400.0


@dataclass
class Desk:
    """An account with subscribers, and whoever tells them, by a clock that the test sets."""

    driver: Driver
    subscriber: Subscriber
    now: float = 1_900_000_000.0
    pushers: list[Pusher] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriptions = Subscriptions(self.driver.redis, self.driver.queue.account)

    def subscribe(self, **more: Any) -> Subscription:  # noqa: ANN401 - fields of a subscription
        fields = {"source": None, "url": self.subscriber.url + "/sms", "keys": (Key(new_secret()),), "created": 0}
        one = Subscription(**{"id": secrets.token_hex(4), **fields, **more})
        self.subscriptions.add(one, "0", by="test")
        return one

    def pusher(self, name: str = "one", *, guard: Guard | None = None, redis: Redis | None = None) -> Pusher:
        reads = redis or self.driver.redis
        made = Pusher(
            reads, reads, [self.driver.queue.account], Poster(guard or Guard((HERE,)), 5.0), name, most=4,
            clock=lambda: self.now, choose=lambda most: most,
        )  # fmt: skip
        self.pushers.append(made)
        return made

    def push(self, pusher: Pusher) -> dict[str, int]:
        """Tell whatever may be told at this time, with whatever follows from that."""
        outcomes: dict[str, int] = {}
        pusher.take_turn()
        while (found := pusher.run_once()) or pusher.wait(PATIENCE):
            for outcome, count in found.items():
                outcomes[outcome] = outcomes.get(outcome, 0) + count
        return outcomes

    def live(self, pusher: Pusher, seconds: float, step: float = 60.0) -> None:
        """Let so much time go by, in steps."""
        until = self.now + seconds
        while self.now < until:
            self.now += step
            self.push(pusher)

    def submit(self, *to: str, **more: Any) -> str:  # noqa: ANN401 - fields of a send
        """Send to these, and return the intent's id: it has an event when it is accepted, and two for each recipient."""
        intent = self.driver.enqueue(*to, **more)
        self.driver.send()
        return f"{self.driver.queue.account}.{intent}"

    def dies(self, pusher: Pusher) -> Pusher:
        """Let one die that has told something and not yet written down what came of it; returns who follows."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Feed, "acknowledge", lambda *_, **__: None)
            pusher.take_turn()
            pusher.run_once()
            pusher.wait(PATIENCE)
        self.driver.redis.delete(self.driver.account.pusher)  # or wait until it is taken to have died
        return self.pusher(secrets.token_hex(4))

    def troubles(self, one: Subscription) -> dict[str, Any]:
        return dict(Feed(self.driver.redis, self.driver.queue.account, one).troubles())

    def missed(self, one: Subscription) -> Trouble:
        return Feed(self.driver.redis, self.driver.queue.account, one).missed()

    def standing(self, one: Subscription) -> Subscription:
        return self.subscriptions.named(one.id)


@contextmanager
def open_desk(redis: Redis, subscriber: Subscriber) -> Iterator[Desk]:
    made = Desk(Driver(redis, queue_of(batch_max=10)), subscriber)
    try:
        yield made
    finally:
        for pusher in made.pushers:
            pusher.close()
    for one in made.subscriptions.all():
        made.subscriptions.remove(one.id, by="test")


def sequences(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """The numbers of each intent's events, in the order in which they were taken."""
    found: dict[str, list[int]] = {}
    for event in events:
        if "subject" in event:
            found.setdefault(event["subject"], []).append(int(event["sequence"]))
    return found


def whole(count: int) -> list[int]:
    return list(range(1, count + 1))


def believed(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Whether one of the signatures is made with this secret: the specification's words, not our code's."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(base64.b64decode(secret[6:]), signed, "sha256")).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")
