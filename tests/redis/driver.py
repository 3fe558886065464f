"""Drives a queue as the producer and the workers do: enqueue, claim, begin, settle, through the same typed functions.

`Driver` works in the server's own time. Inside `virtual_clock()` every script reads its time from a key instead, in microseconds,
so that tests may live through hours, on the real scripts and a real server, without waiting.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis import Redis as Client
from redis.client import Pipeline

from tuma_producer import Producer, Send
from tuma_producer.contract import scripts as contract_scripts
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.scripts import Script
from tuma_worker.core.answers import Accepted
from tuma_worker.core.limits import Counted, Limit
from tuma_worker.core.next_step import Move, NextStep, Permit, Policy, Untaken, next_step
from tuma_worker.core.states import RecipientState
from tuma_worker.dispatch.firing import Firer
from tuma_worker.queue import scripts
from tuma_worker.queue.config import QueueConfig
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, Wait, claim, release
from tuma_worker.store import accounts
from tuma_worker.store.attempts import Attempts, Begun, Settled
from tuma_worker.store.moves import Target
from tuma_worker.store.schedules import Decided, Schedules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis

    from tuma_worker.core.answers import Answer
    from tuma_worker.core.breaker import Breaker, Pulse
    from tuma_worker.core.prices import Price
    from tuma_worker.queue.leases import Run
    from tuma_worker.store.schedules import ScheduleStanding

ACCOUNT = "lisoloo-main"
LANES = ("otp", "transactional", "bulk")
CLOCK = "tuma:test:clock"
SECRET = "unguessable"  # of an attempt's callback
NEW_YEAR = 1_800_000_000_000  # Unix ms at which virtual time begins
_REAL_CLOCK = contract_scripts._text("tuma_producer.contract", "clock")
_VIRTUAL_TIME = "local now = tonumber(redis.call('GET', KEYS[1])) return {math.floor(now / 1000000), now % 1000000}"
_VIRTUAL_CLOCK = f"local function clock()\n  return math.floor(redis.call('GET', '{CLOCK}') / 1000)\nend\n"


def calls(count: float, window: float) -> Limit:
    """So many calls in `window` seconds."""
    return Limit(f"calls-{window:g}s", Counted.CALLS, count, window)


def messages(count: float, window: float) -> Limit:
    """So many messages in `window` seconds."""
    return Limit(f"messages-{window:g}s", Counted.MESSAGES, count, window)


def queue_of(*limits: Limit, **more: Any) -> QueueConfig:  # noqa: ANN401 - fields of what is made
    """A queue with these limits that may use them at once, unless `more` says otherwise."""
    return QueueConfig(**{"account": ACCOUNT, "operation": "send", "limits": limits, "cold_start": "burst", **more})


def number(index: int) -> str:
    """A phone number that nobody has."""
    return f"+24399{index:07d}"


def numbers(count: int, first: int = 0) -> list[str]:
    """So many different numbers."""
    return [number(first + index) for index in range(count)]


def text(segments: int, name: str = "") -> str:
    """A text of so many segments; another name makes it another text."""
    return name.ljust(153 * segments, "x") if segments > 1 else f"text {name}"


def target_of(subject: str) -> Target:
    """The recipient of an intent that a job's subject names."""
    intent, _, recipient = subject.partition(":")
    return Target(intent, recipient)


