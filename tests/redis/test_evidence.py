"""`apply.lua` and `resend.lua`: whom evidence or our own decision moves, before the answer to a call or after it, and whom not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, Driver, VirtualClock, begun, happened, number, numbers, queue_of, target_of

from tuma_producer import Producer
from tuma_worker.core.answers import Accepted, TryLater
from tuma_worker.core.states import Evidence, RecipientState

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.queue.scripts import Claim


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


# ---------------------------------------------------------------------------------------------------- receipts and corrections


def test_a_receipt_that_overtakes_the_answer_stands(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = begun(driver)
    first = [target_of(f"{intent}:{number(0)}")]
    assert driver.attempts.apply(batch.batch_id, first, RecipientState.DELIVERED, Evidence.HANDSET) == 1
    assert driver.settle(batch, Accepted("provider-1"))
    assert [driver.state_of(intent, recipient) for recipient in numbers(2)] == ["delivered", "submitted"]
    assert happened(driver).count("submitted") == 1


def test_a_receipt_that_overtakes_a_refusal_keeps_the_recipient_out_of_the_queue(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = begun(driver)
    driver.attempts.apply(batch.batch_id, [target_of(f"{intent}:{number(0)}")], RecipientState.SENT, Evidence.OPERATOR)
    driver.settle(batch, TryLater("busy", after=1.0))
    assert list(driver.due()) == [f"{intent}:{number(1)}"]


def test_a_receipt_told_twice_moves_once(driver: Driver) -> None:
    intent = driver.enqueue()
    batch = begun(driver)
    driver.settle(batch)
    target = [target_of(f"{intent}:{number(0)}")]
    assert driver.attempts.apply(batch.batch_id, target, RecipientState.DELIVERED, Evidence.HANDSET) == 1
    before = driver.snapshot()
    assert driver.attempts.apply(batch.batch_id, target, RecipientState.DELIVERED, Evidence.HANDSET) == 0
    assert driver.snapshot() == before


def test_evidence_about_another_attempt_is_left_alone(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue()
    first = begun(driver)
    driver.settle(first, TryLater("busy", after=1.0))
    clock.forward(5)
    begun(driver)
    target = [target_of(f"{intent}:{number(0)}")]
    assert driver.attempts.apply(first.batch_id, target, RecipientState.FAILED, Evidence.PROVIDER) == 0
    assert driver.state_of(intent, number(0)) == "sending"


def test_a_resolver_that_is_behind_does_not_end_who_was_paused_after_a_refusal(driver: Driver) -> None:
    intent = driver.enqueue(number(0))
    batch = begun(driver)
    Producer(driver.redis).pause(f"{driver.queue.account}.{intent}")
    driver.settle(batch, TryLater("503"))
    target = target_of(f"{intent}:{number(0)}")
    assert driver.attempts.apply(batch.batch_id, [target], RecipientState.UNKNOWN, Evidence.ASSUMED, reason="no-evidence") == 0
    assert driver.state_of(intent, number(0)) == "accepted"


def test_a_record_that_a_correction_opens_again_is_kept_until_it_ends_anew(driver: Driver) -> None:
    intent = driver.enqueue(number(0))
    batch = begun(driver)
    target, record = target_of(f"{intent}:{number(0)}"), driver.account.intent(intent)
    driver.attempts.apply(batch.batch_id, [target], RecipientState.UNKNOWN, Evidence.ASSUMED, reason="no-evidence")
    assert driver.redis.ttl(record) > 0
    driver.attempts.apply(batch.batch_id, [target], RecipientState.SENT, Evidence.OPERATOR)
    assert driver.redis.ttl(record) == -1
    driver.attempts.apply(batch.batch_id, [target], RecipientState.DELIVERED, Evidence.HANDSET)
    assert driver.redis.ttl(record) > 0


@pytest.mark.parametrize("paused", [False, True])
def test_news_of_a_call_that_was_given_up_stops_its_second_copy(driver: Driver, *, paused: bool) -> None:
    intent = driver.enqueue()
    batch = begun(driver)
    targets = [target_of(job.subject) for job in batch.jobs]
    assert driver.settle(batch, GIVEN_UP)
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.PROVIDER, reason="never-accepted") == 1
    if paused:
        Producer(driver.redis).pause(f"{driver.queue.account}.{intent}")
    assert driver.attempts.apply(batch.batch_id, targets, RecipientState.DELIVERED, Evidence.HANDSET) == 1
    if not paused:
        again = driver.begin(driver.taken())
        assert again is not None
        assert not again.targets, "its job is still in the line, and is dropped"
    assert driver.state_of(intent, number(0)) == "delivered"


# ------------------------------------------------------------------------------------------------------------------ sent again


def test_who_is_resolved_to_be_sent_again_is_in_the_line_again_once(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = begun(driver)
    driver.settle(batch, GIVEN_UP)
    driver.attempts.apply(batch.batch_id, [target_of(f"{intent}:{number(0)}")], RecipientState.DELIVERED, Evidence.HANDSET)
    targets = [target_of(f"{intent}:{recipient}") for recipient in numbers(2)]
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.ASSUMED, reason="unanswered") == 1
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.ASSUMED, reason="unanswered") == 0
    assert driver.waiting() == [f"{intent}:{number(1)}"]


def test_nobody_is_sent_again_of_an_attempt_that_is_not_remembered_any_more(driver: Driver) -> None:
    driver.enqueue(*numbers(2))
    batch = begun(driver)
    assert driver.settle(batch, GIVEN_UP)
    driver.redis.delete(driver.account.batch(batch.batch_id))
    before = driver.snapshot()
    targets = [target_of(job.subject) for job in batch.jobs]
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.ASSUMED, reason="unanswered") == 0
    assert driver.snapshot() == before


FOUR_DAYS = 4 * 86_400_000


def kept(driver: Driver, batch: Claim) -> int:
    return int(driver.redis.pttl(driver.account.batch(batch.batch_id)))


@pytest.mark.parametrize("how", ["answered", "adopted", "sent again"])
def test_an_attempt_is_remembered_for_as_long_as_nobody_knows_and_four_days_after_that(driver: Driver, how: str) -> None:
    intent = driver.enqueue()
    batch = begun(driver)
    targets = [target_of(f"{intent}:{number(0)}")]
    assert kept(driver, batch) > 2 * FOUR_DAYS
    if how == "answered":
        driver.settle(batch)
    else:
        driver.settle(batch, GIVEN_UP)
        assert kept(driver, batch) > 2 * FOUR_DAYS
    if how == "adopted":
        driver.attempts.apply(batch.batch_id, targets, RecipientState.SUBMITTED, Evidence.PROVIDER, phase="accepted")
    elif how == "sent again":
        driver.attempts.resend(batch.batch_id, targets, Evidence.ASSUMED, reason="unanswered")
    assert FOUR_DAYS - 60_000 < kept(driver, batch) <= FOUR_DAYS


# ---------------------------------------------------------------------------------------------------------------- a second job


def test_a_second_job_of_somebody_who_is_in_a_call_or_paused_ends_nobody(driver: Driver) -> None:
    sent = driver.enqueue(number(0))
    begun(driver)
    paused = driver.enqueue(number(1))
    Producer(driver.redis).pause(f"{driver.queue.account}.{paused}")
    targets = [target_of(f"{sent}:{number(0)}"), target_of(f"{paused}:{number(1)}")]
    assert driver.attempts.end(targets, RecipientState.REJECTED, reason="over-limit") == 0
    assert driver.state_of(sent, number(0)) == "sending"
    assert driver.state_of(paused, number(1)) == "accepted"


def test_a_second_job_of_somebody_who_is_put_off_ends_nobody(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(0))
    driver.settle(begun(driver), TryLater("503", after=3600.0))
    targets = [target_of(f"{intent}:{number(0)}")]
    assert driver.attempts.end(targets, RecipientState.FAILED, reason="worker-died") == 0
    assert driver.state_of(intent, number(0)) == "queued"
    clock.set(int(next(iter(driver.due().values()))) * 1000)
    assert driver.attempts.end(targets, RecipientState.FAILED, reason="worker-died") == 1
