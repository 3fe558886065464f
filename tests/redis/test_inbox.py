"""Receipts between the gateway and the record: applied once, in order, by whoever comes, and kept as they came."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY
from tests.contract.canned import InventedAccount
from tests.redis.driver import GIVEN_UP, Driver, queue_of

from tuma_worker.providers import named
from tuma_worker.receipts.applying import TURN, Applier, Box
from tuma_worker.store.inbox import PARKED_FOR, UNMATCHED, Inbox, kept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from tuma_worker.queue.scripts import Claim
    from tuma_worker.store.inbox import Raw

READ = named("lisoloo").receipts(InventedAccount("https://provider.example"))
STEPS = ("sms.processing", "sms.sent", "sms.delivered")
NUMBERS = [f"+24399000{n:04}" for n in range(6)]


@dataclass
class Post:
    """One account whose receipts are put into the inbox as the gateway does, and applied when a test says so."""

    driver: Driver
    now: float = 0.0

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.driver.redis, self.driver.queue.account, keep=60.0)

    def applier(self, name: str = "one", receipts: Any = READ) -> Applier:  # noqa: ANN401 - a stand-in for a provider's
        return Applier(self.driver.redis, self.driver.redis, [Box(self.inbox, receipts)], name, lambda: self.now)

    def put(self, batch_id: str, body: dict[str, Any]) -> None:
        self.driver.redis.xadd(self.driver.account.inbox, {"b": batch_id, "d": json.dumps(body)})

    def drain(self) -> None:
        self.applier().drain(self.driver.queue.account)
        assert not self.driver.redis.exists(self.driver.account.inbox) or self.inbox.page() == []

    def kept(self, batch_id: str) -> list[Raw]:
        return kept(self.driver.redis, self.driver.queue.account, batch_id)

    def states(self, intent: str, numbers: Iterable[str]) -> list[str]:
        return [self.driver.state_of(intent, number) for number in numbers]

    def told(self, number: str) -> list[str]:
        return [event["e"] for event in self.driver.events() if event.get("r") == number]


def news(event: str, number: str, message_id: str = "call-1") -> dict[str, Any]:
    data = {"recipient_phone": number}
    return {"event_id": f"{event} {number}", "event_type": event, "message_id": message_id, "data": data}


@pytest.fixture
def post(redis: Redis) -> Post:
    return Post(Driver(redis, queue_of(batch_max=10)))


def sent(post: Post, *numbers: str) -> tuple[str, Claim]:
    intent = post.driver.enqueue(to=list(numbers))
    return intent, post.driver.send()


def test_receipts_move_their_recipients_in_the_order_in_which_they_came(post: Post) -> None:
    intent, batch = sent(post, *NUMBERS)
    for number in NUMBERS:
        for event in STEPS:
            post.put(batch.batch_id, news(event, number))
    post.drain()
    assert post.states(intent, NUMBERS) == ["delivered"] * 6
    for number in NUMBERS:
        assert post.told(number) == ["sending", "submitted", "sent", "delivered"]
    assert post.driver.events()[-1]["e"] == "done"


def test_receipts_are_kept_as_they_came_each_once(post: Post) -> None:
    _, batch = sent(post, NUMBERS[0])
    for event in (*STEPS, *STEPS):
        post.put(batch.batch_id, news(event, NUMBERS[0]))
    post.drain()
    assert [json.loads(raw.body)["event_type"] for raw in post.kept(batch.batch_id)] == list(STEPS)
    assert 0 < post.driver.redis.pttl(post.driver.account.raw_receipts(batch.batch_id)) <= 60_000


def test_each_end_is_counted_once_with_how_long_after_the_call_it_was_told(post: Post) -> None:
    def told() -> tuple[float, float]:
        labels = {"account": post.driver.queue.account, "priority": "bulk"}
        found = [REGISTRY.get_sample_value(f"tuma_call_to_receipt_seconds_{part}", labels) for part in ("count", "sum")]
        return found[0] or 0.0, found[1] or 0.0

    (count, total), began = told(), time.monotonic()
    post.driver.enqueue(to=NUMBERS[:2], priority="bulk")
    batch = post.driver.send()
    for event, number in (("sms.sent", 0), ("sms.delivered", 0), ("sms.delivered", 1), ("sms.delivered", 0)):
        post.put(batch.batch_id, news(event, NUMBERS[number]))
    post.drain()
    post.put(batch.batch_id, news("sms.delivered", NUMBERS[1]))
    post.drain()
    counted, seconds = told()
    assert counted - count == 2
    assert 0 <= seconds - total <= 2 * (time.monotonic() - began)


def test_a_receipt_that_was_long_on_its_way_is_counted_as_late_beside_what_it_is(post: Post) -> None:
    _, batch = sent(post, *NUMBERS[:2])
    now = datetime.now(UTC)
    for number, ago in zip(NUMBERS, (30, 90), strict=False):
        post.put(batch.batch_id, news("sms.delivered", number) | {"timestamp": (now - timedelta(seconds=ago)).isoformat()})
    applier = post.applier()
    applier.take_turn()
    assert applier.run_once() == {post.driver.queue.account: {"moved": 2, "late": 1}}


def test_a_receipt_proves_a_call_without_an_answer(post: Post) -> None:
    intent = post.driver.enqueue(to=NUMBERS[:2])
    batch = post.driver.taken()
    assert post.driver.begin(batch) is not None
    assert post.driver.settle(batch, GIVEN_UP)
    post.put(batch.batch_id, news("sms.sent", NUMBERS[0]))
    post.drain()
    assert post.states(intent, NUMBERS[:2]) == ["sent", "submitted"]


def test_an_event_that_nobody_knows_is_kept_and_changes_nothing(post: Post) -> None:
    intent, batch = sent(post, NUMBERS[0])
    post.put(batch.batch_id, news("sms.teleported", NUMBERS[0]))
    post.drain()
    assert post.states(intent, NUMBERS[:1]) == ["submitted"]
    assert len(post.kept(batch.batch_id)) == 1


def test_a_receipt_without_its_call_waits_until_that_is_known(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    intent, batch = sent(post, NUMBERS[0])
    post.put("", news("sms.delivered", NUMBERS[0], "not-known-yet"))
    post.drain()
    assert (post.states(intent, NUMBERS[:1]), post.inbox.page(), post.inbox.parked()) == (["submitted"], [], [])
    later = post.inbox.now() + 60_000
    monkeypatch.setattr(Inbox, "now", lambda _inbox: later)
    post.driver.redis.set(post.driver.account.provider_id("not-known-yet"), batch.batch_id, px=60_000)
    post.applier().take_turn()
    assert post.states(intent, NUMBERS[:1]) == ["delivered"]
    assert not post.driver.redis.exists(post.driver.account.parked)


def test_a_receipt_whose_call_nobody_ever_knows_is_kept_apart_in_the_end(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.put("", news("sms.delivered", NUMBERS[0], "never-known"))
    post.drain()
    later = post.inbox.now() + PARKED_FOR
    monkeypatch.setattr(Inbox, "now", lambda _inbox: later)
    post.applier().take_turn()
    assert not post.driver.redis.exists(post.driver.account.parked)
    assert len(post.kept(UNMATCHED)) == 1


def test_whoever_leaves_is_followed_at_the_next_turn_and_applies_nothing_more(post: Post) -> None:
    intent, batch = sent(post, NUMBERS[0])
    one, other = post.applier("one"), post.applier("other")
    one.take_turn()
    other.take_turn()
    assert other.run_once() == {}, "another one leads"
    one.leave()
    post.put(batch.batch_id, news("sms.delivered", NUMBERS[0]))
    post.now += TURN
    one.take_turn()
    assert one.run_once() == {}
    assert post.states(intent, NUMBERS[:1]) == ["submitted"]
    other.take_turn()
    other.run_once()
    assert post.states(intent, NUMBERS[:1]) == ["delivered"]
    one.leave()
    assert other.run_once() != {}
    assert post.inbox.lead("one", 1.0) is False, "nobody leaves for another"


class Poisoned:
    """Reads every receipt but one, over which it stumbles in a way that nobody thought of."""

    def __init__(self, poison: str) -> None:
        self.poison = poison.encode()

    def read(self, body: bytes) -> Any:  # noqa: ANN401 - as the provider's
        if self.poison in body:
            raise KeyError
        return READ.read(body)


def test_a_receipt_over_which_we_stumble_holds_up_no_other(post: Post) -> None:
    intent, batch = sent(post, *NUMBERS)
    for number in NUMBERS:
        post.put(batch.batch_id, news("sms.sent", number))
    post.applier(receipts=Poisoned(NUMBERS[2])).drain(post.driver.queue.account)
    assert post.states(intent, NUMBERS) == ["sent", "sent", "submitted", "sent", "sent", "sent"]
    assert post.driver.redis.zcard(post.driver.account.parked) == 1


def test_one_process_at_a_time_applies_and_another_follows_it_where_it_left(post: Post) -> None:
    intent, batch = sent(post, NUMBERS[0])
    first, second = post.applier("first"), post.applier("second")
    for one in (first, second):
        one.take_turn()
    post.put(batch.batch_id, news("sms.sent", NUMBERS[0]))
    assert second.run_once() == {}
    assert post.states(intent, NUMBERS[:1]) == ["submitted"]
    post.driver.redis.delete(post.driver.account.applier)  # the first has died, and its time is over
    post.now = 60.0
    second.take_turn()
    assert second.run_once()[post.driver.queue.account] == {"moved": 1}
    assert post.states(intent, NUMBERS[:1]) == ["sent"]
    assert first.run_once()[post.driver.queue.account] == {}
