"""What receipts say of a recipient with several dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import number, queue_of
from tests.redis.keeping import Keeping

from tuma_worker.core.states import RecipientState
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis) -> Keeping:
    return Keeping(redis, queue_of(batch_max=1000))


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
