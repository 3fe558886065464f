"""What operators may put in a queue's way, or change about it, while it runs. Who did it and when is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import texts
from tuma_producer.contract.scripts import load
from tuma_producer.contract.wire import EVENTS_KEPT, LANES
from tuma_worker.store.accounts import packed
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.contract.keys import QueueKeys
    from tuma_worker.core.limits import Limit
    from tuma_worker.core.next_step import Halt
    from tuma_worker.store.accounts import Halted

_STEER = load(__package__, "steer")
_HALF_OPEN = load(__package__, "half_open")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pause covers: a whole queue, or one lane or one source of it."""

    lane: str | None = None
    source: str | None = None

    @property
    def field(self) -> str:
        """Where the queue's state says so."""
        if self.lane is not None:
            return f"paused:lane:{LANES.index(self.lane)}"
        return "paused" if self.source is None else f"paused:source:{self.source}"

    def __str__(self) -> str:
        return self.lane or self.source or "everything"


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause that stands, `by` whom and since when (Unix ms)."""

    scope: Scope
    since: int
    by: str


def pauses(redis: Redis, account: str, operation: str) -> list[Paused]:
    """What is paused of a queue: all of it first, then lanes, then sources."""
    raw = cast("dict[bytes, bytes]", redis.hgetall(account_keys(account).queue(operation).state))
    found = [_paused(field, value) for field, value in texts(raw).items() if field.startswith("paused")]
    return sorted(found, key=lambda one: one.scope.field)


def _paused(field: str, value: str) -> Paused:
    """A pause as the queue's state has it: its field is that of its scope."""
    _, kind, which = (*field.split(":", 2), "", "")[:3]
    _, since, by = (*value.split(" ", 2), "0", "")[:3]
    scope = Scope(lane=LANES[int(which)] if kind == "lane" else None, source=which if kind == "source" else None)
    return Paused(scope, int(since), by)


@dataclass(frozen=True, slots=True)
class Steering:
    """The steering of one queue, in the name of `by`."""

    redis: Redis
    account: str
    operation: str
    by: str

    def pause(self, scope: Scope) -> None:
        """Let no further call of this scope start. Calls in flight end; jobs keep their places; pausing again changes who did."""
        self._steer("paused", str(scope), self._signed("1"), scope.field)

    def resume(self, scope: Scope) -> bool:
        """Let the scope go again. False where it was not paused."""
        return self._take_away(scope.field, "resumed", str(scope))

    def lift_halt(self, only: Halted | None = None) -> bool:
        """Put a halted account to work again. False where it was not halted; with `only`, where another halt stands by then."""
        if only is None:
            return self._take_away("halt", "resumed", "halt", "halted_at", "half_open")
        written, since = only.written
        return self._steer("resumed", "halt", "", "halt", written, "halted_at", since, "half_open", "")

    def halt(self, halt: Halt, only: Halted | None = None) -> bool:
        """Halt the account, or say anew why it is halted. False with `only`, where another halt stands by then, or none."""
        return self._steer("halted", halt.code, packed(halt), "halt", *([only.written[0]] if only else []))

    def close_breaker(self) -> bool:
        """Let calls start again although the last ones failed. False where no breaker was open.

        For how long it blocks the queue is known, so a longer block is the provider's own wish, and stays.
        """
        while True:
            raw = cast("list[bytes | None]", self.redis.hmget(self._queue.state, ["breaker", "blocked_until"]))
            breaker, blocked = (value.decode() if value else "" for value in raw)
            if not breaker:
                return False
            _, opens, why = breaker.split(" ", 2)
            its_own = blocked and int(blocked) <= server_ms(self.redis) + float(opens)
            block = ("blocked_until", blocked, "probing", "") if its_own else ()
            if self._steer("breaker-closed", why, "", "breaker", breaker, "strikes", "", *block, subject="breaker"):
                return True
            # Another call failed meanwhile, or tried it.

    def resume_account(self) -> bool:
        """Lift the halt and close the breaker. False where there was neither."""
        return any([self.lift_halt(), self.close_breaker()])

    def half_open(self, halted: Halted) -> bool:
        """Let one send try whether an account that is halted so may go on. False where another halt stands by then, or none."""
        return bool(_HALF_OPEN.run(self.redis, [self._queue.state, self._queue.bell], halted.written))

    def set_limit(self, limit: Limit) -> None:
        """Use this count and window for the limit of that name, from the next claim on, in every worker."""
        value = self._signed(f"{limit.count:.17g} {round(limit.window * 1000)}")
        self._steer("limit-set", f"{limit.name} {limit}", value, f"limit:{limit.name}", subject=limit.name)

    def unset_limit(self, name: str) -> bool:
        """Go back to what the workers are configured with. False where the limit was not set here."""
        return self._take_away(f"limit:{name}", "limit-unset", name)

    def _signed(self, value: str) -> str:
        return f"{value} {server_ms(self.redis)} {self.by}"

    def _take_away(self, field: str, event: str, what: str, *more: str) -> bool:
        """Take what the field says away, with further fields that go with it. False where it says nothing.

        Whether it said something is known before anything is changed: so a repeat after a lost reply is answered as the first.
        """
        while (seen := cast("bytes | None", self.redis.hget(self._queue.state, field))) is not None:
            if self._steer(event, what, "", field, seen, *(part for one in more for part in (one, ""))):
                return True
            # Somebody has written something else meanwhile: that is to go as well.
        return False

    @property
    def _queue(self) -> QueueKeys:
        return account_keys(self.account).queue(self.operation)

    def _steer(self, event: str, what: str, value: str, *fields: str | bytes, subject: str = "") -> bool:
        """Run the script, whose head says what the arguments are."""
        account = account_keys(self.account)
        keys = [self._queue.state, self._queue.bell, account.events, account.audit]
        args = [event, what, self.by, EVENTS_KEPT, f"{self.account}.{self.operation} {subject or what}", value, *fields]
        return bool(_STEER.run(self.redis, keys, args))
