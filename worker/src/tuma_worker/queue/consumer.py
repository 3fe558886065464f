"""One process's consumer of one queue: claims when a thread is free, and otherwise waits on the queue's bell."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import dramatiq
import structlog
from dramatiq.errors import ConnectionClosed

from tuma_producer.contract.connection import REDIS_ERRORS, unavailable
from tuma_producer.contract.scripts import run_together
from tuma_producer.errors import StoreUnavailable
from tuma_worker.logs import Event
from tuma_worker.queue.leases import Held, Leases
from tuma_worker.queue.scripts import Claim, Release, Wait, claim, claiming, read_claim, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from tuma_producer.contract.scripts import ScriptCall
    from tuma_worker.queue.bell import Bell
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.seats import Seat, Slots

_log = structlog.get_logger(__name__)

FOREIGN = "dramatiq"  # the group of Dramatiq messages of any actor: their body says which
AT_ONCE = 1  # milliseconds; a wait so short says that the next claim goes on where this one stopped
CLAIMS_IN_A_ROW = 20  # without a wait between them, where each says that the next goes on


@contextmanager
def reachable() -> Iterator[None]:
    """Tell Dramatiq in its own word that Redis is away, whichever of its many ways redis-py has to say so."""
    try:
        yield
    except (StoreUnavailable, *REDIS_ERRORS) as error:
        if isinstance(error, StoreUnavailable) or unavailable(error):
            raise ConnectionClosed(error) from None
        raise


class Proxy(dramatiq.MessageProxy):
    """A claimed batch as Dramatiq sees it: a message whose only argument is the batch's id, so that no log can show more."""

    def __init__(self, message: dramatiq.Message[None], batch_id: str) -> None:
        super().__init__(message)
        self.batch_id = batch_id


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
        self._went_on = 0  # so many times since it last waited
        self._resting = threading.Event()
        self._closed = threading.Event()

    def __next__(self) -> dramatiq.MessageProxy | None:
        """The next batch; None after a wait, so that Dramatiq may look whether it should stop."""
        self._seat.turned_at = self._leases.clock()
        if self._seat.stopping.is_set():
            self._come_to_rest()
            self._let_go_of_handed()
            self._closed.wait(0.05)  # Dramatiq asks on until it stops its consumers, which it does last
            return None
        if not self._take_slot():
            return None
        found: Claim | Wait | None = None
        try:
            found = self._seat.handed.popleft() if self._seat.handed else self._claim()
        finally:
            if not isinstance(found, Claim):
                self._slots.give()
        if isinstance(found, Claim):
            return self._message_or_nothing(found)
        self._rest(found)
        return None

    def _come_to_rest(self) -> None:
        """Claim no more. Whatever this consumer was woken for, or watched the time for, is for another process now."""
        if not self._resting.is_set():
            self._resting.set()
            with suppress(*REDIS_ERRORS):  # without Redis the others' waits end by themselves
                self._bell.pass_on()

    def _take_slot(self) -> bool:
        """Take a free thread. Where there is none, a bell that only we have heard is rung again: another process may have one."""
        rung, self._rung = self._rung, False
        if self._slots.take(self, 0):
            return True
        if rung:
            with reachable():
                self._bell.pass_on()
        if not self._slots.take(self, self._timeout):
            return False
        if self._seat.stopping.is_set():  # since it began to wait
            self._slots.give()
            return False
        return True

    def _claim(self) -> Claim | Wait:
        asked_at = self._leases.clock()
        with reachable(), self._seat.token() as token:
            found = claim(self._redis, self._queue, token, self._seat.worker, last=not self._slots.any_left)
        if isinstance(found, Claim):
            self._leases.add(self._held(found, asked_at))
        return found

    def _held(self, found: Claim, asked_at: float) -> Held:
        return Held(self._queue, found, asked_at + self._queue.lease, self._leases.clock, settle=self._settle_and_claim)

    def _settle_and_claim(self, held: Held, settling: ScriptCall) -> Any:  # noqa: ANN401 - what the script replies
        """Settle a batch and claim the next one for the same thread, in one trip. Returns the reply to the first.

        That spares a busy queue a trip, and the way of each batch from thread to thread. Not where the consumer has found that
        nothing may move, and not where another one waits for the thread's slot: every queue has its turn.
        """
        if self._seat.stopping.is_set() or self._seat.listening or self._slots.others_wait(self):
            return settling.run(self._redis)
        asked_at = self._leases.clock()
        with self._seat.token() as token:
            next_claim = claiming(self._queue, token, self._seat.worker, last=not self._slots.any_left)
            settled, replied = run_together(self._redis, [settling, next_claim])
        found = read_claim(self._queue, token, replied)
        held.follower = self._held(found, asked_at) if isinstance(found, Claim) else None
        return settled

    def follow(self, message_id: str) -> bool:
        """Go on with the batch that was claimed while the one before was settled. Returns whether there is one for this thread.

        Until then nobody keeps its lease: where the thread never comes here, it lapses.
        """
        settled = self._leases.get(message_id)
        follower, settled.follower = settled.follower, None
        if follower is None:
            return False
        if self._seat.stopping.is_set():
            self._put_back(follower)
            return False
        if follower.claim.actor != settled.claim.actor:
            self._hand_over(follower)
            return False
        self._leases.follow(message_id, follower)
        return True

    def _hand_over(self, held: Held) -> None:
        self._leases.add(held)
        self._seat.handed.append(held.claim)
        with suppress(*REDIS_ERRORS):  # without Redis the consumer's wait ends by itself
            self._bell.unblock()
            self._bell.pass_on()  # it may be about to wait

    def _let_go_of_handed(self) -> None:
        """Put back what would wait for a thread in vain."""
        while self._seat.handed:
            batch_id = self._seat.handed.popleft().batch_id
            held = self._leases.get(batch_id)
            self._leases.drop(batch_id)
            self._put_back(held)

    def _put_back(self, held: Held) -> None:
        """Put back what nobody has begun. Where it cannot be, its lease lapses."""
        with suppress(ConnectionClosed):
            self._release(held, Release.BACK)

    def _message_or_nothing(self, found: Claim) -> Proxy | None:
        """The claim as a message; None where it names a message that is gone, which is then finished."""
        ours = False
        try:
            message = self._message(found)
        except LookupError as error:
            _log.error(Event.MESSAGE_GONE, queue=self._queue.name, error=str(error))
            self._release(self._leases.get(found.batch_id), Release.DONE)
            return None
        else:
            ours = True
            return message
        finally:
            if not ours:
                self._forget(found.batch_id)  # nobody will work on it: where it could not be released, its lease lapses

    def _message(self, found: Claim) -> Proxy:
        if found.actor == FOREIGN:
            return Proxy(self._foreign(found), found.batch_id)
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=self._queue.name, actor_name=found.actor, args=(found.batch_id,), kwargs={}, options={},
        )  # fmt: skip
        return Proxy(message, found.batch_id)

    def _foreign(self, found: Claim) -> dramatiq.Message[None]:
        with reachable():
            body = self._redis.hget(self._queue.keys.messages, found.jobs[0].subject)
        if body is None:
            message = f"the message of job {found.jobs[0].subject} is gone from queue {self._queue.name}"
            raise LookupError(message)
        return dramatiq.Message.decode(cast("bytes", body))

    def _rest(self, found: Wait) -> None:
        """Wait as long as nothing may move. Where the next claim goes on, it may at once."""
        self._went_on += 1
        if found.milliseconds <= AT_ONCE and self._went_on < CLAIMS_IN_A_ROW:
            return
        self._went_on = 0
        self._listen(found.milliseconds / 1000)

    def _listen(self, seconds: float) -> None:
        self._seat.listening = True
        try:
            if self._seat.handed:  # by a thread that did not know yet that we listen
                return
            with reachable():
                self._rung = self._bell.wait(seconds)
        except ConnectionClosed:
            if not self._seat.stopping.is_set():
                raise
        finally:
            self._seat.listening = False

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
            return
        if held.follower is not None:
            self._put_back(held.follower)  # it had no part in what failed
        self._forget(_batch_id(message))

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Put batches back that no thread has started on."""
        for message in messages:
            self._finish(message, Release.BACK)

    def _finish(self, message: dramatiq.MessageProxy, how: Release) -> None:
        held = self._leases.get(_batch_id(message))
        if not held.settled:
            self._release(held, how)
        self._forget(_batch_id(message))

    def _forget(self, message_id: str) -> None:
        self._leases.drop(message_id)
        self._slots.give()

    def _release(self, held: Held, how: Release) -> None:
        with reachable():
            release(self._redis, self._queue, held.claim.batch_id, how)
            if held.claim.actor == FOREIGN and how is Release.DONE:
                self._redis.hdel(self._queue.keys.messages, held.claim.jobs[0].subject)
        held.settled = True

    def stop_claiming(self) -> None:
        """Claim nothing from now on. Returns when the consumer's thread has seen it, or after a second."""
        self._seat.stopping.set()
        for _ in range(50):
            try:
                self._bell.unblock()
            except REDIS_ERRORS:
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
