"""An answer that comes after the lease was lost: the batch is somebody else's by then, and what the provider said is still true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, VirtualClock, number, numbers, queue_of, target_of

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Rejected, Reply, TryLater, Unknown
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.next_step import Policy
from tuma_worker.core.states import Evidence
from tuma_worker.dispatch.sending import Outlet, Sender
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Release, Why
from tuma_worker.store import accounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.core.answers import Answer

LEASE = 15.0
BUSY = TryLater("429", after=30.0, scope="account")
NO_MONEY = AccountFault("1202", Fault.MONEY)


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


@dataclass
class SlowProvider:
    """Answers after something else has happened."""

    answer: Answer
    meanwhile: Callable[[], None]

    def send(self, call: object) -> Reply:
        del call
        self.meanwhile()
        return Reply(self.answer)


def answered_late(driver: Driver, clock: VirtualClock, answer: Answer, meanwhile: Callable[[str], None] = lambda _: None) -> str:
    """Send one batch whose answer comes after its lease was lost, and after what happens `meanwhile` to it. Returns its id."""
    batch = driver.taken()

    def lapse() -> None:
        clock.forward(LEASE + 1)
        resolves = driver.taken()
        assert resolves.actor == "resolve"
        driver.release(resolves, Release.DONE)
        meanwhile(batch.batch_id)

    client: Any = SlowProvider(answer, lapse)
    outlet = Outlet(client, driver.attempts, Policy(), Breaker(), callbacks=None, sender_id=None, keeps_books=False)
    sender = Sender({driver.queue.account: outlet}, choose=lambda most: most, secret=lambda: "token", pause=lambda _: None)
    held = Held(driver.queue, batch, until=1.0, clock=lambda: 0.0)
    sender.send(held)
    assert held.settled
    return batch.batch_id


def happened(driver: Driver) -> list[str]:
    return [event["e"] for event in driver.events()]


def test_a_late_rate_limit_closes_the_queue(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue()
    answered_late(driver, clock, BUSY)
    driver.enqueue_singles(2, first=5)
    assert driver.refused().why is Why.BLOCKED
    assert driver.state_of(intent, number(0)) == "queued"
    clock.forward(31)
    assert driver.taken().actor == "send"


def test_a_late_fault_of_the_account_halts_it_and_says_so_once(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    answered_late(driver, clock, NO_MONEY)
    assert driver.refused().why is Why.HALTED
    assert happened(driver).count("halted") == 1
    assert "account" in driver.due(), "it is probed"
    found = accounts.halted(driver.redis, driver.queue.account)
    assert found is not None
    assert found.code == "1202"


@pytest.mark.parametrize(("answer", "tried"), [(BUSY, 1), (NO_MONEY, 1), (TryLater("503", after=0.0), 2)])
def test_a_late_refusal_costs_a_try_only_where_it_was_for_the_recipients_own_sake(
    driver: Driver, clock: VirtualClock, answer: Answer, tried: int
) -> None:
    driver.enqueue()
    answered_late(driver, clock, answer)
    driver.redis.delete(driver.queue.keys.state)  # whatever stands in the way is another story
    clock.forward(31)
    found = driver.begin(driver.taken())
    assert found is not None
    assert max(found.tries.values()) == tried


def test_a_late_acceptance_is_taken_and_its_provider_id_leads_to_it(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(*numbers(2))
    batch_id = answered_late(driver, clock, Accepted("provider-7"))
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["submitted"] * 2
    assert driver.attempts.is_ours("provider-7")
    attempt = driver.attempts.load(batch_id)
    assert attempt is not None
    assert attempt.phase == "accepted"


def test_a_late_refusal_of_a_number_is_remembered_and_the_others_go_again(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(*numbers(2))
    answered_late(driver, clock, Rejected("1104", frozenset({number(1)})))
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["queued", "rejected"]
    assert driver.redis.zscore(driver.account.bad_numbers, number(1)) is not None
    assert [target_of(job.subject).number for job in driver.taken().jobs] == [number(0)]


def test_a_late_answer_about_recipients_that_are_in_another_call_leaves_them_and_is_heard_all_the_same(
    driver: Driver, clock: VirtualClock
) -> None:
    intent = driver.enqueue()

    def sent_again(batch_id: str) -> None:
        driver.attempts.resend(batch_id, [target_of(f"{intent}:{number(0)}")], Evidence.PROVIDER, reason="never-accepted")
        assert driver.begin(driver.taken()) is not None

    answered_late(driver, clock, NO_MONEY, sent_again)
    assert driver.state_of(intent, number(0)) == "sending"
    assert f"{intent}:{number(0)}" not in driver.due()
    assert driver.refused().why is Why.HALTED


def test_a_late_refusal_takes_nobody_out_of_a_pause(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue()

    def paused(batch_id: str) -> None:
        driver.redis.hset(driver.account.intent(intent), "held", "paused")
        driver.attempts.resend(batch_id, [target_of(f"{intent}:{number(0)}")], Evidence.PROVIDER, reason="never-accepted")

    answered_late(driver, clock, TryLater("503"), paused)
    assert driver.state_of(intent, number(0)) == "accepted"
    assert happened(driver).count("accepted") == 2


def test_a_call_that_was_given_up_late_is_left_to_whoever_looks_for_evidence(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue()
    batch_id = answered_late(driver, clock, Unknown("read-timeout"))
    assert driver.state_of(intent, number(0)) == "sending"
    attempt = driver.attempts.load(batch_id)
    assert attempt is not None
    assert attempt.phase == "calling"


def test_a_late_answer_about_an_attempt_that_nobody_remembers_changes_nothing(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()

    def forgotten(batch_id: str) -> None:
        driver.redis.delete(driver.account.batch(batch_id))

    answered_late(driver, clock, BUSY, forgotten)
    assert happened(driver) == ["accepted", "sending"]
