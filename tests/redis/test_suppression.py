"""Who is on an account's suppression list is in no call that begins from then on, whatever waits for them already."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import NEVER_LEFT, Driver, calls, number, numbers, queue_of

from tuma_producer import At, InvalidSend, Producer, UnknownAccount
from tuma_producer.contract.custody import Terms
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.carrying import Mover
from tuma_worker.queue.scripts import Release
from tuma_worker.store import accounts
from tuma_worker.store.carried import Carried
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

OUT = number(3)
WHY = "suppression-list"


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=1000))


def suppress(driver: Driver, *whom: str) -> None:
    assert Producer(driver.redis).suppress(driver.queue.account, whom) == len(whom)


def called(driver: Driver) -> list[str]:
    """Claim one batch and begin its call; returns whom it is for."""
    begun = driver.begin(driver.taken())
    assert begun is not None
    return [target.number for target in begun.targets]


def told(driver: Driver, intent: str) -> list[tuple[str, ...]]:
    """The events of an intent in their order: what, about whom, why; and their numbers are 1, 2, 3, ..."""
    found = [event for event in driver.events() if event.get("i") == intent]
    assert [int(event["q"]) for event in found] == list(range(1, len(found) + 1))
    return [(event["e"], event.get("r", ""), event.get("w", "")) for event in found]


# ------------------------------------------------------------------------------------------------------ while they wait


@pytest.mark.parametrize("when", ["in the line", "claimed"])
def test_a_number_that_is_added_while_a_batch_of_a_thousand_waits_is_not_called(driver: Driver, when: str) -> None:
    intent = driver.enqueue(*numbers(1000))
    if when == "in the line":
        suppress(driver, OUT)
    batch = driver.taken()
    if when == "claimed":
        suppress(driver, OUT)
    begun = driver.begin(batch)
    assert begun is not None
    assert [target.number for target in begun.targets] == [one for one in numbers(1000) if one != OUT]
    attempt = driver.attempts.load(batch.batch_id)
    assert attempt is not None
    assert OUT not in {target.number for target in attempt.targets}
    assert driver.state_of(intent, OUT) == "suppressed"
    assert ("suppressed", OUT, WHY) in told(driver, intent)


def test_no_later_call_of_many_that_share_the_text_has_the_number(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(100, 60), batch_max=50))
    intents = [driver.enqueue(*numbers(100), message="The same", source=source) for source in ("one", "two", "three")]
    driver.send()
    suppress(driver, OUT, number(99))
    went: list[str] = []
    for _ in range(5):
        batch = driver.taken()
        begun = driver.begin(batch)
        assert begun is not None
        went += [target.number for target in begun.targets]
        assert driver.settle(batch)
    assert not {OUT, number(99)} & set(went)
    ends = [driver.state_of(intent, one) for intent in intents for one in (OUT, number(99))]
    assert sorted(ends) == ["submitted"] + ["suppressed"] * 5  # the first call had gone by then


def test_who_goes_back_after_a_call_is_looked_at_again(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(5))
    batch = driver.taken()
    assert driver.begin(batch) is not None
    suppress(driver, OUT)
    assert driver.state_of(intent, OUT) == "sending"  # its call is under way: nobody can say that it was not made
    assert driver.settle(batch, NEVER_LEFT)
    assert OUT not in called(driver)
    assert driver.state_of(intent, OUT) == "suppressed"


def test_where_all_are_suppressed_no_attempt_is_written_down_and_a_repeat_says_the_same(driver: Driver) -> None:
    intent = driver.enqueue(OUT)
    suppress(driver, OUT)
    batch = driver.taken()
    first = driver.begin(batch)
    assert first is not None
    assert first.targets == ()
    before = driver.snapshot()
    again = driver.begin(batch)
    assert again is not None
    assert replace(again, now=first.now) == first
    assert driver.snapshot() == before
    assert driver.attempts.load(batch.batch_id) is None
    assert driver.release(batch, Release.DONE)
    assert told(driver, intent)[-2:] == [("suppressed", OUT, WHY), ("done", "", "")]


def test_it_is_no_dead_letter(driver: Driver) -> None:
    driver.enqueue(OUT)
    suppress(driver, OUT)
    assert called(driver) == []
    assert not driver.redis.exists(driver.account.dead)


def test_a_number_that_was_taken_off_is_called_again(driver: Driver) -> None:
    suppress(driver, OUT)
    before = driver.enqueue(OUT)
    assert Producer(driver.redis).unsuppress(driver.queue.account, OUT) == 1
    driver.enqueue(OUT)
    assert called(driver) == [OUT]
    assert driver.state_of(before, OUT) == "suppressed"


# ------------------------------------------------------------------------------------------------------- when they come


@pytest.mark.parametrize("count", [1, 5, 2500])
def test_who_is_on_the_list_ends_as_soon_as_a_send_is_accepted(driver: Driver, count: int) -> None:
    suppress(driver, number(0), number(count - 1)) if count > 1 else suppress(driver, number(0))
    out = {number(0), number(count - 1)}
    intent = driver.enqueue(*numbers(count))
    counts = Producer(driver.redis).get(f"{driver.queue.account}.{intent}").counts
    assert counts == {"suppressed": len(out), **({"queued": count - len(out)} if count > len(out) else {})}
    assert sorted(driver.waiting()) == [f"{intent}:{one}" for one in numbers(count) if one not in out]
    ended = [("suppressed", one, WHY) for one in sorted(out)]
    assert told(driver, intent) == [("accepted", "", ""), *ended, *([("done", "", "")] if count == 1 else [])]


def test_an_intent_of_none_but_suppressed_is_over_and_goes_when_its_time_is_over(driver: Driver) -> None:
    suppress(driver, OUT)
    intent = driver.enqueue(OUT, expires_in=60)
    assert Producer(driver.redis).get(f"{driver.queue.account}.{intent}").state == "done"
    assert driver.redis.pttl(driver.account.intent(intent)) > 0
    assert driver.waiting() == []


def test_a_repeat_of_the_same_send_is_a_duplicate_and_ends_nobody_twice(driver: Driver) -> None:
    suppress(driver, OUT)
    intent = driver.enqueue(OUT, number(4), message="The same", idempotency_key="one")
    assert driver.enqueue(OUT, number(4), message="The same", idempotency_key="one") == intent
    assert len(told(driver, intent)) == 2


def test_who_is_held_back_is_looked_at_when_accepted_and_again_before_the_call(driver: Driver) -> None:
    suppress(driver, OUT)
    intent = driver.enqueue(*numbers(5), cancel_within=0.05)
    assert driver.state_of(intent, OUT) == "suppressed"
    suppress(driver, number(4))
    driver.until(driver.server_ms() + 60)
    assert called(driver) == numbers(3)


def test_of_a_paused_campaign_too(driver: Driver) -> None:
    producer, account = Producer(driver.redis), driver.queue.account
    driver.enqueue(number(0), campaign_name="spring")
    producer.pause_campaign(account, "spring")
    suppress(driver, OUT)
    intent = driver.enqueue(OUT, number(4), campaign_name="spring")
    assert producer.get(f"{account}.{intent}").counts == {"suppressed": 1, "accepted": 1}
    suppress(driver, number(4))
    assert producer.resume_campaign(account, "spring").stopped == 2  # all but who ended
    assert called(driver) + called(driver) == [number(0)]  # both texts were resumed at once: either may be the first
    assert producer.get(f"{account}.{intent}").counts == {"suppressed": 2}


def test_each_occurrence_of_a_schedule_is_looked_at(driver: Driver) -> None:
    soon = datetime.fromtimestamp(driver.server_ms() / 1000 + 0.1, UTC)
    schedule = driver.enqueue(*numbers(5), schedule=At(times=[soon, soon + timedelta(days=1)]))
    suppress(driver, OUT)
    driver.until(driver.server_ms() + 110)
    driver.fire(driver.taken())
    (occurrence,) = Producer(driver.redis).get(f"{driver.queue.account}.{schedule}").occurrences
    assert Producer(driver.redis).get(occurrence).counts == {"suppressed": 1, "queued": 4}
    assert OUT not in called(driver)


def test_a_schedule_that_the_provider_is_to_keep_is_not_handed_over_for_nobody(driver: Driver) -> None:
    terms = Terms(tz="Africa/Kinshasa", lead=0, dates=20, dispatches=1000, recipients=1000)
    queue = driver.queue
    accounts.register(
        driver.redis, queue.account, provider="lisoloo", environment="sandbox", queue=queue.for_claim, keeps=terms.published
    )
    suppress(driver, OUT)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    intent = driver.enqueue(OUT, schedule=At(times=tomorrow), custody="provider")
    found = Producer(driver.redis).get(f"{queue.account}.{intent}")
    assert found.custody is not None
    assert (found.state, found.custody.state, found.counts) == ("done", "not-handed-over", {"suppressed": 1})
    assert driver.waiting() == []


# ------------------------------------------------------------------------------------------------------- with failover


def test_nobody_leaves_for_another_account_who_is_on_the_list_of_either(driver: Driver) -> None:
    spare = Driver(driver.redis, replace(driver.queue, account="spare"))
    intent = driver.enqueue(*numbers(5), failover=["spare"])
    suppress(driver, OUT)
    suppress(spare, number(4))
    mover = Mover([Carried(driver.redis, one.queue) for one in (driver, spare)], "test", 1.0, lambda: 0.0)
    Steering(driver.redis, driver.queue.account, "send", "test").halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    mover.run_once()
    assert driver.state_of(intent, OUT) == "suppressed"
    assert called(spare) == numbers(3)
    driver.until(driver.server_ms() + 1000)
    mover.run_once()
    assert driver.state_of(intent, number(4)) == "suppressed"


# ---------------------------------------------------------------------------------------------------------- the list


def test_the_list_is_kept_by_whole_numbers_with_when_each_was_added(producer: AnyProducer, account: str) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    assert producer.suppress(account, ["+243 99 000 0001", "00243990000002"]) == 2
    assert producer.suppress(account, "+243990000001") == 0
    found = {one.number: one.since for one in producer.suppressions(account)}
    assert found.keys() == {"+243990000001", "+243990000002"}
    assert all(began < since < datetime.now(UTC) + timedelta(seconds=5) for since in found.values())
    assert producer.unsuppress(account, ["+243990000001", "+243990000009"]) == 1
    assert [one.number for one in producer.suppressions(account)] == ["+243990000002"]


def test_a_long_list_is_read_by_pages(producer: AnyProducer, account: str) -> None:
    assert producer.suppress(account, iter(numbers(2500))) == 2500
    assert {one.number for one in producer.suppressions(account)} == set(numbers(2500))


def test_a_wrong_number_changes_nothing(producer: AnyProducer, account: str) -> None:
    for change in (producer.suppress, producer.unsuppress):
        with pytest.raises(InvalidSend, match=r"numbers: entry 1: .* is not an international number"):
            change(account, [OUT, "12"])
        with pytest.raises(InvalidSend, match="numbers: must be a phone number or a list with at least one"):
            change(account, [])
    assert list(producer.suppressions(account)) == []


def test_an_unknown_account_has_no_list(producer: AnyProducer, redis: Redis, account: str) -> None:
    for change in (producer.suppress, producer.unsuppress):
        with pytest.raises(UnknownAccount, match=rf"'nobody' is not configured \(known: {account}\)"):
            change("nobody", OUT)
    assert not redis.exists("tuma:{nobody}:suppressed")


def test_each_account_has_its_own(producer_for: Callable[..., AnyProducer], redis: Redis) -> None:
    one, other = Driver(redis, queue_of()), Driver(redis, queue_of(account="other"))
    producer_for().suppress("other", OUT)
    assert one.state_of(one.enqueue(OUT), OUT) == "queued"
    assert other.state_of(other.enqueue(OUT), OUT) == "suppressed"
