"""Send one batch: write the attempt down, make the call, write down what it came to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

import structlog

from tuma_producer.contract.connection import REDIS_ERRORS, unavailable
from tuma_producer.contract.groups import is_loud, segments_of
from tuma_producer.contract.wire import LANES
from tuma_producer.countries import code_of
from tuma_producer.senders import is_approved
from tuma_worker import metrics, tracing
from tuma_worker.core.answers import Accepted, Rejected, Reply, TryLater, what_is_left
from tuma_worker.core.breaker import Breaker, pulse
from tuma_worker.core.dead import NOT_APPROVED, OVER_LIMIT, WORKER_DIED
from tuma_worker.core.next_step import Chooser, NextStep, Policy, next_step
from tuma_worker.core.prices import charged
from tuma_worker.core.states import RecipientState
from tuma_worker.logs import Event
from tuma_worker.providers.base import Call
from tuma_worker.store.moves import Target
from tuma_worker.tracing import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from tuma_producer.quiet import Quiet
    from tuma_worker.core.prices import Price
    from tuma_worker.dispatch.custody import Keeper
    from tuma_worker.providers.base import Barred, Client
    from tuma_worker.queue.leases import Held
    from tuma_worker.store.attempts import Attempts, Begun, Settled

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_PATIENCE = 1.0  # seconds between two tries to reach Redis

Secret = Callable[[], str]  # an unguessable text, new each time


@dataclass(frozen=True, slots=True)
class Outlet:
    """What an account's sends need.

    `callbacks` is the outside address under which the gateway takes this account's receipts; `keeps_books` whether the provider can
    be asked later what became of a call. In `quiet` hours some are not called; senders are shown to numbers for which they are
    `approved` alone. The provider `holds_back` what goes at once, by priority, for so many seconds. `watches_money` says whether
    what calls cost is counted. `keeper` is None where the provider keeps no dates.
    """

    client: Client
    attempts: Attempts
    policy: Policy
    breaker: Breaker
    callbacks: str | None
    sender_id: str | None
    keeps_books: bool
    quiet: Quiet | None = None
    approved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    holds_back: Mapping[str, int] = field(default_factory=dict)
    watches_money: bool = False
    keeper: Keeper | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the batches of all accounts that this process is configured with. Thread-safe."""

    outlets: dict[str, Outlet]
    choose: Chooser
    secret: Secret
    pause: Callable[[float], None]

    def send(self, held: Held) -> None:
        """Take one claimed batch from its claim to its settlement. Returns early where nobody is left to send to."""
        outlet, token, asked_at = self.outlets[held.queue.account], self.secret(), held.clock()
        begun = self._begin(held, outlet, token)
        if begun is None:
            self._disown(held, outlet, token)
            return
        if not begun.targets:
            return  # expired, withdrawn or known to be bad, every one: letting go of the batch gives the permit back
        barred, called_at = _bars(held, outlet, begun, asked_at), held.clock()
        reply = self._call(held, outlet, begun, token, barred)
        self._settle(held, outlet, begun, reply, took=held.clock() - called_at)

    def _begin(self, held: Held, outlet: Outlet, token: str) -> Begun | None:
        claim, heeds = held.claim, outlet.policy.bad_number_ttl > 0
        return self._insist(
            lambda: outlet.attempts.begin(
                claim.batch_id, token, _targets(held), lane=claim.lane, source=claim.source, group=claim.group, heed_bad=heeds
            )
        )

    def _disown(self, held: Held, outlet: Outlet, token: str) -> None:
        """The lease was lost before the call, and the batch is somebody else's: what was begun for it was never called."""
        again = self._insist(lambda: outlet.attempts.disown(held.claim.batch_id, token, _targets(held)))
        held.settled = True  # by whoever has it now
        account, reason = held.queue.account, "lease lost before the call"
        _log.warning(Event.DELIVERY_DEFERRED, account=account, batch=held.claim.batch_id, reason=reason, again=again)

    def _call(self, held: Held, outlet: Outlet, begun: Begun, token: str, barred: Barred) -> Reply:
        """Make the call, unless it is barred. What is too late goes back: its `begin` ends it, or its claim puts it off."""
        if (answer := barred()) is not None:
            return Reply(answer)
        batch_id, sender = held.claim.batch_id, begun.sender_id or outlet.sender_id
        numbers = [target.number for target in begun.targets]
        strangers = frozenset(number for number in numbers if not is_approved(outlet.approved, sender, number))
        if strangers:
            return Reply(Rejected(NOT_APPROVED, strangers, lasting=False, ours=True))
        call = Call(
            numbers=numbers,
            message=begun.message,
            sender_id=sender,
            reference=batch_id,
            callback_url=f"{outlet.callbacks}/{batch_id}.{token}" if outlet.callbacks else None,
            barred=barred,
            cancel_within=_cancel_within(held, outlet, begun),
            template=begun.kept,
        )
        if begun.schedule is None:
            return outlet.client.send(call)
        if outlet.keeper is None:  # the account had another provider when this was accepted
            return Reply(Rejected("custody", ours=True))
        return outlet.keeper.hand_over(
            batch_id, call, begun.schedule, priority=LANES[held.claim.lane], ignore_quiet=begun.ignore_quiet
        )

    def _settle(self, held: Held, outlet: Outlet, begun: Begun, reply: Reply, *, took: float) -> None:
        step = next_step(reply.answer, begun.tries, outlet.policy, self.choose)
        batch_id = held.claim.batch_id
        left = what_is_left(reply.quotas)
        told = pulse(reply, took, outlet.breaker)
        health = None if told is None else (told, outlet.breaker)
        price, cost = _price(held, begun, reply), _cost(outlet, reply)
        settled = self._insist(
            lambda: outlet.attempts.settle(
                batch_id, begun.targets, step, group=held.claim.group, left=left, pulse=health, price=price, cost=cost, run=held.run
            )
        )
        late = settled is None
        if late and step.resolve is None:  # what was not answered is in the hand of whoever looks for evidence
            # The batch is somebody else's by now, but what the provider said is evidence, whoever brings it. How well the provider
            # was and what was left of its limits was true then, and says nothing of now.
            settled = self._insist(
                lambda: outlet.attempts.settle(batch_id, begun.targets, step, group=held.claim.group, cost=cost, late=True)
            )
        held.settled = True
        self._tell(held, begun, reply, step, late=late)
        _count(held, begun, reply, step, took=None if told is None else took)
        if tracing.on() and told is not None:
            self._trace(held, outlet, begun, reply, took=took)
        if settled is not None:
            _tell_of_account(held, step, settled)

    def _tell(self, held: Held, begun: Begun, reply: Reply, step: NextStep, *, late: bool) -> None:
        """The one line that an attempt leaves. `late`: the lease was lost by then, and the answer was evidence."""
        _log.info(
            Event.DELIVERY_SETTLED,
            account=held.queue.account,
            batch=held.claim.batch_id,
            intents=_shown({target.intent for target in begun.targets}),
            recipients=len(begun.targets),
            answer=type(reply.answer).__name__,
            status=reply.status,
            recognised=reply.recognised,
            **({"mismatch": reply.mismatch} if reply.mismatch else {}),
            phase=step.phase,
            code=step.code,
            late=late,
        )

    def _trace(self, held: Held, outlet: Outlet, begun: Begun, reply: Reply, *, took: float) -> None:
        """Tell the traces of those in the call for how long it waited in the line, and of the call."""
        ready: dict[str, float] = {}
        for job in held.claim.jobs:
            intent = _target(job.subject).intent
            ready[intent] = min(job.ready / 1000, ready.get(intent, begun.now))
        about: dict[str, str | int] = {
            "account": held.queue.account,
            "batch": held.claim.batch_id,
            "recipients": len(begun.targets),
        }
        parents = outlet.attempts.traces(target.intent for target in begun.targets)
        for intent, parent in parents.items():
            tracing.span("tuma.claim", parent, Kind.CONSUMER, ready[intent], begun.now, **about)
            tracing.span(
                "tuma.call", parent, Kind.CLIENT, begun.now, begun.now + took,
                answer=type(reply.answer).__name__, status=reply.status, **about,
            )  # fmt: skip

    def _insist(self, write: Callable[[], _T]) -> _T:
        """Write what only this process knows, however long Redis is away.

        The thread has nothing better to do: without Redis there is no permit for another call.
        """
        while True:
            try:
                return write()
            except REDIS_ERRORS as error:
                if not unavailable(error):
                    raise
                _log.warning(Event.DELIVERY_DEFERRED, reason="no usable Redis", error=type(error).__name__)
                self.pause(_PATIENCE)

    def expire(self, held: Held) -> None:
        """End what still waits past its deadline: these jobs come due then, and go whatever holds the others."""
        intents = [job.subject for job in held.claim.jobs]
        ended = self.outlets[held.queue.account].attempts.expire(intents)
        if ended:
            _log.info(Event.DELIVERY_EXPIRED, account=held.queue.account, recipients=ended, intents=_shown(set(intents)))

    def hush(self, held: Held) -> None:
        """End jobs whose turn came in quiet hours, where the account is set to that."""
        self._end(held, RecipientState.EXPIRED, "quiet", partial(_log.info, Event.DELIVERY_EXPIRED))

    def park(self, held: Held) -> None:
        """End a job that was there each time a worker died: it may be the cause, and the others must get on."""
        self._end(held, RecipientState.FAILED, WORKER_DIED, partial(_log.error, Event.DELIVERY_DEAD))

    def refuse(self, held: Held) -> None:
        """End jobs that are heavier than a whole window of a limit: no waiting would ever make room for them."""
        self._end(held, RecipientState.REJECTED, OVER_LIMIT, partial(_log.error, Event.DELIVERY_DEAD))

    def _end(self, held: Held, state: RecipientState, reason: str, say: Callable[..., object]) -> None:
        targets = _targets(held)
        ended = self.outlets[held.queue.account].attempts.end(targets, state, reason=reason)
        intents = _shown({target.intent for target in targets})
        if ended:
            say(account=held.queue.account, recipients=ended, intents=intents, reason=reason)


