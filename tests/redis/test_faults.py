"""Halts with their probes, and the breaker: what stands in a queue's way after trouble, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, queue_of

from tuma_producer.contract.holds import holds
from tuma_producer.contract.reading import texts
from tuma_worker.core.answers import Accepted, AccountFault, Fault, Health, Quota, Rejected, TryLater, Unknown
from tuma_worker.core.breaker import Breaker, Pulse
from tuma_worker.core.next_step import Policy
from tuma_worker.dispatch.probing import Prober
from tuma_worker.dispatch.sending import Outlet
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, Why
from tuma_worker.store import accounts
from tuma_worker.store.attempts import Settled
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

ASKS = Policy(asks=frozenset(Fault), probe_every=60.0)
COUNTS = Policy(asks=frozenset(Fault), asking_counts=True, probe_every=60.0)
MUTE = Policy(cool_down=900.0)
NO_MONEY = AccountFault("1202", Fault.MONEY)
BREAKER = Breaker(after=3, opens=5.0, most=15.0)
STRIKE, BEAT = (Pulse("read-timeout"), BREAKER), (Pulse(), BREAKER)


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


@pytest.fixture
def steering(driver: Driver) -> Steering:
    return Steering(driver.redis, driver.queue.account, "send", "probe")


def begun(driver: Driver) -> Claim:
    batch = driver.taken()
    assert batch.actor == "send"
    assert driver.begin(batch) is not None
    return batch


def standing(driver: Driver) -> accounts.Halted:
    found = accounts.halted(driver.redis, driver.queue.account)
    assert found is not None
    return found


def account_events(driver: Driver) -> list[tuple[str, str]]:
    return [(event["e"], event["w"]) for event in driver.events() if "i" not in event]


def said(driver: Driver, clock: VirtualClock) -> str:
    state = texts(cast("dict[bytes, bytes]", driver.redis.hgetall(driver.queue.keys.state)))
    return " ".join(hold.text for hold in holds(state, lane=1, source="billing", now_ms=clock.ms))


_WORKS = Health(works=True)


@dataclass
class Asked:
    """A provider that tells of its health after something else has happened."""

    health: Health
    meanwhile: Callable[[], object]

    def probe(self, fault: Fault) -> Health:
        del fault
        self.meanwhile()
        return self.health


def probe(driver: Driver, policy: Policy, meanwhile: Callable[[], object] = lambda: None, health: Health = _WORKS) -> None:
    """Do the probe that is due, at a provider that finds nothing wrong any more unless told otherwise."""
    batch = driver.taken()
    assert batch.actor == "probe"
    client: Any = Asked(health, meanwhile)
    outlet = Outlet(client, driver.attempts, policy, BREAKER, callbacks=None, sender_id=None, keeps_books=False)
    Prober(driver.redis, {driver.queue.account: outlet}, {}, "w1").probe(Held(driver.queue, batch, until=1.0, clock=lambda: 0.0))


# ----------------------------------------------------------------------------------------------------------------------- halts


def test_a_halt_leaves_one_probe_job_however_many_calls_were_in_flight(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(3)
    batches = [begun(driver) for _ in range(3)]
    driver.settle(batches[0], NO_MONEY, policy=ASKS)
    due = clock.ms + 60_000
    clock.forward(10)
    for batch in batches[1:]:
        driver.settle(batch, NO_MONEY, policy=ASKS)
    assert driver.due()["account"] == due
    assert account_events(driver) == [("halted", "1202")]
    assert accounts.standing(driver.redis, driver.queue.account).probe_at == due
    clock.forward(50)
    assert driver.taken().actor == "probe"
    assert driver.refused().why is Why.HALTED


def test_the_settlement_that_made_the_halt_says_so_however_often_and_no_other_does(driver: Driver, clock: VirtualClock) -> None:
    del clock
    driver.enqueue_singles(2)
    first, second = begun(driver), begun(driver)
    halts, adds_nothing = Settled(halted=True, opened=False), Settled(halted=False, opened=False)
    assert driver.settle(first, NO_MONEY, policy=ASKS) == halts
    assert driver.settle(second, NO_MONEY, policy=ASKS) == adds_nothing
    assert driver.settle(first, NO_MONEY, policy=ASKS) == halts, "the first reply may have been lost"


def test_what_an_account_refuses_for_its_own_sake_is_no_try_of_its_messages(
    driver: Driver, clock: VirtualClock, steering: Steering
) -> None:
    driver.enqueue()
    for answer in (NO_MONEY, TryLater("429", after=0.0, scope="account"), NO_MONEY):
        driver.settle(begun(driver), answer, policy=MUTE)
        steering.lift_halt()
        clock.forward(1)
    batch = driver.taken()
    found = driver.begin(batch)
    assert found is not None
    assert max(found.tries.values()) == 1
    driver.settle(batch, TryLater("503", after=0.0), policy=MUTE)
    clock.forward(1)
    found = driver.begin(driver.taken())
    assert found is not None
    assert max(found.tries.values()) == 2


def test_a_halt_for_an_operator_has_no_probe_and_says_so(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    driver.settle(begun(driver), AccountFault("1302", Fault.SUSPENDED, operator=True), policy=ASKS)
    assert "account" not in driver.due()
    standing = accounts.standing(driver.redis, driver.queue.account)
    assert (standing.operator, standing.probe_at) == (True, clock.ms + 3_600_000)
    assert "only an operator may resume it" in said(driver, clock)


def test_a_fault_for_an_operator_is_not_lost_behind_one_that_a_probe_may_lift(driver: Driver) -> None:
    driver.enqueue_singles(3)
    batches = [begun(driver) for _ in range(3)]
    suspended = AccountFault("1302", Fault.SUSPENDED, operator=True)
    for batch, answer in zip(batches, (NO_MONEY, suspended, NO_MONEY), strict=True):
        driver.settle(batch, answer, policy=ASKS)
    assert (standing(driver).code, standing(driver).operator) == ("1302", True)
    assert account_events(driver) == [("halted", "1202"), ("halted", "1302")]


def test_a_probe_that_says_still_broken_is_followed_by_the_next(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=ASKS)
    for _ in range(3):
        clock.forward(60)
        assert driver.release(driver.taken(), Release.AGAIN, delay=60.0)
        assert driver.due()["account"] == clock.ms + 60_000
    assert account_events(driver) == [("halted", "1202")]


def test_what_a_probe_finds_is_about_the_halt_that_it_asked_about_and_no_other(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(lease=900.0))
    driver.enqueue_singles(2)
    first, second = begun(driver), begun(driver)
    driver.settle(first, NO_MONEY, policy=ASKS)
    clock.forward(60)

    def graver() -> None:
        driver.settle(second, AccountFault("1302", Fault.SUSPENDED, operator=True), policy=ASKS)

    probe(driver, ASKS, graver)
    assert (standing(driver).code, standing(driver).operator) == ("1302", True)
    assert account_events(driver) == [("halted", "1202"), ("halted", "1302")]


def test_a_probe_that_finds_a_suspension_says_so_and_since_when_the_account_has_stood(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=ASKS)
    since = clock.ms
    clock.forward(60)
    probe(driver, ASKS, health=Health(works=False, code="1302", operator=True, fault=Fault.SUSPENDED))
    found = accounts.standing(driver.redis, driver.queue.account)
    assert (found.halted, found.halted_at, found.operator) == ("suspended (1302)", since, True)


@pytest.mark.parametrize("works", [True, False])
def test_what_a_probe_says_is_left_of_the_limits_of_sends_is_heeded(redis: Redis, clock: VirtualClock, *, works: bool) -> None:
    driver = Driver(redis, queue_of(calls(10, 600)))
    (limit,) = driver.queue.limits
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=COUNTS)
    clock.forward(60)
    probe(driver, COUNTS, health=Health(works=works, quotas=(Quota(limit.name, 3),)))
    assert driver.used(limit) == limit.count - 3


def test_a_probe_that_finds_a_suspension_does_not_overrule_who_has_resumed_meanwhile(
    driver: Driver, clock: VirtualClock, steering: Steering
) -> None:
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=ASKS)
    clock.forward(60)
    probe(driver, ASKS, steering.lift_halt, Health(works=False, code="1302", operator=True, fault=Fault.SUSPENDED))
    assert accounts.halted(driver.redis, driver.queue.account) is None


def test_a_probe_of_a_halt_that_was_lifted_and_came_back_lifts_nothing(
    driver: Driver, clock: VirtualClock, steering: Steering
) -> None:
    driver.enqueue_singles(2)
    driver.settle(begun(driver), NO_MONEY, policy=ASKS)
    clock.forward(60)

    def resumed_in_vain() -> None:
        steering.lift_halt()
        driver.settle(begun(driver), NO_MONEY, policy=ASKS)

    probe(driver, ASKS, resumed_in_vain)
    assert standing(driver).code == "1202"
    assert driver.refused().why is Why.HALTED
    clock.forward(60)
    probe(driver, ASKS)
    assert accounts.halted(driver.redis, driver.queue.account) is None


def test_no_send_tries_for_a_halt_that_has_become_graver_meanwhile(driver: Driver, steering: Steering) -> None:
    driver.enqueue_singles(2)
    first, second = begun(driver), begun(driver)
    driver.settle(first, NO_MONEY, policy=MUTE)
    seen = standing(driver)
    driver.settle(second, AccountFault("1302", Fault.SUSPENDED, operator=True), policy=MUTE)
    assert not steering.half_open(seen)
    assert driver.refused().why is Why.HALTED


def test_a_probe_whose_worker_dies_again_and_again_is_made_in_the_end(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=COUNTS)
    for _ in range(5):
        clock.forward(120)
        while not isinstance(batch := driver.claim(), Claim):
            clock.forward(5)
        assert batch.actor == "probe"
        clock.forward(driver.queue.lease + 0.001)


def test_a_probe_that_counts_waits_for_its_permit_and_keeps_nobody_else_waiting(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(1, 3600)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue()
    intent = driver.enqueue(expires_in=300)
    driver.settle(begun(driver), NO_MONEY, policy=COUNTS)
    clock.forward(60)
    assert driver.refused().why is Why.HALTED
    clock.forward(240)
    late = driver.taken()
    assert (late.actor, late.jobs[0].subject) == ("expire", intent)
    driver.release(late, Release.DONE)
    clock.forward(3600)
    probe = driver.taken()
    assert probe.actor == "probe"
    driver.release(probe, Release.AGAIN, delay=60.0)
    assert driver.used(limit) == 1
    clock.forward(60)
    driver.refused()


def test_the_accounts_operator_resumes_it_whatever_the_probe_does(driver: Driver, clock: VirtualClock, steering: Steering) -> None:
    driver.enqueue()
    driver.settle(begun(driver), NO_MONEY, policy=MUTE)
    clock.forward(900)
    driver.release(driver.taken(), Release.DONE)
    halted = standing(driver)
    assert steering.half_open(halted)
    assert steering.lift_halt()
    driver.send()
    assert not steering.half_open(halted)
    assert accounts.standing(driver.redis, driver.queue.account).halted is None


def test_where_nothing_can_be_asked_one_send_tries_and_the_others_follow_when_it_is_accepted(
    driver: Driver, clock: VirtualClock, steering: Steering
) -> None:
    driver.enqueue_singles(4)
    driver.settle(begun(driver), NO_MONEY, policy=MUTE)
    for _ in range(2):
        clock.forward(900)
        probe = driver.taken()
        assert probe.actor == "probe"
        assert steering.half_open(standing(driver))
        driver.release(probe, Release.DONE)
        tries = begun(driver)
        assert driver.refused().why is Why.PROBING
        driver.settle(tries, NO_MONEY, policy=MUTE)
        assert driver.refused().why is Why.HALTED
    assert account_events(driver) == [("halted", "1202")], "one alert, however often it is tried"
    clock.forward(900)
    driver.release(driver.taken(), Release.DONE)
    assert steering.half_open(standing(driver))
    driver.settle(begun(driver), Rejected("1105"), policy=MUTE)
    assert account_events(driver) == [("halted", "1202")], "a refused text proves nothing about the money"
    driver.settle(begun(driver), Accepted("p"))
    assert account_events(driver) == [("halted", "1202"), ("resumed", "halt")]
    driver.send()


# ------------------------------------------------------------------------------------------------------------------ the breaker


def opened(driver: Driver) -> None:
    strikes = [driver.settle(begun(driver), Unknown("read-timeout"), pulse=STRIKE) for _ in range(BREAKER.after)]
    *before, last = [told.opened for told in strikes if told is not None]
    assert last, "the strike that opens it says so"
    assert not any(before)


def test_strikes_in_a_row_open_the_breaker_and_one_call_tries(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(8)
    opened(driver)
    assert account_events(driver) == [("breaker-opened", "3 x read-timeout")]
    assert driver.refused().why is Why.BLOCKED
    assert "breaker: open since 2027-01-15T08:00:00+00:00, after 3 x read-timeout, one call tries at" in said(driver, clock)
    clock.forward(5)
    tries = begun(driver)
    assert driver.refused().why is Why.PROBING
    driver.settle(tries, pulse=BEAT)
    assert account_events(driver)[1:] == [("breaker-closed", "3 x read-timeout")]
    assert "breaker" not in said(driver, clock)
    assert [driver.taken().actor for _ in range(2)] == ["send"] * 2


def test_an_answer_in_time_ends_a_row_of_strikes(driver: Driver) -> None:
    driver.enqueue_singles(9)
    for _ in range(3):
        driver.settle(begun(driver), Unknown("read-timeout"), pulse=STRIKE)
        driver.settle(begun(driver), Unknown("read-timeout"), pulse=STRIKE)
        driver.settle(begun(driver), pulse=BEAT)
    assert account_events(driver) == []


def test_each_try_that_fails_doubles_the_time_up_to_the_most(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(8)
    opened(driver)
    for seconds in (5, 10, 15, 15):
        clock.forward(seconds - 0.001)
        assert driver.refused().why is Why.BLOCKED
        clock.forward(0.001)
        driver.settle(begun(driver), Unknown("read-timeout"), pulse=STRIKE)
    assert account_events(driver) == [("breaker-opened", "3 x read-timeout")]


def test_calls_that_began_before_the_breaker_opened_neither_lengthen_nor_close_it(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(8)
    before = [begun(driver) for _ in range(2)]
    opened(driver)
    clock.forward(3)
    driver.settle(before[0], Unknown("read-timeout"), pulse=STRIKE)
    driver.settle(before[1], pulse=BEAT)
    assert len(account_events(driver)) == 1
    assert driver.refused().why is Why.BLOCKED
    clock.forward(2)
    begun(driver)


def test_a_settlement_told_twice_is_one_strike(driver: Driver) -> None:
    driver.enqueue_singles(3)
    for _ in range(2):
        batch = begun(driver)
        for _ in range(3):
            assert driver.settle(batch, Unknown("read-timeout"), pulse=STRIKE)
    assert account_events(driver) == []
