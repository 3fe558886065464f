"""`begin.lua`, `settle.lua` and `apply.lua`: states, events and what follows, in one step each, however often they run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, Driver, VirtualClock, calls, number, numbers, queue_of, target_of

from tuma_producer import Producer
from tuma_producer.contract.groups import narrowed
from tuma_worker.core.answers import Accepted, AccountFault, Fault, RecipientAnswer, Rejected, TryLater
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.queue.scripts import Claim, Release, Why
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


def begun(driver: Driver) -> Claim:
    batch = driver.taken()
    assert driver.begin(batch) is not None
    return batch


def happened(driver: Driver) -> list[str]:
    return [event["e"] for event in driver.events()]


# ----------------------------------------------------------------------------------------------------------------------- begin


def test_begin_writes_down_who_is_called_before_the_call(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2), message="Hello", sender_id="KITOKO")
    batch = driver.taken()
    found = driver.begin(batch, token="unguessable")
    assert found is not None
    assert (found.message, found.sender_id, max(found.tries.values())) == ("Hello", "KITOKO", 1)
    assert {target.number for target in found.targets} == set(numbers(2))
    attempt = driver.attempts.load(batch.batch_id)
    assert attempt is not None
    assert (attempt.token, attempt.phase, attempt.targets) == ("unguessable", "calling", found.targets)
    assert [driver.state_of(intent, recipient) for recipient in numbers(2)] == ["sending"] * 2
    assert happened(driver) == ["accepted", "sending", "sending"]


def test_begin_repeated_finds_the_attempt_and_writes_nothing(driver: Driver) -> None:
    driver.enqueue(*numbers(2))
    batch = driver.taken()
    first = driver.begin(batch)
    before = driver.snapshot()
    assert driver.begin(batch) == first
    assert driver.snapshot() == before


def test_begin_counts_the_calls_that_a_recipient_was_in(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    for tried in (1, 2, 3):
        batch = driver.taken()
        found = driver.begin(batch)
        assert found is not None
        assert max(found.tries.values()) == tried
        driver.settle(batch, TryLater("busy", after=1.0))
        clock.forward(10)


def test_who_is_past_the_deadline_ends_expired_and_the_others_are_called(driver: Driver, clock: VirtualClock) -> None:
    late = driver.enqueue(number(1), message="The same", expires_in=5)
    live = driver.enqueue(number(2), message="The same", expires_in=50)
    batch = driver.taken()
    clock.forward(5)
    found = driver.begin(batch)
    assert found is not None
    assert [target.intent for target in found.targets] == [live]
    assert driver.state_of(late, number(1)) == "expired"
    assert sorted(happened(driver)) == ["accepted", "accepted", "done", "expired", "sending"]


def test_who_was_withdrawn_meanwhile_is_not_called(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = driver.taken()
    driver.attempts.end([target_of(f"{intent}:{number(0)}")], RecipientState.CANCELLED, reason="withdrawn")
    found = driver.begin(batch)
    assert found is not None
    assert [target.number for target in found.targets] == [number(1)]


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


# ---------------------------------------------------------------------------------------------------------------------- settle


def test_an_accepted_call_moves_everybody_with_an_event_each_in_the_same_step(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(3))
    batch = begun(driver)
    before = driver.redis.xlen(driver.account.events)
    assert driver.settle(batch, Accepted("provider-7"))
    assert driver.redis.xlen(driver.account.events) == before + 3
    assert [driver.state_of(intent, recipient) for recipient in numbers(3)] == ["submitted"] * 3
    assert {(event["r"], event["v"], event["b"]) for event in driver.events()[-3:]} == {
        (recipient, "provider", batch.batch_id) for recipient in numbers(3)
    }
    assert not driver.in_flight()
    assert driver.redis.zcard(driver.queue.keys.leases) == 0


def test_a_settled_call_settled_again_changes_nothing_and_says_so(driver: Driver) -> None:
    driver.enqueue(*numbers(3))
    batch = begun(driver)
    driver.settle(batch)
    before = driver.snapshot()
    assert driver.settle(batch)
    assert driver.settle(batch, TryLater("busy", after=1.0)), "the first answer stands"
    assert driver.snapshot() == before


def test_a_call_that_was_not_begun_cannot_be_settled(driver: Driver) -> None:
    driver.enqueue()
    batch = driver.taken()
    before = driver.snapshot()
    assert not driver.settle(batch)
    assert driver.snapshot() == before


def test_the_events_of_an_intent_are_numbered_without_a_gap_and_end_with_done_once(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(4))
    batch = begun(driver)
    driver.settle(batch, Rejected("bad-number", frozenset({number(2)})))
    driver.settle(begun(driver), Rejected("no-route"))
    mine = [event for event in driver.events() if event.get("i") == intent]
    assert [int(event["q"]) for event in mine] == list(range(1, len(mine) + 1))
    assert happened(driver).count("done") == 1
    assert happened(driver)[-1] == "done"
    assert driver.redis.pttl(driver.account.intent(intent)) > 0


def test_a_call_to_be_tried_later_goes_to_the_due_set_and_spends_no_more_than_its_permit(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(5, 60)
    driver = Driver(redis, queue_of(limit))
    intent = driver.enqueue(number(1))
    driver.settle(begun(driver), TryLater("busy", after=30.0))
    assert driver.due() == {f"{intent}:{number(1)}": clock.ms + 32_000}
    assert driver.state_of(intent, number(1)) == "queued"
    assert driver.used(limit) == 1
    driver.refused()
    clock.forward(32)
    driver.taken()


def test_the_innocent_go_again_at_once_and_the_blamed_end(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(3))
    driver.settle(begun(driver), Rejected("bad-number", frozenset({number(1)})))
    again = driver.taken()
    assert [target_of(job.subject).number for job in again.jobs] == [number(0), number(2)]
    assert driver.state_of(intent, number(1)) == "rejected"


def test_where_nobody_is_blamed_the_batch_is_halved_until_the_bad_one_stands_alone(driver: Driver) -> None:
    bad = number(5)
    intent = driver.enqueue(*numbers(10))
    sizes = []
    while isinstance(batch := driver.claim(), Claim):
        driver.begin(batch)
        to = [target_of(job.subject).number for job in batch.jobs]
        sizes.append(len(to))
        driver.settle(batch, Rejected("bad", suspect_numbers=len(to) > 1) if bad in to else Accepted("p"))
    states = {recipient: driver.state_of(intent, recipient) for recipient in numbers(10)}
    assert states == {recipient: "rejected" if recipient == bad else "submitted" for recipient in numbers(10)}
    assert sizes[0] == 10
    assert max(sizes[1:]) == 5
    assert len(sizes) <= 10


def test_the_innocent_of_a_spoiled_batch_keep_their_tries(driver: Driver) -> None:
    bad, named = number(5), number(9)
    driver.enqueue(*numbers(10))
    while isinstance(batch := driver.claim(), Claim):
        found = driver.begin(batch)
        assert found is not None
        assert max(found.tries.values()) == 1, "no call before was refused for its sake"
        to = [target.number for target in found.targets]
        if named in to:
            driver.settle(batch, Rejected("bad", frozenset({named})))
        elif bad in to:
            driver.settle(batch, Rejected("bad", suspect_numbers=len(to) > 1))
        else:
            driver.settle(batch)


def test_a_narrowed_group_keeps_what_it_is_and_says_how_many_go_together() -> None:
    assert narrowed("send.2.0.abc", 5) == "send.2.5.abc"
    assert narrowed("send.2.5.abc", 3) == "send.2.3.abc"


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


def test_a_provider_id_leads_to_the_batch_and_is_forgotten_in_time(driver: Driver) -> None:
    driver.enqueue(*numbers(2))
    batch = begun(driver)
    driver.settle(
        batch, Accepted("whole", {number(0): RecipientAnswer(provider_id="one"), number(1): RecipientAnswer(provider_id="two")})
    )
    for provider_id in ("whole", "one", "two"):
        key = driver.account.provider_id(provider_id)
        assert driver.redis.get(key) == batch.batch_id.encode()
        assert driver.redis.pttl(key) > 0


def test_a_recipient_refused_in_an_accepted_call_ends(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    driver.settle(begun(driver), Accepted("p", {number(1): RecipientAnswer(accepted=False, reason="opted-out")}))
    assert [driver.state_of(intent, recipient) for recipient in numbers(2)] == ["submitted", "rejected"]


def test_a_call_without_an_answer_leaves_its_recipients_sending_and_a_job_to_resolve(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue()
    batch = begun(driver)
    assert driver.settle(batch, GIVEN_UP)
    assert driver.state_of(intent, number(0)) == "sending"
    driver.refused()
    clock.forward(60)
    found = driver.taken()
    assert (found.actor, found.jobs[0].subject) == ("resolve", batch.batch_id)


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


# -------------------------------------------------------------------------------------------------------------- block and halt


def test_after_a_block_one_call_goes_first_and_the_others_follow_its_answer(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    driver.settle(begun(driver), TryLater("429", after=30.0, scope="account"))
    wait = driver.refused()
    assert (wait.why, wait.milliseconds) == (Why.BLOCKED, 5000)
    clock.forward(30)
    probe = begun(driver)
    assert driver.refused().why is Why.PROBING
    driver.settle(probe)
    assert driver.redis.llen(driver.queue.keys.bell) == 1
    driver.taken()
    driver.taken()


def test_a_longer_block_is_not_shortened_by_a_later_answer(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    first, second = begun(driver), begun(driver)
    driver.settle(first, TryLater("429", after=30.0, scope="account"))
    driver.settle(second, TryLater("429", after=5.0, scope="account"))
    clock.forward(29)
    assert driver.refused().why is Why.BLOCKED


def test_a_probe_that_is_refused_again_blocks_again(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(3)
    for _ in range(3):
        driver.settle(begun(driver), TryLater("429", after=10.0, scope="account"))
        assert driver.refused().why is Why.BLOCKED
        clock.forward(10)
    driver.settle(begun(driver))
    driver.taken()


@pytest.mark.parametrize("begins", [False, True])
def test_a_probe_whose_worker_dies_is_followed_by_another(driver: Driver, clock: VirtualClock, *, begins: bool) -> None:
    driver.enqueue_singles(3)
    driver.settle(begun(driver), TryLater("429", after=10.0, scope="account"))
    clock.forward(10)
    probe = driver.taken()
    if begins:
        driver.begin(probe)
    clock.forward(driver.queue.lease + 0.001)
    driver.claim()
    clock.forward(driver.queue.grace + driver.queue.lease + 0.001)
    found = [driver.claim() for _ in range(4)]
    assert [batch for batch in found if isinstance(batch, Claim) and batch.actor == "send"]


def test_a_job_without_a_call_never_stands_for_the_probe(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue_singles(4)
    unanswered = begun(driver)
    driver.settle(unanswered, GIVEN_UP)
    driver.settle(begun(driver), TryLater("429", after=60.0, scope="account"))
    clock.forward(60)
    found = {batch.actor: batch for batch in (driver.taken(), driver.taken())}
    driver.release(found["resolve"], Release.DONE)
    assert driver.refused().why is Why.PROBING
    driver.begin(found["send"])
    driver.settle(found["send"])
    assert {driver.taken().actor, driver.taken().actor} == {"send"}


def test_what_the_provider_says_is_left_lowers_our_view_and_never_raises_it(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(10, 60)
    driver = Driver(redis, queue_of(limit))
    driver.enqueue_singles(20)
    driver.settle(begun(driver), left={limit.name: 500})
    assert driver.used(limit) == 1
    driver.settle(begun(driver), left={limit.name: 3})
    assert driver.used(limit) == 7
    sent = 0
    while isinstance(batch := driver.claim(), Claim):
        driver.begin(batch)
        driver.settle(batch)
        sent += 1
    assert sent == 3
    clock.forward(61)
    driver.taken()


def test_what_is_left_is_reckoned_by_the_limit_as_it_was_steered(redis: Redis, clock: VirtualClock) -> None:
    limit = calls(10, 60)
    driver = Driver(redis, queue_of(limit))
    redis.hset(driver.queue.keys.state, f"limit:{limit.name}", "2 600000")
    driver.enqueue_singles(5)
    driver.settle(begun(driver))
    clock.forward(100)
    driver.settle(begun(driver), left={limit.name: 9})
    driver.refused()


def test_an_account_fault_stops_the_account_and_not_the_messages(driver: Driver) -> None:
    intent = driver.enqueue(number(1))
    driver.settle(begun(driver), AccountFault("1201", Fault.MONEY))
    assert driver.refused().why is Why.HALTED
    assert driver.state_of(intent, number(1)) == "queued"
    assert happened(driver)[-1] == "halted"
    halt = driver.redis.hget(driver.queue.keys.state, "halt")
    assert json.loads(halt or b"") == {"fault": "money", "code": "1201", "operator": False, "after": 900.0}
    assert Steering(driver.redis, driver.queue.account, "send", "test").lift_halt()
    assert not Steering(driver.redis, driver.queue.account, "send", "test").lift_halt()
    driver.taken()


def test_many_calls_refused_for_one_fault_halt_once_in_the_events(driver: Driver) -> None:
    driver.enqueue_singles(3)
    batches = [begun(driver) for _ in range(3)]
    for batch in batches:
        driver.settle(batch, AccountFault("1201", Fault.MONEY))
    assert happened(driver).count("halted") == 1


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
