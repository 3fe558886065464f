"""A call whose answer was lost, found in the provider's books or by a receipt: it is one attempt's, and known from then on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis as AsyncRedis
from tests.redis.driver import GIVEN_UP, SECRET, Driver, number, numbers, queue_of, target_of

from tuma_worker.core.answers import Accepted, RecipientAnswer, Traced
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.next_step import Policy
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.dispatch.resolving import Resolver
from tuma_worker.dispatch.sending import Outlet
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, push
from tuma_worker.receipts.applying import Applier, Box
from tuma_worker.receipts.intake import Door, Intake, Webhook
from tuma_worker.store.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from tuma_worker.core.answers import Trace
    from tuma_worker.providers.base import Call


@dataclass
class Books:
    """Books in which one message with any text stands for whoever is looked up."""

    provider_id: str

    def trace(self, call: Call, about: float) -> Trace:
        del about
        return Traced(
            (Accepted(self.provider_id, {call.numbers[0]: RecipientAnswer(provider_id=self.provider_id)}),), complete=True
        )


@dataclass
class Delivered:
    """Reads a webhook as the news that each recipient of a JSON list was delivered."""

    provider_id: str = "message-1"

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        del body, now
        return bool(headers)

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        del headers, body, now
        return False

    def read(self, body: bytes) -> list[Receipt]:
        return [Receipt("delivered", self.provider_id, to, RecipientState.DELIVERED, Evidence.HANDSET) for to in json.loads(body)]


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=10))


def given_up(driver: Driver) -> Claim:
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, GIVEN_UP)
    return batch


def look_up(driver: Driver, batch: Claim, provider_id: str) -> None:
    client: Any = Books(provider_id)
    outlet = Outlet(client, driver.attempts, Policy(), Breaker(), callbacks=None, sender_id=None, keeps_books=True)
    push(driver.redis, driver.queue, f"trace.1.1.{batch.batch_id}", batch.batch_id, lane=batch.lane, source=batch.source)
    held = Held(driver.queue, driver.taken(), until=1.0, clock=lambda: 0.0)
    Resolver(driver.redis, {driver.queue.account: outlet}, heed=lambda _account: None).trace(held)


def tell(driver: Driver, url: str, to: list[str], *, ticket: str | None = None) -> str:
    """Let the provider's webhook say that these were delivered, at an attempt's own address or at the account's, and apply it."""
    account, headers, body = driver.queue.account, {"authorization": "Basic"}, json.dumps(to).encode()

    async def post() -> str:
        async with AsyncRedis.from_url(url) as redis:
            intake = Intake(redis, {account: Door(Delivered())}, lambda: 0.0)
            return await intake.take(Webhook(account, ticket, "", headers, body))

    verdict = asyncio.run(post())
    box = Box(Inbox(driver.redis, account, keep=60.0), Delivered())
    Applier(driver.redis, driver.redis, [box], "test", lambda: 0.0).drain(account)
    return verdict


def test_of_two_attempts_that_one_message_in_the_books_may_be_one_adopts_it_and_the_other_looks_on(driver: Driver) -> None:
    intents, batches = [], []
    for _ in range(2):
        intents.append(driver.enqueue(number(1), message="Do not forget"))
        batches.append(given_up(driver))
    for batch in batches:
        look_up(driver, batch, "message-1")
    assert [driver.state_of(intent, number(1)) for intent in intents] == ["submitted", "sending"]
    assert batches[1].batch_id in driver.due(), "it is looked for again"


def test_an_id_that_another_attempt_has_taken_meanwhile_is_refused_and_a_repeat_is_not(driver: Driver) -> None:
    intents, batches = [], []
    for _ in range(2):
        intents.append(driver.enqueue(number(1), message="Do not forget"))
        batches.append(given_up(driver))
    targets = [[target_of(job.subject) for job in batch.jobs] for batch in batches]
    found = Accepted("message-1")
    assert driver.attempts.adopt(batches[0].batch_id, targets[0], found) == 1
    before = driver.snapshot()
    assert driver.attempts.adopt(batches[1].batch_id, targets[1], found) is None
    assert driver.attempts.adopt(batches[0].batch_id, targets[0], found) == 0
    assert driver.snapshot().keys() == before.keys()
    assert [driver.state_of(intent, number(1)) for intent in intents] == ["submitted", "sending"]


def test_a_receipt_at_the_common_address_finds_a_call_that_the_books_told_of(driver: Driver, redis_url: str) -> None:
    intent = driver.enqueue(number(1))
    look_up(driver, given_up(driver), "message-1")
    assert tell(driver, redis_url, [number(1)]) == "taken"
    assert driver.state_of(intent, number(1)) == "delivered"


def test_a_receipt_at_the_common_address_finds_a_call_that_another_receipt_told_of(driver: Driver, redis_url: str) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = given_up(driver)
    assert tell(driver, redis_url, [number(0)]) == "taken"
    assert driver.state_of(intent, number(0)) == "sending", "its call is not known yet, so it waits"
    assert tell(driver, redis_url, [number(0)], ticket=f"{batch.batch_id}.{SECRET}") == "taken"
    assert tell(driver, redis_url, [number(1)]) == "taken"
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["delivered", "delivered"]


def test_a_receipt_for_one_of_a_call_that_was_sent_again_keeps_who_still_waits_from_a_second_copy(
    driver: Driver, redis_url: str
) -> None:
    intent = driver.enqueue(*numbers(3))
    batch = given_up(driver)
    targets = [target_of(job.subject) for job in batch.jobs]
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.PROVIDER, reason="never-accepted") == 3
    assert tell(driver, redis_url, [number(0)], ticket=f"{batch.batch_id}.{SECRET}") == "taken"
    assert [driver.state_of(intent, one) for one in numbers(3)] == ["delivered", "submitted", "submitted"]
    again = driver.taken()
    begun = driver.begin(again)
    assert begun is not None
    assert begun.targets == (), "their jobs are dropped"


def test_a_receipt_of_a_call_that_was_sent_again_leaves_whoever_is_in_the_next_call(driver: Driver, redis_url: str) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = given_up(driver)
    targets = [target_of(job.subject) for job in batch.jobs]
    assert driver.attempts.resend(batch.batch_id, targets, Evidence.PROVIDER, reason="never-accepted") == 2
    given_up(driver)
    assert tell(driver, redis_url, [number(0)], ticket=f"{batch.batch_id}.{SECRET}") == "taken"
    assert [driver.state_of(intent, one) for one in numbers(2)] == ["sending", "sending"]
