"""What people write: told once, and who asks for no more messages is called no more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.contract.canned import InventedAccount
from tests.redis.driver import Driver, number, queue_of

from tuma_producer import Producer
from tuma_worker.core.stopping import WORDS
from tuma_worker.providers import named
from tuma_worker.receipts.applying import Applier, Box, Outcomes
from tuma_worker.store.forgetting import Forgetting
from tuma_worker.store.inbox import Inbox

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer import Event

HIM = number(0)
READ = named("lisoloo").receipts(InventedAccount("https://provider.example", inbound_event="sms.received"))


@dataclass
class Letterbox:
    """An account at whose common address people's messages come in."""

    driver: Driver
    _ids: int = field(default=0)

    def post(self, text: str, *, event_id: str = "") -> Outcomes:
        """Take a message in that is his."""
        self._ids += 1
        data = {"from": HIM, "to": "12345", "message": text}
        body = {"event_id": event_id or f"e-{self._ids}", "event_type": "sms.received", "data": data}
        self.driver.redis.xadd(self.driver.account.inbox, {"b": "", "d": json.dumps(body)})
        inbox = Inbox(self.driver.redis, self.driver.queue.account, keep=60.0)
        applier = Applier(self.driver.redis, self.driver.redis, [Box(inbox, READ, WORDS)], "w1", lambda: 0.0)
        applier.take_turn()
        return applier.run_once()[self.driver.queue.account]

    def told(self) -> list[Event]:
        events = Producer(self.driver.redis).outcomes("test", wait=0.01)
        return [event for event in events if event.type == "tuma.inbound.received"]


@pytest.fixture
def letterbox(redis: Redis) -> Letterbox:
    return Letterbox(Driver(redis, queue_of()))


def test_whoever_writes_stop_is_on_the_list_at_once_and_what_waits_for_him_is_not_sent(letterbox: Letterbox) -> None:
    intent = letterbox.driver.enqueue(HIM)
    assert letterbox.post("Stop!") == {"inbound": 1}
    batch = letterbox.driver.taken()
    begun = letterbox.driver.begin(batch)
    assert begun is not None
    assert begun.targets == ()
    assert letterbox.driver.state_of(intent, HIM) == "suppressed"
    (event,) = letterbox.told()
    assert (event.source, event.intent, event.recipient) == (None, None, None)
    assert event.as_cloudevent()["data"] == {"from": HIM, "to": "12345", "text": "Stop!", "stop": "STOP"}


def test_what_else_people_write_is_told_and_changes_nothing(letterbox: Letterbox) -> None:
    assert letterbox.post("please do not stop") == {"inbound": 1}
    assert letterbox.driver.redis.zcard(letterbox.driver.account.suppressed) == 0
    assert [event.data for event in letterbox.told()] == [{"from": HIM, "to": "12345", "text": "please do not stop"}]


def test_a_message_that_comes_again_is_told_once_and_does_not_undo_what_was_done_meanwhile(letterbox: Letterbox) -> None:
    assert letterbox.post("STOP", event_id="same") == {"inbound": 1}
    Producer(letterbox.driver.redis).unsuppress(letterbox.driver.queue.account, HIM)
    assert letterbox.post("STOP", event_id="same") == {"repeated": 1}
    assert letterbox.driver.redis.zcard(letterbox.driver.account.suppressed) == 0
    assert len(letterbox.told()) == 1
    assert letterbox.driver.redis.xlen(letterbox.driver.account.inbox) == 0


def test_what_a_person_wrote_is_forgotten_with_the_number(letterbox: Letterbox) -> None:
    letterbox.post("STOP")
    done = Forgetting(letterbox.driver.redis, letterbox.driver.queue.account, HIM, "5eed").forget(by="test")
    assert (done.events, done.suppressed) == (1, True)
    assert letterbox.told() == []
