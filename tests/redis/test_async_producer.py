"""What only the asynchronous producer can do; all that both can is in test_producer.py and test_outcomes.py."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.conftest import ACCOUNT
from tests.support.producers import events, intents, jobs

from tuma_producer import AsyncProducer, Producer, Send
from tuma_producer.contract.bundles import CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from redis import Redis

    from tuma_producer import Event

pytestmark = pytest.mark.usefixtures("account")


def send(**more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": ACCOUNT, "to": "+243990000001", "message": "Hello", **more})


def test_it_has_the_methods_of_the_synchronous_one_with_the_same_parameters() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in inspect.getmembers(kind, callable)
            if not name.startswith("_")
        }

    assert shape(AsyncProducer) == shape(Producer)


def test_sends_may_come_from_an_asynchronous_source_and_are_taken_a_pipeline_at_a_time(redis_url: str) -> None:
    taken: list[int] = []

    async def source() -> AsyncIterator[Send]:
        for index in range(3 * CHUNK):
            taken.append(index)
            yield send()

    async def first_receipts() -> int:
        producer = AsyncProducer.from_url(redis_url)
        receipts = producer.enqueue_many(source())
        seen = [await anext(receipts) for _ in range(CHUNK + 1)]
        ahead = len(taken) - len(seen)
        await producer.close()
        return ahead

    assert asyncio.run(first_receipts()) == CHUNK - 1


def test_a_hundred_tasks_with_one_key_make_exactly_one_intent(redis_url: str, redis: Redis) -> None:
    async def race() -> int:
        producer = AsyncProducer.from_url(redis_url)
        receipts = await asyncio.gather(*(producer.enqueue(send(idempotency_key="login-42")) for _ in range(100)))
        await producer.close()
        return sum(not receipt.duplicate for receipt in receipts)

    assert asyncio.run(race()) == 1
    assert (len(intents(redis, ACCOUNT)), len(jobs(redis, ACCOUNT)), len(events(redis, ACCOUNT))) == (1, 1, 1)


def test_a_reader_that_waits_can_be_cancelled_and_has_lost_nothing(redis_url: str) -> None:
    async def scene() -> list[Event]:
        producer = AsyncProducer.from_url(redis_url)
        reader: AsyncGenerator[Event, None] = producer.outcomes("watch")  # type: ignore[assignment] # it is a generator
        async with aclosing(reader):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(reader), 0.1)
        await producer.enqueue(send())
        seen = [event async for event in producer.outcomes("watch", wait=0)]
        await producer.close()
        return seen

    assert [event.type for event in asyncio.run(scene())] == ["tuma.intent.accepted"]


def test_other_tasks_go_on_while_a_reader_waits(redis_url: str) -> None:
    async def scene() -> str | None:
        reading, sending = AsyncProducer.from_url(redis_url), AsyncProducer.from_url(redis_url)
        waiting = asyncio.ensure_future(anext(reading.outcomes("watch")))
        receipt = await sending.enqueue(send())
        event = await asyncio.wait_for(waiting, 10)
        await reading.close()
        await sending.close()
        return event.intent if event.intent == receipt.id else None

    assert asyncio.run(scene()) is not None
