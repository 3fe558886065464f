"""Events told over HTTP: each at least once, in order within its intent, whoever dies or is away, and none where none may go."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as ConnectionLost
from tests.redis.driver import Driver, numbers, queue_of
from tests.support.proxy import LossyProxy
from tests.support.servers import closed_port
from tests.support.subscriber import Subscriber, open_subscriber, willing

from tuma_producer import At, InvalidSend, Send
from tuma_producer.contract.connection import connect_once
from tuma_worker.core.pushing import BORNE_FOR, TRIED_FOR
from tuma_worker.events import lane
from tuma_worker.events.posting import Guard, Poster
from tuma_worker.events.pushing import TURN, Pusher
from tuma_worker.events.replaying import replay
from tuma_worker.events.signing import new_secret
from tuma_worker.store.feed import Feed, Trouble
from tuma_worker.store.subscriptions import Key, Subscription, Subscriptions, disabled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from tests.support.producers import AnyProducer
    from tests.support.servers import Server


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


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with open_subscriber() as found:
        yield found


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


@pytest.fixture
def desk(redis: Redis, subscriber: Subscriber) -> Iterator[Desk]:
    with open_desk(redis, subscriber) as made:
        yield made


def sequences(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """The numbers of each intent's events, in the order in which they were taken."""
    found: dict[str, list[int]] = {}
    for event in events:
        if "subject" in event:
            found.setdefault(event["subject"], []).append(int(event["sequence"]))
    return found


def whole(count: int) -> list[int]:
    return list(range(1, count + 1))


# -------------------------------------------------------------------------------------------------------------- what is told


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


