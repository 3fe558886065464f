"""Failover: who may go by another account goes, once, and home tells the truth about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import GIVEN_UP, NEVER_LEFT, Driver, messages, number, numbers, queue_of, target_of, text

from tuma_producer import At, Producer, UnknownIntent
from tuma_producer.contract import wire
from tuma_producer.contract.control import control
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import AccountFault, Fault, Rejected, TryLater
from tuma_worker.core.failover import Terms
from tuma_worker.core.next_step import Halt, NextStep
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.carrying import Moved, Mover, follow
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.queue.scripts import Claim, Release, Wait
from tuma_worker.store import accounts
from tuma_worker.store.carried import Carried, Plan
from tuma_worker.store.dead import DeadLetters
from tuma_worker.store.steering import Scope, Steering
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer.intents import Verb
    from tuma_worker.core.answers import Answer

HOME, SPARE, LAST = "home", "spare", "last"
NO_MONEY = Halt(Fault.MONEY, "1202", operator=False, after=60.0)


@dataclass
class World:
    """Three accounts, one mover for all of them, and the ways to make an account stop and go on."""

    redis: Redis
    home: Driver
    spare: Driver
    last: Driver

    def carried(self, driver: Driver) -> Carried:
        return Carried(self.redis, driver.queue)

    def move(self) -> list[Moved]:
        """One look at each account; plans are looked at again however short ago they were."""
        for driver in (self.home, self.spare, self.last):
            for member, _ in self.redis.zscan_iter(driver.account.carried):
                self.redis.zadd(driver.account.carried, {member: 0})
        watched = [self.carried(driver) for driver in (self.home, self.spare, self.last)]
        return Mover(watched, "w1", 1.0, lambda: 0.0).run_once()

    def halt(self, driver: Driver) -> None:
        Steering(self.redis, driver.queue.account, "send", "test").halt(NO_MONEY)

    def resume(self, driver: Driver) -> None:
        assert Steering(self.redis, driver.queue.account, "send", "test").lift_halt()

    def terms(self, driver: Driver, *, environment: str = "sandbox", **terms: Any) -> None:  # noqa: ANN401 - fields of Terms
        account = driver.queue.account
        accounts.register(
            self.redis, account, provider="lisoloo", environment=environment, queue=driver.queue.for_claim, terms=Terms(**terms)
        )

    def enqueue(self, *to: str, failover: tuple[str, ...] = (SPARE, LAST), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        return self.home.enqueue(*to, failover=failover, **more)

    def part(self, intent: str, account: str = SPARE, turn: int = 1) -> str:
        return wire.carrier_id(account, HOME, intent, turn)

    def states(self, intent: str) -> dict[str, str]:
        return {one.number: one.state for one in Producer(self.redis).get(f"{HOME}.{intent}").recipients}

    def told(self, driver: Driver, intent: str) -> list[str]:
        return [event["e"] for event in driver.events() if event.get("i") == intent]


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis, *(Driver(redis, queue_of(account=name, batch_max=10)) for name in (HOME, SPARE, LAST)))


def sent(driver: Driver) -> list[str]:
    """Send all that may go from this account; the numbers that the provider took."""
    found = []
    while isinstance(batch := driver.claim(), Claim):
        if batch.actor != "send":
            driver.release(batch, Release.DONE)
            continue
        begun = driver.begin(batch)
        assert begun is not None
        found += [target.number for target in begun.targets]
        if begun.targets:
            assert driver.settle(batch)
        else:
            driver.release(batch, Release.DONE)
    return sorted(found)


# ------------------------------------------------------------------------------------------------------------ who may go


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


# ------------------------------------------------------------------------------------------------------------ and comes back


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


# ----------------------------------------------------------------------------------------------------------------- news


def evidence(world: World, state: RecipientState, by: Evidence, reason: str = "") -> Callable[[Claim], None]:
    def come(batch: Claim) -> None:
        targets = [target_of(job.subject) for job in batch.jobs]
        assert world.spare.attempts.apply(batch.batch_id, targets, state, by, reason=reason) == len(targets)

    return come


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
    send = wire.again(SPARE, "any", record, [number(0)])
    assert (send.account, send.failover, send.coalesce) == (SPARE, (), True)


# -------------------------------------------------------------------------------------------------------- between two steps


def planned(world: World, intent: str) -> Plan:
    """The first step alone: a worker died right after it."""
    world.halt(world.home)
    carried = world.carried(world.home)
    (waiting,) = carried.waiting()
    plan = carried.carry(waiting, carried.record(intent), SPARE, sorted(waiting.times), own_sender=False)
    assert plan is not None
    return plan


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


# --------------------------------------------------------------------------------------------------------------- control


@pytest.fixture
def ask(producer_for: Callable[..., AnyProducer]) -> Callable[[Verb, str], Any]:
    producer = producer_for("billing")
    return lambda verb, intent: getattr(producer, verb)(intent)


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
