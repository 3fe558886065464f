"""Sends by template: the text is put in before anything is written down, so that equal renderings share a call."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, number, numbers, queue_of

from tuma_producer import At, InvalidSend, Producer, Send, TumaError, UnknownAccount, UnknownTemplate
from tuma_producer.contract import wire
from tuma_producer.contract.rendered import Kept
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.carrying import Mover
from tuma_worker.store import accounts
from tuma_worker.store.carried import Carried
from tuma_worker.store.steering import Steering

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


# ------------------------------------------------------------------------------------- where the provider makes the text


KEPT = {"code": "tpl_1"}


@pytest.fixture
def kept(driver: Driver) -> Driver:
    """An account of which the provider keeps the first template as well."""
    accounts.register(
        driver.redis, driver.queue.account, provider="lineserve", environment="sandbox", queue=driver.queue.for_claim,
        templates=TEMPLATES, provider_templates=KEPT,
    )  # fmt: skip
    return driver


def test_what_the_provider_makes_goes_alone_with_its_variables_and_our_text(kept: Driver, producer: AnyProducer) -> None:
    mine = Send(account=kept.queue.account, to=numbers(3), template_id="code", variables={"code": "7"})
    producer.enqueue(mine)
    producer.enqueue(Send(account=kept.queue.account, to=numbers(2, first=3), message="Your code is 7"))
    calls = []
    for _ in range(4):
        batch = kept.taken()
        begun = kept.begin(batch)
        assert begun is not None
        attempt = kept.attempts.load(batch.batch_id)
        assert attempt is not None
        assert (attempt.kept, attempt.message, begun.message) == (begun.kept, "Your code is 7", "Your code is 7")
        calls.append((begun.kept, [target.number for target in begun.targets]))
    by_template = [(Kept("tpl_1", {"code": "7"}), [one]) for one in numbers(3)]
    assert sorted(calls, key=lambda call: call[1]) == [*by_template, (None, numbers(2, first=3))]


def test_a_template_that_the_provider_does_not_keep_goes_by_its_text(kept: Driver, producer: AnyProducer) -> None:
    producer.enqueue(by_template(kept, "plain"))
    begun = kept.begin(kept.taken())
    assert begun is not None
    assert begun.kept is None


def test_an_estimate_counts_a_call_for_each(kept: Driver, producer: AnyProducer) -> None:
    send = Send(account=kept.queue.account, to=numbers(30), template_id="code", variables={"code": "7"})
    assert producer.estimate(send).calls == 30


def test_occurrences_of_a_schedule_go_by_the_template_until_the_text_is_another(kept: Driver, producer: AnyProducer) -> None:
    soon = datetime.fromtimestamp(kept.server_ms() / 1000 + 0.1, UTC)
    times = At(times=[soon, soon + timedelta(days=1)])
    schedule = producer.enqueue(Send(**by_template(kept, "code", code="7").model_dump(exclude_unset=True), schedule=times)).id
    kept.until(kept.server_ms() + 110)
    kept.fire(kept.taken())
    begun = kept.begin(kept.taken())
    assert begun is not None
    assert begun.kept == Kept("tpl_1", {"code": "7"})
    producer.edit(schedule, message="We moved")
    (standing,) = kept.schedules.load([schedule.rpartition(".")[2]])
    assert json.loads(standing.record["body"]).keys() & {"message", "template"} == {"message"}


def test_who_is_carried_by_another_account_goes_by_the_text(kept: Driver) -> None:
    spare = Driver(kept.redis, replace(kept.queue, account="spare"))
    send = by_template(kept, "code", code="7").model_dump(exclude_unset=True)
    Producer(kept.redis, source="billing").enqueue(Send(**send, failover="spare"))
    Steering(kept.redis, kept.queue.account, "send", "test").halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    Mover([Carried(kept.redis, one.queue) for one in (kept, spare)], "test", 1.0, lambda: 0.0).run_once()
    begun = spare.begin(spare.taken())
    assert begun is not None
    assert (begun.message, begun.kept) == ("Your code is 7", None)


def test_with_the_text_its_variables_are_forgotten() -> None:
    assert json.loads(wire.without_text({"v": 1, "message": "7", "template": {"id": "tpl_1", "variables": {"code": "7"}}})) == {
        "v": 1
    }


def test_a_repeat_is_known_by_its_text_whoever_makes_that_by_now(kept: Driver, producer: AnyProducer) -> None:
    send = Send(**by_template(kept, "code", code="7").model_dump(exclude_unset=True), idempotency_key="login-7")
    first = producer.enqueue(send)
    account = kept.queue.account
    accounts.register(
        kept.redis, account, provider="lineserve", environment="sandbox", queue=kept.queue.for_claim, templates=TEMPLATES
    )
    repeat = producer.enqueue(send)
    assert (repeat.id, repeat.duplicate) == (first.id, True)
