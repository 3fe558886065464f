"""What is really lost is found, said, and put back once; what is in anybody's hand is left alone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import GIVEN_UP, Driver, number, numbers, queue_of, target_of, virtual_clock

from tuma_producer import At, Producer
from tuma_worker.core.answers import Rejected, TryLater
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.sweeping import Sweeper, Swept
from tuma_worker.queue.scripts import Claim, Release, push
from tuma_worker.store.moves import Target
from tuma_worker.store.unowned import Unowned, Walk

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=10, lease=0.2))


@pytest.fixture
def unowned(driver: Driver) -> Unowned:
    return Unowned(driver.redis, driver.queue)


@pytest.fixture
def sweeper(unowned: Unowned) -> Sweeper:
    return Sweeper([unowned], "w1", every=60)


def lose_the_job(driver: Driver, subject: str) -> None:
    """Delete a job from the line or from the due set, as nobody ever should."""
    for key in (driver.queue.keys.entries, driver.queue.keys.due):
        members: Any = driver.redis.zrange(key, 0, -1)
        lost = [member for member in members if member.decode().rpartition("|")[2] == subject]
        if lost:
            driver.redis.zrem(key, *lost)
            return
    raise AssertionError(subject)


def test_a_recipient_whose_job_was_lost_from_the_line_is_found_at_the_second_look_and_sent_once(
    driver: Driver, sweeper: Sweeper
) -> None:
    intent = driver.enqueue(*numbers(3))
    lose_the_job(driver, f"{intent}:{number(1)}")
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, suspected=1)]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, restored=1, intents=(intent,))]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True)]
    sent = []
    while isinstance(batch := driver.claim(), Claim):
        assert driver.begin(batch) is not None
        sent += [target_of(job.subject).number for job in batch.jobs]
        driver.settle(batch)
    assert sorted(sent) == numbers(3)


def test_who_was_put_off_and_whose_job_was_lost_waits_for_the_same_time_again(driver: Driver, sweeper: Sweeper) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, TryLater("503", after=3600.0))
    due = driver.due()
    lose_the_job(driver, f"{intent}:{number(1)}")
    assert [one.suspected for one in sweeper.run_once()] == [1]
    assert [one.restored for one in sweeper.run_once()] == [1]
    assert driver.due() == due
    assert [one.suspected for one in sweeper.run_once()] == [0]


def lose_the_groups(driver: Driver) -> None:
    """Delete what leads a claim to the jobs in the line, as nobody ever should."""
    keys = driver.queue.keys
    driver.redis.delete(keys.groups, *map(keys.sources, range(3)))


def test_a_job_that_no_claim_would_find_is_found_at_the_second_look_and_sent_once(driver: Driver, sweeper: Sweeper) -> None:
    intent = driver.enqueue(*numbers(3))
    lose_the_groups(driver)
    driver.refused()
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, suspected=3)]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, restored=3, intents=(intent,))]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True)]
    assert [target_of(job.subject).number for job in driver.send().jobs] == numbers(3)


def test_a_resolve_job_that_no_claim_would_find_is_found_too(driver: Driver, sweeper: Sweeper) -> None:
    driver.enqueue()
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, GIVEN_UP)
    lose_the_job(driver, batch.batch_id)
    assert [one.suspected for one in sweeper.run_once()] == [1]
    assert [one.restored for one in sweeper.run_once()] == [1]
    lose_the_groups(driver)
    assert [one.suspected for one in sweeper.run_once()] == [1]
    assert [one.restored for one in sweeper.run_once()] == [1]
    assert driver.taken().actor == "resolve"


def test_who_joins_a_group_that_no_claim_would_find_brings_it_back(driver: Driver) -> None:
    driver.enqueue(number(1), message="The same")
    lose_the_groups(driver)
    driver.enqueue(number(2), message="The same")
    assert sorted(target_of(job.subject).number for job in driver.send().jobs) == numbers(2, 1)


def test_an_unanswered_call_that_nobody_would_resolve_is_resolved_by_one_job_for_all_its_recipients(
    driver: Driver, sweeper: Sweeper
) -> None:
    first, second = driver.enqueue(number(1), message="The same"), driver.enqueue(number(2), message="The same")
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, GIVEN_UP)
    lose_the_job(driver, batch.batch_id)
    assert [one.suspected for one in sweeper.run_once()] == [2]
    assert [one.restored for one in sweeper.run_once()] == [1]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True)]
    resolve = driver.taken()
    assert (resolve.actor, [job.subject for job in resolve.jobs]) == ("resolve", [batch.batch_id])
    assert {driver.state_of(first, number(1)), driver.state_of(second, number(2))} == {"sending"}


def test_who_is_in_a_call_for_longer_than_any_takes_is_without_an_answer(driver: Driver) -> None:
    driver.enqueue(*numbers(3))
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, GIVEN_UP)
    patient, now = Unowned(driver.redis, driver.queue), Unowned(driver.redis, driver.queue, call=0.0)
    assert patient.look() == Walk({}, {})
    driver.until(driver.server_ms() + 2)
    look = now.look()
    assert (look.unanswered, look.oldest > 0) == (3, True)
    driver.attempts.apply(
        batch.batch_id, [target_of(job.subject) for job in batch.jobs], RecipientState.SUBMITTED, Evidence.PROVIDER
    )
    assert now.look() == Walk({}, {})


def test_what_is_in_anybodys_hand_is_not_missed(driver: Driver, unowned: Unowned) -> None:
    def hands_are_empty() -> bool:
        return unowned.look().lost == {}

    driver.enqueue(*numbers(4))
    assert hands_are_empty(), "in the line"
    batch = driver.taken()
    assert hands_are_empty(), "claimed"
    driver.release(batch)
    assert hands_are_empty(), "back in its place"
    batch = driver.taken()
    driver.release(batch, Release.LATER, delay=0.0)
    assert hands_are_empty(), "put off"
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    assert hands_are_empty(), "calling"
    driver.settle(batch, TryLater("busy", after=0.0))
    assert hands_are_empty(), "to be tried later"
    driver.until(driver.server_ms() + 10)
    halved = driver.taken()
    driver.begin(halved)
    driver.settle(halved, Rejected("bad", suspect_numbers=True))
    assert hands_are_empty(), "in halves"
    half = driver.taken()
    assert hands_are_empty(), "one half claimed, the other in the line with a group of its own"
    driver.begin(half)
    driver.settle(half, GIVEN_UP)
    assert hands_are_empty(), "to be resolved"
    driver.attempts.resend(half.batch_id, [target_of(job.subject) for job in half.jobs], Evidence.ASSUMED, reason="test")
    assert hands_are_empty(), "sent again"


def test_a_call_that_is_looked_up_in_the_books_or_held_by_its_resolver_is_in_somebodys_hand(
    driver: Driver, unowned: Unowned
) -> None:
    driver.enqueue()
    batch = driver.taken()
    driver.begin(batch)
    driver.settle(batch, GIVEN_UP)
    lose_the_job(driver, batch.batch_id)
    push(driver.redis, driver.queue, f"trace.1.1.{batch.batch_id}", batch.batch_id, delay=60, lane=batch.lane, source=batch.source)
    assert unowned.look().lost == {}
    lose_the_job(driver, batch.batch_id)
    push(driver.redis, driver.queue, f"trace.1.1.{batch.batch_id}", batch.batch_id, lane=batch.lane, source=batch.source)
    assert unowned.look().lost == {}
    assert driver.taken().actor == "trace"
    assert unowned.look().lost == {}


def test_what_is_found_in_somebodys_hand_after_all_is_left(driver: Driver, unowned: Unowned) -> None:
    intent = driver.enqueue()
    seen = {target_of(f"{intent}:{number(0)}"): "queued"}
    assert unowned.restore(seen) == 0, "in the line"
    driver.taken()
    assert unowned.restore(seen) == 0, "claimed"
    assert driver.waiting() == []


def test_putting_back_repeated_changes_nothing(driver: Driver, unowned: Unowned) -> None:
    intent = driver.enqueue()
    lose_the_job(driver, f"{intent}:{number(0)}")
    seen = unowned.look().lost
    assert unowned.restore(seen) == 1
    before = driver.snapshot()
    assert unowned.restore(seen) == 0
    assert driver.snapshot() == before


def test_a_schedule_whose_job_was_lost_waits_again_at_the_second_look_and_fires(driver: Driver, sweeper: Sweeper) -> None:
    soon = datetime.fromtimestamp(driver.server_ms() / 1000 + 0.3, UTC)
    schedule = driver.enqueue(schedule=At(times=soon))
    waiting = driver.due()
    lose_the_job(driver, schedule)
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, suspected=1)]
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True, restored=1, intents=(schedule,))]
    assert driver.due() == waiting
    assert sweeper.run_once() == [Swept(driver.queue.account, looked=True)]
    driver.until(waiting[schedule])
    driver.fire(driver.taken())
    assert [event["e"] for event in driver.events() if event["i"] == schedule] == ["scheduled", "fired", "done"]


def test_schedules_that_wait_or_are_paused_or_are_over_are_not_missed(driver: Driver, unowned: Unowned) -> None:
    soon = datetime.fromtimestamp(driver.server_ms() / 1000 + 1, UTC)
    for verb in ("cancel", "pause"):
        schedule = driver.enqueue(schedule=At(times=soon + timedelta(days=1)))
        getattr(Producer(driver.redis), verb)(f"{driver.queue.account}.{schedule}")
    schedule = driver.enqueue(schedule=At(times=soon))
    assert unowned.look().lost == {}, "waiting"
    driver.until(driver.due()[schedule])
    other = driver.enqueue()
    batch = driver.taken()
    driver.release(batch)
    assert (sorted(driver.waiting()), unowned.look().lost) == (sorted([schedule, f"{other}:{number(0)}"]), {}), "in the line"
    assert unowned.restore({Target(schedule, ""): "1"}) == 0, "moved on since it was seen"


def test_one_worker_looks_after_an_account_until_it_is_gone(driver: Driver, unowned: Unowned) -> None:
    first, second = (Sweeper([unowned], name, every=0.05) for name in ("w1", "w2"))
    assert [one.looked for one in first.run_once()] == [True]
    assert [one.looked for one in second.run_once()] == [False]
    assert [one.looked for one in first.run_once()] == [True]
    driver.until(driver.server_ms() + 200)
    assert [one.looked for one in second.run_once()] == [True]


def test_during_a_busy_run_nothing_is_suspected_twice_and_nothing_put_back(driver: Driver, sweeper: Sweeper) -> None:
    looks: list[Swept] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            looks.extend(sweeper.run_once())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    for round_ in range(30):
        driver.enqueue(*numbers(40, first=40 * round_))
        for answer in (None, TryLater("busy", after=0.0), Rejected("bad", suspect_numbers=True), GIVEN_UP, None):
            batch = driver.claim()
            if isinstance(batch, Claim) and batch.actor == "send":
                driver.begin(batch)
                driver.settle(batch, answer)
    over.set()
    looking.join()
    assert looks
    assert sum(one.restored for one in looks) == 0


# --------------------------------------------------------------------------------------------- of whom nothing more is heard


@pytest.fixture
def impatient(driver: Driver) -> Unowned:
    """Waits for a receipt for a tenth of a second."""
    return Unowned(driver.redis, driver.queue, receipts_for=0.1)


def submitted(driver: Driver, *to: str) -> tuple[str, Claim]:
    intent = driver.enqueue(*to)
    return intent, driver.send()


def receipt(driver: Driver, batch: Claim, state: RecipientState, *to: str) -> int:
    intent = target_of(batch.jobs[0].subject).intent
    return driver.attempts.apply(batch.batch_id, [Target(intent, one) for one in to], state, Evidence.OPERATOR)


def wait_in_vain(driver: Driver) -> None:
    driver.until(driver.server_ms() + 110)


def test_who_was_handed_over_and_is_never_told_of_ends_unknown_with_one_event_each(driver: Driver, impatient: Unowned) -> None:
    intent, batch = submitted(driver, *numbers(2))
    receipt(driver, batch, RecipientState.SENT, number(1))
    assert impatient.look().silent == {}, "not yet"
    wait_in_vain(driver)
    before = len(driver.events())
    assert [one.ended for one in Sweeper([impatient], "w1", every=60).run_once()] == [2]
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["unknown", "unknown"]
    *told, done = driver.events()[before:]
    assert {(event["r"], event["e"], event["v"], event["w"]) for event in told} == {
        (one, "unknown", "assumed", "no-receipt") for one in numbers(2)
    }
    assert done["e"] == "done"
    assert [one.ended for one in Sweeper([impatient], "w1", every=60).run_once()] == [0]


def test_a_receipt_that_comes_after_all_corrects_the_end_and_takes_the_dead_letter_away(driver: Driver, impatient: Unowned) -> None:
    intent, batch = submitted(driver)
    wait_in_vain(driver)
    assert impatient.close(impatient.look().silent) == 1
    assert driver.redis.zcard(driver.account.dead) == 1
    assert receipt(driver, batch, RecipientState.DELIVERED, number(0)) == 1
    assert driver.state_of(intent, number(0)) == "delivered"
    assert [event["c"] for event in driver.events() if event["e"] == "delivered"] == ["1"]
    assert driver.redis.zcard(driver.account.dead) == 0


def test_news_that_comes_between_the_look_and_the_end_is_not_overruled(driver: Driver, impatient: Unowned) -> None:
    intent, batch = submitted(driver, *numbers(2))
    wait_in_vain(driver)
    silent = impatient.look().silent
    assert len(silent) == 2
    receipt(driver, batch, RecipientState.SENT, number(0))
    receipt(driver, batch, RecipientState.DELIVERED, number(1))
    assert impatient.close(silent) == 0
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["sent", "delivered"]


def test_who_waits_in_the_line_or_for_evidence_is_not_silent_however_long(driver: Driver, impatient: Unowned) -> None:
    driver.enqueue()
    driver.begin(batch := driver.taken())
    driver.settle(batch, GIVEN_UP)
    driver.enqueue()
    wait_in_vain(driver)
    assert impatient.look() == Walk(lost={}, silent={})


def test_who_was_in_a_call_that_nobody_remembers_ends_unknown_instead_of_being_looked_into_for_ever(
    driver: Driver, sweeper: Sweeper
) -> None:
    intent = driver.enqueue()
    driver.begin(batch := driver.taken())
    driver.settle(batch, GIVEN_UP)
    lose_the_job(driver, batch.batch_id)
    driver.redis.delete(driver.account.batch(batch.batch_id))
    assert [(one.suspected, one.ended) for one in sweeper.run_once()] == [(1, 0)]
    assert [(one.restored, one.ended) for one in sweeper.run_once()] == [(0, 1)]
    assert driver.state_of(intent, number(0)) == "unknown"
    assert [(event["v"], event["w"]) for event in driver.events() if event["e"] == "unknown"] == [("assumed", "attempt-forgotten")]
    assert driver.waiting() == []


def test_whom_a_bad_number_has_parted_come_back_as_far_apart_as_they_were(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    with virtual_clock(redis) as clock:
        driver.enqueue(*numbers(4))
        spoiled = driver.taken()
        driver.begin(spoiled)
        driver.settle(spoiled, Rejected("1104", suspect_numbers=True))
        clock.forward(1)
        while isinstance(half := driver.claim(), Claim):
            driver.begin(half)
            driver.settle(half, TryLater("503", after=600.0))
        unowned = Unowned(redis, driver.queue)
        assert not unowned.look().lost
        redis.delete(driver.queue.keys.due)
        assert unowned.restore(unowned.look().lost) == 4
        assert not unowned.look().lost
        clock.forward(700)
        assert [len(driver.send().jobs) for _ in range(2)] == [2, 2]
