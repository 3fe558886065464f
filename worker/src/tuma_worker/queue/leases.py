"""The batches that this process holds, and the thread that keeps their leases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.contract.scripts import ScriptCall
from tuma_worker.logs import Event
from tuma_worker.queue.scripts import Claim, renew

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.queue.config import QueueConfig

_log = structlog.get_logger(__name__)

Clock = Callable[[], float]
Run = Callable[[ScriptCall], Any]


@dataclass
class Held:
    """A claimed batch in this process. `settled` once its permit and lease are given up, so that nobody does so again.

    `until` is when the lease ends by this process's own clock, counted from before the request that granted it: never later than
    the server thinks. `settle` runs the script that settles it, perhaps with the claim of another batch in the same trip: the
    `follower`.
    """

    queue: QueueConfig
    claim: Claim
    until: float
    clock: Clock
    settled: bool = False
    settle: Callable[[Held, ScriptCall], Any] | None = None
    follower: Held | None = None

    @property
    def run(self) -> Run | None:
        """How the script is to be called that settles this batch; None where it goes alone."""
        return partial(self.settle, self) if self.settle else None

    def alive(self) -> bool:
        """Whether the lease surely still stands. A process that was stopped for too long finds out here, before it makes a call."""
        return self.clock() < self.until


@dataclass
class Leases:
    """All batches that this process holds, each under the id by which Dramatiq knows its thread's work. Thread-safe.

    `shortest` is the shortest lease of all queues, in seconds: a batch may be added at any moment of the wait between two renewals.
    """

    redis: Redis
    clock: Clock
    shortest: float
    _held: dict[str, Held] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    def add(self, held: Held) -> None:
        """Keep this batch's lease from now on."""
        with self._lock:
            self._held[held.claim.batch_id] = held
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="tuma-leases", daemon=True)
                self._keeper.start()

    def follow(self, message_id: str, held: Held) -> None:
        """Keep this batch's lease in the place of the one that was settled before it."""
        with self._lock:
            self._held[message_id] = held

    def get(self, message_id: str) -> Held:
        """The batch that is worked on under this id: the one of this id, or the last that followed it."""
        with self._lock:
            return self._held[message_id]

    def drop(self, message_id: str) -> None:
        """Keep the lease no longer."""
        with self._lock:
            self._held.pop(message_id, None)

    def unsettled(self) -> list[Held]:
        """The batches of which nobody has let go yet."""
        with self._lock:
            return [held for held in self._held.values() if not held.settled]

    def stop(self) -> None:
        """End the thread. What is still held lapses with its lease."""
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join()

    def renew_all(self) -> None:
        """Prolong every lease once."""
        with self._lock:
            by_queue: dict[str, list[Held]] = {}
            for held in self._held.values():
                by_queue.setdefault(held.queue.name, []).append(held)
        for held_here in by_queue.values():
            self._renew(held_here)

    def _renew(self, held_here: list[Held]) -> None:
        asked_at, queue = self.clock(), held_here[0].queue
        try:
            lost = set(renew(self.redis, queue, [held.claim.batch_id for held in held_here]))
        except REDIS_ERRORS as error:
            # The leases run on meanwhile; a call that has not begun by then will not begin.
            _log.warning(Event.LEASE_NOT_RENEWED, queue=queue.name, error=type(error).__name__)
            return
        for held in held_here:
            if held.claim.batch_id not in lost:
                held.until = asked_at + queue.lease
            elif not held.settled:
                held.until = asked_at
                _log.warning(Event.LEASE_LOST, queue=queue.name, batch=held.claim.batch_id)

    def _keep(self) -> None:
        while not self._stopped.wait(self.shortest / 3):
            try:
                self.renew_all()
            except Exception:  # noqa: BLE001 - a process whose leases all lapse is worse than one that tries again
                _log.exception(Event.LEASE_NOT_RENEWED)
