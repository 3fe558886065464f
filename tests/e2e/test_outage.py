"""Redis goes away in the middle of it, and comes back: nothing is lost or doubled, and everybody goes on by themselves."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.support import servers
from tests.support.houses import House, open_house
from tests.support.programs import PATIENCE

from tuma_producer import Producer, Send, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.houses import Settings

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
ACCOUNTS: dict[str, Settings] = {
    "main": {"provider": "lisoloo"},
    "counted": {"provider": "lisoloo", "poll_after": 2},
    "named": {"provider": "lineserve", "poll_after": 2},
}


class Store:
    """A server that writes everything down before it answers, so that it can be killed and started again with all it knew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.server = servers.start(None, *DURABLE, directory=directory)

    def restart(self) -> None:
        """Start it again at the same address."""
        self.server = servers.start(None, *DURABLE, port=self.server.port, directory=self._directory)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    started = Store(tmp_path)
    yield started
    started.server.process.send_signal(signal.SIGCONT)
    started.server.stop()


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    # Receipts that meet a closed door come again after 0.3, 1.2 and 6 seconds.
    with open_house(store.server, ACCOUNTS, config={"webhook_factor": 0.01}) as found:
        yield found


def ready(house: House) -> int:
    """The status with which the gateway says whether it could take a receipt."""
    return httpx.get(f"{house.gateway_url}/readyz", timeout=PATIENCE).status_code


def test_an_answer_that_comes_while_redis_is_dead_is_settled_when_it_is_back(house: House, store: Store) -> None:
    house.sandbox.arm("no_receipts", to=["+243990000001"])
    worker = house.worker("main")
    with house.sandbox.configured(latency_ms=1000):
        intent_id = house.send("main", "+243990000001", "+243990000002")
        house.sandbox.until_calls("main")
        store.server.stop()
        worker.until("delivery.deferred", "no usable Redis")  # the answer is there, and nobody to write it down
    with pytest.raises(StoreUnavailable):
        house.send("main", "+243990000003")
    store.restart()
    worker.until("delivery.settled", "accepted")
    assert house.until(intent_id, "recipient.submitted")[-1].evidence == "provider"
    assert house.producer.get(intent_id).counts == {"submitted": 2}
    # The same worker goes on, and nothing is sent again.
    assert house.done(house.send("main", "+243990000004")).counts == {"delivered": 1}
    assert set(house.copies("main").values()) == {1}
    assert len(house.sandbox.calls("main")) == 2


def test_a_receipt_that_meets_a_dead_redis_is_sent_back_and_comes_again(house: House, store: Store) -> None:
    with house.sandbox.configured(steps={"final": 1.0}):
        house.worker("main")
        intent_id = house.send("main", "+243990000001")
        house.until(intent_id, "recipient.sent")
        before = house.sandbox.books()["webhooks"]
        store.server.stop()
        house.sandbox.until(lambda books: books["webhooks"]["attempts"] > before["attempts"] and books["webhooks"]["pending"] == 1)
        assert ready(house) == 503
        store.restart()
        assert house.story(intent_id) == ["accepted", "sending", "submitted", "sent", "delivered", "done"]
    assert house.sandbox.books()["webhooks"]["failed"] == 0
    assert ready(house) == 200


def test_a_redis_that_stands_still_during_a_call_loses_and_doubles_nothing(house: House, store: Store) -> None:
    house.worker("main")
    impatient = Producer.from_url(f"{store.server.url}?socket_timeout=0.2", source="test")
    again = Send(account="main", to="+243990000002", message="once", idempotency_key="once")
    with house.sandbox.configured(latency_ms=500):
        intent_id = house.send("main", "+243990000001")
        house.sandbox.until_calls("main")
        store.server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):  # after four tries of 0.2 seconds each: the answer has come meanwhile
            impatient.enqueue(again)
        store.server.process.send_signal(signal.SIGCONT)
    impatient.close()
    # Whether the first one was taken nobody could tell; with its key it may be handed in again.
    once = house.producer.enqueue(again).id
    assert house.story(intent_id) == ["accepted", "sending", "submitted", "sent", "delivered", "done"]
    assert house.story(once) == ["accepted", "sending", "submitted", "sent", "delivered", "done"]
    assert set(house.copies("main").values()) == {1}
    assert len(house.sandbox.calls("main")) == 2


CROWD = 50


def crowd(account: str, part: int) -> list[str]:
    """Numbers of nobody else."""
    return [f"+2439{len(account)}{part}{place:06}" for place in range(CROWD)]


def test_a_receiver_that_is_away_for_long_and_a_redis_for_a_while_lose_nobody_of_a_campaign(house: House, store: Store) -> None:
    """All in a four-hundredth of the time: ten minutes are one and a half seconds, and Lisoloo tries for two."""
    names = ("counted", "named")
    with house.sandbox.configured(webhook_factor=1 / 400):
        house.worker(*names, TUMA_POLL_EVERY="0.2")
        house.gateway.kill()
        first = {name: house.send(name, *crowd(name, 0), priority="bulk") for name in names}
        house.sandbox.until(lambda books: books["webhooks"]["failed"] > 0)  # given up: only a question tells of these
        store.server.stop()
        house.sandbox.until(lambda books: books["webhooks"]["failed"] > 2 * CROWD)
        store.restart()
        house.sandbox.configure(webhook_factor=1 / 20)  # of these, the provider goes on trying for longer than anything here takes
        second = {name: house.send(name, *crowd(name, 1), priority="bulk") for name in names}
        for name in names:
            house.sandbox.until_calls(name, 2)
        house.open_gateway()
        for name in names:
            house.all_done([first[name], second[name]])
            assert [house.producer.get(one).counts for one in (first[name], second[name])] == [{"delivered": CROWD}] * 2
            assert set(house.copies(name).values()) == {1}
            assert house.lines("delivery.polled", f'"account": "{name}"')
        house.sandbox.until(lambda books: books["webhooks"]["sent"] > 0)  # and others came again
