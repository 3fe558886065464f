"""`settle.lua`: the states, events and jobs that follow from the answer to a call, in one step, however often it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, Driver, VirtualClock, begun, calls, happened, number, numbers, queue_of, target_of

from tuma_producer.contract.groups import narrowed
from tuma_worker.core.answers import Accepted, RecipientAnswer, Rejected, TryLater
from tuma_worker.queue.scripts import Claim

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10))


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
