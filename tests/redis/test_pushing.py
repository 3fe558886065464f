"""Events told over HTTP: each to whoever subscribed, once, in order within its intent, signed, and to nobody else."""

from __future__ import annotations

import json
import threading

from tests.redis.driver import numbers
from tests.redis.pushing import HOUR, PATIENCE, Desk, believed, sequences, whole
from tests.support.servers import closed_port

from tuma_worker.events.posting import Guard
from tuma_worker.events.pushing import TURN
from tuma_worker.events.replaying import replay
from tuma_worker.events.signing import new_secret
from tuma_worker.store.feed import Feed
from tuma_worker.store.subscriptions import disabled


def test_every_event_is_told_once_in_order_as_a_signed_cloudevent(desk: Desk) -> None:
    one = desk.subscribe()
    intents = [desk.submit(*numbers(3, first=10 * n)) for n in range(3)]
    assert desk.push(desk.pusher()) == {"told": 21}
    assert sequences(desk.subscriber.taken) == {intent: whole(7) for intent in intents}
    told = desk.subscriber.asked[0]
    assert told.path == "/sms"
    assert told.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert told.headers["webhook-id"] == told.event["id"]
    assert told.headers["webhook-timestamp"] == str(int(desk.now))
    assert believed(told.headers, told.body, one.keys[0].secret)
    assert len({told.headers["webhook-id"] for told in desk.subscriber.asked}) == 21
    assert desk.push(desk.pushers[0]) == {}


def test_a_subscriber_of_a_source_hears_of_no_other(desk: Desk) -> None:
    desk.subscribe(source="billing")
    mine = desk.submit(source="billing")
    desk.submit(source="shop")
    desk.push(desk.pusher())
    assert sequences(desk.subscriber.taken) == {mine: whole(3)}


def test_subscribers_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.subscribe(url=f"http://127.0.0.1:{closed_port()}")
    desk.subscribe()
    desk.submit()
    assert desk.push(desk.pusher()) == {"told": 3, "failed": 1}


def test_while_a_secret_is_replaced_either_is_believed_and_then_the_new_one_alone(desk: Desk) -> None:
    one = desk.subscribe()
    old, new = one.keys[0].secret, new_secret()
    now, pusher = round(desk.now * 1000), desk.pusher()
    desk.subscriptions.change(one.id, lambda seen: seen.rotated(new, now, 3_600_000), by="test")
    for hours, both in ((0.5, True), (1.5, False)):
        desk.now += hours * HOUR
        desk.submit()
        desk.push(pusher)
        told = desk.subscriber.asked[-1]
        assert believed(told.headers, told.body, new)
        assert believed(told.headers, told.body, old) is both


# ---------------------------------------------------------------------------------------------------------------- and whom not


def test_whoever_is_taken_off_is_told_nothing_more_and_leaves_nothing_behind(desk: Desk) -> None:
    one = desk.subscribe()
    desk.submit()
    pusher = desk.pusher()
    assert desk.push(pusher) == {"told": 3}
    desk.subscriptions.remove(one.id, by="test")
    desk.submit()
    assert desk.push(pusher) == {}
    assert desk.driver.redis.xinfo_groups(desk.driver.account.events) == []


def test_whoever_is_told_nothing_more_is_not_told_again_what_they_took(desk: Desk) -> None:
    one, held, other = desk.subscribe(), desk.submit(), desk.submit()
    release = threading.Event()
    desk.subscriber.answers = lambda event: (
        200 if event.get("subject") == other or release.wait(PATIENCE) else 500, {}
    )  # fmt: skip
    pusher, told = desk.pusher(), 0
    pusher.take_turn()
    while told < 3:
        told += (found := pusher.run_once())["told"]
        if not found:
            pusher.wait(PATIENCE)
    feed = Feed(desk.driver.redis, desk.driver.queue.account, one)
    desk.subscriptions.change(one.id, lambda seen: disabled(seen, "gone"), by="test")
    desk.now += TURN
    pusher.take_turn()
    assert feed.waiting() == 3, "that which is on its way, and those behind it"
    release.set()
    assert sequences(desk.subscriber.taken)[other] == whole(3)
    assert held not in sequences(desk.subscriber.taken)


def test_no_private_address_is_asked_unless_a_setting_allows_it(desk: Desk) -> None:
    one = desk.subscribe()
    desk.submit()
    assert desk.push(desk.pusher(guard=Guard())) == {"failed": 1}
    assert desk.subscriber.asked == []
    assert desk.standing(one).disabled is None


def test_a_subscriber_is_told_one_event_again_by_its_id(desk: Desk) -> None:
    one = desk.subscribe()
    desk.submit(*numbers(2))
    pusher = desk.pusher()
    desk.push(pusher)
    event = desk.subscriber.taken[2]
    entry = event["id"].partition("/")[2]
    assert replay(desk.subscriptions, one.id, entry, entry, by="test").events == 1
    desk.now += TURN
    assert desk.push(pusher) == {"told": 1}
    assert desk.subscriber.taken[-1] == event
    assert json.loads(desk.subscriber.asked[-1].body) == event
