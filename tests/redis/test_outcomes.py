"""The stream of outcomes: every event at least once, none twice to consumers that share a group and stay alive."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.conftest import ACCOUNT
from tests.support.producers import configure

from tuma_producer import Send, TumaError
from tuma_producer.contract import cursors
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.streams import STALLED_MS, group_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

STREAM = AccountKeys(ACCOUNT).events
pytestmark = pytest.mark.usefixtures("account")


def send(**more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": ACCOUNT, "to": "+243990000001", "message": "Hello", **more})


def pending(redis: Redis, group: str = "billing:watch") -> int:
    return int(redis.xpending(STREAM, group)["pending"])


@pytest.fixture
def stalled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event counts as left behind the moment that somebody else asks for it."""
    monkeypatch.setattr(cursors, "STALLED_MS", 0)


def test_each_accepted_intent_is_an_event_in_order(producer: AnyProducer) -> None:
    receipts = [producer.enqueue(send()) for _ in range(3)]
    events = list(producer.outcomes("watch", wait=0))
    assert [event.intent for event in events] == [receipt.id for receipt in receipts]
    assert {(event.type, event.account, event.source, event.sequence) for event in events} == {
        ("tuma.intent.accepted", ACCOUNT, "billing", 1),
    }
    assert list(producer.outcomes("watch", wait=0)) == []


def test_more_events_than_one_read_brings_all_come_before_it_ends(producer: AnyProducer) -> None:
    many = [receipt.id for receipt in producer.enqueue_many(send() for _ in range(1200))]
    assert [event.intent for event in producer.outcomes("watch", wait=0)] == many


def test_an_event_is_acknowledged_only_after_the_loop_body(producer: AnyProducer, redis: Redis) -> None:
    for _ in range(3):
        producer.enqueue(send())
    seen = 0
    for _ in producer.outcomes("watch", wait=0):
        assert pending(redis) == 3
        seen += 1
    assert (seen, pending(redis)) == (3, 0)


def test_what_a_body_did_not_come_back_for_stays_pending_and_what_it_did_does_not(producer: AnyProducer, redis: Redis) -> None:
    for _ in range(3):
        producer.enqueue(send())
    events = producer.outcomes("watch", wait=0)
    next(events)
    next(events)
    events.close()  # type: ignore[attr-defined] # it is a generator
    assert pending(redis) == 2


@pytest.mark.usefixtures("stalled_at_once")
def test_what_a_dead_consumer_took_goes_to_another(producer_for: Callable[..., AnyProducer], redis: Redis) -> None:
    receipts = [producer_for().enqueue(send()) for _ in range(3)]
    dying = producer_for().outcomes("watch", wait=0)
    assert next(dying).intent == receipts[0].id
    dying.close()  # type: ignore[attr-defined] # it is a generator
    assert [event.intent for event in producer_for().outcomes("watch", wait=0)] == [receipt.id for receipt in receipts]
    assert pending(redis) == 0


def test_what_was_left_behind_is_found_among_any_number_that_others_work_on(
    producer: AnyProducer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "READ_AT_ONCE", 2)  # Redis looks at ten times as many, and says where it stopped
    many = [receipt.id for receipt in producer.enqueue_many(send() for _ in range(75))]
    list(producer.outcomes("watch", start="now", wait=0))  # somebody makes the group
    redis.xgroup_setid(STREAM, "billing:watch", "0")
    redis.xreadgroup("billing:watch", "working", {STREAM: ">"})
    entry_ids: Any = [entry_id for entry_id, _ in redis.xrange(STREAM)]  # type: ignore[union-attr] # a synchronous client
    for place in (40, 74):
        redis.xclaim(STREAM, "billing:watch", "dead", 0, [entry_ids[place]], idle=2 * STALLED_MS)
    assert [event.intent for event in producer.outcomes("watch", wait=0)] == [many[40], many[74]]


def test_an_event_that_is_still_being_worked_on_is_not_given_to_another(producer_for: Callable[..., AnyProducer]) -> None:
    producer_for().enqueue(send())
    working = producer_for().outcomes("watch", wait=0)
    next(working)
    assert list(producer_for().outcomes("watch", wait=0)) == []
    assert list(working) == []


def test_an_exception_in_the_body_leaves_its_event_for_later(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send())

    def work() -> None:
        events = producer.outcomes("watch", wait=0)
        try:
            for _ in events:
                raise LookupError
        finally:
            events.close()  # type: ignore[attr-defined] # it is a generator

    with pytest.raises(LookupError):
        work()
    assert pending(redis) == 1


