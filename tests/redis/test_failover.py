"""Failover: who may go by another account goes by the first that can carry, and nobody else does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import GIVEN_UP, NEVER_LEFT, Driver, messages, number, numbers, queue_of, text
from tests.redis.failing_over import HOME, LAST, SPARE, World, sent

from tuma_producer import Producer
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import AccountFault, Fault, TryLater
from tuma_worker.core.states import Evidence
from tuma_worker.queue.scripts import Wait
from tuma_worker.store import accounts
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_worker.core.answers import Answer


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis, *(Driver(redis, queue_of(account=name, batch_max=10)) for name in (HOME, SPARE, LAST)))


# --------------------------------------------------------------------------------------------------------------- who may go


def test_what_waits_at_a_halted_account_is_carried_by_the_next_one_and_home_tells_it(world: World) -> None:
    intent = world.enqueue(*numbers(3), metadata={"order": "7"}, campaign_name="spring")
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 3}
    home = Producer(world.redis).get(f"{HOME}.{intent}")
    assert home.counts == {"accepted": 3}
    assert {(one.reason, one.carried_as) for one in home.recipients} == {("carried:spare", world.part(intent))}
    assert home.holds == (f"another account carries it: see {world.part(intent)}",)
    part = Producer(world.redis).get(world.part(intent))
    assert (part.home, part.metadata, part.campaign_name, part.failover) == (f"{HOME}.{intent}", {"order": "7"}, "spring", ())
    assert world.home.waiting() == []
    assert (sent(world.home), sent(world.spare)) == ([], numbers(3))
    world.move()
    assert world.states(intent) == dict.fromkeys(numbers(3), "submitted")
    assert world.told(world.home, intent) == ["accepted", *["accepted"] * 3, "carried", *["submitted"] * 3]
    assert [int(event["q"]) for event in world.home.events() if event.get("i") == intent] == list(range(1, 9))


def test_the_event_of_a_failover_says_how_many_went_from_where_to_where(world: World) -> None:
    intent = world.enqueue(*numbers(2))
    world.halt(world.home)
    world.move()
    events = Producer(world.redis, source="billing").outcomes("test", wait=0.05)
    (carried,) = [event for event in events if event.type == "tuma.intent.carried"]
    assert (carried.intent, carried.data) == (
        f"{HOME}.{intent}",
        {"recipients": 2, "from": HOME, "to": SPARE, "carried_as": world.part(intent)},
    )


def test_a_source_hears_of_each_recipient_once_and_an_operator_of_both_accounts(
    world: World, producer_for: Callable[..., AnyProducer]
) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    sent(world.spare)
    world.move()
    producer = producer_for("billing")
    assert {event.intent for event in producer.outcomes("one", wait=0.05) if event.intent} == {f"{HOME}.{intent}"}
    assert {event.intent for event in producer.outcomes("two", wait=0.05, all_sources=True) if event.intent} == {
        f"{HOME}.{intent}",
        world.part(intent),
    }


def test_an_open_breaker_lets_go_as_a_halt_does(world: World) -> None:
    intent = world.enqueue()
    world.redis.hset(world.home.queue.keys.state, "breaker", "1 5000 5 x timeout")
    world.move()
    assert sent(world.spare) == [number(0)]
    world.move()
    assert world.states(intent) == {number(0): "submitted"}


def test_nobody_leaves_an_account_that_works(world: World) -> None:
    world.enqueue()
    before = world.home.events()
    world.move()
    assert world.home.events() == before
    assert len(world.home.waiting()) == 1


def test_nobody_leaves_who_did_not_ask_for_it(world: World) -> None:
    world.home.enqueue()
    world.halt(world.home)
    assert [one.busy for one in world.move()] == [False] * 3
    assert len(world.home.waiting()) == 1


def test_an_account_that_goes_on_before_the_plan_is_written_keeps_its_sends(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    carried = world.carried(world.home)
    (waiting,) = carried.waiting()
    world.resume(world.home)
    assert carried.carry(waiting, carried.record(intent), SPARE, [number(0)], own_sender=False) is None
    assert sent(world.home) == [number(0)]


def test_who_is_claimed_after_having_been_seen_stays(world: World) -> None:
    intent = world.enqueue()
    carried = world.carried(world.home)
    (waiting,) = carried.waiting()
    record = carried.record(intent)
    batch = world.home.taken()
    world.halt(world.home)
    assert carried.carry(waiting, record, SPARE, [number(0)], own_sender=False) is None
    assert world.home.begin(batch) is not None


def test_a_call_that_is_refused_for_want_of_money_lets_its_recipients_go(world: World) -> None:
    intent = world.enqueue(*numbers(2))
    batch = world.home.taken()
    world.home.begin(batch)
    assert world.home.settle(batch, AccountFault("1202", Fault.MONEY, operator=False))
    assert isinstance(world.home.claim(), Wait)  # what came due is in the line again
    assert world.move()[0].carried == {SPARE: 2}
    assert sent(world.spare) == numbers(2)
    world.move()
    assert world.states(intent) == dict.fromkeys(numbers(2), "submitted")


@pytest.mark.parametrize("evidence", [Evidence.PROVIDER, Evidence.ASSUMED])
def test_nobody_leaves_after_a_call_whose_outcome_was_unknown(world: World, evidence: Evidence) -> None:
    world.enqueue(number(0), message="The same")
    batch = world.home.taken()
    begun = world.home.begin(batch)
    assert begun is not None
    world.home.settle(batch, GIVEN_UP)
    world.enqueue(number(1), message="The same")
    world.home.attempts.resend(batch.batch_id, begun.targets, evidence, reason="test")
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 1}
    assert sent(world.spare) == [number(1)]
    world.resume(world.home)
    assert sent(world.home) == [number(0)]


def test_nobody_leaves_after_an_unknown_outcome_although_a_later_call_was_refused(world: World) -> None:
    world.enqueue()
    first = world.home.taken()
    begun = world.home.begin(first)
    assert begun is not None
    world.home.settle(first, GIVEN_UP)
    world.home.attempts.resend(first.batch_id, begun.targets, Evidence.ASSUMED, reason="unanswered")
    second = world.home.taken()
    world.home.begin(second)
    world.home.settle(second, NEVER_LEFT)
    world.halt(world.home)
    world.home.claim()
    assert len(world.home.waiting()) == 1
    assert not world.move()[0].carried


@pytest.mark.parametrize(
    ("answer", "carried"),
    [
        (TryLater("1402", after=0.0), 0),
        (TryLater("1301", after=0.0, scope="account"), 1),
        (TryLater("not-connected", after=0.0, left=False), 1),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_only_who_was_refused_in_a_way_that_proves_it_leaves(world: World, answer: Answer, carried: int) -> None:
    world.enqueue()
    batch = world.home.taken()
    world.home.begin(batch)
    world.home.settle(batch, answer)
    world.halt(world.home)
    world.home.until(world.home.server_ms() + 1)
    world.home.claim()
    assert len(world.home.waiting()) == 1
    assert sum(world.move()[0].carried.values()) == carried


def test_nobody_leaves_whose_calls_are_forgotten(world: World) -> None:
    world.enqueue()
    batch = world.home.taken()
    world.home.begin(batch)
    world.home.settle(batch, NEVER_LEFT)
    world.redis.delete(world.home.account.batch(batch.batch_id))
    world.halt(world.home)
    world.home.claim()
    assert not world.move()[0].carried


def test_who_is_paused_or_held_back_stays(world: World) -> None:
    paused, held_back = world.enqueue(number(0)), world.enqueue(number(1), cancel_within=60)
    Producer(world.redis).pause(f"{HOME}.{paused}")
    world.halt(world.home)
    assert not world.move()[0].carried
    assert world.states(held_back) == {number(1): "queued"}


@pytest.mark.parametrize("scope", [Scope(), Scope(lane="transactional"), Scope(source="billing")], ids=str)
def test_what_an_operator_has_paused_at_home_stays_there(world: World, scope: Scope) -> None:
    world.enqueue(number(0))
    world.enqueue(number(1), priority="otp", source="login")
    steering = Steering(world.redis, HOME, "send", "test")
    steering.pause(scope)
    world.halt(world.home)
    world.move()
    assert (sent(world.spare), len(world.home.waiting())) == (([], 2) if scope == Scope() else ([number(1)], 1))
    steering.resume(scope)
    world.move()
    assert number(0) in sent(world.spare)


def test_a_pause_that_comes_before_the_plan_is_written_holds(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    carried = world.carried(world.home)
    (waiting,) = carried.waiting()
    Steering(world.redis, HOME, "send", "test").pause(Scope())
    assert carried.carry(waiting, carried.record(intent), SPARE, [number(0)], own_sender=False) is None


def test_what_an_operator_has_paused_where_it_is_carried_stays_there(world: World) -> None:
    world.enqueue()
    world.halt(world.home)
    world.move()
    Steering(world.redis, SPARE, "send", "test").pause(Scope())
    world.halt(world.spare)
    assert [one.handed_back for one in world.move()] == [0, 0, 0]


# ------------------------------------------------------------------------------------------------------------ who can carry


def test_the_first_that_works_carries(world: World) -> None:
    world.enqueue()
    world.halt(world.home)
    world.halt(world.spare)
    assert world.move()[0].carried == {LAST: 1}


@pytest.mark.parametrize("scope", [Scope(), Scope(lane="transactional"), Scope(source="billing")], ids=str)
def test_an_account_that_operators_have_paused_carries_nothing(world: World, scope: Scope) -> None:
    world.enqueue(failover=(SPARE,))
    world.halt(world.home)
    Steering(world.redis, SPARE, "send", "test").pause(scope)
    assert not world.move()[0].carried


def test_each_recipient_goes_by_the_first_account_that_serves_its_country(world: World) -> None:
    world.terms(world.spare, countries=("+243",))
    world.terms(world.last, countries=("+254",))
    intent = world.enqueue("+243990000001", "+254700000001", "+33600000001")
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 1, LAST: 1}
    assert (sent(world.spare), sent(world.last)) == (["+243990000001"], ["+254700000001"])
    world.move()
    assert world.states(intent) == {"+243990000001": "submitted", "+254700000001": "submitted", "+33600000001": "queued"}
    world.resume(world.home)
    assert sent(world.home) == ["+33600000001"]


@pytest.mark.parametrize(
    ("terms", "shown"),
    [
        ({}, "KITOKO"),
        ({"senders": ("KITOKO", "OTHER")}, "KITOKO"),
        ({"senders": ("OTHER",), "sender_id": "KITOKO"}, "KITOKO"),
        ({"senders": ("OTHER",), "sender_id": "OURS", "own_sender": True}, None),
        ({"senders": ("OTHER",), "sender_id": "OURS"}, "nobody"),
    ],
)
def test_a_sender_is_shown_only_where_the_account_may_show_it(world: World, terms: dict[str, Any], shown: str | None) -> None:
    world.terms(world.spare, **terms)
    intent = world.enqueue(failover=(SPARE,), sender_id="KITOKO")
    world.halt(world.home)
    moved = world.move()[0].carried
    if shown == "nobody":
        assert not moved
        return
    record = world.carried(world.spare).record(world.part(intent).rpartition(".")[2])
    assert json.loads(record["body"]).get("sender_id") == shown


def test_only_the_priorities_that_an_account_takes_on_go_there(world: World) -> None:
    world.terms(world.spare, lanes=("otp",))
    world.enqueue(number(0), priority="bulk")
    world.enqueue(number(1), priority="otp")
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 1, LAST: 1}
    assert (sent(world.spare), sent(world.last)) == ([number(1)], [number(0)])


def test_what_is_real_does_not_go_to_a_sandbox(world: World) -> None:
    world.terms(world.home, environment="production")
    world.enqueue()
    world.halt(world.home)
    assert not world.move()[0].carried


def test_an_account_whose_workers_have_not_said_on_what_terms_carries_nothing(world: World) -> None:
    world.redis.hdel(world.spare.account.profile, "terms")
    world.enqueue(failover=(SPARE, "nobody-knows-it"))
    world.halt(world.home)
    assert not world.move()[0].carried


def quiet_now(redis: Redis) -> Quiet:
    """Quiet hours that it is, for some hours yet, by all clocks of the country of the tests' numbers."""
    now = datetime.fromtimestamp(cast("Any", redis.time())[0], UTC)
    return Quiet(Hours((now - timedelta(hours=3)).time(), (now + timedelta(hours=6)).time()))


