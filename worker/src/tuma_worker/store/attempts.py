"""Attempts: written down before the call, settled after it, and moved on by evidence that comes later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract import records
from tuma_producer.contract.groups import narrowed
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.money import micros
from tuma_producer.contract.records import BODY_FIELDS, LOOK, body_in
from tuma_producer.contract.rendered import kept_in
from tuma_producer.contract.scripts import Argument, ScriptCall, load
from tuma_producer.schedules import read_schedule
from tuma_worker.core.states import Evidence, RecipientState, origins
from tuma_worker.store import accounts
from tuma_worker.store.clock import server_ms
from tuma_worker.store.moves import (
    COMMON,
    QUEUED,
    SENDING,
    WAITING,
    Intents,
    Target,
    apply_request,
    given,
    move_header,
    note,
    states_of,
)
from tuma_worker.store.traces import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys
    from tuma_producer.contract.rendered import Kept
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.answers import Accepted
    from tuma_worker.core.breaker import Breaker, Pulse
    from tuma_worker.core.evidence import Judgement
    from tuma_worker.core.next_step import Halt, Move, NextStep
    from tuma_worker.core.prices import Price
    from tuma_worker.queue.config import QueueConfig

_BEGIN = load(__package__, "begin")
_SETTLE = load(__package__, "settle")
_RESEND = load(__package__, "resend")
_EXPIRE = load(__package__, "expire")

UNANSWERED_MS = 90 * 86_400_000  # until then: longer than all workers may ever be away, for only it says whom the call was for

_IN_A_CALL_MS = 15_000  # between two looks at a deadline that passed while somebody was in a call
_EXPIRED_AT_ONCE = 1000  # recipients in one step: campaigns of ten thousand often share a deadline, and everybody else waits


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that is written down.

    `targets` are those still to be sent to, perhaps none; `tries` counts for each of their numbers the calls, this one included,
    and `waited` says how many seconds ago its intent was accepted.
    `left` is how many seconds remained until the earliest of their deadlines, None where none has one. `now` is when that was, by
    the server's clock, in Unix seconds. `schedule` is what is to be handed over to the provider, None where it is to
    send at once; `ignore_quiet` says whether its dates may lie in quiet hours. `kept` is the provider's template of which
    it is to make the message itself, if any.
    """

    message: str
    sender_id: str | None
    targets: tuple[Target, ...]
    tries: Mapping[str, int]
    waited: Mapping[str, float]
    left: float | None
    now: float
    schedule: Schedule | None = None
    ignore_quiet: bool = False
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What this very call made of the account: whether it `halted` it, `opened` the breaker or left it `short` of money."""

    halted: bool
    opened: bool
    short: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as it was written down, with all recipients it was begun for and what was to be sent.

    `looks` says of each search for evidence so far, by its name, when it began (Unix seconds).
    """

    batch_id: str
    lane: int
    source: str
    token: str
    phase: str
    started: int
    targets: tuple[Target, ...]
    message: str
    sender_id: str | None
    on_unknown: str
    looks: Mapping[str, float]
    kept: Kept | None = None

    @property
    def unanswered(self) -> bool:
        """Whether nobody knows yet if the provider took the call."""
        return self.phase in {"calling", "unknown"}


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one account's queue."""

    redis: Redis
    queue: QueueConfig

    @property
    def _account(self) -> AccountKeys:
        return account_keys(self.queue.account)

    def begin(
        self, batch_id: str, token: str, targets: Sequence[Target], *, lane: int, source: str, group: str, heed_bad: bool = True
    ) -> Begun | None:
        """Write the attempt down and learn who is still to be sent to; None where the batch is no longer ours.

        Who is on the account's suppression list ends here. `heed_bad` ends recipients whose numbers the provider has blamed lately.
        """
        targets = sorted(targets)
        keys = self._begin_keys(batch_id)
        intents = Intents(self._account, targets, before=len(keys))
        header = {
            **COMMON, "keep": UNANSWERED_MS, "token": token, "lane": lane, "source": source, "group": group,
            "sending": states_of(origins(RecipientState.SENDING)), "ended": states_of(QUEUED), "heed": heed_bad,
        }  # fmt: skip
        args: list[Argument] = [batch_id, json.dumps(header), *intents.named(targets)]
        became, *found = _BEGIN.run(self.redis, [*keys, *intents.keys], args)
        return None if became == b"lost" else _begun(targets, found)

    def _begin_keys(self, batch_id: str) -> list[str]:
        keys, account = self.queue.keys, self._account
        return [
            keys.inflight, account.batch(batch_id), account.events, account.bad_numbers, keys.crashes, account.suppressed, keys.due,
        ]  # fmt: skip

    def settle(
        self,
        batch_id: str,
        targets: Sequence[Target],
        step: NextStep,
        *,
        group: str,
        left: Mapping[str, int] | None = None,
        pulse: tuple[Pulse, Breaker] | None = None,
        price: Price | None = None,
        cost: Decimal | None = None,
        late: bool = False,
        run: Callable[[ScriptCall], Any] | None = None,
    ) -> Settled | None:
        """Write down what the call came to; `left` is what the provider says is left of each limit, where it does.

        `pulse` is what the call says about the provider's health, and how much trouble the account bears;
        `price` is what a message cost in it, `cost` what all of it did, where somebody watches the account's money.
        None where the lease was lost: nothing is changed then. A `late` answer needs no lease: it is evidence about those whose
        last call this still was, and about the account. None then where the attempt is not remembered.
        `run` makes the script's call, for who has another one to make in the same trip.
        """
        decided = [(target, move) for target in sorted(targets) if (move := step.move(target.number)) is not None]
        provider_ids = list(dict.fromkeys(filter(None, [step.provider_id, *(move.provider_id for _, move in decided)])))
        kinds = list(dict.fromkeys(_kind(move) for _, move in decided))
        keys = self._settle_keys(batch_id, provider_ids)
        intents = Intents(self._account, [target for target, _ in decided], before=len(keys))
        header = self._settle_header(step, group) | {
            "left": dict(left or {}),
            "provider_ids": len(provider_ids),
            "late": late,
            "moves": [move_header(*kind) for kind in kinds],
            **given(pulse=_pulse_header(pulse), price=str(price) if price else None, cost=micros(cost) if cost else None),
        }
        args: list[Argument] = [batch_id, json.dumps(header)]
        for target, move in decided:
            kind = kinds.index(_kind(move)) + 1
            args += (intents.index(target), target.intent, target.number, kind, move.provider_id)
        settling = ScriptCall(_SETTLE, [*keys, *intents.keys], args)
        became, *made = run(settling) if run else settling.run(self.redis)
        if became != b"settled":
            return None
        return Settled(halted=b"halted" in made, opened=b"breaker-opened" in made, short=b"bulk-held" in made)

    def _settle_keys(self, batch_id: str, provider_ids: Iterable[str]) -> list[str]:
        keys, account = self.queue.keys, self._account
        return [
            *self.queue.line_keys, keys.inflight, keys.leases, keys.used, keys.state, keys.bell, account.batch(batch_id),
            account.events, account.dead, account.bad_numbers, *self.queue.window_keys, *map(account.provider_id, provider_ids),
        ]  # fmt: skip

    def _settle_header(self, step: NextStep, group: str) -> dict[str, Any]:
        return {
            **given(
                group=narrowed(group, step.most) if step.most else None,
                resolve=_milliseconds(step.resolve),
                block=_milliseconds(step.block),
                halt=accounts.packed(step.halt) if step.halt else None,
                probe=_probe_job(step.halt) if step.halt and not step.halt.operator else None,
                bad=sorted(step.bad) or None,
                bad_for=round(step.bad_for * 1000) or None,
                untried=not step.spends or None,
                untaken=step.untaken,
            ),
            **COMMON,
            "limits": self.queue.for_limits,
            "grace": round(self.queue.grace * 1000),
            "permit": step.permit,
            "phase": step.phase,
            "code": step.code,
            "provider_id": step.provider_id,
            "retry": round(step.retry * 1000),
            "probe_ok": step.phase in {"accepted", "rejected"},
        }

    def load(self, batch_id: str) -> Attempt | None:
        """An attempt as it was written down; None where it never was, or has been forgotten."""
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self._account.batch(batch_id)))
        record = {name.decode(): value.decode() for name, value in raw.items()}
        if "at" not in record:
            return None
        targets = sorted(Target(intent, name) for name, intent in record.items() if name.startswith("+"))
        fields = self._body(targets[0].intent) if targets else {}
        return Attempt(
            batch_id=batch_id,
            lane=int(record["lane"]),
            source=record["source"],
            token=record["token"],
            phase=record.get("phase", "calling"),
            started=int(record["at"]),
            targets=tuple(targets),
            message=fields.get("message", ""),
            sender_id=fields.get("sender_id"),
            on_unknown=fields.get("on_unknown", "hold"),
            looks={name.removeprefix(LOOK): records.looked_at(told) for name, told in record.items() if name.startswith(LOOK)},
            kept=kept_in(fields),
        )

    def _body(self, intent: str) -> dict[str, Any]:
        """An intent's body; an empty one where the intent has been forgotten."""
        return body_in(cast("list[bytes | None]", self.redis.hmget(self._account.intent(intent), BODY_FIELDS)))

    def traces(self, intents: Iterable[str]) -> dict[str, str]:
        """The traces that intents are part of; see `store.traces`."""
        return traces(self.redis, self.queue.account, intents)

    def is_ours(self, provider_id: str) -> bool:
        """Whether an attempt of ours is known to be what the provider calls by this id."""
        return bool(self.redis.exists(self._account.provider_id(provider_id)))

    def looked(self, batch_id: str, look: str, began: float, judgement: Judgement) -> None:
        """Note what the search `look`, begun then (Unix seconds), found and what follows, for whoever asks what became of this."""
        provider_id = judgement.call.provider_id if judgement.call else ""
        told = records.look(round(began * 1000), judgement.found, judgement.decision, provider_id)
        note(self.redis, self._account.batch(batch_id), LOOK + look, told)

    def awaits(self, batch_id: str, until: float) -> None:
        """Note until when (Unix seconds) a receipt is waited for; where the call itself ended without an answer, that is known."""
        note(self.redis, self._account.batch(batch_id), "awaits", round(until * 1000))

    def apply(
        self,
        batch_id: str,
        targets: Sequence[Target],
        target: RecipientState,
        evidence: Evidence,
        *,
        reason: str = "",
        phase: str | None = None,
        stood: int | None = None,
    ) -> int:
        """Move these recipients on later evidence. Returns how many moved: what they were past already is left.

        With `stood` (Unix milliseconds) who has moved since then is left as well.
        """
        request = apply_request(self._account, batch_id, targets, target, evidence, reason=reason, phase=phase, stood=stood)
        moved, *_ = request.run(self.redis)
        return int(moved)

    def adopt(self, batch_id: str, targets: Sequence[Target], found: Accepted) -> int | None:
        """Submit whom an attempt was for, by a call that the provider's books tell of.

        Returns how many moved; None where another attempt is known by that call.
        """
        provider_ids = dict.fromkeys([found.provider_id, *(answer.provider_id for answer in found.recipients.values())])
        request = apply_request(
            self._account, batch_id, targets, RecipientState.SUBMITTED, Evidence.PROVIDER, provider_id=found.provider_id,
            provider_ids=[*filter(None, provider_ids)], phase="accepted",
        )  # fmt: skip
        moved, *_ = request.run(self.redis)
        return None if moved < 0 else int(moved)

    def expire(self, intents: Sequence[str]) -> int:
        """End the recipients of these intents that still wait past their deadline. Returns how many.

        Intents of which some are in a call come up again.
        """
        account = self._account
        header = {**COMMON, "allowed": states_of(WAITING), "most": _EXPIRED_AT_ONCE, "again": _IN_A_CALL_MS}
        keys = [*self.queue.line_keys, account.events, self.queue.keys.deadlines, *map(account.intent, intents)]
        ended, some = 0, _EXPIRED_AT_ONCE
        while some == _EXPIRED_AT_ONCE:
            some = int(_EXPIRE.run(self.redis, keys, [json.dumps(header), *intents]))
            ended += some
        return ended

    def end(self, targets: Sequence[Target], state: RecipientState, *, reason: str) -> int:
        """End recipients that wait in the line, by our own decision. Returns how many ended.

        A job may be a second one of its recipient, who is in a call by now, paused or put off: whose turn it is not is left.
        """
        request = apply_request(
            self._account, "", targets, state, Evidence.INFERRED, reason=reason, unfenced=True, due=True, among=QUEUED
        )
        moved, *_ = request.run(self.redis)
        return int(moved)

    def disown(self, batch_id: str, token: str, targets: Sequence[Target]) -> int:
        """Say that no call was made for an attempt that this process began, told by its token. Returns how many go back.

        Where the reply of `begin` was lost for longer than the lease, nobody else can know that.
        """
        begun = self.redis.hget(self._account.batch(batch_id), "token")
        if begun is None or cast("bytes", begun).decode() != token:
            return 0
        return self.resend(batch_id, targets, Evidence.INFERRED, reason="uncalled")

    def now(self) -> float:
        """The server's clock in Unix seconds: the only one that all workers share."""
        return server_ms(self.redis) / 1000

    def resend(self, batch_id: str, targets: Sequence[Target], evidence: Evidence, *, reason: str) -> int:
        """Put those of an attempt's recipients that are still without an answer back into the line. Returns how many."""
        account, queue, targets = self._account, self.queue, sorted(targets)
        keys = [*queue.line_keys, queue.keys.state, queue.keys.bell, account.batch(batch_id), account.events]
        intents = Intents(account, targets, before=len(keys))
        header = {
            **COMMON, "allowed": states_of(SENDING), "evidence": evidence, "reason": reason, "phase": "resent",
        }  # fmt: skip
        args: list[Argument] = [batch_id, json.dumps(header), *intents.named(targets)]
        reply = _RESEND.run(self.redis, [*keys, *intents.keys], args)
        return int(reply)


