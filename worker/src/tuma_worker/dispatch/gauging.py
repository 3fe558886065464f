"""Tells how every account's sends stand: to Prometheus, to probes and to whoever scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.contract.holds import STOPS
from tuma_producer.contract.wire import LANES
from tuma_worker import logs, metrics
from tuma_worker.queue.config import SEND
from tuma_worker.rounds import one_by_one
from tuma_worker.store import funds, line
from tuma_worker.store.dead import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    from redis import Redis

    from tuma_worker.health import Answer
    from tuma_worker.queue.broker import Vitals
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.store.line import Line

EVERY = 15.0  # seconds: as often as autoscalers look
_STANDSTILLS = {"halted": "halted", "paused": "queue-paused", "breaker": "breaker"}  # as they are shown, by the kind of their hold
_CAUSES = (*sorted(STOPS), "breaker", "blocked", "probing", "limit")  # of those that wait in the line
_LATER = "later"  # the cause of those that wait for their time


@dataclass(frozen=True, slots=True)
class Gauger:
    """Looks at the sends of these accounts. `taken` says by queue how many batches this process worked off, and for how long.

    Without `shows` it only writes that down: nobody asks this process for its gauges.
    """

    redis: Redis
    queues: Sequence[QueueConfig]
    taken: Callable[[], Mapping[str, tuple[int, float]]]
    shows: bool

    def run_once(self) -> None:
        """Write down what this process has seen, and show what all have."""
        look = partial(self._look, self.taken())
        seen = set(one_by_one(self.queues, attrgetter("account"), look, logs.Event.GAUGE_FAILED))
        if self.shows:
            for queue in self.queues:
                metrics.readable(queue.account, reads=queue.account in seen)

    def _look(self, taken: Mapping[str, tuple[int, float]], queue: QueueConfig) -> str:
        if queue.name in taken:
            line.note_busy(self.redis, queue.keys, *taken[queue.name])
        if self.shows:
            _show(queue.account, line.look(self.redis, queue.account))
            _show_funds(queue.account, funds.look(self.redis, queue.account))
            metrics.dead_seen(queue.account, DeadLetters(self.redis, queue.account).size())
        return queue.account

    def keep_gauging(self, stop: Event) -> None:
        """Look again and again, until told to stop."""
        while not stop.wait(EVERY):
            self.run_once()


def _show(account: str, found: Line) -> None:
    metrics.queue_seen(
        account,
        backlog=found.backlog_seconds,
        useful_slots=found.useful_slots,
        provider_bound=found.provider_bound,
        in_flight=found.in_flight,
    )
    for lane in LANES:
        oldest = min((one.oldest for one in found.waiting if one.lane == lane and not one.stopped), default=found.now)
        metrics.lane_seen(account, lane, (found.now - oldest) / 1000)
    for cause in _CAUSES:
        metrics.held_seen(account, cause, sum(one.jobs for one in found.waiting if one.hold == cause))
    metrics.held_seen(account, _LATER, found.later)
    for window in found.windows:
        metrics.window_seen(account, window.name, window.used / window.count)
    kinds = {hold.kind for hold in found.holds}
    for shown, kind in _STANDSTILLS.items():
        metrics.standing_seen(account, shown, stands=kind in kinds)


def _show_funds(account: str, found: funds.Money | None) -> None:
    """While nobody can tell how long the money lasts, it is shown as endless."""
    if found is not None:
        lasts = math.inf if found.runway is None else found.runway
        metrics.funds_seen(account, float(found.left), found.currency, lasts, short=found.held_at is not None)


@dataclass(frozen=True, slots=True)
class ProbeAnswers:
    """What a worker answers to probes and scalers."""

    redis: Redis
    accounts: frozenset[str]
    vitals: Callable[[], Vitals]

    def alive(self, _rest: str) -> Answer:
        """Whether the process works on. It asks nobody else: ending a worker mends no Redis."""
        ailing = self.vitals().ailing
        return (503, {"ailing": ailing}) if ailing else (200, {"status": "ok"})

    def started(self, _rest: str) -> Answer:
        """Whether every consumer has come round once: Redis answered, and knows the scripts."""
        return (200, {"status": "started"}) if self.vitals().started else (503, {"detail": "not yet started"})

    def ready(self, _rest: str) -> Answer:
        """Whether it takes work: started, not told to end, and Redis answers."""
        vitals = self.vitals()
        if not vitals.started or vitals.stopping:
            return 503, {"detail": "stopping" if vitals.stopping else "not yet started"}
        try:
            self.redis.ping()
        except REDIS_ERRORS:
            return 503, {"detail": "no usable Redis"}
        return 200, {"status": "ready"}

    def scaling(self, names: str) -> Answer:
        """How many calls in flight would help these accounts, whose names stand with commas between them."""
        accounts = names.split(",")
        if unknown := sorted(set(accounts) - self.accounts):
            return 404, {"detail": f"not configured here: {', '.join(unknown)}"}
        try:
            found = [line.look(self.redis, account, SEND) for account in accounts]
        except REDIS_ERRORS:
            return 503, {"detail": "no usable Redis"}
        return 200, {
            "useful_slots": sum(one.useful_slots for one in found),
            "provider_bound": any(one.provider_bound for one in found),
            "backlog_seconds": max(one.backlog_seconds for one in found),
        }
