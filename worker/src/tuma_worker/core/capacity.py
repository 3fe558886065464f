"""What accounts at full allowance need of workers, gateways and Redis, and what of it runs out first: a model of measured costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

GIB = 1 << 30
_ATTEMPT_DAYS = 4  # that one is kept when it is over
_HEADROOM = 1.25  # of slots, for the longer calls
_BUSY = 0.7  # of a core, at the most, for what must answer at once


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU in seconds, memory in bytes. `tests/bench/README.md` says how each is measured.

    A call costs a worker and Redis something, and each recipient in it something more. A receipt costs a gateway and a worker, and
    is taken to cost Redis what a recipient does, and so is an enqueue. `finished_record` is the part of `finished_recipient` that
    is no event. A worker keeps `connections`, one more for each of its threads, and so many more for each account that it serves;
    an account costs each worker that serves it something even where nothing is to do.
    """

    worker_call: float = 1.9e-3
    worker_recipient: float = 0.031e-3
    redis_call: float = 1.0e-3
    redis_recipient: float = 0.14e-3
    gateway_receipt: float = 0.24e-3
    worker_receipt: float = 0.15e-3
    waiting: int = 650
    finished_recipient: int = 1120
    finished_record: int = 820
    finished_call: int = 650
    raw_receipt: int = 400
    connections: int = 10
    connections_per_account: int = 7
    worker_idle_account: float = 0.39e-3
    redis_idle_account: float = 0.18e-3


MEASURED = Costs()


@dataclass(frozen=True, slots=True)
class Load:
    """Accounts that use their allowance up: `calls` per second of each, with `recipients` to a call that takes so many `seconds`.

    They do so for `hours` of a day; `receipts` come of each recipient, and as many recipients wait as go in `backlog` hours.
    Records, events and receipts are kept for so many days.
    """

    accounts: int
    calls: float
    recipients: float = 1.0
    seconds: float = 0.5
    receipts: float = 2.0
    hours: float = 10.0
    backlog: float = 1.0
    records_days: float = 7.0
    events_days: float = 7.0
    receipts_days: float = 3.0


@dataclass(frozen=True, slots=True)
class Site:
    """What there is: threads of a worker, the most accounts that one serves, masters of Redis and what each of them may use."""

    threads: int = 8
    per_worker: int = 100
    nodes: int = 1
    node_memory: int = 16 * GIB
    node_connections: int = 10_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What a load needs. `room` says how many times as much each part of Redis would bear; below 1 it does not bear this."""

    accounts: int
    calls_per_s: float
    recipients_per_s: float
    slots: int
    workers: int
    worker_cores: float
    gateway_cores: float
    redis_cores: float
    redis_bytes: float
    connections: int
    room: dict[str, float]

    @property
    def first(self) -> str:
        """What runs out first."""
        return min(self.room, key=self.room.__getitem__)


LEVERS = {
    "one account": "a master has one core: more recipients to a call, or the account's sends over several accounts",
    "redis cores": "more masters: a cluster spreads accounts",
    "memory": "more masters or memory; shorter events_for, records_for and raw_receipts_for; several recipients to an intent",
    "connections": "fewer accounts to a worker (`--account`), more threads instead of more workers, or more masters",
}


def demand(load: Load, site: Site, costs: Costs = MEASURED) -> Demand:
    """What this load needs on this site."""
    calls = load.accounts * load.calls
    recipients = calls * load.recipients
    receipts = recipients * load.receipts
    slots = math.ceil(calls * load.seconds * _HEADROOM)
    # Two workers at the least for each part of the accounts, so that one may be replaced.
    parts = math.ceil(load.accounts / site.per_worker)
    working = calls * costs.worker_call + recipients * costs.worker_recipient + receipts * costs.worker_receipt
    workers = max(2 * parts, math.ceil(slots / site.threads), math.ceil(working / _BUSY))
    following = load.accounts * workers / parts  # an account, and a worker that follows it
    redis = redis_cores(calls, recipients, receipts, costs) + following * costs.redis_idle_account
    alone = redis_cores(load.calls, load.calls * load.recipients, load.calls * load.recipients * load.receipts, costs)
    memory = _bytes(load, calls, recipients, costs)
    connections = round(workers * (costs.connections + site.threads) + following * costs.connections_per_account)
    return Demand(
        accounts=load.accounts,
        calls_per_s=calls,
        recipients_per_s=recipients,
        slots=slots,
        workers=workers,
        worker_cores=working + following * costs.worker_idle_account,
        gateway_cores=receipts * costs.gateway_receipt,
        redis_cores=redis,
        redis_bytes=memory,
        connections=connections,
        room={
            "one account": _BUSY / alone,
            "redis cores": site.nodes * _BUSY / redis,
            "memory": site.nodes * site.node_memory / memory,
            "connections": site.nodes * site.node_connections / connections,
        },
    )


def redis_cores(calls: float, recipients: float, receipts: float, costs: Costs) -> float:
    """The cores of Redis that so much in a second keeps busy: enqueued, called, told of."""
    return calls * costs.redis_call + (2 * recipients + receipts) * costs.redis_recipient


def _bytes(load: Load, calls: float, recipients: float, costs: Costs) -> float:
    """What waits, and what is kept of the last days."""
    record, events = costs.finished_record, costs.finished_recipient - costs.finished_record
    receipts = load.receipts * costs.raw_receipt * load.receipts_days
    recipient = record * load.records_days + events * load.events_days + receipts
    a_second = recipients * recipient + calls * costs.finished_call * _ATTEMPT_DAYS
    return load.hours * 3600 * a_second + load.backlog * 3600 * recipients * costs.waiting