def quieten(world: World, driver: Driver) -> None:
    driver.queue = replace(driver.queue, quiet=quiet_now(world.redis))
    world.terms(driver)


@pytest.mark.parametrize("name", ["home", "spare"])
def test_nobody_leaves_whom_the_one_or_the_other_account_would_not_call_now(world: World, name: str) -> None:
    quieten(world, getattr(world, name))
    world.enqueue(number(0), priority="bulk", failover=(SPARE,))
    world.enqueue(number(1), failover=(SPARE,))
    world.enqueue(number(2), priority="bulk", failover=(SPARE,), ignore_quiet=True)
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 2}
    assert sent(world.spare) == [number(1), number(2)]
    assert world.home.state_of(world.home.waiting()[0].partition(":")[0], number(0)) == "queued"


def test_a_text_that_the_limits_there_never_hold_stays(world: World) -> None:
    world.spare.queue = queue_of(messages(5, 60), account=SPARE, batch_max=10)
    world.terms(world.spare)
    world.enqueue(message=text(5), failover=(SPARE,))
    world.halt(world.home)
    steering = Steering(world.redis, SPARE, "send", "test")
    steering.set_limit(messages(4, 60))
    assert not world.move()[0].carried
    steering.set_limit(messages(6, 60))
    assert world.move()[0].carried == {SPARE: 1}


def test_an_account_that_no_worker_is_there_for_carries_nothing(world: World) -> None:
    world.enqueue(failover=(SPARE,))
    world.halt(world.home)
    long_ago = world.home.server_ms() - round(accounts.ATTENDED_FOR * 1000) - 1
    world.redis.hset(world.spare.account.profile, "attended", long_ago)
    assert not world.move()[0].carried
    world.terms(world.spare)  # as a gateway registers it, or a command
    assert not world.move()[0].carried
    accounts.register(world.redis, SPARE, provider="lisoloo", environment="sandbox", queue="{}", by_worker=True)
    assert world.move()[0].carried == {SPARE: 1}
