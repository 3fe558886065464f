"""Calls that no job asks for, each under a permit of the account's own limits: they count where the sends count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.contract.wire import LANES
from tuma_worker.core.answers import TryLater, Unknown, what_is_left
from tuma_worker.providers.http import Arrived
from tuma_worker.providers.operations import NotDone
from tuma_worker.queue.scripts import Release, permit, release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from tuma_worker.providers.operations import Caller, Refusal, Request
    from tuma_worker.providers.provider import ReadQuotas
    from tuma_worker.queue.config import QueueConfig

OPERATORS = LANES.index("transactional")  # the floor of one-time passwords stays theirs
OURS = LANES.index("bulk")  # what nobody waits for
TRIES = 3
PATIENCE = 1.0  # seconds before another try, where the provider names none
_GLANCE = 30.0  # the longest that is waited for a permit before asking for it again

Waiting = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Errands:
    """Makes such calls for one account, in one lane; an `Exchange` of operations.

    `queues` are those of its buckets; `quotas` reads what an answer says is left of them. `lease` is how long one call may take at
    the very most, in seconds. `waiting` is told why and for how many seconds there is nothing to do.
    """

    redis: Redis
    caller: Caller
    queues: Mapping[str, QueueConfig]
    maker: str
    lease: float
    quotas: ReadQuotas
    name: Callable[[], str]
    pause: Callable[[float], None]
    waiting: Waiting
    lane: int = OPERATORS

    def __call__(self, request: Request) -> Arrived:
        """Make the call, again where it is sure that nothing was done. Raises `NotDone`."""
        for left in reversed(range(TRIES)):
            said = self._under_permit(request) if request.bucket else self.caller.call(request)
            if isinstance(said, Arrived):
                return said
            after = _again(request, said)
            if after is None or not left:
                raise NotDone(request, said)
            self._wait(said.code, after)
        raise AssertionError  # the last try returns or raises

    def _under_permit(self, request: Request) -> Arrived | Refusal:
        queue = self.queues[request.bucket]
        call_id = self._permit(queue, request)
        said = self.caller.call(request)
        # An exception would leave the permit to its lease, which is right: the call may have been made.
        quotas = self.quotas(said.headers) if isinstance(said, Arrived) else said.quotas
        release(self.redis, queue, call_id, _ended(said), blocked=_blocked(said), left=what_is_left(quotas))
        return said

    def _permit(self, queue: QueueConfig, request: Request) -> str:
        while True:
            call_id = self.name()
            wait = permit(self.redis, queue, call_id, self.maker, lane=self.lane, lease=self.lease, messages=request.messages)
            if wait is None:
                return call_id
            self._wait(wait.why, wait.milliseconds / 1000)

    def _wait(self, why: str, seconds: float) -> None:
        self.waiting(why, seconds)
        self.pause(min(seconds, _GLANCE))


def _ended(said: Arrived | Refusal) -> Release:
    """A call that never left gives its permit back."""
    never_left = not isinstance(said, Arrived) and isinstance(said.answer, TryLater) and not said.answer.left
    return Release.DONE if never_left else Release.CALLED


def _blocked(said: Arrived | Refusal) -> float:
    """For how long nothing of the account may be called."""
    if isinstance(said, Arrived) or not isinstance(said.answer, TryLater) or said.answer.scope != "account":
        return 0.0
    return PATIENCE if said.answer.after is None else said.answer.after


def _again(request: Request, said: Refusal) -> float | None:
    """After how many seconds the call may be made again; None: never. What blocks the account is waited for with the permit."""
    match said.answer:
        case TryLater(scope="account"):
            return 0.0
        case TryLater(after=after):
            return PATIENCE if after is None else after
        case Unknown() if request.repeatable:
            return PATIENCE
        case _:
            return None