def _count(held: Held, begun: Begun, reply: Reply, step: NextStep, *, took: float | None) -> None:
    """The counters of an attempt, beside its line. `took` is how long its call did, None where none was made in the end."""
    account = held.queue.account
    if took is not None:
        metrics.called(account, held.queue.operation, type(reply.answer).__name__)
        metrics.took(account, took, len(begun.targets))
    if not reply.recognised or reply.mismatch:
        metrics.unrecognised(account, reply.status, reply.mismatch or step.code)
    goes_back = step.rest is not None and step.rest.target is RecipientState.QUEUED
    if goes_back:
        metrics.retried(account, len(begun.targets) - len(step.moves))
    if took is not None and not (goes_back and not step.spends):  # for those the next call will be the first again
        first = [begun.waited[number] for number, tries in begun.tries.items() if tries == 1]
        metrics.waited(account, LANES[held.claim.lane], first)


def _cancel_within(held: Held, outlet: Outlet, begun: Begun) -> int | None:
    """For how long the provider is to hold a call back: not at all where one of those in it is too late by then, or has dates."""
    seconds = outlet.holds_back.get(LANES[held.claim.lane])
    too_late = seconds is not None and begun.left is not None and begun.left <= seconds
    return None if too_late or begun.schedule is not None else seconds


