"""Whoever tells events dies or leaves, or Redis is away or has dropped some: who tells next tells all that is left, in order."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as ConnectionLost
from tests.redis.driver import numbers
from tests.redis.pushing import HOUR, PATIENCE, Desk, open_desk, sequences, whole
from tests.support.proxy import LossyProxy
from tests.support.subscriber import Subscriber, willing

from tuma_producer.contract.connection import connect_once
from tuma_worker.events import lane
from tuma_worker.events.pushing import TURN
from tuma_worker.events.replaying import replay
from tuma_worker.store.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.servers import Server


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


# ----------------------------------------------------------------------------------------------------- whatever comes together

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
