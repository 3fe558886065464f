"""What sends would come to is told before they are sent, and changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, calls, number, numbers, queue_of

from tuma_producer import At, Estimate, Every, InvalidSend, Producer, Send, UnknownAccount, UnknownTemplate
from tuma_producer.contract.custody import Terms
from tuma_worker.core import failover
from tuma_worker.core.answers import Accepted, Fault, RecipientAnswer, Rejected
from tuma_worker.core.next_step import Halt
from tuma_worker.core.prices import Price, charged
from tuma_worker.store import accounts
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.producers import AnyProducer

MINUTE = 60.0


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(calls(10, MINUTE), batch_max=100))


def register(driver: Driver, **more: Any) -> None:  # noqa: ANN401 - what accounts publish
    accounts.register(
        driver.redis, driver.queue.account, provider="lisoloo", environment="sandbox", queue=driver.queue.for_claim, **more
    )


def a_send(driver: Driver, *to: str, **more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": driver.queue.account, "to": list(to) or [number(0)], "message": "hello", **more})


def test_recipients_messages_calls_and_cost_are_counted_without_those_who_are_suppressed(
    driver: Driver, producer: AnyProducer
) -> None:
    register(driver, price="0.02 USD")
    producer.suppress(driver.queue.account, number(7))
    before = driver.snapshot()
    found = producer.estimate(a_send(driver, *numbers(250), number(3), message="ê" * 71))
    assert (found.recipients, found.dropped, found.suppressed) == (250, 1, 1)
    assert (found.encoding, found.segments, found.messages, found.calls) == ("ucs-2", 2, 498, 3)
    assert (found.cost, found.currency, found.price_from) == (Decimal("9.96"), "USD", "configured")
    assert (found.verdict, found.reasons) == ("goes", ())
    assert found.expected is not None
    assert abs(found.expected - datetime.now(UTC)) < timedelta(seconds=10)
    assert driver.snapshot() == before


def test_what_may_share_a_call_is_counted_as_one(driver: Driver, producer: AnyProducer) -> None:
    same = [a_send(driver, *numbers(30, first=30 * n)) for n in range(3)]
    assert producer.estimate(*same).calls == 1
    apart = [a_send(driver, *numbers(30), message=f"text {n}") for n in range(3)]
    assert producer.estimate(*apart).calls == 3
    assert producer.estimate(*same, *same).calls == 2


def test_when_it_is_expected_by_what_the_limits_still_allow(driver: Driver, producer: AnyProducer) -> None:
    at_once = producer.estimate(*(a_send(driver, message=f"text {n}") for n in range(10)))
    later = producer.estimate(*(a_send(driver, message=f"text {n}") for n in range(11)))
    assert at_once.expected is not None
    assert later.expected is not None
    assert timedelta(seconds=50) < later.expected - at_once.expected < timedelta(seconds=70)


def test_what_would_pass_its_deadline_is_late(driver: Driver, producer: AnyProducer) -> None:
    sends = [a_send(driver, message=f"text {n}", expires_in=30) for n in range(11)]
    assert producer.estimate(*sends[:10]).verdict == "goes"
    found = producer.estimate(*sends)
    assert found.verdict == "late"
    assert found.reasons[0].startswith(f"{driver.queue.account}: expected at ")


def test_where_nobody_can_tell_when_it_says_what_stands_in_the_way(driver: Driver, producer: AnyProducer) -> None:
    steering = Steering(driver.redis, driver.queue.account, "send", "test")
    steering.halt(Halt(Fault.MONEY, "1202", operator=True, after=1.0))
    found = producer.estimate(a_send(driver))
    assert (found.verdict, found.expected, found.messages) == ("waits", None, 1)
    assert "halted" in found.reasons[0]
    steering.lift_halt()
    steering.pause(Scope(lane="transactional"))
    assert producer.estimate(a_send(driver)).verdict == "waits"
    assert producer.estimate(a_send(driver, priority="otp")).verdict == "goes"


def test_where_all_are_suppressed_nobody_is_called(driver: Driver, producer: AnyProducer) -> None:
    producer.suppress(driver.queue.account, numbers(2))
    found = producer.estimate(a_send(driver, *numbers(2)))
    assert (found.verdict, found.suppressed, found.messages, found.calls) == ("nobody", 2, 0, 0)


def test_to_whom_the_sender_may_not_be_shown_is_not_counted(driver: Driver, producer: AnyProducer) -> None:
    register(driver, terms=failover.CarrierTerms(sender_id="KITOKO", approved={"KITOKO": ("+2439900",), "INFO": ("+254",)}))
    to = [number(1), "+243810000001", "+254712345678"]
    own = producer.estimate(a_send(driver, *to))
    assert (own.messages, own.unapproved, own.suppressed) == (1, 2, 0)
    assert producer.estimate(a_send(driver, *to, sender_id="INFO")).messages == 1
    assert producer.estimate(a_send(driver, *to, sender_id="OTHER")).verdict == "nobody"


def test_the_firings_of_a_schedule_that_are_still_to_come_are_counted(driver: Driver, producer: AnyProducer) -> None:
    register(driver, price="0.5 CDF")
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    times = [tomorrow - timedelta(days=2), tomorrow, tomorrow + timedelta(days=1)]
    found = producer.estimate(a_send(driver, *numbers(3), schedule=At(times=times)))
    assert (found.messages, found.calls, found.cost, found.expected) == (6, 2, Decimal(3), tomorrow)
    for_ever = Every(frequency="daily", start=tomorrow.date(), times=["08:00"], tz="UTC")
    assert producer.estimate(a_send(driver, schedule=for_ever)).calls == 1000


def test_what_the_provider_is_to_keep_is_one_call_and_is_checked(driver: Driver, producer: AnyProducer) -> None:
    terms = Terms(tz="Africa/Kinshasa", lead=0, dates=2, dispatches=1000, recipients=1000)
    register(driver, keeps=terms.published)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    times = [tomorrow + timedelta(days=n) for n in range(3)]
    found = producer.estimate(a_send(driver, *numbers(3), schedule=At(times=times[:2]), custody="provider"))
    assert (found.messages, found.calls) == (6, 1)
    with pytest.raises(InvalidSend, match="at most 2 dispatches"):
        producer.estimate(a_send(driver, schedule=At(times=times), custody="provider"))


def test_templates_are_rendered_and_refused_as_when_they_are_sent(driver: Driver, producer: AnyProducer) -> None:
    register(driver, templates={"code": "{{code}}"})
    long_one = Send(account=driver.queue.account, to=number(0), template_id="code", variables={"code": "x" * 161})
    assert producer.estimate(long_one).segments == 2
    with pytest.raises(InvalidSend, match="variables: must give 'code'"):
        producer.estimate(Send(account=driver.queue.account, to=number(0), template_id="code"))
    with pytest.raises(UnknownTemplate):
        producer.estimate(Send(account=driver.queue.account, to=number(0), template_id="other"))


def test_an_unknown_account_is_refused(driver: Driver, producer: AnyProducer) -> None:
    with pytest.raises(UnknownAccount, match=f"known: {driver.queue.account}"):
        producer.estimate(a_send(driver, account="nobody"))


# ---------------------------------------------------------------------------------------------------------- the price


def of_price(driver: Driver) -> tuple[Decimal | None, str | None, str | None]:
    found: Estimate = Producer(driver.redis).estimate(a_send(driver, *numbers(3)))
    return found.cost, found.currency, found.price_from


def test_without_a_price_the_cost_is_what_the_last_call_was_charged(driver: Driver) -> None:
    assert of_price(driver) == (None, None, None)
    driver.enqueue()
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, price=Price(Decimal("0.035"), "USD"))
    assert of_price(driver) == (Decimal("0.105"), "USD", "observed")
    driver.enqueue()
    driver.send()  # a call that tells no cost changes nothing
    assert of_price(driver) == (Decimal("0.105"), "USD", "observed")
    register(driver, price="0.02 USD")
    assert of_price(driver) == (Decimal("0.06"), "USD", "configured")


def test_accounts_with_two_currencies_have_no_sum(driver: Driver, redis: Redis) -> None:
    other = Driver(redis, queue_of(account="other"))
    register(driver, price="0.02 USD")
    register(other, price="50 CDF")
    found = Producer(redis).estimate(a_send(driver), a_send(other))
    assert (found.cost, found.currency, found.messages) == (None, None, 2)


@pytest.mark.parametrize(
    ("answer", "price"),
    [
        (Accepted("p", cost=Decimal("0.12"), currency="USD"), "0.02 USD"),
        (Accepted("p", cost=Decimal(1), currency="USD"), "0.166667 USD"),
        (Accepted("p", {number(0): RecipientAnswer(accepted=False)}, Decimal("0.08"), "USD"), "0.02 USD"),
        (Accepted("p", cost=Decimal(600), currency="CDF"), "100 CDF"),
        (Accepted("p", cost=Decimal(0), currency="USD"), None),
        (Accepted("p", cost=Decimal(1)), None),
        (Accepted("p", currency="USD"), None),
        (Rejected("1102"), None),
    ],
)
def test_the_price_of_a_message_is_what_a_call_was_charged_by_recipients_and_segments(answer: Any, price: str | None) -> None:  # noqa: ANN401 - an answer
    found = charged(answer, recipients=3, segments=2)
    assert (None if found is None else str(found)) == price
