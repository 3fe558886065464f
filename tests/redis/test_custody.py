"""Schedules that the provider keeps: accepted by its terms, and handed over once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest
from tests.redis.driver import number, numbers, queue_of
from tests.redis.keeping import TERMS, Keeping, dates, jobs, publish

from tuma_producer import Every, IdempotencyConflict, InvalidSchedule, InvalidSend, NotEditable, Send
from tuma_producer.contract.custody import check
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import Accepted, Rejected, Reply, TryLater, Unknown
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.next_step import Policy
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.custody import Keeper
from tuma_worker.dispatch.sending import Outlet, Sender
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim
from tuma_worker.store.moves import apply_request

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer.quiet import Action
    from tuma_producer.schedules import Schedule
    from tuma_worker.providers.base import Call


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
    driver.attempts.adopt(batch.batch_id, begun.targets, Accepted("p"))
    assert driver.custody(intent) == "handed-over"
    assert driver.ask("cancel", intent).outcome == "requested"
    assert driver.kept(intent).calls == {batch.batch_id: "p"}


def test_the_id_that_a_receipt_told_is_kept_by_an_answer_without_one(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    receipt = apply_request(
        driver.account, batch.batch_id, begun.targets, RecipientState.SUBMITTED, Evidence.PROVIDER, provider_id="p",
        phase="accepted", by_receipt=True,
    )  # fmt: skip
    receipt.run(driver.redis)
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