@dataclass
class Driver:
    """One queue, driven by hand."""

    redis: Redis
    queue: QueueConfig
    _texts: int = field(default=0)

    def __post_init__(self) -> None:
        accounts.register(
            self.redis, self.queue.account, provider="lisoloo", environment="sandbox", queue=self.queue.for_claim, by_worker=True
        )

    @cached_property
    def attempts(self) -> Attempts:
        return Attempts(self.redis, self.queue)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(self.redis, self.queue)

    @cached_property
    def account(self) -> AccountKeys:
        return AccountKeys(self.queue.account)

    # ------------------------------------------------------------------------------------------------ the producer's side

    def enqueue(self, *to: str, source: str = "billing", **more: Any) -> str:  # noqa: ANN401 - fields of what is made
        """Accept one send and return its short id. A text of its own, unless one is given."""
        self._texts += 1
        send = Send(**{"account": self.queue.account, "to": list(to) or [number(0)], "message": text(1, str(self._texts)), **more})
        receipt = Producer(self.redis, source=source).enqueue(send)
        return receipt.id.rpartition(".")[2]

    def enqueue_singles(self, count: int, first: int = 0, **more: Any) -> list[str]:  # noqa: ANN401 - fields of what is made
        """Accept so many sends to one recipient each, none of which may share a call."""
        return [self.enqueue(number(first + index), **more) for index in range(count)]

    # -------------------------------------------------------------------------------------------------- the worker's side

    def claim(self, token: str | None = None, *, worker: str = "w1", last: bool = False) -> Claim | Wait:
        return claim(self.redis, self.queue, token or secrets.token_hex(8), worker, last=last)

    def taken(self, token: str | None = None, *, worker: str = "w1") -> Claim:
        """A claim that must succeed."""
        found = self.claim(token, worker=worker)
        assert isinstance(found, Claim), found
        return found

    def refused(self, *, worker: str = "w1") -> Wait:
        """A claim that must be refused."""
        found = self.claim(worker=worker)
        assert isinstance(found, Wait), found
        return found

    def begin(self, batch: Claim, token: str = SECRET) -> Begun | None:
        targets = [target_of(job.subject) for job in batch.jobs]
        return self.attempts.begin(batch.batch_id, token, targets, lane=batch.lane, source=batch.source, group=batch.group)

    def settle(
        self,
        batch: Claim,
        answer: Answer | NextStep | None = None,
        left: Mapping[str, int] | None = None,
        *,
        policy: Policy | None = None,
        pulse: tuple[Pulse, Breaker] | None = None,
        price: Price | None = None,
        run: Run | None = None,
    ) -> Settled | None:
        """Settle with what follows from an answer (accepted where none is given); delays are the longest possible."""
        targets = [target_of(job.subject) for job in batch.jobs]
        if not isinstance(answer, NextStep):
            to = [target.number for target in targets]
            answer = next_step(answer or Accepted("provider-1"), dict.fromkeys(to, 1), policy or Policy(), lambda most: most)
        return self.attempts.settle(
            batch.batch_id, targets, answer, group=batch.group, left=left, pulse=pulse, price=price, run=run
        )

    def release(self, batch: Claim, how: Release = Release.BACK, delay: float = 0.0) -> bool:
        return release(self.redis, self.queue, batch.batch_id, how, delay=delay)

    def fire(self, batch: Claim) -> None:
        """Fire the schedules of a claimed batch, and let it go."""
        assert batch.actor == "fire"
        Firer({self.queue.account: self.schedules}).fire(Held(self.queue, batch, until=1.0, clock=lambda: 0.0))
        self.release(batch, Release.DONE)

    def standing(self, schedule: str) -> ScheduleStanding | None:
        """A schedule as a worker sees it that is about to fire it."""
        return next(iter(self.schedules.load([schedule])), None)

    def fire_at(self, standing: ScheduleStanding, firings: Sequence[int], following: int | None) -> list[str] | None:
        """Fire a schedule that was looked at before."""
        (children,) = self.schedules.fire([Decided(standing, firings, following)])
        return children

    def fire_all(self) -> None:
        """Fire whatever has come due until nothing has. Other work without a permit is put off, sends go back to their places."""
        sends = 0  # in a row: work without a permit and sends take turns, so two of them say that none of the former is left
        while sends < 2 and isinstance(batch := self.claim(), Claim):
            sends = 0 if batch.source == scripts.SYSTEM else sends + 1
            if batch.actor == "fire":
                self.fire(batch)
            elif batch.source == scripts.SYSTEM:
                self.release(batch, Release.LATER, delay=1_000_000.0)
            else:
                self.release(batch)

    def send(self, **more: Any) -> Claim:  # noqa: ANN401 - fields of what is made
        """Claim, begin and settle one batch that the provider accepts."""
        batch = self.taken(**more)
        assert self.begin(batch) is not None
        assert self.settle(batch)
        return batch

    # ------------------------------------------------------------------------------------------------------- looking behind

    def state_of(self, intent: str, recipient: str) -> str:
        """A recipient's state as it is written."""
        packed = cast("bytes", self.redis.hget(self.account.intent(intent), recipient))
        return packed.decode().partition("|")[0]

    def events(self) -> list[dict[str, str]]:
        """Every event so far."""
        return [
            {name.decode(): value.decode() for name, value in fields.items()}
            for _, fields in cast("Any", self.redis.xrange(self.account.events))
        ]

    def waiting(self) -> list[str]:
        """The subjects in the line, in the order of their keys."""
        return [member.decode().rpartition("|")[2] for member in cast("Any", self.redis.zrange(self.queue.keys.entries, 0, -1))]

    def groups(self) -> list[str]:
        """The groups that have jobs in the line."""
        return [member.decode().rpartition("|")[2] for member in cast("Any", self.redis.zrange(self.queue.keys.groups, 0, -1))]

    def due(self) -> dict[str, float]:
        """The subjects that wait for a time, with it."""
        found = cast("Any", self.redis.zrange(self.queue.keys.due, 0, -1, withscores=True))
        return {member.decode().rpartition("|")[2]: score for member, score in found}

    def in_flight(self) -> list[str]:
        """The subjects that workers hold."""
        found = cast("dict[bytes, bytes]", self.redis.hgetall(self.queue.keys.inflight))
        return [item.decode() for name, value in found.items() if name.endswith(b":items") for item in value.split()[1::2]]

    def used(self, limit: Limit) -> float:
        """What counts against a limit now, as last looked at by a claim."""
        kept = cast("list[bytes | None]", self.redis.hmget(self.queue.keys.used, [f"{limit.name}|{lane}" for lane in range(3)]))
        return sum(float(value or 0) for value in kept)

    def snapshot(self) -> dict[bytes, Any]:
        """Everything in the server, to show that something changed nothing; but not the answers that are kept for repeats."""
        keys = cast("list[bytes]", self.redis.keys())
        return {key: self._content(key) for key in sorted(keys) if not key.startswith(self.account.answer("").encode())}

    def _content(self, key: bytes) -> Any:  # noqa: ANN401 - by its type
        # The dump of a hash or a set is in an order that looking at it may change.
        read = {b"hash": self.redis.hgetall, b"set": self.redis.smembers}.get(cast("bytes", self.redis.type(key)), self.redis.dump)
        return read(key)

    def server_ms(self) -> int:
        """The server's time in Unix milliseconds."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def until(self, milliseconds: float) -> None:
        """Return when the server's clock has reached this time: the server itself says when, by ending a blocking read."""
        while (left := milliseconds - self.server_ms()) > 0:
            self.redis.blpop(["tuma:test:nobody-rings-here"], timeout=max(0.001, left / 1000))


