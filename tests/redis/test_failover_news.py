"""Whom another account carries: home tells the truth about it, and takes back whom that one does not call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, NEVER_LEFT, Driver, number, numbers, queue_of, target_of
from tests.redis.failing_over import HOME, LAST, SPARE, World, evidence, planned, sent

from tuma_producer import Producer
from tuma_producer.contract import records
from tuma_worker.core.answers import AccountFault, Fault, Rejected
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.carrying import follow
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.store.carried import Plan
from tuma_worker.store.dead import DeadLetters
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.answers import Answer
    from tuma_worker.core.next_step import NextStep
    from tuma_worker.queue.scripts import Claim


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis, *(Driver(redis, queue_of(account=name, batch_max=10)) for name in (HOME, SPARE, LAST)))


# ----------------------------------------------------------------------------------------------------------- and comes back


def test_who_is_carried_stays_there_when_home_goes_on(world: World) -> None:
    world.enqueue()
    world.halt(world.home)
    world.move()
    world.resume(world.home)
    world.move()
    assert (sent(world.home), sent(world.spare)) == ([], [number(0)])


def test_whom_the_other_account_has_not_called_goes_on_to_the_next_when_that_is_halted_too(world: World) -> None:
    intent = world.enqueue(*numbers(2))
    world.halt(world.home)
    world.move()
    world.halt(world.spare)
    assert world.move()[1].handed_back == 2
    world.move()
    assert world.told(world.home, intent)[-2:] == ["queued"] * 2
    world.move()
    home = Producer(world.redis).get(f"{HOME}.{intent}")
    assert {one.carried_as for one in home.recipients} == {world.part(intent, LAST, 2)}
    assert (sent(world.home), sent(world.spare), sent(world.last)) == ([], [], numbers(2))
    world.move()
    assert world.states(intent) == dict.fromkeys(numbers(2), "submitted")
    world.resume(world.home)
    world.resume(world.spare)
    assert (sent(world.home), sent(world.spare)) == ([], [])


def test_who_was_in_a_call_of_unknown_outcome_there_stays_there(world: World) -> None:
    world.enqueue(*numbers(2))
    world.halt(world.home)
    world.move()
    batch = world.spare.taken()
    begun = world.spare.begin(batch)
    assert begun is not None
    world.spare.settle(batch, GIVEN_UP)
    world.halt(world.spare)
    world.spare.attempts.resend(batch.batch_id, begun.targets, Evidence.PROVIDER, reason="never-accepted")
    assert world.move()[1].handed_back == 0
    world.resume(world.spare)
    assert sent(world.spare) == numbers(2)


@pytest.mark.parametrize(
    ("answer", "handed_back"), [(NEVER_LEFT, 1), (AccountFault("1202", Fault.MONEY), 0)], ids=["unsent", "refused"]
)
def test_who_was_in_a_call_there_that_left_stays_there(world: World, answer: Answer | NextStep, handed_back: int) -> None:
    world.enqueue()
    world.halt(world.home)
    world.move()
    batch = world.spare.taken()
    world.spare.begin(batch)
    world.spare.settle(batch, answer)
    world.halt(world.spare)
    world.spare.claim()
    assert world.move()[1].handed_back == handed_back


def test_who_comes_home_late_ends_expired(world: World) -> None:
    intent = world.enqueue(expires_in=1)
    accepted = world.home.server_ms()
    world.halt(world.home)
    world.move()
    world.halt(world.spare)
    world.move()
    world.home.until(accepted + 1100)
    world.move()
    assert world.states(intent) == {number(0): "expired"}
    assert world.told(world.home, intent)[-2:] == ["expired", "done"]


def test_the_deadline_of_who_is_carried_is_kept_there_and_told_at_home(world: World) -> None:
    intent = world.enqueue(expires_in=1)
    world.halt(world.home)
    world.move()
    world.home.until(world.home.server_ms() + 1000)
    assert world.home.attempts.expire([intent]) == 0
    assert sent(world.spare) == []
    world.move()
    assert world.states(intent) == {number(0): "expired"}


# --------------------------------------------------------------------------------------------------------------------- news


def test_all_news_from_there_is_told_at_home_once_also_a_correction(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    batch = world.spare.send()
    world.move()
    evidence(world, RecipientState.FAILED, Evidence.OPERATOR, "absent")(batch)
    assert world.move()[0].told == 1
    assert world.move()[0].told == 0
    evidence(world, RecipientState.DELIVERED, Evidence.HANDSET)(batch)
    world.move()
    one = Producer(world.redis).get(f"{HOME}.{intent}").recipients[0]
    assert (one.state, one.evidence, one.carried_as) == ("delivered", "handset", world.part(intent))
    assert world.told(world.home, intent)[-5:] == ["carried", "submitted", "failed", "done", "delivered"]
    assert world.home.events()[-1]["c"] == "1"
    assert world.redis.zcard(world.home.account.carried) == 0  # there can be no more


def refused_at_home(world: World, count: int = 1) -> tuple[str, Claim]:
    """An intent that leaves after a call that was refused."""
    intent = world.enqueue(*numbers(count), failover=(SPARE,))
    batch = world.home.taken()
    world.home.begin(batch)
    world.home.settle(batch, AccountFault("1202", Fault.MONEY))
    world.home.claim()
    return intent, batch


@pytest.mark.parametrize("state", [RecipientState.SUBMITTED, RecipientState.SENT, RecipientState.DELIVERED])
def test_whom_the_refused_call_of_home_reached_after_all_is_withdrawn_there(world: World, state: RecipientState) -> None:
    intent, batch = refused_at_home(world, 2)
    world.move()
    assert world.home.attempts.apply(batch.batch_id, [target_of(batch.jobs[0].subject)], state, Evidence.PROVIDER) == 1
    world.move()
    assert sent(world.spare) == [number(1)]
    world.move()
    assert world.states(intent) == {number(0): state, number(1): "submitted"}


@pytest.mark.parametrize("first", range(3), ids=["all", "some", "nobody"])
def test_who_is_reached_before_the_plan_is_carried_out_does_not_go_by_it(world: World, first: int) -> None:
    intent, batch = refused_at_home(world, 2)
    plan = planned(world, intent)
    reached = [target_of(job.subject) for job in batch.jobs][first:]
    world.home.attempts.apply(batch.batch_id, reached, RecipientState.DELIVERED, Evidence.HANDSET)
    follow(world.carried(world.home), plan)
    assert sent(world.spare) == numbers(2)[:first]
    world.move()
    assert world.states(intent) == dict.fromkeys(numbers(2), "delivered") | dict.fromkeys(numbers(2)[:first], "submitted")


@pytest.mark.parametrize(
    "state", [RecipientState.FAILED, RecipientState.REJECTED, RecipientState.UNDELIVERED, RecipientState.EXPIRED]
)
def test_that_the_refused_call_of_home_failed_does_not_end_who_is_carried(world: World, state: RecipientState) -> None:
    intent, batch = refused_at_home(world)
    world.move()
    targets = [target_of(job.subject) for job in batch.jobs]
    assert world.home.attempts.apply(batch.batch_id, targets, state, Evidence.PROVIDER, reason="late") == 0
    assert world.home.attempts.end(targets, RecipientState.FAILED, reason="a job that was left behind") == 0
    assert sent(world.spare) == [number(0)]
    world.move()
    assert world.states(intent) == {number(0): "submitted"}
    assert world.redis.zcard(world.home.account.dead) == 0


def test_what_failed_there_is_a_dead_letter_there_alone(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    batch = world.spare.taken()
    world.spare.begin(batch)
    world.spare.settle(batch, Rejected("1103"))
    world.move()
    assert world.states(intent) == {number(0): "rejected"}
    assert (world.redis.zcard(world.home.account.dead), world.redis.zcard(world.spare.account.dead)) == (0, 1)


def test_whom_the_other_account_does_not_remember_ends_unknown(world: World) -> None:
    intent = world.enqueue()
    world.halt(world.home)
    world.move()
    world.redis.delete(Plan(world.part(intent)).key)
    world.move()
    one = Producer(world.redis).get(f"{HOME}.{intent}").recipients[0]
    assert (one.state, one.evidence, one.reason) == ("unknown", "assumed", "carrier-forgotten")
    (letter,) = DeadLetters(world.redis, HOME).of_intent(intent)
    assert (letter.kind, letter.number) == ("unknown", number(0))
    assert world.redis.zcard(world.home.account.carried) == 0


def test_the_sweeper_leaves_those_alone_whom_another_account_carries(world: World) -> None:
    world.enqueue(*numbers(2))
    world.halt(world.home)
    world.move()
    sweeper = Sweeper([Unowned(world.redis, world.home.queue, receipts_for=0.001)], "w1", every=60)
    assert [sweeper.run_once()[0] for _ in range(2)][-1].restored == 0
    world.spare.send()
    world.move()
    world.home.until(world.home.server_ms() + 10)
    assert sweeper.run_once()[0].ended == 0


def test_a_redrive_of_what_failed_there_is_a_plain_send(world: World) -> None:
    world.enqueue(failover=(SPARE,))
    record = world.carried(world.home).record(world.home.waiting()[0].partition(":")[0])
    send = records.again(SPARE, "any", record, [number(0)])
    assert (send.account, send.failover, send.coalesce) == (SPARE, (), True)
