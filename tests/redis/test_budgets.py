"""A source uses no more than its budgets allow, in days and months of its account's calendar, whoever enqueues at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from tests.redis.driver import ACCOUNT, Driver, number, numbers, queue_of, text

from tuma_producer import At, OverBudget, Producer, Send
from tuma_producer.contract.custody import Terms
from tuma_worker.core.answers import Fault
from tuma_worker.core.budgets import Budget
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.carrying import Mover
from tuma_worker.store import accounts
from tuma_worker.store.budgets import Budgets
from tuma_worker.store.carried import Carried
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from redis import Redis
    from tests.redis.driver import VirtualClock

PRICE = (Decimal("0.02"), "USD")
NEW_YORK = "America/New_York"  # its clocks change


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of())


@pytest.fixture
def budgets(driver: Driver) -> Budgets:
    return Budgets(driver.redis, ACCOUNT)


def allow(budgets: Budgets, budget: str, source: str = "billing") -> None:
    budgets.set(source, Budget.parse(budget, PRICE), by="test")


def used(budgets: Budgets) -> list[float]:
    return [float(one.used) for one in budgets.all()]


def refused(driver: Driver, *to: str, message: str = "Karibu") -> OverBudget:
    before = driver.snapshot()
    with pytest.raises(OverBudget) as raised:
        driver.enqueue(*to, message=message)
    assert driver.snapshot() == before, "nothing was accepted, and nothing counted"
    return raised.value


def in_zone(driver: Driver, zone: str) -> None:
    """The account's days are those of this zone."""
    queue = driver.queue
    accounts.register(driver.redis, ACCOUNT, provider="lisoloo", environment="sandbox", queue=queue.for_claim, zone=zone)


@pytest.mark.parametrize(
    ("budget", "fits", "wanted"),
    [("3 recipients/day", 3, 1), ("6 messages/day", 3, 2), ("0.12 USD/month", 3, Decimal("0.04")), ("0 recipients/month", 0, 1)],
)
def test_what_is_counted_is_recipients_messages_or_what_they_cost(
    driver: Driver, budgets: Budgets, budget: str, fits: int, wanted: Decimal
) -> None:
    allow(budgets, budget)
    for index in range(fits):
        driver.enqueue(number(index), message=text(2))
    error = refused(driver, message=text(2))
    asked = Budget.parse(budget, PRICE)
    assert (error.source, error.period, error.unit) == ("billing", asked.period, asked.unit)
    assert (error.most, error.used, error.wanted) == (asked.most, asked.most, wanted)
    said = f"source: 'billing' may use {asked.most:f} {asked.unit} a {asked.period} and has used {asked.most:f}; this send wants "
    assert str(error).startswith(said)


def test_a_send_goes_whole_or_not_at_all_and_others_are_not_concerned(driver: Driver, budgets: Budgets) -> None:
    allow(budgets, "3 recipients/day")
    driver.enqueue(*numbers(2))
    assert refused(driver, *numbers(2)).used == 2
    driver.enqueue(*numbers(50), source="shop")
    driver.enqueue(number(3))
    assert used(budgets) == [3]


def test_of_two_budgets_the_narrower_one_refuses_and_neither_is_used(driver: Driver, budgets: Budgets) -> None:
    allow(budgets, "10 recipients/month")
    allow(budgets, "2 recipients/day")
    assert refused(driver, *numbers(3)).period == "day"
    allow(budgets, "50 recipients/day")
    assert refused(driver, *numbers(11)).period == "month"
    driver.enqueue(*numbers(10))
    assert used(budgets) == [10, 10]


def test_what_is_repeated_counts_once(driver: Driver, budgets: Budgets) -> None:
    allow(budgets, "1 recipients/day")
    ids = [driver.enqueue(message="Karibu", idempotency_key="one") for _ in range(3)]
    assert (len(set(ids)), used(budgets)) == (1, [1])


