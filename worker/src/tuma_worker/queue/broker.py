"""The Dramatiq broker whose queues know limits.

Dramatiq gives the processes, threads, middleware and signals; where its stock brokers hand out whatever is there, this one hands
out a job only together with the permit to make the provider call that the job needs.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dramatiq
import structlog
from dramatiq.errors import QueueNotFound

from tuma_worker.logs import Event
from tuma_worker.queue.bell import Bell
from tuma_worker.queue.config import QueueConfig
from tuma_worker.queue.consumer import FOREIGN, Consumer, reachable
from tuma_worker.queue.leases import Clock, Held, Leases
from tuma_worker.queue.scripts import push
from tuma_worker.queue.seats import Seat, Slots, new_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis

_log = structlog.get_logger(__name__)

HEARTBEAT = 90.0  # seconds; where Redis is silent a turn takes its four tries of ten, and Dramatiq three more to begin the next
DEFAULT_THREADS = 8  # Dramatiq's own default; a booting worker says how many it really has


@dataclass(frozen=True, slots=True)
class Vitals:
    """How this process is: `started` once every consumer has come round, `stopping` once told to end, `ailing` what is not well."""

    started: bool
    stopping: bool
    ailing: tuple[str, ...]


class TumaBroker(dramatiq.Broker):
    """A broker over the queues it is given.

    `connect` makes a further Redis client, for the connections that block. `worker` names this process among all that there are, so
    that operators can tell who holds what; it has no spaces.
    """

    def __init__(
        self,
        redis: Redis,
        queues: Iterable[QueueConfig],
        *,
        connect: Callable[[], Redis],
        clock: Clock,
        worker: str,
        middleware: list[dramatiq.Middleware] | None = None,
    ) -> None:
        super().__init__(middleware)
        self._redis = redis
        self._connect = connect
        self._configs = {queue.name: queue for queue in queues}
        self._slots = Slots(DEFAULT_THREADS)
        self._leases = Leases(redis, clock, min((queue.lease for queue in self._configs.values()), default=QueueConfig.lease))
        self._consumers: dict[str, Consumer] = {}  # a consumer that lost its connection is replaced by the next one
        self._seats = {name: Seat(f"{worker}/{name}") for name in self._configs}
        self._worker: dramatiq.Worker | None = None
        self._stopping = False
        self._busy = Busy()
        self.queues: dict[str, QueueConfig] = {}
        self.add_middleware(_Lifecycle(self))
        for name in self._configs:
            self.declare_queue(name)

    def held(self, batch_id: str) -> Held:
        """The batch that an actor was called for."""
        return self._leases.get(batch_id)

    def work_off(self, batch_id: str, work: Callable[[Held], object]) -> None:
        """Do this work for the batch that an actor was called for, and then for those that the same thread may take after it.

        To Dramatiq all of them are one message.
        """
        self._do(batch_id, work)
        while self._consumers[self.held(batch_id).queue.name].follow(batch_id):
            self._do(batch_id, work)

    def _do(self, batch_id: str, work: Callable[[Held], object]) -> None:
        began, held = self._leases.clock(), self.held(batch_id)
        work(held)
        self._busy.add(held.queue.name, self._leases.clock() - began)

    def take_busy(self) -> dict[str, tuple[int, float]]:
        """By queue, the batches that were worked off since it was last asked, and the seconds that they kept threads."""
        return self._busy.take()

    def declare_queue(self, queue_name: str) -> None:
        """Declare a configured queue. Raises `QueueNotFound` for any other: a queue without limits is one by configuration too."""
        if queue_name not in self._configs:
            raise QueueNotFound(queue_name)
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = self._configs[queue_name]
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        """A consumer of this queue. `timeout` in milliseconds."""
        del prefetch  # nothing is fetched ahead: a permit must not wait in a worker's memory
        queue, seat = self._config(queue_name), self._seats[queue_name]
        if seat.turned_at is not None:  # of a cluster that is away none can be made, which is no reason to end the process
            seat.turned_at = self._leases.clock()
        with reachable():
            bell = Bell(self._connect(), queue.keys.bell, self._redis)
        consumer = Consumer(
            self._redis, queue, bell=bell, slots=self._slots, leases=self._leases, seat=seat,
            timeout=timeout / 1000,
        )  # fmt: skip
        self._consumers[queue_name] = consumer
        return consumer

    def enqueue(self, message: dramatiq.Message[object], *, delay: int | None = None) -> dramatiq.Message[object]:
        """Put a message of any actor into its queue, `delay` milliseconds from now. It needs no permit."""
        queue = self._config(message.queue_name)
        self.emit_before("enqueue", message, delay)
        subject = new_token()  # not the message's id: a retry has the same, and is queued before the first is acknowledged
        with reachable():
            push(
                self._redis,
                queue,
                f"{FOREIGN}.0.1.{subject}",
                subject,
                delay=(delay or 0) / 1000,
                message=message.encode(),
            )
        self.emit_after("enqueue", message, delay)
        return message

    def stop_claiming(self) -> None:
        """Claim nothing from now on, in any of this process's consumers."""
        self._stopping = True
        for consumer in list(self._consumers.values()):
            consumer.stop_claiming()

    def tell_abandoned(self) -> None:
        """Log each batch that this process still holds. It is about to end, and did not wait any longer for the threads at work.

        Whoever finds their leases lapsed looks into the calls.
        """
        for held in self._leases.unsettled():
            _log.error(
                Event.CALL_ABANDONED,
                queue=held.queue.name,
                batch=held.claim.batch_id,
                actor=held.claim.actor,
                jobs=len(held.claim.jobs),
            )

    def boot(self, worker: dramatiq.Worker) -> None:
        """Say who works on it, with how many threads."""
        self._worker = worker
        self._slots.resize(worker.worker_threads)

    def vitals(self) -> Vitals:
        """How this process is. Asks nobody else: what Redis or a provider does is no reason to end it."""
        worker = self._worker
        if worker is None:
            return Vitals(started=False, stopping=self._stopping, ailing=())
        turned = {name: self._seats[name].turned_at for name in list(worker.consumers)}
        late = self._leases.clock() - HEARTBEAT
        ailing = [f"the consumer of {name} does not come round" for name, at in turned.items() if at is not None and at < late]
        ailing += [f"worker thread {index} has ended" for index, thread in enumerate(worker.workers) if not thread.is_alive()]
        started = bool(turned) and None not in turned.values()
        return Vitals(started, self._stopping, () if self._stopping else tuple(ailing))

    def close(self) -> None:
        """Stop keeping leases; what is still held lapses."""
        self._leases.stop()

    def _config(self, queue_name: str) -> QueueConfig:
        try:
            return self.queues[queue_name]
        except KeyError:
            raise QueueNotFound(queue_name) from None


class Busy:
    """Adds up how many batches a process has worked off, and for how long. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, queue: str, seconds: float) -> None:
        """One more."""
        with self._lock:
            self._calls[queue] += 1
            self._seconds[queue] += seconds

    def take(self) -> dict[str, tuple[int, float]]:
        """What was added since the last time."""
        with self._lock:
            taken = {queue: (calls, self._seconds[queue]) for queue, calls in self._calls.items()}
            self._calls.clear()
            self._seconds.clear()
            return taken


class _Lifecycle(dramatiq.Middleware):
    """Tells the broker what Dramatiq's worker is about to do."""

    def __init__(self, broker: TumaBroker) -> None:
        self._broker = broker

    def before_worker_boot(self, _broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self._broker.boot(worker)

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        self._broker.stop_claiming()

    def after_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        self._broker.tell_abandoned()