def _price(held: Held, begun: Begun, reply: Reply) -> Price | None:
    """What a message cost in this call; what was handed over with several dates was charged for all of them."""
    if begun.schedule is not None:
        return None
    return charged(reply.answer, recipients=len(begun.targets), segments=segments_of(held.claim.group))


def _cost(outlet: Outlet, reply: Reply) -> Decimal | None:
    """What the call cost, where that counts and the answer tells."""
    return reply.answer.cost if outlet.watches_money and isinstance(reply.answer, Accepted) else None


def _tell_of_account(held: Held, step: NextStep, settled: Settled) -> None:
    """What this very call made of its account; the calls that were in flight with it have nothing to add."""
    account = held.queue.account
    if settled.halted and step.halt is not None:
        metrics.halted(account, step.halt.fault)
        _log.error(Event.ACCOUNT_HALTED, account=account, fault=step.halt.fault, code=step.halt.code)
    if settled.opened:
        metrics.breaker_opened(account)
        _log.error(Event.BREAKER_OPENED, account=account, code=step.code)
    if settled.short:
        _log.warning(Event.BULK_HELD, account=account)


def _bars(held: Held, outlet: Outlet, begun: Begun, asked_at: float) -> Barred:
    """What may forbid the call from now on. What `begin` told was true at `asked_at`, or a little later."""
    limits = [("deadline", begun.left), ("quiet", _awake_for(outlet.quiet, held, begun))]
    return _barred(held, {why: asked_at + left for why, left in limits if left is not None})


def _barred(held: Held, limits: Mapping[str, float]) -> Barred:
    """Why a call may not start: this process was held up for so long that the batch may be somebody else's, or is too late.

    `limits` says for each reason until when it may start, by this process's clock, counted from before the request that told
    it: never later than it is.
    """
    why, until = min(limits.items(), key=itemgetter(1), default=("", math.inf))

    def barred() -> TryLater | None:
        if not held.alive():
            return TryLater("lease-over", left=False, counts=False)
        if held.clock() >= until:
            return TryLater(why, after=0.0, left=False, counts=False)
        return None

    return barred


def _awake_for(quiet: Quiet | None, held: Held, begun: Begun) -> float | None:
    """For how many seconds all of these may still be called, none where it is quiet for one of them; None where nothing forbids it.

    The claim puts off who may not be called; but it may be a moment ago.
    """
    claim = held.claim
    if quiet is None or LANES[claim.lane] not in quiet.priorities or is_loud(claim.group):
        return None
    now = datetime.fromtimestamp(begun.now, UTC)
    codes = {code_of(target.number) for target in begun.targets}
    if any(quiet.until_for(code, now) for code in codes):
        return 0.0
    begins = [at for code in codes if (at := quiet.begins_for(code, now)) is not None]
    return (min(begins) - now).total_seconds() if begins else None


def _targets(held: Held) -> list[Target]:
    """The recipients that a batch was claimed for."""
    return [_target(job.subject) for job in held.claim.jobs]


def _target(subject: str) -> Target:
    intent, _, number = subject.partition(":")
    return Target(intent, number)


def _shown(intents: set[str]) -> list[str]:
    """A few ids for a log line: enough to find it by, not a thousand."""
    return sorted(intents)[:5]
