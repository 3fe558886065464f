"""Schedules that the provider keeps, as the scripts write them: whatever is asked, answered and told in whichever order."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest
from tests.redis.driver import Driver, number, numbers, queue_of

from tuma_producer import At, Every, IdempotencyConflict, InvalidSchedule, InvalidSend, NotEditable, Producer, Send
from tuma_producer.contract.custody import Terms, check
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import Accepted, Rejected, Reply, TryLater, Unknown
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.custody import Conclusion, Custody, Result, Shown, Told
from tuma_worker.core.next_step import Policy
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.custody import Keeper, Steerer
from tuma_worker.dispatch.sending import Outlet, Sender
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.queue.config import CRASHES_TOLERATED
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, Wait, claim, push, release
from tuma_worker.store import accounts
from tuma_worker.store.custody import Custodies, tally_request
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer import CampaignResult, ControlResult, Intent
    from tuma_producer.intents import Verb
    from tuma_producer.quiet import Action
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.custody import Standing, Steered
    from tuma_worker.providers.base import Call
    from tuma_worker.store.custody import Kept

TERMS = Terms(tz="Africa/Kinshasa", lead=120_000, dates=20, dispatches=1000, recipients=1000)
CONTROL, STATUS = queue_of(operation="control"), queue_of(operation="status")


class Keeping(Driver):
    """A driver of an account whose provider keeps dates, and of the queues of its verbs and looks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        publish(self.redis, TERMS.published)

    @property
    def custodies(self) -> Custodies:
        return Custodies(self.redis, self.queue.account)

    def kept_by_provider(self, *to: str, days: tuple[float, ...] = (1, 2), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        return self.enqueue(*(to or [number(0)]), schedule=dates(*days), custody="provider", **more)

    def handed_over(self, *to: str, days: tuple[float, ...] = (1, 2), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        intent = self.kept_by_provider(*to, days=days, **more)
        batch = self.taken()
        assert self.begin(batch) is not None
        self.custodies.keep(batch.batch_id, int((datetime.now(UTC) + timedelta(days=max(days))).timestamp() * 1000))
        assert self.settle(batch)
        assert self.custody(intent) == "handed-over"
        return intent

    def custody(self, intent: str) -> str:
        return cast("bytes", self.redis.hget(self.account.intent(intent), "custody")).decode()

    def ask(self, verb: Verb, intent: str) -> ControlResult:
        result: ControlResult = getattr(Producer(self.redis), verb)(f"{self.queue.account}.{intent}")
        return result

    def ask_campaign(self, verb: Verb) -> CampaignResult:
        result: CampaignResult = getattr(Producer(self.redis), f"{verb}_campaign")(self.queue.account, "spring")
        return result

    def get(self, intent: str) -> Intent:
        return Producer(self.redis).get(f"{self.queue.account}.{intent}")

    def kept(self, intent: str) -> Kept:
        found = self.custodies.load(intent)
        assert found is not None
        return found

    def conclude(
        self, intent: str, custody: Custody, result: Result = Result.DONE, of: int | None = None, skipped: int = 0
    ) -> bool:  # fmt: skip
        return self.custodies.conclude(
            self.kept(intent), Conclusion(custody, result), of=of, skipped=skipped, shows_pauses=custody is Custody.PAUSED
        )

    def receipt(self, intent: str, to: str, state: RecipientState, event_id: str, *, batch: str | None = None) -> int:
        (batch_id,) = cast("bytes", self.redis.hget(self.account.intent(intent), "attempts")).decode().split()
        evidence = Evidence.HANDSET if state is RecipientState.DELIVERED else Evidence.OPERATOR
        receipt = Receipt("sms", "provider-1", to, state, evidence, event_id=event_id)
        return int(tally_request(self.account, batch or batch_id, intent, receipt).run(self.redis))

    def story(self, intent: str) -> list[str]:
        events = [event for event in self.events() if event.get("i") == intent]
        assert [int(event["q"]) for event in events] == list(range(1, len(events) + 1))
        return [event["e"] for event in events]


def publish(redis: Redis, keeps: str) -> None:
    queue = queue_of()
    accounts.register(redis, queue.account, provider="lisoloo", environment="sandbox", queue=queue.for_claim, keeps=keeps)


def dates(*days: float) -> At:
    return At(times=[(datetime.now(UTC) + timedelta(days=one)).replace(second=0, microsecond=0) for one in days])


def jobs(redis: Redis, operation: str) -> list[str]:
    """The subjects of the jobs that wait in a queue."""
    keys = queue_of(operation=operation).keys
    found = cast("Any", redis.zrange(keys.entries, 0, -1)) + cast("Any", redis.zrange(keys.due, 0, -1))
    return [member.decode().rpartition("|")[2] for member in found]


@pytest.fixture
def driver(redis: Redis) -> Keeping:
    return Keeping(redis, queue_of(batch_max=1000))


# --------------------------------------------------------------------------------------------------------------- acceptance


def keep(producer: AnyProducer, schedule: Schedule, **more: Any) -> str:  # noqa: ANN401 - fields of Send
    return str(
        producer.enqueue(Send(account="lisoloo-main", to=number(0), message="x", schedule=schedule, custody="provider", **more)).id
    )


def test_it_is_accepted_by_the_terms_that_the_account_publishes(driver: Keeping, producer: AnyProducer) -> None:
    intent_id = keep(producer, dates(1, 2))
    intent = producer.get(intent_id)
    assert intent.custody is not None
    assert (intent.state, intent.counts, intent.custody.state, intent.custody.dispatches) == (
        "scheduled", {"queued": 1}, "handing-over", 2,
    )  # fmt: skip
    assert intent.schedule is not None
    assert [intent.custody.first, intent.custody.last] == [firing.at for firing in intent.schedule.firings()]
    assert intent.expires == intent.custody.first - timedelta(seconds=120)
    publish(driver.redis, TERMS.published.replace("20,", "1,").replace("Kinshasa", "Nairobi"))
    with pytest.raises(InvalidSchedule, match="at most 1 "):
        keep(producer, dates(1, 2))


@pytest.mark.usefixtures("driver")
def test_a_series_must_be_handed_over_before_the_day_on_which_it_starts(producer: AnyProducer) -> None:
    zone = ZoneInfo(TERMS.tz)
    start = datetime.now(zone).date() + timedelta(days=2)
    every = Every(frequency="daily", times=["18:00"], start=start, end=start, tz=TERMS.tz)
    expires = producer.get(keep(producer, every)).expires
    assert expires == datetime.combine(start, time.min, zone) - timedelta(milliseconds=1)
    may_go = partial(check, every, TERMS, to=[number(0)], priority="bulk", ignore_quiet=False)
    may_go(now=expires)
    with pytest.raises(InvalidSchedule, match="tomorrow or later"):
        may_go(now=expires + timedelta(milliseconds=1))


def test_what_the_provider_cannot_keep_is_refused_at_the_door(driver: Keeping, producer: AnyProducer) -> None:
    with pytest.raises(InvalidSchedule, match="times: with custody provider must lie at least 120 seconds ahead"):
        keep(producer, dates(-1))
    publish(driver.redis, "")
    with pytest.raises(InvalidSend, match="custody: must be worker: the account's provider keeps no schedules"):
        keep(producer, dates(1))
    assert driver.waiting() == []


def test_among_many_each_is_judged_by_itself(driver: Keeping, producer: AnyProducer) -> None:
    assert driver.waiting() == []
    sends = [
        Send(account="lisoloo-main", to=number(index), message="x", schedule=dates(day), custody="provider")
        for index, day in enumerate((1, -1, 2))
    ]
    kinds = [type(result).__name__ for result in producer.enqueue_many(sends, return_errors=True)]
    assert kinds == ["Receipt", "InvalidSchedule", "Receipt"]


def test_an_idempotency_key_stands_for_it(driver: Keeping, producer: AnyProducer) -> None:
    schedule = dates(1, 2)
    first = keep(producer, schedule, idempotency_key="k")
    assert keep(producer, schedule, idempotency_key="k") == first
    with pytest.raises(IdempotencyConflict):
        keep(producer, dates(3), idempotency_key="k")
    assert len(driver.waiting()) == 1


def test_it_shares_no_call_with_others(driver: Keeping) -> None:
    for to in numbers(2):
        driver.kept_by_provider(to, message="the same")
    assert [len(driver.taken().jobs) for _ in range(2)] == [1, 1]


def test_an_edit_is_refused_and_says_what_to_do_instead(driver: Keeping, producer: AnyProducer) -> None:
    for intent in (driver.handed_over(), driver.kept_by_provider()):
        before = driver.snapshot()
        with pytest.raises(NotEditable, match="the provider keeps its dates and cannot change them; cancel it and send another"):
            producer.edit(f"{driver.queue.account}.{intent}", message="another")
        assert driver.snapshot() == before


# ------------------------------------------------------------------------------------------------------------ the hand-over


@pytest.mark.parametrize("action", ["defer", "expire"])
def test_a_hand_over_is_no_message_that_quiet_hours_hold(redis: Redis, action: Action) -> None:
    hours = Hours.parse(f"{datetime.now(UTC) - timedelta(hours=2):%H:%M}-{datetime.now(UTC) + timedelta(hours=8):%H:%M}")
    driver = Keeping(redis, queue_of(batch_max=1000, quiet=Quiet(hours, action=action)))
    driver.handed_over(number(0), priority="bulk")
    driver.enqueue(number(1), priority="bulk")
    found = driver.claim()
    assert (found.actor if isinstance(found, Claim) else "nobody") == ("nobody" if action == "defer" else "quiet")


class Keeps:
    """A provider that keeps whatever is handed over to it."""

    def hand_over(self, call: Call, schedule: Schedule) -> Reply:
        assert next(schedule.firings()) is not None
        return Reply(Accepted(f"for {call.reference}"))


@pytest.mark.parametrize(
    ("sends", "custody"),
    [
        ({"priority": "bulk"}, "not-handed-over"),
        ({"priority": "bulk", "ignore_quiet": True}, "handed-over"),
        ({"priority": "transactional"}, "handed-over"),
    ],
)
def test_what_quiet_hours_that_came_after_its_acceptance_forbid_is_not_handed_over(
    driver: Keeping, sends: dict[str, Any], custody: str
) -> None:
    intent = driver.kept_by_provider(number(1), **sends)
    always = Quiet(Hours.parse("00:00-23:59"), priorities=("bulk",), zone="UTC")
    keeper = Keeper(cast("Any", Keeps()), driver.custodies, replace(TERMS, quiet=always))
    outlet = Outlet(
        cast("Any", None), driver.attempts, Policy(), Breaker(), callbacks=None, sender_id=None, keeps_books=False, keeper=keeper
    )
    sender = Sender({driver.queue.account: outlet}, choose=lambda most: most, secret=lambda: "token", pause=lambda _: None)
    sender.send(Held(driver.queue, driver.taken(), until=1.0, clock=lambda: 0.0))
    assert driver.custody(intent) == custody
    assert driver.state_of(intent, number(1)) == ("rejected" if custody == "not-handed-over" else "submitted")


def test_it_is_handed_over_once_the_last_recipient_is(driver: Keeping) -> None:
    intent = driver.kept_by_provider(*numbers(3))
    batch = driver.taken()
    driver.begin(batch)
    assert driver.custody(intent) == "handing-over"
    driver.settle(batch)
    assert driver.custody(intent) == "handed-over"
    assert driver.story(intent) == ["accepted", *["sending"] * 3, *["submitted"] * 3, "custody-handed-over"]


def test_a_call_that_is_put_off_is_still_to_be_handed_over(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, TryLater("1402"))
    assert (driver.custody(intent), driver.get(intent).counts) == ("handing-over", {"queued": 1})


def test_what_the_provider_refuses_was_never_handed_over(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, Rejected("1106"))
    assert driver.custody(intent) == "not-handed-over"
    assert driver.story(intent)[-3:] == ["rejected", "done", "custody-not-handed-over"]
    assert [driver.ask(verb, intent).outcome for verb in ("cancel", "pause", "resume")] == ["too-late"] * 3


def test_a_hand_over_that_stays_unknown_says_so_until_evidence_comes(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    driver.settle(batch, Unknown("timeout"))
    driver.attempts.apply(batch.batch_id, begun.targets, RecipientState.UNKNOWN, Evidence.ASSUMED, reason="unanswered")
    assert driver.custody(intent) == "unknown-at-provider"
    assert (driver.ask("cancel", intent).outcome, jobs(driver.redis, "control")) == ("unknown", [])
    driver.attempts.apply(
        batch.batch_id, begun.targets, RecipientState.SUBMITTED, Evidence.PROVIDER, provider_id="p", phase="accepted"
    )
    assert driver.custody(intent) == "handed-over"
    assert driver.ask("cancel", intent).outcome == "requested"
    assert driver.kept(intent).calls == {batch.batch_id: "p"}


def test_the_id_that_a_receipt_told_is_kept_by_an_answer_without_one(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    driver.attempts.apply(
        batch.batch_id, begun.targets, RecipientState.SUBMITTED, Evidence.PROVIDER, provider_id="p", phase="accepted"
    )
    driver.settle(batch, Unknown("reset"))
    driver.ask("cancel", intent)
    assert driver.kept(intent).calls == {batch.batch_id: "p"}


def test_an_attempt_is_remembered_beyond_its_last_date(driver: Keeping) -> None:
    driver.handed_over(days=(30,))
    for known in (driver.account.batch("*"), driver.account.provider_id("*")):
        (key,) = cast("Any", driver.redis.keys(known))
        assert driver.redis.ttl(key) > 33 * 86_400


def test_one_without_an_answer_is_remembered_no_less(driver: Keeping) -> None:
    driver.kept_by_provider(days=(300,))
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    driver.custodies.keep(batch.batch_id, driver.server_ms() + 300 * 86_400_000)
    driver.settle(batch, Unknown("timeout"))
    assert driver.redis.ttl(driver.account.batch(batch.batch_id)) > 303 * 86_400
    driver.attempts.apply(batch.batch_id, begun.targets, RecipientState.SUBMITTED, Evidence.PROVIDER, phase="accepted")
    assert driver.redis.ttl(driver.account.batch(batch.batch_id)) > 303 * 86_400


# ----------------------------------------------------------------------------------------------------------- asking for verbs


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


# ------------------------------------------------------------------------------------------------------- answers and what follows


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


# --------------------------------------------------------------------------------------------------------------- receipts


def test_a_recipient_ends_when_all_its_dates_have_been_told_of(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1, 2))
    assert driver.receipt(intent, number(0), RecipientState.SENT, "sent one") == 1
    assert driver.receipt(intent, number(0), RecipientState.DELIVERED, "one") == 1
    (one,) = driver.get(intent).recipients
    assert (one.state, one.deliveries, one.failures, driver.custody(intent)) == ("sent", 1, 0, "handed-over")
    assert driver.receipt(intent, number(0), RecipientState.DELIVERED, "two") == 1
    (one,) = driver.get(intent).recipients
    assert (one.state, one.evidence, one.deliveries) == ("delivered", "handset", 2)
    assert driver.story(intent)[-6:] == ["sent", "counted", "counted", "delivered", "done", "custody-over"]


def test_a_receipt_that_comes_again_counts_once(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1, 2))
    assert [driver.receipt(intent, number(0), RecipientState.DELIVERED, "one") for _ in range(3)] == [1, 0, 0]
    assert driver.get(intent).recipients[0].deliveries == 1


def test_a_receipt_of_another_attempt_counts_nothing(driver: Keeping) -> None:
    intent = driver.handed_over()
    assert driver.receipt(intent, number(0), RecipientState.DELIVERED, "one", batch="another") == 0
    assert driver.receipt(intent, number(9), RecipientState.DELIVERED, "two") == 0


ENDS = {
    "all failed": (["failed", "undelivered"], ("undelivered", None)),
    "some failed": (["delivered", "failed"], ("failed", "delivered-1-of-2")),
    "unknown to the provider": (["unknown", "unknown"], ("unknown", None)),
}


@pytest.mark.parametrize(("states", "end"), ENDS.values(), ids=ENDS)
def test_an_end_says_what_became_of_the_dates(driver: Keeping, states: list[str], end: tuple[str, str | None]) -> None:
    intent = driver.handed_over(days=(1, 2))
    for place, state in enumerate(states):
        driver.receipt(intent, number(0), RecipientState(state), str(place))
    (one,) = driver.get(intent).recipients
    assert (one.state, one.reason) == end


def test_silence_counts_from_the_last_date_on(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1,))
    patient = Unowned(driver.redis, driver.queue, receipts_for=0.0)
    assert patient.close(patient.look().silent) == 0
    driver.redis.hset(driver.account.intent(intent), "last", driver.server_ms() - 1)
    driver.until(driver.server_ms() + 5)
    assert patient.close(patient.look().silent) == 1
    (one,) = driver.get(intent).recipients
    assert (one.state, one.reason, driver.custody(intent)) == ("unknown", "no-receipt", "over")
    driver.receipt(intent, number(0), RecipientState.DELIVERED, "late")
    assert driver.get(intent).counts == {"delivered": 1}


# ------------------------------------------------------------------------------------------------ a hand-over in several calls


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


# ------------------------------------------------------------------------------------------------------- jobs that kill or are lost

LEASE = 0.05


class Nobody:
    """A provider that must not be called."""

    def hand_over(self, call: Call, schedule: Schedule) -> Reply:
        raise AssertionError((call, schedule))

    def steer(self, verb: Verb, provider_id: str) -> Steered:
        raise AssertionError((verb, provider_id))

    def standing(self, provider_id: str) -> Standing:
        raise AssertionError(provider_id)


def held(redis: Redis, operation: str) -> Held:
    """The next job of a queue, in the hand of a worker."""
    queue = queue_of(operation=operation, lease=LEASE)
    found = claim(redis, queue, secrets.token_hex(8), "w1", last=False)
    assert isinstance(found, Claim), found
    return Held(queue, found, until=1.0, clock=lambda: 0.0)


def killing(driver: Keeping, operation: str) -> Held:
    """Let workers die over the job in a queue until another comes in its place."""
    for _ in range(CRASHES_TOLERATED):
        assert held(driver.redis, operation).claim.actor in {"steer", "look"}
        driver.until(driver.server_ms() + 1000 * LEASE + 1)
    return held(driver.redis, operation)


@pytest.mark.parametrize("operation", ["control", "status"])
def test_a_verb_that_kills_its_workers_ends_with_that_reason_and_may_be_asked_for_again(driver: Keeping, operation: str) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    if operation == "status":
        asking = held(driver.redis, "control")
        kept = driver.kept(intent)
        driver.custodies.told(kept, next(iter(kept.calls)), Told.DONE, last=True)
        assert release(driver.redis, asking.queue, asking.claim.batch_id, Release.CALLED)
    last = killing(driver, operation)
    steerer = Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)})
    steerer.abandon(last)
    custody = driver.get(intent).custody
    assert custody is not None
    assert (custody.state, custody.outcome) == ("unknown-at-provider", "worker-died")
    assert driver.events()[-1]["w"] == "worker-died"
    before = driver.snapshot()
    steerer.abandon(last)
    assert driver.snapshot() == before, "a repeat finds it concluded"
    assert release(driver.redis, last.queue, last.claim.batch_id, Release.DONE)
    assert driver.ask("pause", intent).outcome == "requested"
    again = held(driver.redis, "control")
    assert again.claim.actor == "steer"


