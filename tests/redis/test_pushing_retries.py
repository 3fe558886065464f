"""A subscriber that does not take its events: they are tried again in their order, given up after days, or it is disabled."""

from __future__ import annotations

from tests.redis.driver import numbers
from tests.redis.pushing import DAY, HOUR, Desk, sequences, whole

from tuma_worker.core.pushing import BORNE_FOR, TRIED_FOR
from tuma_worker.events.pushing import TURN
from tuma_worker.events.replaying import replay
from tuma_worker.store.feed import Feed
from tuma_worker.store.subscriptions import disabled


def test_one_event_that_is_refused_holds_up_its_own_intent_and_no_other(desk: Desk) -> None:
    desk.subscribe()
    held, others = desk.submit(), [desk.submit() for _ in range(5)]
    desk.subscriber.answers = lambda event: (422 if event.get("subject") == held else 204, {})
    pusher = desk.pusher()
    desk.push(pusher)
    assert sequences(desk.subscriber.taken) == {intent: whole(3) for intent in others}
    desk.subscriber.answers = lambda _: (200, {})
    desk.live(pusher, 60.0, step=5.0)
    assert sequences(desk.subscriber.taken)[held] == whole(3)


def test_a_subscriber_that_is_down_for_a_day_hears_everything_in_order_and_again_by_replay(desk: Desk) -> None:
    """Its first events are tried now and then by one at a time, and all that waits goes once it is back."""
    one, first = desk.subscribe(), desk.submit(*numbers(5))
    desk.subscriber.answers = lambda _: (503, {})
    pusher = desk.pusher()
    desk.live(pusher, DAY / 2, step=150.0)
    second = [desk.submit(*numbers(2, first=10 * n)) for n in range(60)]
    desk.live(pusher, DAY / 2, step=150.0)
    assert desk.subscriber.taken == []
    assert len(desk.subscriber.asked) < DAY / 100
    desk.subscriber.answers = lambda _: (200, {})
    desk.live(pusher, 600.0)
    assert sequences(desk.subscriber.taken) == {first: whole(11)} | {intent: whole(5) for intent in second}
    assert desk.troubles(one) == {}
    assert desk.standing(one).disabled is None

    told = len(desk.subscriber.taken)
    assert replay(desk.subscriptions, one.id, "-", "+", by="test").events == told
    desk.now += TURN
    desk.push(pusher)
    again = desk.subscriber.taken[told:]
    assert [event["id"] for event in again if event["subject"] == first] == [
        event["id"] for event in desk.subscriber.taken[:told] if event["subject"] == first
    ]
    assert sequences(again) == sequences(desk.subscriber.taken[:told])


def test_an_event_that_is_never_taken_is_given_up_after_three_days_and_those_behind_it_go_on(desk: Desk) -> None:
    one = desk.subscribe()
    held = desk.submit()
    desk.subscriber.answers = lambda event: (500 if event.get("subject") == held and event["sequence"] == "0000000001" else 200, {})
    pusher = desk.pusher()
    while desk.now < 1_900_000_000.0 + TRIED_FOR:
        desk.submit()  # others get through all the while
        desk.live(pusher, 6 * HOUR, step=HOUR)
        if desk.now < 1_900_000_000.0 + 72 * HOUR:
            assert held not in sequences(desk.subscriber.taken)
    desk.live(pusher, HOUR)
    assert sequences(desk.subscriber.taken)[held] == [2, 3]
    assert desk.missed(one).tries == 1
    desk.submit()
    desk.push(desk.dies(pusher))
    assert desk.missed(one).tries == 1


def test_a_subscriber_that_nothing_gets_through_to_is_disabled_after_five_days_and_loses_nothing(desk: Desk) -> None:
    one, intent = desk.subscribe(), desk.submit()
    desk.subscriber.answers = lambda _: (302, {"Location": desk.subscriber.url + "/elsewhere"})
    pusher = desk.pusher()
    desk.live(pusher, BORNE_FOR - HOUR, step=HOUR)
    assert desk.standing(one).disabled is None
    desk.live(pusher, 3 * HOUR, step=HOUR)
    assert desk.standing(one).disabled == "unheard"
    assert {told.path for told in desk.subscriber.asked} == {"/sms"}  # a redirect is not followed
    asked = len(desk.subscriber.asked)
    desk.live(pusher, DAY, step=HOUR)
    assert len(desk.subscriber.asked) == asked

    desk.subscriber.answers = lambda _: (200, {})
    Feed(desk.driver.redis, desk.driver.queue.account, one).forget_troubles()
    desk.subscriptions.change(one.id, lambda seen: disabled(seen, None), "subscription-enabled", by="test")
    desk.now += TURN
    desk.push(pusher)
    assert sequences(desk.subscriber.taken) == {intent: whole(3)}
    account = [(event["type"], event["data"]) for event in desk.subscriber.taken if "subject" not in event]
    assert account == [
        ("tuma.account.subscription-disabled", {"subscription": one.id, "reason": "unheard", "by": "one"}),
        ("tuma.account.subscription-enabled", {"subscription": one.id, "by": "test"}),
    ]


def test_an_endpoint_that_says_it_is_gone_is_told_nothing_more(desk: Desk) -> None:
    one = desk.subscribe()
    desk.submit()
    desk.subscriber.answers = lambda _: (410, {})
    desk.push(desk.pusher())
    assert desk.standing(one).disabled == "gone"
    assert len(desk.subscriber.asked) == 1


def test_retry_after_is_heeded(desk: Desk) -> None:
    desk.subscribe()
    desk.submit()
    desk.subscriber.answers = lambda _: (429, {"Retry-After": "3600"})
    pusher = desk.pusher()
    desk.push(pusher)
    desk.subscriber.answers = lambda _: (200, {})
    desk.live(pusher, HOUR - 60)
    assert (len(desk.subscriber.asked), desk.subscriber.taken) == (1, [])
    desk.live(pusher, 120)
    assert len(desk.subscriber.taken) == 3
