"""The producer for ordinary, synchronous code."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
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
    connect,
    is_cluster,
    server_for,
    server_of,
    translated,
    undecoded,
    url_from_environment,
)
from tuma_producer.contract.control import control
from tuma_producer.contract.cursors import Cursor
from tuma_producer.contract.editing import edit
from tuma_producer.contract.keys import ACCOUNTS, ROUTES, account_keys
from tuma_producer.contract.reading import Lookup, attempt_ids
from tuma_producer.contract.scripts import run_together
from tuma_producer.contract.streams import Patience, group_of, told_to
from tuma_producer.contract.tracing import enqueueing
from tuma_producer.contract.waves import Waves
from tuma_producer.errors import TumaError, UnknownAccount
from tuma_producer.intents import Send, checked_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

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


class Producer:
    """Hands sends to Tuma and tells what became of them. Thread-safe.

    `source` names the service on whose behalf it acts: fairness is between sources, and idempotency keys are a source's own.
    Every method raises `StoreUnavailable` where Redis cannot be reached.
    """

    def __init__(self, redis: Redis, *, source: str = "default") -> None:
        self._redis = undecoded(redis)
        self._source = checked_source(source)
        self._where = server_of(redis)

    @classmethod
    def from_url(cls, url: str | None = None, *, source: str = "default") -> Self:
        """A producer for the Redis at `url`, or at `TUMA_REDIS_URL` where none is given."""
        return cls(connect(url or url_from_environment()), source=source)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def enqueue(self, send: Send, *, wait_replicas: int = 0) -> Receipt:
        """Accept one send. Once this returns, the intent is in Redis and will end; with `wait_replicas` in so many replicas, too.

        Raises `UnknownAccount`, `IdempotencyConflict`, `OverBudget`, and `WouldBeLate` for one with `refuse_if_late`; for one by
        template `UnknownTemplate`, and `InvalidSend` for variables that the template lacks or does not have. Where
        `StoreUnavailable` is raised the send may or may not have been accepted; repeat it with an idempotency key. Replicas are
        waited for for a second; where fewer have it by then, `NotReplicated` is raised, of a send that is accepted.
        """
        with enqueueing(send):
            (request,) = self._requests([send])
            if isinstance(request, TumaError):
                raise request
            with translated(self._where):
                reply = request.script.run(self._redis, request.keys, request.args)
            request, reply = self._last(request, reply)
            (result,) = self._replicated([(request, self._receipt(request, reply))], wait_replicas)
            if isinstance(result, TumaError):
                raise result
            return result

    def _replicated(self, results: Sequence[replication.Result], replicas: int) -> list[Receipt | TumaError]:
        """The results, once so many replicas have what was accepted; what fewer have is told as an error."""
        if not replicas:
            return [result for _, result in results]
        have = {wait.account: self._wait(wait) for wait in replication.waits(results, replicas)}
        return replication.checked(results, have, replicas)

    def _wait(self, wait: replication.Wait) -> int:
        with translated(self._where):
            pipeline: Any = server_for(self._redis, wait.key).pipeline(transaction=False)
            for command in wait.commands:
                pipeline.execute_command(*command)
            return int(pipeline.execute()[-1])

    def _requests(self, sends: list[Send]) -> Chunk:
        """What to write for these: those by template with their texts, those that ask when they are expected to go looked into."""
        texts = self._texts(sends)
        requests = [one if isinstance(one, TumaError) else scheduling.request(one, self._source) for one in texts]
        return self._read(backlog.ask(requests)) if any(map(backlog.asks, requests)) else requests

    def _texts(self, sends: list[Send]) -> Sequence[Send | TumaError]:
        """The same sends; those by template with their texts. Where a template or a callback is wrong, that is said instead."""
        texts = self._read(templating.render(sends)) if any(map(templating.asks, sends)) else sends
        return self._read(callbacks.check(texts, self._source)) if any(map(callbacks.asks, texts)) else texts

    def _read(self, steps: ReadSteps[Answer]) -> Answer:
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
                replies = pipeline.execute()

    @overload
    def enqueue_many(self, sends: Iterable[Send], *, wait_replicas: int = 0) -> Iterator[Receipt]: ...
    @overload
    def enqueue_many(
        self, sends: Iterable[Send], *, return_errors: Literal[True], wait_replicas: int = 0
    ) -> Iterator[Receipt | TumaError]: ...
    def enqueue_many(
        self, sends: Iterable[Send], *, return_errors: bool = False, wait_replicas: int = 0
    ) -> Iterator[Receipt | TumaError]:
        """Accept many sends, a pipeline at a time, and yield their receipts in order. `sends` is consumed lazily.

        Nothing happens before the first receipt is asked for; from then on at most two pipelines, of a hundred sends each, are
        ahead of the receipts. A send that is refused raises at its place, when those under way have been offered; with
        `return_errors` the error is yielded at its place instead and the rest goes on. With `wait_replicas` a receipt comes once so
        many replicas have what it is about, and else `NotReplicated`; that is waited for once for each account of a pipeline.
        """
        remaining = iter(sends)
        chunks = iter(lambda: self._requests([*islice(remaining, CHUNK)]), [])
        offers = map(Offer, chunks)
        for results in map(self._offer, offers) if is_cluster(self._redis) else self._overlapping(offers):
            for result in self._replicated(results, wait_replicas):
                if isinstance(result, TumaError) and not return_errors:
                    raise result
                yield result

    def _overlapping(self, offers: Iterator[Offer]) -> Iterator[list[replication.Result]]:
        """The results of each chunk; the next one is encoded and written before they are read."""
        with Waves(self._redis) as waves:
            under_way: Offer | None = None
            for offer in offers:
                waves.write(offer.calls)
                if under_way:
                    yield self._answered(under_way, waves)
                under_way = offer
            if under_way:
                yield self._answered(under_way, waves)

    def _answered(self, offer: Offer, waves: Waves) -> list[replication.Result]:
        replies = waves.replies(len(offer.calls))
        return self._offer(offer) if replies is None else self._results(offer, replies)

    def _offer(self, offer: Offer) -> list[replication.Result]:
        with translated(self._where):
            pipeline = self._redis.pipeline(transaction=False)
            for call in offer.calls:
                call.script.stage(pipeline, call.keys, call.args)
            replies = pipeline.execute(raise_on_error=False)
        return self._results(offer, replies)

    def _results(self, offer: Offer, replies: list[Any]) -> list[replication.Result]:
        return [(one, one) if isinstance(one, TumaError) else self._result(one, reply) for one, reply in offer.answered(replies)]

    def _result(self, request: Enqueue, reply: Any) -> replication.Result:  # noqa: ANN401 - a reply or redis-py's error
        try:
            with translated(self._where):
                if isinstance(reply, NoScriptError):
                    reply = request.script.run(self._redis, request.keys, request.args)
                elif isinstance(reply, Exception):
                    raise reply
            request, reply = self._last(request, reply)
            return request, self._receipt(request, reply)
        except TumaError as error:
            return request, error

    def _last(self, request: Enqueue, reply: list[bytes]) -> tuple[Enqueue, list[bytes]]:
        """What was asked in the end, and its reply: where a reply wants something else asked, that is."""
        while (other := request.again(reply)) is not None:
            request = other
            with translated(self._where):
                reply = request.script.run(self._redis, request.keys, request.args)
        return request, reply

    def _receipt(self, request: Enqueue, reply: list[bytes]) -> Receipt:
        try:
            return request.receipt(reply)
        except UnknownAccount as error:
            raise UnknownAccount(error.account, self.accounts()) from None

    def accounts(self) -> tuple[str, ...]:
        """The accounts that sends may name, sorted."""
        with translated(self._where):
            names = cast("set[bytes]", self._redis.smembers(ACCOUNTS))
        return tuple(sorted(name.decode() for name in names))

    def route(self, name: str, /, *, to: str | list[str], **fields: Any) -> list[Send]:  # noqa: ANN401 - fields of `Send`
        """The sends that reach these recipients by a route, as ops named it: each of them goes by the accounts of its prefix.

        One `Send` for each list of accounts, `account` the first and `failover` the rest, with these `fields` otherwise. Nothing is
        enqueued: hand the list to `enqueue_many`, and where that is repeated, hand over the same list: a route may have changed.
        Raises `UnknownRoute`, and `InvalidSend` where a number begins with no prefix of the route or `Send` raises it.
        """
        with translated(self._where):
            routes = cast("dict[bytes, bytes]", self._redis.hgetall(ROUTES))
        return routing.named(name, routes).sends(to, fields)

    def estimate(self, send: Send, *more: Send) -> Estimate:
        """What these would come to together if they were enqueued now: messages, calls, cost, when, and whether that is in time.

        Nothing is enqueued. Each is counted behind those before it. Raises `UnknownAccount`, `UnknownTemplate`, and
        `InvalidSend` for what a template, or a provider that is to keep it, would refuse.
        """
        texts = self._texts([send, *more])
        for one in texts:
            if isinstance(one, TumaError):
                raise one
        return self._read(estimating.estimate([one for one in texts if isinstance(one, Send)], self._source))

    def get(self, intent_id: str) -> Intent:
        """Where an intent stands, recipient by recipient, and what holds it. Raises `UnknownIntent`."""
        return self._look_up(intent_id).intent()

    def explain(self, intent_id: str) -> Explanation:
        """Why an intent stands where it stands: what holds it, its place, when it is expected. Raises `UnknownIntent`."""
        return self._read(explaining.explain(self._look_up(intent_id)))

    def _look_up(self, intent_id: str) -> Found:
        lookup = Lookup.of(intent_id)
        keys = lookup.keys
        with translated(self._where):
            record = lookup.record(cast("dict[bytes, bytes]", self._redis.hgetall(keys.intent(lookup.short_id))))
            pipeline: Any = self._redis.pipeline(transaction=False)
            pipeline.execute_command("TIME")  # by its name: a cluster's pipeline lacks the method
            pipeline.hgetall(keys.queue("send").state)
            pipeline.hget(keys.profile, "queue")
            for batch_id in attempt_ids(record):
                pipeline.hgetall(keys.batch(batch_id))
            replies = pipeline.execute()
        return lookup.found(record, replies)

    def cancel(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Withdraw what of an intent has not been handed to the provider. Who is told as stopped is not sent to.

        `by` is who asks, for the record; this producer's source where not given. Raises `UnknownIntent`.
        """
        return self._control(intent_id, "cancel", by)

    def pause(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Hold back what of an intent has not been handed to the provider, until it is resumed; see `cancel`."""
        return self._control(intent_id, "pause", by)

    def resume(self, intent_id: str, *, by: str | None = None) -> ControlResult:
        """Put a paused intent back into the line; see `cancel`."""
        return self._control(intent_id, "resume", by)

    def cancel_campaign(
        self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None
    ) -> CampaignResult:
        """Withdraw what has not been handed to the provider of all intents with this `campaign_name`; see `cancel`.

        What arrives under the name before this returns is cancelled too; what arrives later is sent. Raises `UnknownAccount` and
        `UnknownCampaign`. Whoever is interrupted asks again, and gets the answer about the whole. `progress` is called again and
        again, with the number of intents so far.
        """
        return self._control_campaign(account, name, "cancel", by, progress)

    def pause_campaign(self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None) -> CampaignResult:
        """Hold back all intents of a campaign, and all that arrive under its name until it is resumed; see `cancel_campaign`."""
        return self._control_campaign(account, name, "pause", by, progress)

    def resume_campaign(
        self, account: str, name: str, *, by: str | None = None, progress: Progress | None = None
    ) -> CampaignResult:
        """Put all paused intents of a campaign back into the line, those too that were paused singly; see `cancel_campaign`."""
        return self._control_campaign(account, name, "resume", by, progress)

    def _control_campaign(self, account: str, name: str, verb: Verb, by: str | None, progress: Progress | None) -> CampaignResult:
        try:
            return self._answer(control_campaign(account, name, verb, by or self._source, progress))
        except UnknownAccount as error:
            raise UnknownAccount(error.account, self.accounts()) from None

    def edit(
        self,
        intent_id: str,
        *,
        message: str | None = None,
        schedule: At | Every | None = None,
        to: str | list[str] | None = None,
        by: str | None = None,
    ) -> EditResult:
        """Change the text, the times or the recipients of a schedule, from its next firing on. What is not given stays.

        What has fired is not touched. `by` is who asks, as in `cancel`. Raises `UnknownIntent`, `NotEditable` for what is no
        schedule or has ended, and `InvalidSend` naming the field that breaks a rule.
        """
        changes = {"message": message, "schedule": schedule, "to": to}
        return self._answer(edit(intent_id, changes, by or self._source))

    def suppress(self, account: str, numbers: str | Iterable[str], *, by: str | None = None) -> int:
        """Put numbers on an account's suppression list. Returns how many were not on it yet.

        From then on no call begins with them, also where they wait already: such recipients end `suppressed`, those of later sends
        at once. Each account has a list of its own. `by` is who asks, as in `cancel`. Raises `UnknownAccount`, and `InvalidSend`
        where one is no number; then none is added.
        """
        return self._change_list(account, suppression.suppress(account, numbers, by or self._source))

    def unsuppress(self, account: str, numbers: str | Iterable[str], *, by: str | None = None) -> int:
        """Take numbers off an account's suppression list. Returns how many were on it; raises as `suppress` does.

        Recipients that ended `suppressed` stay so.
        """
        return self._change_list(account, suppression.unsuppress(account, numbers, by or self._source))

    def _change_list(self, account: str, steps: ActSteps[int]) -> int:
        try:
            return self._answer(steps)
        except UnknownAccount:
            raise UnknownAccount(account, self.accounts()) from None

    def suppressions(self, account: str) -> Iterator[Suppression]:
        """An account's suppression list, read page by page, in no order.

        Whoever is on it all the while is told at least once; where the list changes meanwhile, perhaps twice.
        """
        cursor = 0
        while True:
            with translated(self._where):
                cursor, page = self._redis.zscan(account_keys(account).suppressed, cursor, count=suppression.PAGE)
            yield from suppression.listed(page)
            if cursor == 0:
                return

    def _control(self, intent_id: str, verb: Verb, by: str | None) -> ControlResult:
        return self._answer(control(intent_id, verb, by or self._source))

    def _answer(self, steps: ActSteps[Answer]) -> Answer:
        """Make the calls that these steps ask for, until they have their answer."""
        calls = next(steps)
        while True:
            with translated(self._where):
                replies = run_together(self._redis, calls)
            try:
                calls = steps.send(replies)
            except StopIteration as answered:
                answer: Answer = answered.value
                return answer

    def outcomes(
        self,
        group: str,
        *,
        accounts: Iterable[str] | None = None,
        all_sources: bool = False,
        start: Start = "beginning",
        wait: float | None = None,
    ) -> Iterator[Event]:
        """The events of this producer's source, each acknowledged once the loop body has come back for the next.

        Consumers that name the same `group` share the events between them; one that dies leaves its unacknowledged events to the
        others after a minute. `accounts` defaults to all, also those that appear later; `start` says where a new group begins: at
        the `beginning` of what is there, `now`, after an event, by its id, or at a time. `wait` ends the iteration after so many
        seconds without an event (None: never). At least once: an event may come again, with the same `id`. Raises `TumaError` for
        another start.
        """
        cursor = Cursor(self._redis, self._where, group_of(group, self._source, all_sources=all_sources), start)
        chosen = tuple(accounts) if accounts is not None else None
        wanted = told_to(self._source, all_sources=all_sources)
        patience = Patience(wait)
        while True:
            batches = cursor.read(self.accounts() if chosen is None else chosen, patience.block)
            for account, found in batches:
                with closing(cursor.acknowledged(account, found, wanted)) as events:
                    for event in events:
                        yield event
                        patience.renew()
            if not batches and cursor.searched and patience.spent:
                return