def believed(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Whether one of the signatures is made with this secret: the specification's words, not our code's."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(base64.b64decode(secret[6:]), signed, "sha256")).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


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


# ----------------------------------------------------------------------------------------------------------- who does not take


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


# ------------------------------------------------------------------------------------------------------ who tells, and whom not


def test_who_follows_one_that_died_tells_what_that_did_not_see_taken(desk: Desk) -> None:
    desk.subscribe()
    intent = desk.submit(*numbers(3))
    dying = desk.pusher("dying")
    dying.take_turn()
    assert desk.push(desk.pusher("another")) == {}  # the first one may be alive
    assert desk.push(desk.dies(dying)) == {"told": 7}
    ids = [told.headers["webhook-id"] for told in desk.subscriber.asked]
    assert (len(ids), len(set(ids))) == (8, 7)
    assert sequences(desk.subscriber.taken[1:]) == {intent: whole(7)}


@pytest.mark.parametrize(
    "loses", [(b"accepted", 0), (b"callback_url", 0), (b"accepted", 1)], ids=["what is new", "where it goes", "what was put by"]
)
def test_no_event_is_left_behind_where_redis_was_away_for_a_moment(
    desk: Desk, redis_server: Server, loses: tuple[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_AT_HAND", 0)
    desk.subscribe(id="callbacks", url=None)
    intents = [desk.submit(callback_url=f"{desk.subscriber.url}/{n}") for n in range(6)]
    with LossyProxy(redis_server.port) as proxy, connect_once(proxy.url) as redis:
        pusher = desk.pusher(redis=redis)
        marker, after = loses
        proxy.lose(marker, after=after)
        with pytest.raises(ConnectionLost):
            desk.push(pusher)
        assert proxy.lost == 1
        assert desk.push(pusher) == {"told": 18}
        pusher.close()
    assert sequences(desk.subscriber.taken) == {intent: whole(3) for intent in intents}


def test_whoever_leaves_with_nothing_on_its_way_is_followed_at_once_and_tells_nothing_more(desk: Desk) -> None:
    desk.subscribe()
    intent, leaving, following = desk.submit(), desk.pusher("leaving"), desk.pusher("following")
    desk.push(leaving)
    desk.push(following)
    leaving.leave()
    more, stop = desk.submit(), threading.Event()
    desk.now += TURN
    assert desk.push(following) == {"told": 3}
    stop.set()
    leaving.keep_pushing(stop)
    assert sequences(desk.subscriber.taken) == {intent: whole(3), more: whole(3)}


def test_whoever_is_taken_off_is_told_nothing_more_and_leaves_nothing_behind(desk: Desk) -> None:
    one = desk.subscribe()
    desk.submit()
    pusher = desk.pusher()
    assert desk.push(pusher) == {"told": 3}
    desk.subscriptions.remove(one.id, by="test")
    desk.submit()
    assert desk.push(pusher) == {}
    assert desk.driver.redis.xinfo_groups(desk.driver.account.events) == []


def test_a_subscription_whose_place_was_lost_with_the_stream_is_told_all_that_is_there_now(desk: Desk) -> None:
    desk.subscribe()
    desk.submit()
    pusher = desk.pusher()
    assert desk.push(pusher) == {"told": 3}
    desk.driver.redis.delete(desk.driver.account.events)
    desk.submit()
    desk.push(pusher)  # learns that it is gone
    assert desk.push(pusher) == {"told": 3}


def test_whoever_is_told_to_stop_sees_to_the_end_what_is_on_its_way(desk: Desk) -> None:
    one, intent = desk.subscribe(), desk.submit()
    stop, asked = threading.Event(), threading.Event()

    def slow(_event: dict[str, Any]) -> tuple[int, dict[str, str]]:
        asked.set()
        assert stop.wait(PATIENCE)
        return 200, {}

    desk.subscriber.answers = slow
    pushing = threading.Thread(target=desk.pusher().keep_pushing, args=(stop,))
    pushing.start()
    assert asked.wait(PATIENCE)
    stop.set()
    pushing.join(PATIENCE)
    assert not pushing.is_alive()
    taken = sequences(desk.subscriber.taken)[intent]
    assert 1 <= len(taken) <= 2  # the next one may have gone at the same moment
    desk.subscriber.answers = willing
    assert Feed(desk.driver.redis, desk.driver.queue.account, one).waiting() == 3 - len(taken)
    desk.driver.until(desk.driver.server_ms() + 5)
    assert desk.push(desk.pusher("next")) == {"told": 3 - len(taken)}


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


def test_an_event_that_was_trimmed_before_its_turn_is_passed_over(desk: Desk) -> None:
    one = desk.subscribe()
    intent = desk.submit()
    desk.subscriber.answers = lambda _: (500, {})
    pusher = desk.pusher()
    desk.push(pusher)
    desk.driver.redis.xtrim(desk.driver.account.events, maxlen=1, approximate=False)
    desk.subscriber.answers = lambda _: (200, {})
    desk.now += HOUR
    assert desk.push(pusher) == {"trimmed": 1, "told": 2}  # the others were at hand
    assert sequences(desk.subscriber.taken) == {intent: [2, 3]}
    assert desk.missed(one).tries == 1


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


# --------------------------------------------------------------------------------------------------- each intent its own address


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


# ------------------------------------------------------------------------------------------------------- whatever comes together

MOODS = (200, 200, 200, 302, 422, 429, 500)


def moody(seed: int) -> Callable[[dict[str, Any]], tuple[int, dict[str, str]]]:
    """Answers some events in one way and others in another, and the same one always in the same."""
    return lambda event: (MOODS[zlib.crc32(f"{seed} {event['id']}".encode()) % len(MOODS)], {})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("submit"), st.integers(1, 3)), st.tuples(st.just("mood"), st.integers(0, 1000)),
            st.tuples(st.just("pass"), st.integers(1, 40)), st.tuples(st.just("die"), st.just(0)),
            st.tuples(st.just("replay"), st.just(0)),
        ),
        min_size=3,
        max_size=14,
    )
)  # fmt: skip
def test_whoever_answers_how_and_dies_when_every_event_is_told_and_each_intents_in_their_order(
    redis: Redis, subscriber: Subscriber, acts: list[tuple[str, int]]
) -> None:
    redis.flushall()
    subscriber.asked.clear()
    subscriber.answers = willing
    with open_desk(redis, subscriber) as desk:
        one, intents, pusher = desk.subscribe(), {}, desk.pusher()
        for act, number in acts:
            if act == "submit":
                intents[desk.submit(*numbers(number))] = 2 * number + 1
            elif act == "mood":
                subscriber.answers = moody(number)
            elif act == "pass":
                desk.live(pusher, number * 30.0, step=30.0)
            elif act == "die":
                pusher = desk.dies(pusher)
            else:
                replay(desk.subscriptions, one.id, "-", "+", by="test")
        subscriber.answers = willing
        desk.live(pusher, 2 * HOUR, step=200.0)
        told = {intent: list(dict.fromkeys(found)) for intent, found in sequences(subscriber.taken).items()}
        assert told == {intent: whole(count) for intent, count in intents.items()}
        assert desk.troubles(one) == {}
        assert Feed(redis, desk.driver.queue.account, one).waiting() == 0
