"""The producer for code on an event loop: the same methods as `Producer`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from redis.exceptions import NoScriptError

from tuma_producer.contract import (
    backlog,
    callbacks,
    estimating,
    explaining,
    replication,
    routing,
    scheduling,
    suppression,
    templating,
)
from tuma_producer.contract.bundles import CHUNK, Offer
from tuma_producer.contract.campaigns import control_campaign
from tuma_producer.contract.connection import (
    connect_async,
    on_one_server,
    server_of,
    translated,
    undecoded,
    url_from_environment,
)
from tuma_producer.contract.control import control
from tuma_producer.contract.cursors import AsyncCursor
from tuma_producer.contract.editing import edit
from tuma_producer.contract.keys import ACCOUNTS, ROUTES, account_keys
from tuma_producer.contract.reading import Lookup, attempt_ids
from tuma_producer.contract.scripts import run_together_async
from tuma_producer.contract.streams import Patience, group_of, told_to
from tuma_producer.contract.tracing import enqueueing
from tuma_producer.errors import TumaError, UnknownAccount
from tuma_producer.intents import Send, checked_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from tuma_producer.contract.bundles import Chunk
    from tuma_producer.contract.campaigns import Progress
    from tuma_producer.contract.reading import Found
    from tuma_producer.contract.steps import ActSteps, Answer, ReadSteps
    from tuma_producer.contract.streams import Start
    from tuma_producer.contract.wire import Enqueue
    from tuma_producer.outcomes import Event
    from tuma_producer.results import (
        CampaignResult,
        ControlResult,
        EditResult,
        Estimate,
        Explanation,
        Intent,
        Receipt,
        Suppression,
        Verb,
    )
    from tuma_producer.schedules import At, Every


class AsyncProducer:
    """`Producer` for an event loop. What its methods mean, raise and promise is written there."""

    def __init__(self, redis: Redis, *, source: str = "default") -> None:
        self._redis = undecoded(redis)
        self._source = checked_source(source)
        self._where = server_of(redis)

    @classmethod
    def from_url(cls, url: str | None = None, *, source: str = "default") -> Self:
        """A producer for the Redis at `url`, or at `TUMA_REDIS_URL` where none is given."""
        return cls(connect_async(url or url_from_environment()), source=source)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def enqueue(self, send: Send, *, wait_replicas: int = 0) -> Receipt:
        """Accept one send; see `Producer.enqueue`."""
        with enqueueing(send):
            (request,) = await self._requests([send])
            if isinstance(request, TumaError):
                raise request
            with translated(self._where):
                reply = await request.script.run_async(self._redis, request.keys, request.args)
            request, reply = await self._last(request, reply)
            (result,) = await self._replicated([(request, await self._receipt(request, reply))], wait_replicas)
            if isinstance(result, TumaError):
                raise result
            return result

    async def _replicated(self, results: Sequence[replication.Result], replicas: int) -> list[Receipt | TumaError]:
        if not replicas:
            return [result for _, result in results]
        have = {wait.account: await self._wait(wait) for wait in replication.waits(results, replicas)}
        return replication.checked(results, have, replicas)

    async def _wait(self, wait: replication.Wait) -> int:
        with translated(self._where):
            return int((await on_one_server(self._redis, wait.key, wait.commands))[-1])

    async def _requests(self, sends: list[Send]) -> Chunk:
        """What to write for these: those by template with their texts, those that ask when they are expected to go looked into."""
        texts = await self._texts(sends)
        requests = [one if isinstance(one, TumaError) else scheduling.request(one, self._source) for one in texts]
        return await self._read(backlog.ask(requests)) if any(map(backlog.asks, requests)) else requests

    async def _texts(self, sends: list[Send]) -> Sequence[Send | TumaError]:
        """The same sends; those by template with their texts. Where a template or a callback is wrong, that is said instead."""
        texts = await self._read(templating.render(sends)) if any(map(templating.asks, sends)) else sends
        return await self._read(callbacks.check(texts, self._source)) if any(map(callbacks.asks, texts)) else texts

    async def _read(self, steps: ReadSteps[Answer]) -> Answer:
        """Give these steps the replies to the commands that they ask for, until they have their answer."""
        replies: Any = None
        while True:
            try:
                commands = steps.send(replies)
            except StopIteration as answered:
                answer: Answer = answered.value
                return answer
            with translated(self._where):
                pipeline: Any = self._redis.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute()

    @overload
    def enqueue_many(self, sends: Iterable[Send] | AsyncIterable[Send], *, wait_replicas: int = 0) -> AsyncIterator[Receipt]: ...
    @overload
    def enqueue_many(
        self, sends: Iterable[Send] | AsyncIterable[Send], *, return_errors: Literal[True], wait_replicas: int = 0
    ) -> AsyncIterator[Receipt | TumaError]: ...
    async def enqueue_many(
        self, sends: Iterable[Send] | AsyncIterable[Send], *, return_errors: bool = False, wait_replicas: int = 0
    ) -> AsyncIterator[Receipt | TumaError]:
        """Accept many sends; see `Producer.enqueue_many`."""
        async for chunk in _chunks(sends):
            results = await self._offer(Offer(await self._requests(chunk)))
            for result in await self._replicated(results, wait_replicas):
                if isinstance(result, TumaError) and not return_errors:
                    raise result
                yield result

    async def _offer(self, offer: Offer) -> list[replication.Result]:
        with translated(self._where):
            pipeline = self._redis.pipeline(transaction=False)
            for call in offer.calls:
                call.script.stage(pipeline, call.keys, call.args)
            replies = await pipeline.execute(raise_on_error=False)
        answered = offer.answered(replies)
        return [(one, one) if isinstance(one, TumaError) else await self._result(one, reply) for one, reply in answered]

    async def _result(self, request: Enqueue, reply: Any) -> replication.Result:  # noqa: ANN401 - a reply or redis-py's error
        try:
            with translated(self._where):
                if isinstance(reply, NoScriptError):
                    reply = await request.script.run_async(self._redis, request.keys, request.args)
                elif isinstance(reply, Exception):
                    raise reply
            request, reply = await self._last(request, reply)
            return request, await self._receipt(request, reply)
        except TumaError as error:
            return request, error

    async def _last(self, request: Enqueue, reply: list[bytes]) -> tuple[Enqueue, list[bytes]]:
        while (other := request.again(reply)) is not None:
            request = other
            with translated(self._where):
                reply = await request.script.run_async(self._redis, request.keys, request.args)
        return request, reply

    async def _receipt(self, request: Enqueue, reply: list[bytes]) -> Receipt:
        try:
            return request.receipt(reply)
        except UnknownAccount as error:
            raise UnknownAccount(error.account, await self.accounts()) from None

    async def accounts(self) -> tuple[str, ...]:
        """The accounts that sends may name, sorted."""
        with translated(self._where):
            names = cast("set[bytes]", await self._redis.smembers(ACCOUNTS))
        return tuple(sorted(name.decode() for name in names))

    async def route(self, name: str, /, *, to: str | list[str], **fields: Any) -> list[Send]:  # noqa: ANN401 - fields of `Send`
        """The sends that reach these recipients by a route; see `Producer.route`."""
        with translated(self._where):
            routes = cast("dict[bytes, bytes]", await self._redis.hgetall(ROUTES))
        return routing.named(name, routes).sends(to, fields)

    async def estimate(self, send: Send, *more: Send) -> Estimate:
        """What these would come to together if they were enqueued now; see `Producer.estimate`."""
        texts = await self._texts([send, *more])
        for one in texts:
            if isinstance(one, TumaError):
                raise one
        return await self._read(estimating.estimate([one for one in texts if isinstance(one, Send)], self._source))

    async def get(self, intent_id: str) -> Intent:
        """Where an intent stands; see `Producer.get`."""
        return (await self._look_up(intent_id)).intent()

    async def explain(self, intent_id: str) -> Explanation:
        """Why an intent stands where it stands; see `Producer.explain`."""
        return await self._read(explaining.explain(await self._look_up(intent_id)))

    async def _look_up(self, intent_id: str) -> Found:
        lookup = Lookup.of(intent_id)
        keys = lookup.keys
        with translated(self._where):
            record = lookup.record(cast("dict[bytes, bytes]", await self._redis.hgetall(keys.intent(lookup.short_id))))
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.execute_command("TIME")  # by its name: a cluster's pipeline lacks the method
            pipeline.hgetall(keys.queue("send").state)
            pipeline.hget(keys.profile, "queue")
            for batch_id in attempt_ids(record):
                pipeline.hgetall(keys.batch(batch_id))
            replies = await pipeline.execute()
        return lookup.found(record, replies)

    async def cancel(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Withdraw what has not been handed over; see `Producer.cancel`."""
        return await self._control(intent_id, "cancel", by)

    async def pause(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Hold back what has not been handed over; see `Producer.pause`."""
        return await self._control(intent_id, "pause", by)

    async def resume(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Put a paused intent back into the line; see `Producer.resume`."""
        return await self._control(intent_id, "resume", by)

    async def cancel_campaign(
        self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None
    ) -> CampaignResult:
        """Withdraw all intents of a campaign; see `Producer.cancel_campaign`."""
        return await self._control_campaign(account, name, "cancel", by, progress)

    async def pause_campaign(
        self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None
    ) -> CampaignResult:
        """Hold back all intents of a campaign; see `Producer.pause_campaign`."""
        return await self._control_campaign(account, name, "pause", by, progress)

    async def resume_campaign(
        self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None
    ) -> CampaignResult:
        """Put all paused intents of a campaign back into the line; see `Producer.resume_campaign`."""
        return await self._control_campaign(account, name, "resume", by, progress)

    async def _control_campaign(
        self, account: str, name: str, verb: Verb, by: str | None, progress: Progress | None
    ) -> CampaignResult:
        try:
            return await self._answer(control_campaign(account, name, verb, by or self._source, progress))
        except UnknownAccount as error:
            raise UnknownAccount(error.account, await self.accounts()) from None

    async def edit(
        self,
        intent_id: str,
        *,
        message: str | None = None,
        schedule: At | Every | None = None,
        to: str | list[str] | None = None,
        by: str | None = None,
    ) -> EditResult:
        """Change a schedule from its next firing on; see `Producer.edit`."""
        changes = {"message": message, "schedule": schedule, "to": to}
        return await self._answer(edit(intent_id, changes, by or self._source))

    async def suppress(self, account: str, numbers: str | Iterable[str], *, by: str | None = None) -> int:
        """Put numbers on an account's suppression list; see `Producer.suppress`."""
        return await self._change_list(account, suppression.suppress(account, numbers, by or self._source))

    async def unsuppress(self, account: str, numbers: str | Iterable[str], *, by: str | None = None) -> int:
        """Take numbers off an account's suppression list; see `Producer.unsuppress`."""
        return await self._change_list(account, suppression.unsuppress(account, numbers, by or self._source))

    async def _change_list(self, account: str, steps: ActSteps[int]) -> int:
        try:
            return await self._answer(steps)
        except UnknownAccount:
            raise UnknownAccount(account, await self.accounts()) from None

    async def suppressions(self, account: str) -> AsyncIterator[Suppression]:
        """An account's suppression list; see `Producer.suppressions`."""
        cursor = 0
        while True:
            with translated(self._where):
                cursor, page = await self._redis.zscan(account_keys(account).suppressed, cursor, count=suppression.PAGE)
            for one in suppression.listed(page):
                yield one
            if cursor == 0:
                return

    async def _control(self, intent_id: str, verb: Verb, by: str | None) -> ControlResult:
        return await self._answer(control(intent_id, verb, by or self._source))

    async def _answer(self, steps: ActSteps[Answer]) -> Answer:
        calls = next(steps)
        while True:
            with translated(self._where):
                replies = await run_together_async(self._redis, calls)
            try:
                calls = steps.send(replies)
            except StopIteration as answered:
                answer: Answer = answered.value
                return answer

    async def outcomes(
        self,
        group: str,
        *,
        accounts: Iterable[str] | None = None,
        all_sources: bool = False,
        start: Start = "beginning",
        wait: float | None = None,
    ) -> AsyncIterator[Event]:
        """The events of this producer's source; see `Producer.outcomes`."""
        cursor = AsyncCursor(self._redis, self._where, group_of(group, self._source, all_sources=all_sources), start)
        chosen = tuple(accounts) if accounts is not None else None
        wanted = told_to(self._source, all_sources=all_sources)
        patience = Patience(wait)
        while True:
            batches = await cursor.read(await self.accounts() if chosen is None else chosen, patience.block)
            for account, found in batches:
                # Closed by hand: a generator that is left early would acknowledge only when the garbage is collected.
                async with aclosing(cursor.acknowledged(account, found, wanted)) as events:
                    async for event in events:
                        yield event
                        patience.renew()
            if not batches and cursor.searched and patience.spent:
                return


async def _chunks(sends: Iterable[Send] | AsyncIterable[Send]) -> AsyncIterator[list[Send]]:
    chunk: list[Send] = []
    async for send in _each(sends):
        chunk.append(send)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _each(sends: Iterable[Send] | AsyncIterable[Send]) -> AsyncIterator[Send]:
    if isinstance(sends, AsyncIterable):
        async for send in sends:
            yield send
    else:
        for send in sends:
            yield send
