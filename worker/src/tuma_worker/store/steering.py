"""What operators may put in a queue's way, or change about it, while it runs. Who did it and when is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.scripts import load
from tuma_producer.contract.wire import EVENTS_KEPT, LANES
from tuma_worker.store.accounts import packed

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.limits import Limit
    from tuma_worker.core.next_step import Halt

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
class Steering:
    """The steering of one queue, in the name of `by`."""

    redis: Redis
    account: str
    operation: str
    by: str

    def pause(self, scope: Scope) -> None:
        """Let no further call of this scope start. Calls in flight end; jobs keep their places; pausing again changes who did."""
        self._write(scope.field, self._signed("1"), "paused", str(scope))

    def resume(self, scope: Scope) -> bool:
        """Let the scope go again. False where it was not paused."""
        return self._write(scope.field, "", "resumed", str(scope))

    def lift_halt(self) -> bool:
        """Put a halted account to work again. False where it was not halted."""
        return self._write("halt", "", "resumed", "halt", "halted_at", "half_open")

    def halt(self, halt: Halt) -> None:
        """Halt the account, or say anew why it is halted."""
        self._write("halt", packed(halt), "halted", halt.code)

    def half_open(self) -> bool:
        """Let one send try whether a halted account may go on. False where it was not halted."""
        queue = AccountKeys(self.account).queue(self.operation)
        return bool(_HALF_OPEN.run(self.redis, [queue.state, queue.bell], []))

    def set_limit(self, limit: Limit) -> None:
        """Use this count and window for the limit of that name, from the next claim on, in every worker."""
        value = self._signed(f"{limit.count:.17g} {round(limit.window * 1000)}")
        self._write(f"limit:{limit.name}", value, "limit-set", f"{limit.name} {limit}")

    def unset_limit(self, name: str) -> bool:
        """Go back to what the workers are configured with. False where the limit was not set here."""
        return self._write(f"limit:{name}", "", "limit-unset", name)

    def _signed(self, value: str) -> str:
        seconds, micros = self.redis.time()
        return f"{value} {seconds * 1000 + micros // 1000} {self.by}"

    def _write(self, field: str, value: str, event: str, what: str, *more: str) -> bool:
        account = AccountKeys(self.account)
        queue = account.queue(self.operation)
        reply = _STEER.run(
            self.redis, [queue.state, queue.bell, account.events], [field, value, event, what, self.by, EVENTS_KEPT, *more]
        )
        return bool(reply)