def _probe_job(halt: Halt) -> dict[str, Any]:
    """The one job that asks whether the account may go on: put into the due set again, it only changes its time."""
    return {"job": accounts.probe_job(permit=halt.permit), "after": _milliseconds(halt.after)}


def _pulse_header(pulse: tuple[Pulse, Breaker] | None) -> dict[str, Any] | None:
    if pulse is None:
        return None
    told, breaker = pulse
    header = {"after": breaker.after, "opens": _milliseconds(breaker.opens), "most": _milliseconds(breaker.most)}
    return header | given(strike=told.strike or None)


def _begun(targets: Sequence[Target], found: Sequence[Any]) -> Begun:
    """What the script says of an attempt that it has written down for these."""
    body, left, now, *numbered = found
    fields = json.loads(body) if body else {}
    live = tuple(targets[position - 1] for position in numbered[::3])
    numbers = [target.number for target in live]
    return Begun(
        message=fields.get("message", ""),
        sender_id=fields.get("sender_id"),
        targets=live,
        tries=dict(zip(numbers, numbered[1::3], strict=True)),
        waited={number: waited / 1000 for number, waited in zip(numbers, numbered[2::3], strict=True)},
        left=left / 1000 if left >= 0 else None,
        now=now / 1000,
        schedule=read_schedule(fields["schedule"]) if fields.get("custody") == "provider" else None,
        ignore_quiet=fields.get("ignore_quiet", False),
        kept=kept_in(fields),
    )


def _kind(move: Move) -> tuple[RecipientState, Evidence, str]:
    """What recipients of a call mostly have in common, so that it is said once for all of them."""
    return move.target, move.evidence, move.reason


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