def test_a_verb_that_kills_its_workers_before_the_hand_over_is_over_waits_for_that(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    driver.ask("cancel", intent)
    last = killing(driver, "control")
    steerer = Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)})
    steerer.abandon(last)
    assert last.settled
    assert driver.ask("cancel", intent).outcome == "requested"
    assert jobs(driver.redis, "control") == [intent]


def test_a_look_that_comes_late_says_nothing_of_the_next_verb(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    push(driver.redis, STATUS, "look.1.1.-", intent)
    found = held(driver.redis, "status")
    before = driver.kept(intent)
    Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)}).look(found)
    assert driver.kept(intent).shown == before.shown == {}


def lose(redis: Redis, operation: str) -> None:
    """Delete the jobs of a queue, as nobody ever should."""
    keys = queue_of(operation=operation).keys
    redis.delete(keys.entries, keys.groups, keys.due, *map(keys.sources, range(3)))


@pytest.mark.parametrize("operation", ["control", "status"])
def test_a_verb_whose_job_was_lost_is_found_at_the_second_look_and_goes_on(driver: Keeping, operation: str) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    if operation == "status":
        kept = driver.kept(intent)
        driver.custodies.told(kept, next(iter(kept.calls)), Told.DONE, last=True)
        lose(driver.redis, "control")
    lose(driver.redis, operation)
    sweeper = Sweeper([Unowned(driver.redis, driver.queue)], "w1", every=60)
    assert [(one.suspected, one.restored) for one in sweeper.run_once()] == [(1, 0)]
    assert [(one.restored, one.intents) for one in sweeper.run_once()] == [(1, (intent,))]
    assert (jobs(driver.redis, "control"), jobs(driver.redis, "status")) == (([intent], []), ([], [intent]))[operation == "status"]
    found = held(driver.redis, operation)
    assert found.claim.actor == ("look" if operation == "status" else "steer")
    assert [(one.suspected, one.restored) for one in sweeper.run_once()] == [(0, 0)], "a worker holds it"


def test_a_verb_that_has_ended_for_all_its_recipients_is_found_as_well(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1,))
    driver.ask("pause", intent)
    driver.receipt(intent, number(0), RecipientState.DELIVERED, "e1")
    lose(driver.redis, "control")
    sweeper = Sweeper([Unowned(driver.redis, driver.queue)], "w1", every=60)
    sweeper.run_once()
    assert [one.restored for one in sweeper.run_once()] == [1]


def test_a_verb_that_moved_on_between_two_looks_is_not_given_a_job(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    lose(driver.redis, "control")
    unowned = Unowned(driver.redis, driver.queue)
    lost = unowned.look().lost
    assert driver.conclude(intent, Custody.PAUSED)
    assert unowned.restore(lost) == 0
    assert jobs(driver.redis, "control") == []
