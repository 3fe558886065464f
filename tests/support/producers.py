"""One set of tests for both producers: the asynchronous one in the clothes of the synchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tuma_producer import AsyncProducer, Event, Producer, Receipt
from tuma_producer.contract.keys import ACCOUNTS, AccountKeys

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator

    from redis import Redis

    from tuma_producer import CampaignResult, ControlResult, EditResult, Estimate, Explanation, Intent, Send, Suppression
    from tuma_producer.results import Verb

Item = TypeVar("Item")


class Awaited:
    """An `AsyncProducer` whose methods are awaited for the caller, on a loop that it may share with others."""

    def __init__(self, producer: AsyncProducer, loop: asyncio.Runner) -> None:
        self._producer = producer
        self._loop = loop

    def close(self) -> None:
        self._loop.run(self._producer.close())

    def enqueue(self, send: Send, *, wait_replicas: int = 0) -> Receipt:
        return self._loop.run(self._producer.enqueue(send, wait_replicas=wait_replicas))

    def enqueue_many(self, sends: Iterable[Send], **options: Any) -> Iterator[Any]:  # noqa: ANN401 - as the overloads say
        return self._each(self._producer.enqueue_many(sends, **options))

    def accounts(self) -> tuple[str, ...]:
        return self._loop.run(self._producer.accounts())

    def route(self, name: str, **fields: Any) -> list[Send]:  # noqa: ANN401 - as the real one's
        return self._loop.run(self._producer.route(name, **fields))

    def estimate(self, *sends: Send) -> Estimate:
        return self._loop.run(self._producer.estimate(*sends))

    def get(self, intent_id: str) -> Intent:
        return self._loop.run(self._producer.get(intent_id))

    def explain(self, intent_id: str) -> Explanation:
        return self._loop.run(self._producer.explain(intent_id))

    def cancel(self, intent_id: str) -> ControlResult:
        return self._loop.run(self._producer.cancel(intent_id))

    def pause(self, intent_id: str) -> ControlResult:
        return self._loop.run(self._producer.pause(intent_id))

    def resume(self, intent_id: str) -> ControlResult:
        return self._loop.run(self._producer.resume(intent_id))

    def control_campaign(self, verb: Verb, account: str, name: str) -> CampaignResult:
        result: CampaignResult = self._loop.run(getattr(self._producer, f"{verb}_campaign")(account, name))
        return result

    def edit(self, intent_id: str, **changes: Any) -> EditResult:  # noqa: ANN401 - as the real one's
        return self._loop.run(self._producer.edit(intent_id, **changes))

    def suppress(self, account: str, numbers: str | Iterable[str]) -> int:
        return self._loop.run(self._producer.suppress(account, numbers))

    def unsuppress(self, account: str, numbers: str | Iterable[str]) -> int:
        return self._loop.run(self._producer.unsuppress(account, numbers))

    def suppressions(self, account: str) -> Iterator[Suppression]:
        return self._each(self._producer.suppressions(account))

    def outcomes(self, group: str, **options: Any) -> Iterator[Event]:  # noqa: ANN401 - as the real one's
        return self._each(self._producer.outcomes(group, **options))

    def _each(self, source: AsyncIterator[Item]) -> Iterator[Item]:
        try:
            while True:
                try:
                    yield self._loop.run(_awaited(anext(source)))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run(_awaited(source.aclose()))  # type: ignore[attr-defined] # both are generators


async def _awaited(what: Awaitable[Item]) -> Item:
    return await what


AnyProducer = Producer | Awaited


def configure(redis: Redis, *accounts: str, keeps: str = "") -> None:
    """Make accounts known, as a worker does at its start; `keeps` are the terms by which their provider keeps dates, if it does."""
    for account in accounts:
        redis.hset(AccountKeys(account).profile, mapping={"provider": "invented", "environment": "test", "keeps": keeps})
        redis.sadd(ACCOUNTS, account)


def texts(hash_reply: dict[Any, Any]) -> dict[str, str]:
    """A hash as text."""
    return {name.decode(): value.decode() for name, value in hash_reply.items()}


def events(redis: Redis, account: str) -> list[dict[str, str]]:
    """All that an account's stream holds, oldest first."""
    found: Any = redis.xrange(AccountKeys(account).events)
    return [texts(fields) for _, fields in found]


def jobs(redis: Redis, account: str) -> list[str]:
    """The jobs that a claim could find now, in the order of their names."""
    found: Any = redis.zrange(AccountKeys(account).queue("send").entries, 0, -1)
    return [member.decode() for member in found]


def intents(redis: Redis, account: str) -> list[dict[str, str]]:
    """The records of an account."""
    return [texts(redis.hgetall(key)) for key in redis.scan_iter(AccountKeys(account).intent("*"))]
