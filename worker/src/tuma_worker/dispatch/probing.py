"""Ask whether a halted account may go on, and let it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker import metrics
from tuma_worker.core.answers import AccountFault, what_is_left
from tuma_worker.core.next_step import halt
from tuma_worker.logs import Event
from tuma_worker.queue.scripts import Release, permit, release
from tuma_worker.store import accounts
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.dispatch.sending import Outlet
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.leases import Held

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prober:
    """Probes the halted accounts among those that this process is configured with.

    `asks_in` has the queue of the account's bucket that a probe counts in, where that is not the one of its sends.
    """

    redis: Redis
    outlets: dict[str, Outlet]
    asks_in: dict[str, QueueConfig]
    worker: str

    def probe(self, held: Held) -> None:
        """Ask the provider once; where it cannot be asked, let one send try.

        What it finds is about the halt that stood when it asked: a graver one that came meanwhile stays.

        What ends the halt is written before this job is let go of, so that a worker which dies between the two leaves the job to
        another one: no account stays halted without it.
        """
        account = held.queue.account
        outlet, halted = self.outlets[account], accounts.halted(self.redis, account)
        if halted is None or halted.operator:
            return  # resumed meanwhile, or left to a person
        steering = Steering(self.redis, account, held.queue.operation, by="probe")
        if halted.fault not in outlet.policy.asks:
            steering.half_open(halted)
            return
        self._ask(held, outlet, steering, halted)

    def _ask(self, held: Held, outlet: Outlet, steering: Steering, halted: accounts.Halted) -> None:
        bucket, call_id = self.asks_in.get(held.queue.account), held.claim.batch_id
        if bucket is not None:
            wait = permit(self.redis, bucket, call_id, self.worker, lane=0, lease=bucket.lease)
            if wait is not None:
                held.settled = release(self.redis, held.queue, call_id, Release.LATER, delay=wait.milliseconds / 1000)
                return
        health = outlet.client.probe(halted.fault)
        if bucket is not None:
            release(self.redis, bucket, call_id, Release.CALLED, left=what_is_left(health.quotas))
        _log.info(Event.ACCOUNT_PROBED, account=held.queue.account, fault=halted.fault, works=health.works, code=health.code)
        metrics.called(held.queue.account, "probe", "Works" if health.works else "Fails")
        if health.works:
            steering.lift_halt(halted)
        elif health.operator:
            steering.halt(halt(AccountFault(health.code, health.fault or halted.fault, operator=True), outlet.policy), halted)
        over = health.works or health.operator
        how = Release.CALLED if over else Release.AGAIN
        in_sends = what_is_left(health.quotas) if bucket is None else None
        held.settled = release(self.redis, held.queue, call_id, how, delay=outlet.policy.probe_every, left=in_sends)
