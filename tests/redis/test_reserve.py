"""Bulk stops at what is kept of an account's money for the lanes above it, and goes on when there is more again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client import REGISTRY
from tests.redis.driver import SUBMIT, Driver, number, numbers, queue_of

from tuma_producer import Producer, Send
from tuma_producer.contract.holds import holds
from tuma_producer.contract.reading import texts
from tuma_worker.cli.accounts import as_json, as_row
from tuma_worker.core.answers import TryLater
from tuma_worker.core.explain import page
from tuma_worker.core.funds import Balance, Reserve
from tuma_worker.dispatch.gauging import Gauger
from tuma_worker.dispatch.reckoning import Reckoner
from tuma_worker.providers.operations import NotDone, Refusal, Request
from tuma_worker.queue.scripts import Claim, Wait
from tuma_worker.store import accounts, funds, line
from tuma_worker.store.attempts import Settled
from tuma_worker.store.funds import Asking, Became, Funds

if TYPE_CHECKING:
    from redis import Redis
    from tests.redis.driver import VirtualClock

    from tuma_worker.providers.http import Arrived
    from tuma_worker.providers.operations import Exchange

KEPT = Decimal(100)


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of())


@pytest.fixture
def money(driver: Driver) -> Funds:
    return Funds(driver.redis, driver.queue.account)


@dataclass
class Purse:
    """What the provider says of the balance, one answer after the other; None is a refusal."""

    answers: list[Balance | None] = field(default_factory=list)

    def ask(self, _exchange: Exchange) -> Balance | None:
        if (told := self.answers.pop(0)) is None:
            raise NotDone(Request("GET", "/balance", "balance"), Refusal(TryLater("1402"), "1402", 503))
        return told


def no_calls(_request: Request) -> Arrived:
    raise AssertionError


def reckoner(money: Funds, purse: Purse, reserve: str = "100 CDF", name: str = "w1") -> Reckoner:
    tokens = iter(f"{name}-{n}" for n in range(100))
    return Reckoner(money, Reserve.parse(reserve), purse.ask, no_calls, name, every=60.0, token=lambda: next(tokens))


def cdf(amount: float, price: str | None = None) -> Balance:
    return Balance(Decimal(str(amount)), "CDF", None if price is None else Decimal(price))


def read(money: Funds, amount: float, token: str = "t") -> Became:  # noqa: S107 - a request's, no secret
    return money.note(money.asking(), cdf(amount), KEPT, f"{token}{amount}")


def pay(driver: Driver, cost: str, *, late: bool = False, **more: Any) -> Settled | None:  # noqa: ANN401 - fields of Send
    """Send one that is not bulk, for so much."""
    driver.enqueue(**more)
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    return driver.attempts.settle(batch.batch_id, begun.targets, SUBMIT, group=batch.group, cost=Decimal(cost), late=late)


def told(driver: Driver) -> list[tuple[str, str]]:
    return [(event["e"], event["w"]) for event in driver.events() if event["e"].startswith("bulk-")]


def standing(money: Funds) -> funds.Money:
    found = funds.look(money.redis, money.account)
    assert found is not None
    return found


def test_below_the_reserve_bulk_waits_and_the_others_go_on(driver: Driver, money: Funds) -> None:
    driver.enqueue(priority="bulk")
    assert read(money, 99) is Became.HELD
    driver.enqueue(priority="transactional")
    driver.enqueue(priority="otp")
    assert [driver.taken().lane for _ in range(2)] == [0, 1]
    assert isinstance(driver.claim(), Wait)
    assert read(money, 100) is Became.RELEASED
    assert driver.taken().lane == 2
    assert told(driver) == [("bulk-held", "99 CDF left, 100 kept"), ("bulk-released", "100 CDF left, 100 kept")]


def test_what_calls_cost_lowers_the_balance_until_bulk_waits(driver: Driver, money: Funds) -> None:
    assert read(money, 101.5) is Became.SAME
    driver.enqueue(number(9), priority="bulk")
    assert [settled.short for _ in range(2) if (settled := pay(driver, "1"))] == [False, True]
    assert isinstance(driver.claim(), Wait)
    assert (standing(money).left, standing(money).held_at is None) == (Decimal("99.5"), False)
    pay(driver, "1")
    assert told(driver) == [("bulk-held", "99.5 CDF left, 100 kept")]  # once, however much is spent after it


def test_a_call_is_paid_once_however_often_it_is_settled(driver: Driver, money: Funds) -> None:
    read(money, 200)
    driver.enqueue()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    for late in (False, False, True):
        settled = driver.attempts.settle(batch.batch_id, begun.targets, SUBMIT, group=batch.group, cost=Decimal(150), late=late)
        assert settled == Settled(halted=False, opened=False, short=True)
    assert standing(money).left == 50


def test_what_is_paid_while_the_provider_is_asked_is_taken_off_and_not_forgotten(driver: Driver, money: Funds) -> None:
    asking = money.asking()
    pay(driver, "150")
    assert money.note(asking, cdf(200), KEPT, "t") is Became.HELD
    assert standing(money).left == 50


def test_an_older_reading_changes_nothing(driver: Driver, money: Funds, clock: VirtualClock) -> None:
    asking = money.asking()
    clock.forward(1)
    read(money, 200)
    before = driver.snapshot()
    assert money.note(asking, cdf(10), KEPT, "t") is Became.OLDER
    assert driver.snapshot() == before


def test_a_reading_whose_reply_was_lost_is_answered_as_the_first_time(driver: Driver, money: Funds) -> None:
    asking = money.asking()
    assert [money.note(asking, cdf(10), KEPT, "t") for _ in range(2)] == [Became.HELD] * 2
    assert len(told(driver)) == 1


def test_more_money_wakes_who_waits(driver: Driver, money: Funds) -> None:
    driver.enqueue(priority="bulk")
    read(money, 10)
    driver.refused()
    driver.redis.delete(driver.queue.keys.bell)
    read(money, 500)
    assert driver.redis.llen(driver.queue.keys.bell) == 1


def test_an_account_that_keeps_nothing_any_more_lets_bulk_go(driver: Driver, money: Funds) -> None:
    driver.enqueue(priority="bulk")
    read(money, 10)
    assert money.keep_nothing("t") is Became.RELEASED
    assert isinstance(driver.claim(), Claim)
    assert funds.look(money.redis, money.account) is None
    assert money.keep_nothing("again") is Became.SAME
    assert told(driver)[-1] == ("bulk-released", "no reserve")


def test_an_estimate_says_whether_bulk_would_come_to_the_reserve(driver: Driver, money: Funds) -> None:
    queue = driver.queue
    accounts.register(driver.redis, queue.account, provider="lisoloo", environment="sandbox", queue=queue.for_claim, price="1 CDF")
    read(money, 105)

    def verdict(**recipients: int) -> tuple[str, ...]:
        sends = [
            Send(account=queue.account, to=numbers(count), message="Karibu", priority=lane) for lane, count in recipients.items()
        ]  # fmt: skip
        found = Producer(driver.redis).estimate(*sends)
        return found.verdict, *found.reasons

    assert [verdict(bulk=5), verdict(transactional=50)] == [("goes",), ("goes",)]
    said = f"{queue.account}: this costs 6.00 CDF, and bulk waits once 5.00 CDF more is spent"
    assert [verdict(bulk=6), verdict(bulk=3, otp=3)] == [("waits", said)] * 2
    read(money, 90)
    assert verdict(bulk=1)[1].startswith(f"{queue.account}: bulk waits: 90.00 CDF is left")


def test_what_waits_for_the_reserve_needs_no_worker(driver: Driver, money: Funds) -> None:
    driver.enqueue(priority="bulk")
    assert line.look(driver.redis, money.account).useful_slots == 1
    read(money, 42)
    assert line.look(driver.redis, money.account).useful_slots == 0
    driver.enqueue(priority="otp")
    assert line.look(driver.redis, money.account).useful_slots == 1


def test_why_it_waits_is_told_to_bulk_alone(driver: Driver, money: Funds) -> None:
    ids = {lane: f"{money.account}.{driver.enqueue(priority=lane)}" for lane in ("otp", "bulk")}
    read(money, 42)
    state = texts(cast("dict[bytes, bytes]", driver.redis.hgetall(driver.queue.keys.state)))
    assert [len(holds(state, lane=lane, source="billing", now_ms=0)) for lane in range(3)] == [0, 0, 1]
    explained = {lane: Producer(driver.redis).explain(one) for lane, one in ids.items()}
    assert [hold.kind for hold in explained["otp"].holds] == []
    assert [(hold.kind, hold.text) for hold in explained["bulk"].holds] == [
        ("reserve", "bulk waits: 42.00 CDF is left, of which 100.00 CDF is kept for the others")
    ]
    assert explained["bulk"].expected is None
    assert "; pay in, or lower the account's reserve; then it goes by itself" in page(explained["bulk"])
    assert [hold for hold in line.look(driver.redis, money.account).holds if "bulk waits: 42.00" in hold.text]


def test_accounts_tell_the_money_to_people_and_to_programs(money: Funds, clock: VirtualClock) -> None:
    for amount in (500, 42):
        read(money, amount)
        clock.forward(3600)
    found = accounts.standing(money.redis, money.account)
    assert as_row(found)[5] == "42.00 CDF left, lasts 0.1 h; bulk waits, 100.00 CDF is kept"
    funds_told = as_json(found)["funds"]
    assert (funds_told["left"], funds_told["kept"], funds_told["currency"]) == (42, 100, "CDF")
    assert (funds_told["per_hour"], funds_told["runway"]) == (458, 0.1)
    assert funds_told["held_at"] == funds_told["read_at"]


def test_gauges_show_the_money_and_that_bulk_waits(driver: Driver, money: Funds, clock: VirtualClock) -> None:
    def shown() -> list[float | None]:
        Gauger(driver.redis, [driver.queue], dict, shows=True).run_once()
        labels = {"account": money.account}
        names = ("tuma_balance_runway_hours", "tuma_bulk_held")
        return [
            REGISTRY.get_sample_value("tuma_balance", labels | {"currency": "CDF"}),
            *(REGISTRY.get_sample_value(name, labels) for name in names),
        ]

    read(money, 500)
    assert shown() == [500, math.inf, 0]  # after one reading nobody can tell how long it lasts
    clock.forward(3600)
    read(money, 42)
    assert shown() == [42, 0.1, 1]


def test_who_is_short_carries_no_bulk_for_others(driver: Driver, money: Funds) -> None:
    read(money, 42)
    carriers = [accounts.carrier(driver.redis, money.account, lane=lane, source="billing") for lane in range(3)]
    assert [one.works for one in carriers if one is not None] == [True, True, False]


def test_the_runway_is_told_from_the_readings_of_the_last_hours(money: Funds, clock: VirtualClock) -> None:
    for amount in (500, 400, 300):
        read(money, amount)
        assert standing(money).runway == {500: None, 400: 4.0, 300: 3.0}[amount]
        clock.forward(3600)
    assert standing(money).per_hour == 100
    clock.forward(6 * 3600)
    read(money, 300, "later")
    assert (standing(money).per_hour, standing(money).runway) == (None, None)  # what was spent long ago says nothing of today


def test_one_process_asks_and_another_follows_when_it_is_gone(money: Funds, clock: VirtualClock) -> None:
    first, second = (reckoner(money, Purse([cdf(10), cdf(500)]), name=name) for name in ("w1", "w2"))
    assert [first.run_once(), second.run_once()] == [Became.HELD, None]
    money.redis.delete(f"tuma:{{{money.account}}}:reckoner")  # as it is when the first has been silent for three rounds
    clock.forward(1)
    assert second.run_once() is Became.SAME


def test_a_reserve_of_messages_is_worth_what_they_cost(driver: Driver, money: Funds) -> None:
    purse = Purse([cdf(39, "0.02"), cdf(39)])
    asks = reckoner(money, purse, "2000 messages")
    assert asks.run_once() is Became.HELD
    assert standing(money).kept == 40
    assert asks.run_once() is None  # without a price nobody knows
    assert [name for name, _ in told(driver)] == ["bulk-held"]


def test_where_the_balance_cannot_be_told_what_was_known_stands(money: Funds) -> None:
    asks = reckoner(money, Purse([cdf(10), None, Balance(Decimal(500), "USD")]))
    assert [asks.run_once() for _ in range(3)] == [Became.HELD, None, None]
    assert str(standing(money).left) == "10"


def test_what_was_spent_is_counted_from_before_the_question(money: Funds, driver: Driver) -> None:
    pay(driver, "7")
    assert money.asking() == Asking(driver.server_ms(), 7_000_000)
