"""Failover has three steps and nobody who dies, asks or comes between two of them makes it untrue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import NEVER_LEFT, Driver, number, numbers, queue_of
from tests.redis.failing_over import HOME, LAST, SPARE, World, evidence, planned, sent

from tuma_producer import At, Producer, UnknownIntent
from tuma_producer.contract.control import control
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.carrying import follow
from tuma_worker.store.carried import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer.results import Verb


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis, *(Driver(redis, queue_of(account=name, batch_max=10)) for name in (HOME, SPARE, LAST)))


@pytest.fixture
def ask(producer_for: Callable[..., AnyProducer]) -> Callable[[Verb, str], Any]:
    producer = producer_for("billing")
    return lambda verb, intent: getattr(producer, verb)(intent)


# -------------------------------------------------------------------------------------------------------- between two steps


def test_a_plan_that_nobody_has_carried_out_is_carried_out_by_whoever_finds_it_and_once(world: World) -> None:
    intent = world.enqueue(*numbers(2))
    plan = planned(world, intent)
    follow(world.carried(world.home), plan)
    follow(world.carried(world.home), plan)
    assert sent(world.spare) == numbers(2)
    world.move()
    assert world.states(intent) == dict.fromkeys(numbers(2), "submitted")


def test_an_intent_that_was_written_and_not_noted_is_not_written_again(world: World) -> None:
    intent = world.enqueue()
    plan = planned(world, intent)
    carried = world.carried(world.home)
    assert carried.write(carried.load(plan))
    assert sent(world.spare) == [number(0)]
    world.move()
    world.move()
    assert sent(world.spare) == []
    assert world.states(intent) == {number(0): "submitted"}


def test_not_even_when_its_record_is_forgotten_meanwhile(world: World) -> None:
    intent = world.enqueue()
    plan = planned(world, intent)
    carried = world.carried(world.home)
    assert carried.write(carried.load(plan))
    assert sent(world.spare) == [number(0)]
    world.redis.delete(plan.key)
    world.move()
    world.move()
    assert sent(world.spare) == []
    assert world.states(intent) == {number(0): "unknown"}


def test_nor_when_a_pause_comes_upon_the_forgotten_one(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    assert sent(world.spare) == [number(0)]
    world.redis.delete(Plan(world.part(intent)).key)
    ask("pause", f"{HOME}.{intent}")
    world.move()
    world.resume(world.home)
    ask("resume", f"{HOME}.{intent}")
    assert (sent(world.home), sent(world.spare)) == ([], [])
    assert world.states(intent) == {number(0): "unknown"}


def test_a_plan_for_an_account_that_is_not_known_any_more_is_given_up(world: World) -> None:
    intent = world.enqueue()
    planned(world, intent)
    world.redis.delete(world.spare.account.profile)
    for _ in range(3):  # it is fenced off, comes home, and leaves again
        world.move()
    assert Producer(world.redis).get(f"{HOME}.{intent}").recipients[0].carried_as == world.part(intent, LAST, 2)
    world.move()
    assert sent(world.last) == [number(0)]


def test_a_plan_is_made_once_by_whoever_asks_twice_or_at_once(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    carried = world.carried(world.home)
    (waiting,), record = carried.waiting(), carried.record(intent)
    plans = [carried.carry(waiting, record, name, [number(0)], own_sender=False) for name in (SPARE, SPARE, LAST)]
    assert plans == [Plan(world.part(intent)), Plan(world.part(intent)), None]
    assert world.told(world.home, intent).count("carried") == 1


# ------------------------------------------------------------------------------------------------------------------ control


def test_a_cancel_reaches_whom_another_account_carries_and_says_who_had_gone(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue(*numbers(12))
    world.halt(world.home)
    world.move()
    world.spare.send()  # ten of them
    for _ in range(2):
        result = ask("cancel", f"{HOME}.{intent}")
        assert (result.id, result.outcome, len(result.stopped), len(result.with_provider)) == (f"{HOME}.{intent}", "partly", 2, 10)
        assert sent(world.spare) == []
    world.move()
    assert sorted(world.states(intent).values()) == ["cancelled"] * 2 + ["submitted"] * 10
    assert sent(world.spare) == []


def test_a_correction_of_who_was_cancelled_there_reaches_home(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    batch = world.spare.taken()
    world.spare.begin(batch)
    assert ask("cancel", f"{HOME}.{intent}").with_provider == (number(0),)
    world.spare.settle(batch, NEVER_LEFT)
    world.move()
    assert world.states(intent) == {number(0): "cancelled"}
    evidence(world, RecipientState.DELIVERED, Evidence.HANDSET)(batch)
    world.move()
    assert world.states(intent) == {number(0): "delivered"}


def test_a_campaign_of_that_name_where_it_is_carried_is_another_one(world: World) -> None:
    producer = Producer(world.redis)
    world.spare.enqueue(number(9), campaign_name="spring")
    producer.pause_campaign(SPARE, "spring")
    intent = world.enqueue(campaign_name="spring", failover=(SPARE,))
    world.halt(world.home)
    world.move()
    assert producer.get(world.part(intent)).campaign_name == "spring"
    assert producer.cancel_campaign(SPARE, "spring").intents == 1
    assert producer.pause_campaign(HOME, "spring").stopped == 1
    assert sent(world.spare) == []
    assert producer.resume_campaign(HOME, "spring").stopped == 1
    assert sent(world.spare) == [number(0)]


def test_a_cancel_before_the_other_account_has_it_means_that_it_never_comes(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue(*numbers(2))
    plan = planned(world, intent)
    carried = world.carried(world.home)
    seen = carried.load(plan)
    assert ask("cancel", f"{HOME}.{intent}").stopped == tuple(numbers(2))
    assert carried.write(seen)  # by a worker that had looked before
    assert sent(world.spare) == []
    world.move()
    assert Producer(world.redis).get(f"{HOME}.{intent}").state == "cancelled"
    with pytest.raises(UnknownIntent):
        Producer(world.redis).get(plan.part)


def test_a_worker_finishes_a_cancel_whose_producer_died_half_way(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    (call,) = next(control(f"{HOME}.{intent}", "cancel", "test"))
    call.run(world.redis)
    world.move()
    assert sent(world.spare) == []
    assert Producer(world.redis).get(f"{HOME}.{intent}").state == "cancelled"


def test_a_pause_holds_whom_another_account_carries_until_it_is_resumed(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue(*numbers(2))
    world.halt(world.home)
    world.move()
    assert ask("pause", f"{HOME}.{intent}").stopped == tuple(numbers(2))
    assert sent(world.spare) == []
    world.move()
    assert ask("pause", world.part(intent)).id == f"{HOME}.{intent}"  # a part is steered with the whole
    assert ask("resume", f"{HOME}.{intent}").stopped == tuple(numbers(2))
    assert sent(world.spare) == numbers(2)


@pytest.mark.parametrize(("verb", "state"), [("cancel", "cancelled"), ("pause", "accepted")])
def test_who_is_on_the_way_home_is_held_as_the_whole_is(
    world: World, ask: Callable[[Verb, str], Any], verb: Verb, state: str
) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    world.halt(world.spare)
    world.move()
    assert ask(verb, f"{HOME}.{intent}").outcome == "done"
    world.move()
    world.resume(world.home)
    assert (world.states(intent), sent(world.home), sent(world.spare)) == ({number(0): state}, [], [])


def test_a_pause_before_the_other_account_has_it_brings_all_home(world: World, ask: Callable[[Verb, str], Any]) -> None:
    intent = world.enqueue()
    planned(world, intent)
    assert ask("pause", f"{HOME}.{intent}").outcome == "done"
    world.move()
    world.resume(world.home)
    assert sent(world.home) == []
    assert ask("resume", f"{HOME}.{intent}").outcome == "done"
    assert (sent(world.home), sent(world.spare)) == ([number(0)], [])


def test_the_occurrences_of_a_schedule_are_reached_as_well(world: World, ask: Callable[[Verb, str], Any]) -> None:
    firing = world.home.server_ms() + 1000
    soon = datetime.fromtimestamp(firing / 1000, UTC)
    schedule = world.enqueue(schedule=At(times=[soon, soon + timedelta(days=1)]))
    world.home.until(firing + 1)
    world.home.fire_all()
    world.halt(world.home)
    assert world.move()[0].carried == {SPARE: 1}
    result = ask("cancel", f"{HOME}.{schedule}")
    assert (result.outcome, result.stopped) == ("done", (number(0),))
    assert sent(world.spare) == []