def test_consumers_of_one_group_share_and_those_of_another_see_all_again(producer: AnyProducer) -> None:
    receipt = producer.enqueue(send())
    assert [event.intent for event in producer.outcomes("one", wait=0)] == [receipt.id]
    assert list(producer.outcomes("one", wait=0)) == []
    assert [event.intent for event in producer.outcomes("two", wait=0)] == [receipt.id]


def test_a_producer_sees_its_own_sources_events_unless_it_asks_for_all(producer_for: Callable[..., AnyProducer]) -> None:
    ours, theirs = producer_for("billing").enqueue(send()), producer_for("crm").enqueue(send())
    assert [event.intent for event in producer_for("billing").outcomes("watch", wait=0)] == [ours.id]
    seen = producer_for("billing").outcomes("all", all_sources=True, wait=0)
    assert [event.intent for event in seen] == [ours.id, theirs.id]


def test_two_services_that_give_their_groups_the_same_name_take_nothing_from_each_other(
    producer_for: Callable[..., AnyProducer],
) -> None:
    ours, theirs = producer_for("billing").enqueue(send()), producer_for("crm").enqueue(send())
    assert [event.intent for event in producer_for("billing").outcomes("watch", wait=0)] == [ours.id]
    assert [event.intent for event in producer_for("crm").outcomes("watch", wait=0)] == [theirs.id]


def test_own_events_are_found_behind_any_number_of_others(producer_for: Callable[..., AnyProducer]) -> None:
    assert sum(1 for _ in producer_for("crm").enqueue_many(send() for _ in range(1100))) == 1100
    ours = producer_for("billing").enqueue(send())
    assert [event.intent for event in producer_for("billing").outcomes("watch", wait=0)] == [ours.id]


def test_an_event_of_the_account_itself_goes_to_every_source(producer: AnyProducer, redis: Redis) -> None:
    redis.xadd(STREAM, {"e": "halted", "w": "1302"})
    (event,) = producer.outcomes("watch", wait=0)
    assert (event.type, event.intent, event.reason) == ("tuma.account.halted", None, "1302")


def test_events_of_all_accounts_come_unless_some_are_named(producer: AnyProducer, redis: Redis) -> None:
    configure(redis, "lineserve-main")
    here, there = producer.enqueue(send()), producer.enqueue(send(account="lineserve-main"))
    assert {event.intent for event in producer.outcomes("watch", wait=0)} == {here.id, there.id}
    named = producer.outcomes("named", accounts=["lineserve-main"], wait=0)
    assert [event.intent for event in named] == [there.id]
    assert list(producer.outcomes("none", accounts=[], wait=0)) == []


def test_a_new_group_may_begin_now(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send())
    assert list(producer.outcomes("watch", start="now", wait=0)) == []
    later = producer.enqueue(send())
    assert [event.intent for event in producer.outcomes("watch", start="now", wait=0)] == [later.id]
    assert pending(redis) == 0


def test_a_new_group_may_begin_after_an_event_or_at_a_time(producer: AnyProducer, redis: Redis) -> None:
    configure(redis, "lineserve-main")
    first, second = (_apart(producer, redis) for _ in range(2))
    event = next(event for event in producer.outcomes("first", wait=0) if event.intent == first)
    assert [event.intent for event in producer.outcomes("after", start=event.id, wait=0)] == [second]
    assert [event.intent for event in producer.outcomes("at", start=event.time, wait=0)] == [first, second]
    later = producer.enqueue(send(account="lineserve-main"))
    assert {event.intent for event in producer.outcomes("both", start=event.id, wait=0)} == {second, later.id}


def _apart(producer: AnyProducer, redis: Redis) -> str:
    """Send in a millisecond of its own."""
    intent_id = producer.enqueue(send()).id
    last = int(redis.xinfo_stream(STREAM)["last-generated-id"].partition(b"-")[0])
    while (now := redis.time())[0] * 1000 + now[1] // 1000 <= last:
        continue  # each turn asks the server
    return intent_id


@pytest.mark.parametrize("start", ["yesterday", "1-", "lisoloo-main/", "-1-1", datetime(2026, 12, 1, 8, 0)])  # noqa: DTZ001 - the mistake
def test_a_start_that_is_none_is_refused(producer: AnyProducer, start: Any) -> None:  # noqa: ANN401 - a mistake
    with pytest.raises(TumaError, match=r"^start: "):
        next(producer.outcomes("watch", start=start, wait=0))


