"""Calls of which no receipt has told: found when it is time, asked about by one process, and moved on by what that tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import GIVEN_UP, Driver, number, numbers, queue_of

from tuma_worker.core.answers import TryLater
from tuma_worker.core.polling import Overdue, Silent
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.polling import Polled, Poller
from tuma_worker.providers.operations import NotDone, Refusal, Request
from tuma_worker.store.custody import Custodies
from tuma_worker.store.moves import Target
from tuma_worker.store.overdue import OverdueCalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis
    from tests.redis.driver import VirtualClock

    from tuma_worker.providers.http import Arrived
    from tuma_worker.providers.operations import Exchange

AFTER = 900.0
R = RecipientState


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock  # the account is made known in its time
    return Driver(redis, queue_of(batch_max=10))


@pytest.fixture
def overdue(driver: Driver) -> OverdueCalls:
    return OverdueCalls(driver.redis, driver.queue.account, AFTER)


@dataclass
class Books:
    """What the provider would tell of each number, and for how many calls it answers before it refuses to."""

    told: dict[str, RecipientState] = field(default_factory=dict)
    answers: int = 1000
    asked: list[str] = field(default_factory=list)

    def inquire(self, _exchange: Exchange, calls: Sequence[Overdue]) -> Iterator[tuple[Overdue, list[Receipt]]]:
        for call in calls:
            if len(self.asked) == self.answers:
                raise NotDone(Request("GET", "/status", "status"), Refusal(TryLater("1402"), "1402", 503))
            self.asked.append(call.batch_id)
            known = [number for number in call.silent if number in self.told]
            yield call, [Receipt("status", "p", one, self.told[one], Evidence.HANDSET) for one in known]


def no_calls(_request: Request) -> Arrived:
    raise AssertionError


def poller(driver: Driver, overdue: OverdueCalls, books: Books, name: str = "w1") -> Poller:
    return Poller(overdue, driver.attempts, books.inquire, no_calls, name, every=60.0)


def test_a_call_is_overdue_when_no_end_was_told_for_so_long_and_no_sooner(
    driver: Driver, overdue: OverdueCalls, clock: VirtualClock
) -> None:
    intent = driver.enqueue(*numbers(3), message="Karibu")
    batch = driver.send()
    told = [Target(intent, number(0))]
    assert driver.attempts.apply(batch.batch_id, told, R.DELIVERED, Evidence.HANDSET) == 1
    clock.forward(AFTER - 1)
    assert overdue.look() == []
    clock.forward(1)
    (call,) = overdue.look()
    assert call == Overdue(
        batch.batch_id, "provider-1", clock.ms - 900_000, "Karibu", 3,
        {number(1): Silent(intent, ""), number(2): Silent(intent, "")}, Counter({R.DELIVERED: 1}),
    )  # fmt: skip


def test_nobody_is_asked_about_who_ended_or_waits_or_whose_call_has_no_answer(
    driver: Driver, overdue: OverdueCalls, clock: VirtualClock
) -> None:
    intent = driver.enqueue(number(0))
    batch = driver.send()
    driver.attempts.apply(batch.batch_id, [Target(intent, number(0))], R.FAILED, Evidence.OPERATOR)
    driver.enqueue(number(1))
    unanswered = driver.taken()
    assert driver.begin(unanswered) is not None
    assert driver.settle(unanswered, GIVEN_UP)
    driver.enqueue(number(2))
    clock.forward(10 * AFTER)
    assert overdue.look() == []


def test_nothing_is_asked_about_dates_that_the_provider_keeps(driver: Driver, overdue: OverdueCalls, clock: VirtualClock) -> None:
    driver.enqueue()
    batch = driver.send()
    Custodies(driver.redis, driver.queue.account).keep(batch.batch_id, clock.ms + 1000)
    clock.forward(10 * AFTER)
    assert overdue.look() == []


def test_a_call_that_several_intents_share_is_asked_about_once(driver: Driver, overdue: OverdueCalls, clock: VirtualClock) -> None:
    intents = {number(place): driver.enqueue(number(place), message="The same") for place in range(3)}
    driver.send()
    clock.forward(AFTER)
    (call,) = overdue.look()
    assert {one: silent.intent for one, silent in call.silent.items()} == intents


def test_what_is_told_moves_recipients_once_and_the_rest_is_asked_about_again_later(
    driver: Driver, overdue: OverdueCalls, clock: VirtualClock
) -> None:
    intent = driver.enqueue(*numbers(2))
    driver.send()
    books = Books({number(0): R.DELIVERED})
    polls = poller(driver, overdue, books)
    clock.forward(AFTER)
    assert [polls.run_once(), polls.run_once()] == [Polled(looked=True, asked=1, moved=1), Polled(looked=True)]
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["delivered", "submitted"]
    clock.forward(AFTER)
    assert polls.run_once() == Polled(looked=True, asked=1)
    clock.forward(AFTER)
    assert polls.run_once() == Polled(looked=True)  # it has not waited as long again
    clock.forward(AFTER)
    books.told = dict.fromkeys(numbers(2), R.UNDELIVERED)
    assert polls.run_once() == Polled(looked=True, asked=1, moved=1)
    assert [event["e"] for event in driver.events()[-3:]] == ["delivered", "undelivered", "done"]


def test_where_the_provider_cannot_answer_the_round_ends_and_the_next_one_goes_on_with_the_oldest(
    driver: Driver, overdue: OverdueCalls, clock: VirtualClock
) -> None:
    intents, batches = [], []
    for place in range(3):
        intents.append(driver.enqueue(number(place)))
        batches.append(driver.send().batch_id)
        clock.forward(1)
    books = Books(dict.fromkeys(numbers(3), R.DELIVERED), answers=1)
    clock.forward(AFTER)
    polls = poller(driver, overdue, books)
    assert polls.run_once() == Polled(looked=True, asked=1, moved=1)
    books.answers = 3
    assert polls.run_once() == Polled(looked=True, asked=2, moved=2)
    assert books.asked == batches


def test_one_process_asks_and_is_followed_when_it_has_gone(driver: Driver, overdue: OverdueCalls, clock: VirtualClock) -> None:
    driver.enqueue()
    driver.send()
    clock.forward(AFTER)
    first, second = (poller(driver, overdue, Books(), name) for name in ("w1", "w2"))
    assert first.run_once() == Polled(looked=True, asked=1)
    clock.forward(AFTER)
    assert second.run_once() == Polled(looked=False)
    driver.redis.delete(driver.account.poller)  # as its end does
    assert second.run_once() == Polled(looked=True, asked=1)


def test_what_a_receipt_told_meanwhile_is_not_overruled(driver: Driver, overdue: OverdueCalls, clock: VirtualClock) -> None:
    intent = driver.enqueue()
    batch = driver.send()
    clock.forward(AFTER)

    def inquire(_exchange: Exchange, calls: Sequence[Overdue]) -> Iterator[tuple[Overdue, list[Receipt]]]:
        driver.attempts.apply(batch.batch_id, [Target(intent, number(0))], R.DELIVERED, Evidence.HANDSET)
        yield calls[0], [Receipt("status", "p", number(0), R.FAILED, Evidence.OPERATOR)]

    asks = Poller(overdue, driver.attempts, inquire, no_calls, "w1", every=60.0)
    assert asks.run_once() == Polled(looked=True, asked=1)
    assert driver.state_of(intent, number(0)) == "delivered"
