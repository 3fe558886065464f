"""One process's consumer of one queue: claims when a thread is free, and otherwise waits on the queue's bell."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import dramatiq
import structlog
from dramatiq.errors import ConnectionClosed
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tuma_worker.queue.leases import Held, Leases
from tuma_worker.queue.scripts import Claim, Release, Wait, claim, release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from tuma_worker.queue.config import QueueConfig

_log = structlog.get_logger(__name__)

_LOST = (RedisConnectionError, RedisTimeoutError)  # redis-py's timeout is no connection error; to a consumer it is one
FOREIGN = "dramatiq"  # the group of Dramatiq messages of any actor: their body says which


class Slots:
    """The worker threads of this process that are free. A consumer claims only while it holds one."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = threading.Condition()

    def resize(self, count: int) -> None:
        """Set how many there are in all; before any is taken."""
        with self._changed:
            self._free = count

    def take(self, timeout: float) -> bool:
        """Take one, waiting at most so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free > 0, timeout):
                return False
            self._free -= 1
            return True

    def give(self) -> None:
        """Give one back."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    @property
    def any_left(self) -> bool:
        """Whether another claim could follow at once."""
        with self._changed:
            return self._free > 0


def new_token() -> str:
    """A batch id that nobody else has."""
    return secrets.token_hex(16)


@dataclass
class Seat:
    """A process's place at a queue. It outlives a consumer that lost its connection.

    `token` is the id of the batch that the next claim will take. It changes only once an answer has come: where one was lost,
    whether in the network or with the consumer, the same claim is asked for again instead of being left to its lease.
    """

    worker: str
    token: str = field(default_factory=new_token)


class Proxy(dramatiq.MessageProxy):
    """A claimed batch as Dramatiq sees it: a message whose only argument is the batch's id, so that no log can show more."""

    def __init__(self, message: dramatiq.Message[None], batch_id: str) -> None:
        super().__init__(message)
        self.batch_id = batch_id


@dataclass
class Bell:
    """Where a consumer waits. `stop` may be called from another thread."""

    redis: Redis
    key: str
    _client_id: int | None = None

    def wait(self, seconds: float) -> bool:
        """Block until somebody rings or the time is over. Returns whether it rang: then nobody else has heard it."""
        if self._client_id is None:
            self._client_id = self.redis.client_id()
        return self.redis.blpop([self.key], timeout=seconds) is not None

    def pass_on(self) -> None:
        """Ring for somebody else."""
        self.redis.rpush(self.key, 1)

    def unblock(self, redis: Redis) -> None:
        """End a wait, if there is one, from another connection."""
        if self._client_id is not None:
            redis.client_unblock(self._client_id)

    def close(self) -> None:
        """Close the connection it waits on."""
        self.redis.close()