def test_what_a_slow_body_has_yet_to_see_is_not_given_to_another(
    producer_for: Callable[..., AnyProducer], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "STALLED_MS", 1500)
    sent = [producer_for().enqueue(send()).id for _ in range(3)]
    slow, other = producer_for().outcomes("watch", wait=0), producer_for()
    seen = []
    for event in slow:
        seen.append(event.intent)
        redis.blpop(["tuma:test:nobody-rings-here"], timeout=0.55)
        assert list(other.outcomes("watch", wait=0)) == []
    assert seen == sent
    assert pending(redis) == 0


@pytest.mark.usefixtures("stalled_at_once")
def test_a_body_that_took_too_long_is_not_told_what_another_has_by_now(producer_for: Callable[..., AnyProducer]) -> None:
    sent = [producer_for().enqueue(send()).id for _ in range(3)]
    slow = producer_for().outcomes("watch", wait=0)
    seen = [next(slow).intent]
    seen += [event.intent for event in producer_for().outcomes("watch", wait=0)]
    assert seen == [sent[0], *sent]
    assert list(slow) == []


def test_it_waits_for_as_long_as_it_was_told_and_no_shorter(producer: AnyProducer) -> None:
    began = time.monotonic()
    assert list(producer.outcomes("watch", wait=2.3)) == []  # longer than one blocking read
    assert 2.3 <= time.monotonic() - began < 5


def test_without_any_account_it_waits_too_and_does_not_spin(producer: AnyProducer, redis: Redis) -> None:
    redis.flushall()
    before, began = redis.info("stats")["total_commands_processed"], time.monotonic()
    assert list(producer.outcomes("watch", wait=0.4)) == []
    assert 0.4 <= time.monotonic() - began < 3
    assert redis.info("stats")["total_commands_processed"] - before < 20


def test_an_event_that_comes_while_it_waits_is_there_at_once(producer_for: Callable[..., AnyProducer], redis: Redis) -> None:
    enqueuing = threading.Thread(target=_enqueue_once_somebody_waits, args=(redis,), daemon=True)
    began = time.monotonic()
    enqueuing.start()
    event = next(producer_for().outcomes("watch", wait=20))
    enqueuing.join()
    assert event.type == "tuma.account.resumed"
    assert time.monotonic() - began < 2


def _enqueue_once_somebody_waits(redis: Redis) -> None:
    _until_somebody_waits(redis)
    redis.xadd(STREAM, {"e": "resumed"})


def _until_somebody_waits(redis: Redis) -> None:
    deadline = time.monotonic() + 20
    while redis.info("clients")["blocked_clients"] == 0 and time.monotonic() < deadline:
        continue  # each turn asks the server


def test_a_group_that_vanished_is_made_anew_and_nothing_after_that_is_missed(producer: AnyProducer, redis: Redis) -> None:
    producer.enqueue(send())
    events = producer.outcomes("watch", wait=5)
    next(events)
    redis.delete(STREAM)  # as a server that lost its data
    after = producer.enqueue(send())
    assert next(events).intent == after.id
    events.close()  # type: ignore[attr-defined] # it is a generator


def test_a_stream_that_vanishes_while_it_is_waited_on_is_waited_on_anew(producer: AnyProducer, redis: Redis) -> None:
    losing = threading.Thread(target=_lose_the_stream_once_somebody_waits, args=(redis,), daemon=True)
    losing.start()
    event = next(producer.outcomes("watch", wait=20))
    losing.join()
    assert event.type == "tuma.account.resumed"


def _lose_the_stream_once_somebody_waits(redis: Redis) -> None:
    _until_somebody_waits(redis)
    redis.delete(STREAM)
    redis.xadd(STREAM, {"e": "resumed"})


def test_an_event_as_cloudevent_has_what_the_specification_wants(producer: AnyProducer) -> None:
    receipt = producer.enqueue(send())
    event = next(producer.outcomes("watch", wait=0)).as_cloudevent()
    assert event["specversion"] == "1.0"
    assert (event["type"], event["subject"], event["sequence"]) == ("tuma.intent.accepted", receipt.id, "0000000001")
    assert event["source"] == f"/tuma/accounts/{ACCOUNT}"
    assert event["data"] == {"source": "billing", "recipients": 1}
    assert event["id"]


def test_the_groups_of_a_source_are_its_own_and_those_for_all_are_common() -> None:
    assert group_of("watch", "billing", all_sources=False) == "billing:watch"
    assert group_of("watch", "billing", all_sources=True) == "watch"
