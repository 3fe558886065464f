"""Callbacks: the events of an intent go to the address that it was sent with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import numbers
from tests.redis.pushing import Desk, believed, sequences, whole

from tuma_producer import At, InvalidSend, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.producers import AnyProducer


def test_the_events_of_an_intent_go_to_its_own_address_and_those_of_others_nowhere(desk: Desk) -> None:
    desk.subscribe(id="callbacks.billing", source="billing", url=None)
    mine = desk.submit(*numbers(2), callback_url=f"{desk.subscriber.url}/orders/17?sign=a")
    other = desk.submit(callback_url=f"{desk.subscriber.url}/orders/18")
    desk.submit()
    assert desk.push(desk.pusher()) == {"told": 8}
    assert sequences(desk.subscriber.taken) == {mine: whole(5), other: whole(3)}
    assert {(told.path, told.event["subject"]) for told in desk.subscriber.asked} == {
        ("/orders/17?sign=a", mine), ("/orders/18", other),
    }  # fmt: skip
    assert believed(desk.subscriber.asked[0].headers, desk.subscriber.asked[0].body, desk.subscriptions.all()[0].keys[0].secret)


def test_the_occurrences_of_a_schedule_call_back_as_it_does(desk: Desk) -> None:
    desk.subscribe(id="callbacks", url=None)
    soon = datetime.fromtimestamp(desk.driver.server_ms() / 1000 + 0.5, UTC)
    desk.driver.enqueue(schedule=At(times=soon), callback_url=desk.subscriber.url)
    desk.driver.until(desk.driver.server_ms() + 510)
    desk.driver.fire(desk.driver.taken())
    desk.push(desk.pusher())
    told: dict[str, list[str]] = {}
    for event in desk.subscriber.taken:
        told.setdefault(event["subject"], []).append(event["type"].removeprefix("tuma.intent."))
    assert sorted(told.values()) == [["accepted"], ["scheduled", "fired", "done"]]


def test_an_address_that_is_gone_costs_its_own_intent_alone(desk: Desk) -> None:
    one = desk.subscribe(id="callbacks", url=None)
    held, other = (desk.submit(callback_url=f"{desk.subscriber.url}/{n}") for n in range(2))
    desk.subscriber.answers = lambda event: (410 if event.get("subject") == held else 200, {})
    assert desk.push(desk.pusher()) == {"told": 3, "given-up": 3}
    assert sequences(desk.subscriber.taken) == {other: whole(3)}
    assert desk.standing(one).disabled is None


def test_a_callback_that_nobody_has_agreed_on_is_refused(desk: Desk, producer_for: Callable[..., AnyProducer]) -> None:
    desk.subscribe(id="callbacks.billing", source="billing", url=None)
    account = desk.driver.queue.account
    send = Send(account=account, to=numbers(1), message="hello", callback_url="https://shop.example.com/sms")
    with pytest.raises(InvalidSend, match=f"^callback_url: {account} calls nobody back for 'shop'; ops must first run"):
        producer_for("shop").enqueue(send)
    intent_id = producer_for("billing").enqueue(send).id
    assert producer_for("billing").get(intent_id).callback_url == "https://shop.example.com/sms"