def begun(driver: Driver) -> Claim:
    """The next batch, whose attempt is written down."""
    batch = driver.taken()
    assert driver.begin(batch) is not None
    return batch


def happened(driver: Driver) -> list[str]:
    """What every event so far tells of."""
    return [event["e"] for event in driver.events()]


SUBMIT = NextStep("accepted", "", Permit.ENDED, Move(RecipientState.SUBMITTED))
GIVEN_UP = NextStep("unknown", "timeout", Permit.GRACE, None, resolve=60.0)
NEVER_LEFT = NextStep("refused", "not-connected", Permit.VOID, Move(RecipientState.QUEUED), untaken=Untaken.UNSENT)


@dataclass
class VirtualClock:
    """The time that the scripts see, in microseconds since the Unix epoch."""

    redis: Redis
    now: int = NEW_YEAR * 1000

    def set(self, now: int) -> None:
        self.now = now
        self.redis.set(CLOCK, now)

    def forward(self, seconds: float) -> None:
        self.set(self.now + round(seconds * 1_000_000))

    @property
    def ms(self) -> int:
        """What `clock()` in a script says now."""
        return self.now // 1000


@contextmanager
def virtual_clock(redis: Redis) -> Iterator[VirtualClock]:
    """Run all scripts, and tell whoever asks the server for its time, on a clock that the test sets."""
    run, stage = Script.run, Script.stage
    execute: Any = Client.execute_command
    execute_later: Any = Pipeline.execute_command
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Script, "run", lambda script, *told: run(_virtual(script), *told))
        patch.setattr(Script, "stage", lambda script, *told: stage(_virtual(script), *told))
        patch.setattr(Client, "execute_command", lambda client, *command, **more: execute(client, *_virtually(command), **more))
        patch.setattr(Pipeline, "execute_command", lambda line, *command, **more: execute_later(line, *_virtually(command), **more))
        clock = VirtualClock(redis)
        clock.set(clock.now)
        try:
            yield clock
        finally:
            redis.delete(CLOCK)


@cache
def _virtual(script: Script) -> Script:
    """The script with the clock that the test sets."""
    return Script(script.source.replace(_REAL_CLOCK, _VIRTUAL_CLOCK))


def _virtually(command: tuple[Any, ...]) -> tuple[Any, ...]:
    return ("EVAL", _VIRTUAL_TIME, 1, CLOCK) if command == ("TIME",) else command
