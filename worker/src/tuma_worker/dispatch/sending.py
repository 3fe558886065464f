"""Send one batch: write the attempt down, make the call, write down what it came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker.core.answers import Accepted, Reply, TryLater
from tuma_worker.core.next_step import Chooser, Policy, next_step
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.logs import Event
from tuma_worker.providers.base import Call
from tuma_worker.store.attempts import Begun, Target

if TYPE_CHECKING:
    from tuma_worker.providers.base import Client
    from tuma_worker.queue.leases import Held
    from tuma_worker.store.attempts import Attempts

_log = structlog.get_logger(__name__)

Secret = Callable[[], str]  # an unguessable text, new each time


@dataclass(frozen=True, slots=True)
class Lane:
    """What an account's sends need. `callbacks` is the outside address under which the gateway takes this account's receipts."""

    client: Client
    attempts: Attempts
    policy: Policy
    callbacks: str | None
    sender_id: str | None


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the batches of all accounts that this process is configured with. Thread-safe."""

    lanes: dict[str, Lane]
    choose: Chooser
    secret: Secret

    def send(self, held: Held) -> None:
        """Take one claimed batch from its claim to its settlement. Returns early where nobody is left to send to."""
        lane = self.lanes[held.queue.account]
        log = _log.bind(account=held.queue.account, batch=held.claim.batch_id)
        targets = [_target(job.subject) for job in held.claim.jobs]
        token = self.secret()
        claim = held.claim
        begun = lane.attempts.begin(claim.batch_id, token, targets, lane=claim.lane, source=claim.source, group=claim.group)
        if begun is None:
            held.settled = True  # by whoever has it now
            log.warning(Event.DELIVERY_DEFERRED, reason="lease lost before the call")
            return
        if not begun.targets:
            return  # expired or withdrawn, every one: letting go of the batch gives the permit back
        log = log.bind(recipients=len(begun.targets), intents=_shown({target.intent for target in begun.targets}))
        reply = self._call(held, lane, begun, token)
        log.info(Event.DELIVERY_ATTEMPTED, answer=type(reply.answer).__name__, status=reply.status, recognised=reply.recognised)
        self._settle(held, lane, begun, reply)

    def _call(self, held: Held, lane: Lane, begun: Begun, token: str) -> Reply:
        """Make the call, unless this process was held up for so long that the batch may be somebody else's by now."""
        if not held.alive():
            return Reply(TryLater("lease-over", left=False))
        batch_id = held.claim.batch_id
        return lane.client.send(
            Call(
                numbers=[target.number for target in begun.targets],
                message=begun.message,
                sender_id=begun.sender_id or lane.sender_id,
                reference=batch_id,
                callback_url=f"{lane.callbacks}/{batch_id}.{token}" if lane.callbacks else None,
            ),
        )

    def _settle(self, held: Held, lane: Lane, begun: Begun, reply: Reply) -> None:
        numbers = [target.number for target in begun.targets]
        step = next_step(reply.answer, numbers, begun.tried, lane.policy, self.choose)
        batch_id = held.claim.batch_id
        log = _log.bind(account=held.queue.account, batch=batch_id)
        if lane.attempts.settle(batch_id, begun.targets, step, group=held.claim.group):
            log.info(Event.DELIVERY_SETTLED, phase=step.phase, code=step.code)
        else:
            self._offer(lane, batch_id, begun.targets, reply)
            log.warning(Event.DELIVERY_UNKNOWN, reason="lease lost during the call")
        held.settled = True
        if step.halt is not None:
            log.error(Event.ACCOUNT_HALTED, fault=step.halt.fault, code=step.halt.code)

    def _offer(self, lane: Lane, batch_id: str, targets: Sequence[Target], reply: Reply) -> None:
        """The batch is somebody else's by now, but that the provider took the call is evidence whoever brings it."""
        if isinstance(reply.answer, Accepted):
            lane.attempts.apply(
                batch_id,
                targets,
                RecipientState.SUBMITTED,
                Evidence.PROVIDER,
                provider_id=reply.answer.provider_id,
                phase="accepted",
            )

    def park(self, held: Held) -> None:
        """End a job that was there each time a worker died: it may be the cause, and the others must get on."""
        lane = self.lanes[held.queue.account]
        targets = [_target(job.subject) for job in held.claim.jobs]
        lane.attempts.end(targets, RecipientState.FAILED, reason="worker-died")
        _log.error(Event.DELIVERY_DEAD, account=held.queue.account, intents=_shown({target.intent for target in targets}))


def _target(subject: str) -> Target:
    intent, _, number = subject.partition(":")
    return Target(intent, number)


def _shown(intents: set[str]) -> list[str]:
    """A few ids for a log line: enough to find it by, not a thousand."""
    return sorted(intents)[:5]