def test_an_account_without_budgets_is_asked_nothing_about_them(redis: Redis) -> None:
    driver = Driver(redis, queue_of())

    def asked() -> dict[str, int]:
        """How often an enqueue asks for something."""
        redis.config_resetstat()
        driver.enqueue(message="Karibu")
        told: Any = redis.info("commandstats")
        return {name: one["calls"] for name, one in told.items() if name in {"cmdstat_exists", "cmdstat_hmget", "cmdstat_hget"}}

    driver.enqueue(message="Karibu")  # the second of a line has less to write
    without = asked()
    assert without == {"cmdstat_exists": 1}  # one question sees it all
    allow(Budgets(redis, ACCOUNT), "5 recipients/day", source="another")
    assert asked() != without


def test_a_hundred_threads_never_exceed_it(redis: Redis) -> None:
    driver = Driver(redis, queue_of())
    allow(Budgets(redis, ACCOUNT), "50 recipients/month")

    def enqueue(index: int) -> int:
        producer = Producer(redis, source="billing")
        sends = [Send(account=ACCOUNT, to=numbers(2, first=index), message=text(1, str(one))) for one in range(2)]
        accepted = 0
        for one in sends:
            try:
                accepted += producer.enqueue(one).recipients
            except OverBudget:
                continue
        return accepted

    with ThreadPoolExecutor(100) as pool:
        assert sum(pool.map(enqueue, range(100))) == 50
    assert (used(Budgets(redis, ACCOUNT)), len(driver.waiting())) == ([50], 50)


def test_of_many_together_those_within_it_are_accepted(driver: Driver, budgets: Budgets) -> None:
    allow(budgets, "2 recipients/day")
    sends = [Send(account=ACCOUNT, to=[number(index)], message="Karibu") for index in range(3)]
    accepted = Producer(driver.redis, source="billing").enqueue_many(sends)
    assert [next(accepted).recipients for _ in range(2)] == [1, 1]
    with pytest.raises(OverBudget):
        next(accepted)
    assert (used(budgets), len(driver.waiting())) == ([2], 2)


def test_an_estimate_says_what_would_be_refused_and_counts_nothing(driver: Driver, budgets: Budgets, clock: VirtualClock) -> None:
    allow(budgets, "5 messages/day")
    allow(budgets, "4 recipients/month")
    driver.enqueue(*numbers(2))
    producer, before = Producer(driver.redis, source="billing"), driver.snapshot()

    def verdict(*recipients: int, **more: Any) -> str:  # noqa: ANN401 - fields of Send
        return producer.estimate(*(Send(account=ACCOUNT, to=numbers(one), message="Karibu", **more) for one in recipients)).verdict

    assert [verdict(2), verdict(1, 1), verdict(3), verdict(1, 2)] == ["goes", "goes", "refused", "refused"]
    assert verdict(3, source="shop") == "goes"
    tomorrow = At(times=[datetime.fromtimestamp(clock.ms / 1000 + 86_400, UTC)])
    assert verdict(3, schedule=tomorrow) == "goes"  # it counts when it fires, and is not refused
    assert driver.snapshot() == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(since=some.integers(0, 6 * 366 * 86_400_000), zone=some.sampled_from([NEW_YORK, "Africa/Kinshasa", "UTC"]))
def test_days_and_months_are_those_of_the_accounts_zone(driver: Driver, clock: VirtualClock, since: int, zone: str) -> None:
    """Until the last millisecond of it the period is the same, and the next one begins when the refusal said."""
    budgets, producer = Budgets(driver.redis, ACCOUNT), Producer(driver.redis, source="billing")
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since)
    clock.set(round(now.timestamp() * 1000) * 1000)
    in_zone(driver, zone)
    here = now.astimezone(ZoneInfo(zone)).date()
    following = {"day": here + timedelta(days=1), "month": (here.replace(day=1) + timedelta(days=32)).replace(day=1)}
    for period, begins in following.items():
        allow(budgets, f"1 recipients/{period}", source=period)
        clock.set(round(now.timestamp() * 1000) * 1000)
        driver.enqueue(source=period)
        with pytest.raises(OverBudget) as raised:
            driver.enqueue(source=period)
        foreseen = producer.estimate(Send(account=ACCOUNT, to=number(0), message="Karibu", source=period))
        assert foreseen.reasons == (f"{ACCOUNT}: {raised.value.why}",)
        opens = raised.value.opens
        there = opens.astimezone(ZoneInfo(zone))
        assert (there.date(), there.time()) == (begins, time())
        clock.set(round(opens.timestamp() * 1000) * 1000 - 1000)
        with pytest.raises(OverBudget):
            driver.enqueue(source=period)
        clock.forward(0.001)
        driver.enqueue(source=period)
    driver.redis.delete(driver.account.budgets)


