"""Brokers under a real `dramatiq.Worker`, and what tests of them wait for."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import dramatiq
from redis.backoff import NoBackoff
from redis.retry import Retry

from tuma_producer.contract.connection import connect
from tuma_worker.queue.broker import TumaBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.leases import Held

PATIENCE = 20.0  # seconds after which a signal that must come is missed
LONG_IDLE = 30.0  # longer than any test: whoever wakes was woken


@dataclass
class Calls:
    """What an actor of the test was called with, for others to wait for."""

    found: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, one: Any) -> None:  # noqa: ANN401 - whatever the actor has to say
        with self._changed:
            self.found.append(one)
            self._changed.notify_all()

    def wait(self, count: int = 1, patience: float = PATIENCE) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.found) >= count, patience), f"{len(self.found)} of {count} calls came"
            return list(self.found)


def make_broker(url: str, *queues: QueueConfig, name: str = "worker-1") -> TumaBroker:
    def connect_blocking() -> Redis:
        return connect(url, socket_timeout=None, single_connection_client=True, retry=Retry(NoBackoff(), 0))

    return TumaBroker(connect(url), queues, connect=connect_blocking, clock=time.monotonic, worker=name)


@contextlib.contextmanager
def working(broker: TumaBroker, threads: int = 4) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=threads)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()
        broker._redis.close()


def send_actor(broker: TumaBroker, work: Callable[[Held], object], name: str = "send") -> None:
    """Declare the actor that our claims name."""

    def actor(batch_id: str) -> None:
        broker.work_off(batch_id, work)

    dramatiq.actor(broker=broker, queue_name=min(broker.get_declared_queues()), actor_name=name, max_retries=0)(actor)


class Messages(dramatiq.Middleware):
    """The messages that Dramatiq's threads took up, and what came of each."""

    def __init__(self) -> None:
        self.calls = Calls()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        del result
        self.calls.add((message.actor_name, exception))


def blocked(redis: Redis, count: int = 1) -> None:
    """Return once so many consumers wait on their bells."""
    deadline = time.monotonic() + PATIENCE
    while cast("dict[str, int]", redis.info("clients"))["blocked_clients"] < count:
        assert time.monotonic() < deadline, f"no {count} consumers came to rest"
        threading.Event().wait(0.01)


def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once something is so that nobody signals."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        threading.Event().wait(0.01)
