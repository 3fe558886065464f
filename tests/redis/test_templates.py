"""Sends by template: the text is put in before anything is written down, so that equal renderings share a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, number, queue_of

from tuma_producer import InvalidSend, Send, TumaError, UnknownAccount, UnknownTemplate
from tuma_worker.store import accounts

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.producers import AnyProducer

TEMPLATES = {"code": "Your code is {{code}}", "long": "{{text}}", "plain": "We open at 8"}


@pytest.fixture
def driver(redis: Redis) -> Driver:
    found = Driver(redis, queue_of(batch_max=10))
    accounts.register(
        redis, found.queue.account, provider="lisoloo", environment="sandbox", queue=found.queue.for_claim, templates=TEMPLATES
    )
    return found


def by_template(driver: Driver, name: str, to: int = 0, **variables: str) -> Send:
    return Send(account=driver.queue.account, to=number(to), template_id=name, variables=variables)


def test_equal_renderings_share_a_call_and_the_worker_sees_text_alone(driver: Driver, producer: AnyProducer) -> None:
    sends = [by_template(driver, "code", n, code=code) for n, code in enumerate(("1", "2", "1"))]
    sends += [Send(account=driver.queue.account, to=number(3), message="Your code is 1")]
    receipts = list(producer.enqueue_many(sends))
    assert [receipt.segments for receipt in receipts] == [1] * 4
    calls = {}
    for _ in range(2):
        begun = driver.begin(driver.taken())
        assert begun is not None
        calls[begun.message] = sorted(target.number for target in begun.targets)
    assert calls == {"Your code is 1": [number(0), number(2), number(3)], "Your code is 2": [number(1)]}


def test_one_send_by_template(driver: Driver, producer: AnyProducer) -> None:
    receipt = producer.enqueue(by_template(driver, "plain"))
    assert producer.get(receipt.id).counts == {"queued": 1}


def test_it_is_looked_into_as_any_other(driver: Driver, producer: AnyProducer) -> None:
    send = by_template(driver, "code", code="7")
    assert producer.enqueue(Send(**send.model_dump(exclude_unset=True), eta=True)).eta is not None


def test_the_same_key_with_another_variable_is_another_send(driver: Driver, producer: AnyProducer) -> None:
    one, other = ({"template_id": "code", "variables": {"code": code}, "idempotency_key": "login-1"} for code in "12")
    where = {"account": driver.queue.account, "to": number(0)}
    first = producer.enqueue(Send(**where, **one))
    assert producer.enqueue(Send(**where, **one)).duplicate
    with pytest.raises(TumaError, match=f"already stands for {first.id}"):
        producer.enqueue(Send(**where, **other))


def test_what_is_wrong_is_said_in_its_place_and_the_rest_goes(driver: Driver, producer: AnyProducer) -> None:
    sends = [
        by_template(driver, "code", code="1"),
        by_template(driver, "code"),
        by_template(driver, "none", code="1"),
        by_template(driver, "long", text="x" * 1601),
        Send(account="nobody", to=number(0), template_id="code", variables={"code": "1"}),
        by_template(driver, "plain"),
    ]
    results = list(producer.enqueue_many(sends, return_errors=True))
    errors = [(type(one), str(one)) if isinstance(one, TumaError) else None for one in results]
    account = driver.queue.account
    assert errors == [
        None,
        (InvalidSend, "variables: must give 'code'"),
        (UnknownTemplate, f"template_id: 'none' is no template of {account} (known: code, long, plain)"),
        (InvalidSend, str(results[3])),
        (UnknownAccount, f"account: 'nobody' is not configured (known: {account})"),
        None,
    ]
    assert str(results[3]).startswith("message: ")
    with pytest.raises(UnknownTemplate):
        producer.enqueue(sends[2])