def test_an_occurrence_counts_and_is_not_refused(driver: Driver, budgets: Budgets, clock: VirtualClock) -> None:
    allow(budgets, "1 recipients/month")
    soon = datetime.fromtimestamp(clock.ms / 1000 + 60, UTC)
    driver.enqueue(*numbers(3), schedule=At(times=[soon]))
    assert used(budgets) == [0]
    clock.forward(61)
    driver.fire_all()
    assert (used(budgets), len(driver.waiting())) == ([3], 3)
    assert refused(driver).used == 3


def test_what_the_provider_keeps_counts_with_all_its_dates_when_it_is_accepted(
    driver: Driver, budgets: Budgets, clock: VirtualClock
) -> None:
    terms = Terms(tz="UTC", lead=0, dates=20, dispatches=1000, recipients=1000)
    queue = driver.queue.for_claim
    accounts.register(driver.redis, ACCOUNT, provider="lisoloo", environment="sandbox", queue=queue, keeps=terms.published)
    allow(budgets, "4 recipients/month")
    first = datetime.fromtimestamp(clock.ms // 60_000 * 60 + 7200, UTC)
    schedule = At(times=[first, first + timedelta(days=1)])
    driver.enqueue(*numbers(2), schedule=schedule, custody="provider")
    with pytest.raises(OverBudget) as raised:
        driver.enqueue(number(9), schedule=schedule, custody="provider")
    assert (float(raised.value.used), float(raised.value.wanted)) == (4, 2)


def test_what_an_account_carries_for_another_counts_at_home_alone(driver: Driver, redis: Redis) -> None:
    spare = Driver(redis, replace(driver.queue, account="spare"))
    at_home, there = Budgets(redis, ACCOUNT), Budgets(redis, "spare")
    for budgets in (at_home, there):
        allow(budgets, "1 recipients/day")
    spare.enqueue()
    driver.enqueue(failover=["spare"])
    Steering(redis, ACCOUNT, "send", "test").halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    mover = Mover([Carried(redis, one.queue) for one in (driver, spare)], "test", 1.0, lambda: 0.0)
    assert mover.run_once()[0].carried == {"spare": 1}
    assert (used(at_home), used(there)) == ([1], [1])


def test_a_budget_that_is_changed_keeps_what_was_used_of_the_same_kind(driver: Driver, budgets: Budgets) -> None:
    allow(budgets, "1 recipients/day")
    driver.enqueue()
    allow(budgets, "2 recipients/day")
    assert used(budgets) == [1]
    allow(budgets, "2 messages/day")
    assert used(budgets) == [0]
    assert [budgets.remove("billing", "day", by="test") for _ in range(2)] == [True, False]
    assert (budgets.all(), driver.redis.exists(driver.account.budgets)) == ([], 0)


@pytest.mark.parametrize(
    ("told", "price", "mend"),
    [
        ("1000", PRICE, "write '1000 recipients/day'"),
        ("5 USD/week", PRICE, "write '1000 recipients/day'"),
        ("5 USD/day", None, "needs the account's unit_price in that currency, and it has none"),
        ("5 CDF/day", PRICE, "that is in USD"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_to_do(told: str, price: tuple[Decimal, str] | None, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        Budget.parse(told, price)