class Consumer(dramatiq.Consumer):
    """Dramatiq's consumer for one of our queues."""

    def __init__(
        self, redis: Redis, queue: QueueConfig, *, bell: Bell, slots: Slots, leases: Leases, seat: Seat, timeout: float
    ) -> None:
        self._redis = redis
        self._queue = queue
        self._bell = bell
        self._slots = slots
        self._leases = leases
        self._seat = seat
        self._timeout = timeout
        self._rung = False
        self._stopping = threading.Event()
        self._resting = threading.Event()
        self._closed = threading.Event()

    def __next__(self) -> dramatiq.MessageProxy | None:
        """The next batch; None after a wait, so that Dramatiq may look whether it should stop."""
        if self._stopping.is_set():
            self._resting.set()
            self._closed.wait(0.05)  # Dramatiq asks on until it stops its consumers, which it does last
            return None
        if not self._take_slot():
            return None
        found: Claim | Wait | None = None
        try:
            found = self._claim()
        finally:
            if not isinstance(found, Claim):
                self._slots.give()
        if isinstance(found, Claim):
            return self._message_or_nothing(found)
        self._rest(found.milliseconds / 1000)
        return None

    def _take_slot(self) -> bool:
        """Take a free thread. Where there is none, a bell that only we have heard is rung again: another process may have one."""
        rung, self._rung = self._rung, False
        if self._slots.take(0):
            return True
        if rung:
            try:
                self._bell.pass_on()
            except _LOST as error:
                raise ConnectionClosed(error) from None
        return self._slots.take(self._timeout)

    def _claim(self) -> Claim | Wait:
        asked_at = self._leases.clock()
        try:
            found = claim(self._redis, self._queue, self._seat.token, self._seat.worker, last=not self._slots.any_left)
        except _LOST as error:
            raise ConnectionClosed(error) from None
        if isinstance(found, Claim):
            self._seat.token = new_token()
            self._leases.add(Held(self._queue, found, asked_at + self._queue.lease, self._leases.clock))
        return found

    def _message_or_nothing(self, found: Claim) -> Proxy | None:
        """The claim as a message; None where it names a message that is gone, which is then finished."""
        try:
            return self._message(found)
        except LookupError as error:
            _log.error("message.gone", queue=self._queue.name, error=str(error))
            release(self._redis, self._queue, found.batch_id, Release.DONE)
        except ConnectionClosed:
            self._forget(found.batch_id)  # nobody will work on it: let its lease lapse
            raise
        self._forget(found.batch_id)
        return None

    def _message(self, found: Claim) -> Proxy:
        if found.actor == FOREIGN:
            return Proxy(self._foreign(found), found.batch_id)
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=self._queue.name, actor_name=found.actor, args=(found.batch_id,), kwargs={}, options={},
        )  # fmt: skip
        return Proxy(message, found.batch_id)

    def _foreign(self, found: Claim) -> dramatiq.Message[None]:
        try:
            body = self._redis.hget(self._queue.keys.messages, found.jobs[0].subject)
        except _LOST as error:
            raise ConnectionClosed(error) from None
        if body is None:
            message = f"the message of job {found.jobs[0].subject} is gone from queue {self._queue.name}"
            raise LookupError(message)
        return dramatiq.Message.decode(cast("bytes", body))

    def _rest(self, seconds: float) -> None:
        try:
            self._rung = self._bell.wait(seconds)
        except _LOST as error:
            if not self._stopping.is_set():
                raise ConnectionClosed(error) from None

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """The work is done: let go of whatever its own settling has not let go of yet."""
        self._finish(message, Release.DONE)

    def nack(self, message: dramatiq.MessageProxy) -> None:
        """The work failed in a way that nobody foresaw.

        Our own jobs are treated as if the process had died: the lease lapses, and the claim that finds it decides by what was
        written down whether to try again or to look for evidence. A Dramatiq message of somebody else's actor is finished; its
        Retries middleware has had its say.
        """
        held = self._leases.get(_batch_id(message))
        if held.claim.actor == FOREIGN:
            self._finish(message, Release.DONE)
        else:
            self._forget(held.claim.batch_id)

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Put batches back that no thread has started on."""
        for message in messages:
            self._finish(message, Release.BACK)

    def _finish(self, message: dramatiq.MessageProxy, how: Release) -> None:
        held = self._leases.get(_batch_id(message))
        if not held.settled:
            self._release(held, how)
        self._forget(held.claim.batch_id)

    def _forget(self, batch_id: str) -> None:
        self._leases.drop(batch_id)
        self._slots.give()

    def _release(self, held: Held, how: Release) -> None:
        try:
            release(self._redis, self._queue, held.claim.batch_id, how)
            if held.claim.actor == FOREIGN and how is Release.DONE:
                self._redis.hdel(self._queue.keys.messages, held.claim.jobs[0].subject)
        except _LOST as error:
            raise ConnectionClosed(error) from None
        held.settled = True

    def stop_claiming(self) -> None:
        """Claim nothing from now on. Returns when the consumer's thread has seen it, or after a second."""
        self._stopping.set()
        for _ in range(50):
            try:
                self._bell.unblock(self._redis)
            except RedisError:
                return  # nobody can claim without Redis, and the wait ends by itself
            if self._resting.wait(0.02):
                return

    def close(self) -> None:
        """Close the connection it waits on."""
        self._closed.set()
        self._bell.close()


def _batch_id(message: dramatiq.MessageProxy) -> str:
    if not isinstance(message, Proxy):
        error = f"not a message of this broker: {type(message).__name__}"
        raise TypeError(error)
    return message.batch_id
