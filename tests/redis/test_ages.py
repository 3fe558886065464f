"""What is over is remembered for as long as its account is set to, its text for less long perhaps, and nothing that is not over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.redis.acts import dead_letter, redriver
from tests.redis.driver import Driver, number, queue_of

from tuma_producer import Producer, UnknownIntent
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.wire import RETENTION_MS
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.redriving import Redriven
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.store.ages import Ages
from tuma_worker.store.dead import Choice, LetterFilter
from tuma_worker.store.moves import KEPT_MS, Target
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis

TEXT = "Your code is 493 201"


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of())


def ages(driver: Driver, records_for: float = 604_800.0, texts_for: float | None = None, attempts_for: float = 345_600.0) -> Ages:
    return Ages(driver.redis, driver.queue.account, records_for, texts_for, attempts_for)


def over(driver: Driver, seconds: float = 0.0, state: RecipientState = RecipientState.DELIVERED) -> tuple[str, str]:
    """An intent that was over so many seconds ago, and its attempt."""
    intent = driver.enqueue(number(1), message=TEXT)
    batch_id = driver.send().batch_id
    end(driver, intent, batch_id, state)
    driver.redis.pexpire(driver.account.intent(intent), RETENTION_MS - round(seconds * 1000))
    return intent, batch_id


def end(driver: Driver, intent: str, batch_id: str, state: RecipientState) -> None:
    assert driver.attempts.apply(batch_id, [Target(intent, number(1))], state, Evidence.ASSUMED) == 1


def left(driver: Driver, intent: str) -> float:
    """For how many seconds it is still remembered."""
    return driver.redis.pttl(driver.account.intent(intent)) / 1000


def body(driver: Driver, intent: str) -> dict[str, object]:
    return dict(json.loads(record_texts(driver.redis.hgetall(driver.account.intent(intent)))["body"]))  # type: ignore[arg-type] # a synchronous client


def test_what_is_over_is_counted_down_from_its_end_however_often_it_is_looked_at(driver: Driver) -> None:
    intent, waiting = over(driver, seconds=20.0)[0], driver.enqueue()
    assert [ages(driver, 60.0).heed() for _ in range(2)] == [1, 0]
    assert 35 < left(driver, intent) <= 40
    assert ages(driver, 3600.0).heed() == 1
    assert 3575 < left(driver, intent) <= 3580
    assert driver.redis.pttl(driver.account.intent(waiting)) == -1


def test_what_is_older_is_gone_at_the_first_look(driver: Driver) -> None:
    intent, _ = over(driver, seconds=20.0)
    assert ages(driver, 10.0).heed() == 1
    with pytest.raises(UnknownIntent):
        Producer(driver.redis).get(f"{driver.queue.account}.{intent}")


def test_a_text_goes_before_its_record(driver: Driver) -> None:
    (old, _), (young, _) = over(driver, seconds=20.0), over(driver, seconds=5.0)
    looks = ages(driver, texts_for=10.0)
    assert [looks.heed() for _ in range(2)] == [1, 0]
    assert ("message" in body(driver, young), "message" in body(driver, old)) == (True, False)
    assert TEXT.encode() not in b"".join(driver.redis.hvals(driver.account.intent(old)))  # type: ignore[arg-type] # as above
    assert Producer(driver.redis).get(f"{driver.queue.account}.{old}").counts == {"delivered": 1}
    assert 604_770 < left(driver, old) <= 604_780


def test_a_dead_letter_without_its_text_is_not_sent_again(driver: Driver) -> None:
    letters, _ = dead_letter(driver)
    ages(driver, texts_for=0.0).heed()
    (found,) = letters.intents(LetterFilter())
    so_far = Redriven()
    redriver(driver, letters).redrive(found, Choice(driver.queue.account), so_far)
    assert (so_far.recipients, so_far.skipped) == (0, {"its text is forgotten": 1})


def test_what_a_correction_opens_again_is_kept_until_it_has_ended_anew(driver: Driver) -> None:
    intent, batch_id = over(driver, seconds=20.0, state=RecipientState.UNKNOWN)
    looks = ages(driver, 60.0)
    looks.heed()
    end(driver, intent, batch_id, RecipientState.SENT)
    assert (looks.heed(), driver.redis.pttl(driver.account.intent(intent))) == (0, -1)
    end(driver, intent, batch_id, RecipientState.DELIVERED)
    assert looks.heed() == 1
    assert 55 < left(driver, intent) <= 60


def test_an_attempt_is_counted_down_from_its_answer_and_one_without_stays(driver: Driver) -> None:
    _, batch_id = over(driver)
    driver.enqueue(number(2))
    unanswered = driver.taken()
    driver.begin(unanswered)
    answered, open_ = driver.account.batch(batch_id), driver.account.batch(unanswered.batch_id)
    driver.redis.pexpire(answered, KEPT_MS - 20_000)
    looks = ages(driver, attempts_for=3600.0)
    assert [looks.heed() for _ in range(2)] == [1, 0]
    assert 3575 < driver.redis.pttl(answered) / 1000 <= 3580
    assert driver.redis.pttl(open_) > KEPT_MS
    assert Producer(driver.redis).get(f"{driver.queue.account}.{over(driver)[0]}").attempts
    assert ages(driver, attempts_for=10.0).heed() == 2
    assert not driver.redis.exists(answered)


def test_an_attempt_that_was_answered_anew_is_counted_down_anew(driver: Driver) -> None:
    intent, batch_id = over(driver, state=RecipientState.UNKNOWN)
    looks = ages(driver, attempts_for=3600.0)
    looks.heed()
    targets = [Target(intent, number(1))]
    driver.attempts.apply(batch_id, targets, RecipientState.DELIVERED, Evidence.HANDSET, phase="accepted")
    assert driver.redis.pttl(driver.account.batch(batch_id)) > 3_600_000
    looks.heed()
    assert driver.redis.pttl(driver.account.batch(batch_id)) <= 3_600_000


def test_a_worker_that_looks_after_an_account_heeds_its_ages(driver: Driver) -> None:
    intent, _ = over(driver, seconds=20.0)
    Sweeper([Unowned(driver.redis, driver.queue)], None, 0.0, {driver.queue.account: ages(driver, 10.0)}).run_once()
    assert not driver.redis.exists(driver.account.intent(intent))
