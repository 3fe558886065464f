"""What is asked about a schedule that the provider keeps, and what its answers come to, in whichever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import number, numbers, queue_of
from tests.redis.keeping import Keeping, jobs

from tuma_worker.core.answers import Accepted, TryLater, Unknown
from tuma_worker.core.custody import Conclusion, Custody, Result, Shown, Told
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.queue.scripts import Claim, Wait, claim
from tuma_worker.store.schedule_index import ScheduleIndex

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.results import Verb


@pytest.fixture
def driver(redis: Redis) -> Keeping:
    return Keeping(redis, queue_of(batch_max=1000))


# --------------------------------------------------------------------------------------------------------- asking for verbs


def test_a_verb_is_requested_once_however_often_it_is_asked_for(driver: Keeping) -> None:
    intent = driver.handed_over(*numbers(2))
    for _ in range(3):
        told = driver.ask("pause", intent)
        assert (told.outcome, told.custody, told.with_provider) == ("requested", "pausing", tuple(numbers(2)))
    assert (jobs(driver.redis, "control"), driver.story(intent)[-1]) == ([intent], "custody-pausing")
    assert driver.conclude(intent, Custody.PAUSED)
    told = driver.ask("pause", intent)
    assert (told.outcome, told.custody, told.stopped) == ("done", "paused", tuple(numbers(2)))
    assert (driver.get(intent).state, jobs(driver.redis, "control")) == ("paused", [intent])


def test_the_last_of_what_is_asked_for_meanwhile_follows(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    assert driver.ask("resume", intent).outcome == "requested"
    assert driver.ask("cancel", intent).outcome == "requested"
    assert [driver.ask(verb, intent).outcome for verb in ("pause", "resume")] == ["refused", "refused"]
    assert driver.conclude(intent, Custody.PAUSED)
    assert (driver.custody(intent), driver.kept(intent).verb) == ("cancelling", "cancel")
    assert driver.story(intent)[-2:] == ["custody-paused", "custody-cancelling"]
    assert driver.conclude(intent, Custody.CANCELLED, of=0)
    assert driver.ask("cancel", intent).outcome == "done"
    assert driver.custodies.load(intent) is None


def test_what_is_taken_back_before_it_began_does_not_follow(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    driver.ask("resume", intent)
    assert driver.ask("pause", intent).outcome == "requested"
    assert driver.conclude(intent, Custody.PAUSED)
    assert (driver.custody(intent), driver.custodies.load(intent)) == ("paused", None)


@pytest.mark.parametrize("result", [Result.UNSUPPORTED, Result.TOO_LATE])
def test_what_cannot_be_is_remembered_for_that_verb(driver: Keeping, result: Result) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    driver.conclude(intent, Custody.HANDED_OVER, result)
    assert [driver.ask("pause", intent).outcome for _ in range(2)] == [result, result]
    assert (driver.ask("pause", intent).advice is not None) == (result is Result.UNSUPPORTED)
    assert driver.ask("cancel", intent).outcome == "requested"


def test_what_stayed_unknown_is_asked_for_anew(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    driver.conclude(intent, Custody.UNKNOWN, Result.UNKNOWN)
    found = driver.get(intent).custody
    assert found is not None
    assert (found.state, found.asked, found.outcome) == ("unknown-at-provider", "pause", "unknown")
    assert driver.ask("pause", intent).outcome == "requested"
    assert driver.kept(intent).stood is Custody.UNKNOWN


def test_a_verb_during_the_hand_over_waits_for_it(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    told = driver.ask("pause", intent)
    assert (told.outcome, told.custody) == ("requested", "handing-over")
    assert driver.ask("pause", intent).outcome == "requested"
    assert driver.kept(intent).under_way
    driver.settle(batch)
    assert driver.custody(intent) == "handed-over"
    kept = driver.kept(intent)
    assert driver.custodies.take_up(kept)
    assert driver.custodies.take_up(kept)
    assert (driver.custody(intent), driver.story(intent).count("custody-pausing")) == ("pausing", 1)


def test_what_comes_back_from_a_hand_over_is_as_was_asked_for_meanwhile(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    driver.ask("cancel", intent)
    driver.settle(batch, TryLater("1402"))
    assert (driver.get(intent).counts, driver.custody(intent)) == ({"cancelled": 1}, "not-handed-over")
    kept = driver.kept(intent)
    assert (kept.under_way, kept.calls) == (False, {})
    driver.custodies.conclude(kept, Conclusion(kept.stood, Result.DONE), of=None, skipped=0, shows_pauses=False)
    assert [driver.ask(verb, intent).outcome for verb in ("cancel", "pause", "resume")] == ["done", "refused", "refused"]


# ------------------------------------------------------------------------------------------------------------- its campaign


def test_a_verb_for_a_campaign_reaches_what_the_provider_keeps_and_says_that_it_is_asked(driver: Keeping) -> None:
    other = driver.handed_over(number(9))
    kept = driver.handed_over(number(0), campaign_name="spring")
    waits = driver.kept_by_provider(number(1), campaign_name="spring")
    driver.enqueue(number(2), campaign_name="spring")
    for _ in range(2):
        told = driver.ask_campaign("cancel")
        assert (told.outcome, told.intents, told.stopped, told.with_provider, told.requested) == ("requested", 3, 2, 1, 1)
    assert (driver.custody(kept), driver.custody(waits), driver.custody(other)) == ("cancelling", "not-handed-over", "handed-over")
    assert jobs(driver.redis, "control") == [kept]
    driver.conclude(kept, Custody.CANCELLED, of=0)
    told = driver.ask_campaign("cancel")
    assert (told.outcome, told.stopped, told.with_provider, told.requested) == ("done", 3, 0, 0)


def test_what_arrives_in_a_paused_campaign_is_not_handed_over_before_it_is_resumed(driver: Keeping) -> None:
    driver.enqueue(number(1), campaign_name="spring")
    assert driver.ask_campaign("pause").outcome == "done"
    intent = driver.kept_by_provider(campaign_name="spring", idempotency_key="k")
    assert (driver.get(intent).state, driver.get(intent).counts) == ("paused", {"accepted": 1})
    assert driver.story(intent) == ["accepted", "paused"]
    assert isinstance(driver.claim(), Wait)
    assert driver.ask_campaign("resume").outcome == "done"
    assert f"{intent}:{number(0)}" in [job.subject for _ in range(2) for job in driver.taken().jobs]


@pytest.mark.parametrize(("result", "outcome"), [(Result.UNSUPPORTED, "too-late"), (Result.TOO_LATE, "too-late")])
def test_a_campaign_that_the_provider_does_not_stop_is_not_told_as_stopped(driver: Keeping, result: Result, outcome: str) -> None:
    kept = driver.handed_over(number(0), campaign_name="spring")
    driver.ask_campaign("pause")
    driver.conclude(kept, Custody.HANDED_OVER, result)
    told = driver.ask_campaign("pause")
    assert (told.outcome, told.stopped, told.with_provider, told.requested) == (outcome, 0, 1, 0)
    driver.enqueue(number(1), campaign_name="spring")
    assert driver.ask_campaign("pause").outcome == "partly"


def test_a_campaign_of_which_nobody_can_tell_is_unknown(driver: Keeping) -> None:
    driver.kept_by_provider(number(0), campaign_name="spring")
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    driver.settle(batch, Unknown("timeout"))
    driver.attempts.apply(batch.batch_id, begun.targets, RecipientState.UNKNOWN, Evidence.ASSUMED, reason="unanswered")
    told = driver.ask_campaign("cancel")
    assert (told.outcome, told.stopped) == ("unknown", 0)


# ------------------------------------------------------------------------------------------------- answers and what follows


def claimed(redis: Redis, operation: str) -> Claim | Wait:
    return claim(redis, queue_of(operation=operation), "token", "w1", last=False)


def test_the_last_answer_brings_one_look(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    found = claimed(driver.redis, "control")
    assert isinstance(found, Claim)
    assert (found.actor, [job.subject for job in found.jobs]) == ("steer", [intent])
    kept = driver.kept(intent)
    (batch_id,) = kept.calls
    driver.custodies.told(kept, batch_id, Told.DONE, last=True)
    driver.custodies.told(kept, batch_id, Told.UNKNOWN, last=True)
    assert (driver.kept(intent).told, jobs(driver.redis, "status")) == ({batch_id: Told.DONE}, [intent])
    driver.custodies.shown(kept, batch_id, Shown.PAUSED)
    assert driver.kept(intent).shown == {batch_id: Shown.PAUSED}
    looked = claimed(driver.redis, "status")
    assert isinstance(looked, Claim)
    assert looked.actor == "look"
    assert driver.custodies.conclude(kept, Conclusion(Custody.PAUSED, Result.DONE), of=None, skipped=0, shows_pauses=True)
    before = driver.snapshot()
    driver.custodies.told(kept, batch_id, Told.UNKNOWN, last=True)
    assert not driver.custodies.conclude(kept, Conclusion(Custody.UNKNOWN, Result.UNKNOWN), of=None, skipped=0, shows_pauses=False)
    assert not driver.custodies.take_up(kept)
    assert driver.snapshot() == before


def test_who_was_sent_nothing_is_cancelled_with_it(driver: Keeping) -> None:
    intent = driver.handed_over(*numbers(2))
    driver.ask("cancel", intent)
    driver.conclude(intent, Custody.CANCELLED, of=0)
    told = driver.ask("cancel", intent)
    assert (told.outcome, told.stopped) == ("done", tuple(numbers(2)))
    assert (driver.get(intent).state, driver.get(intent).counts) == ("cancelled", {"cancelled": 2})
    assert driver.story(intent)[-4:] == ["custody-cancelled", "cancelled", "cancelled", "done"]


def test_who_was_sent_something_before_a_cancel_ends_by_its_receipts(driver: Keeping) -> None:
    told, untold = numbers(2)
    intent = driver.handed_over(told, untold, days=(1, 2, 3))
    driver.receipt(intent, told, RecipientState.DELIVERED, "one")
    driver.ask("cancel", intent)
    driver.conclude(intent, Custody.CANCELLED, of=1)
    assert (driver.state_of(intent, told), driver.state_of(intent, untold)) == ("delivered", "submitted")
    assert driver.ask("cancel", intent).outcome == "partly"
    driver.receipt(intent, untold, RecipientState.FAILED, "two")
    assert (driver.get(intent).counts, driver.custody(intent)) == ({"delivered": 1, "failed": 1}, "cancelled")


def test_it_is_listed_with_what_we_keep_ourselves(driver: Keeping) -> None:
    intent = driver.handed_over(*numbers(2), campaign_name="spring")
    (listed,) = ScheduleIndex(driver.redis, driver.queue.account).latest(10)
    custody = listed.custody
    assert custody is not None
    assert (listed.id, listed.state, custody.state, custody.dispatches) == (driver.get(intent).id, "scheduled", "handed-over", 2)
    driver.ask("cancel", intent)
    driver.conclude(intent, Custody.CANCELLED, of=0)
    (listed,) = ScheduleIndex(driver.redis, driver.queue.account).latest(10)
    assert (listed.state, listed.custody and listed.custody.state) == ("done", "cancelled")


def test_dates_that_fell_into_a_pause_are_not_owed(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1, 2, 3))
    driver.ask("pause", intent)
    driver.conclude(intent, Custody.PAUSED)
    driver.receipt(intent, number(0), RecipientState.DELIVERED, "one")
    driver.ask("resume", intent)
    driver.conclude(intent, Custody.HANDED_OVER, of=1, skipped=2)
    found = driver.get(intent)
    assert found.custody is not None
    assert (found.counts, found.custody.dispatches, found.custody.state) == ({"delivered": 1}, 1, "over")


def test_who_lost_all_dates_to_a_pause_expires(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1,))
    driver.ask("pause", intent)
    driver.conclude(intent, Custody.PAUSED)
    driver.ask("resume", intent)
    driver.conclude(intent, Custody.HANDED_OVER, of=0, skipped=1)
    (one,) = driver.get(intent).recipients
    assert (one.state, one.reason, driver.custody(intent)) == ("expired", "paused", "over")


# --------------------------------------------------------------------------------------------- a hand-over in several calls


def test_a_hand_over_in_two_calls_is_over_with_the_second_and_is_steered_by_a_call_for_each(redis: Redis) -> None:
    driver = Keeping(redis, queue_of(batch_max=3))  # it was larger when the send was accepted
    intent = driver.kept_by_provider(*numbers(4))
    for provider_id in ("first", "second"):
        batch = driver.taken()
        assert driver.begin(batch) is not None
        assert driver.settle(batch, Accepted(provider_id))
    assert driver.custody(intent) == "handed-over"
    assert driver.ask("pause", intent).outcome == "requested"
    assert jobs(redis, "control") == [intent]
    assert sorted(driver.kept(intent).calls.values()) == ["first", "second"]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_while_only_some_are_handed_over_a_verb_is_not_told_as_done(redis: Redis, verb: Verb) -> None:
    driver = Keeping(redis, queue_of(batch_max=3))
    intent = driver.kept_by_provider(*numbers(4))
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch)
    assert driver.custody(intent) == "handing-over"
    assert driver.ask(verb, intent).outcome == "requested"
    assert jobs(redis, "control") == [intent]
