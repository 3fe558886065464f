"""What a call and a recipient cost, as `tuma simulate` reckons with them: CPU of a worker and of Redis, bytes, connections.

One worker process of eight threads drains two backlogs at a provider that costs nothing: one with a call for each recipient, one
with a hundred in a call. What both cost tells what a call costs and what a recipient does. Bytes are those of singles with a text
each. Then it serves one account and forty-one of which nothing is asked: what an idle account costs each process that serves it.
Last, one of a single account and one of five have each of their threads call and each of their duties come round: what connections
they keep from then on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.house import build_house
from tests.bench.support.noop import start_noop

from tuma_producer import Producer, Send
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.queue.config import SEND
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.support.house import Store
    from tests.bench.support.processes import Program, Programs

OPEN = Limit(1_000_000, "calls", 1.0)
TOGETHER = 100
SIZE = 3_000  # calls with a recipient each; the others are as many recipients, ten times over
ROUNDS = 3
MANY = 40  # idle accounts besides one
FEW = 4  # accounts besides one, of those whose connections are counted
SETTLED = 10.0  # seconds after which a worker's first looks are over
ANSWER = 1.0  # seconds, of calls that all threads are to make, and for whose sake leases are to be renewed
CALLS = 8 * house.THREADS
QUICK = {"TUMA_SWEEP_EVERY": "2", "TUMA_POLL_EVERY": "2"}  # duties that else come round only every two minutes
WITHIN = 300.0

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Drained:
    """What a backlog cost: seconds of CPU, and bytes for each recipient; of those, what its record, events and call take."""

    worker: float
    server: float
    waiting: float
    done: float
    record: float
    events: float
    calls: float


def _sends(count: int, *, together: bool) -> Iterator[Send]:
    for place in range(count):
        text = "Your parcel is ready." if together else f"Your parcel {place} is ready."
        yield Send(account=house.ACCOUNT, to=house.number(place), message=text, sender_id=house.SENDER, coalesce=together)


def _drain(count: int, *, together: bool) -> Drained:
    """Fill a paused line and let it go."""
    with ExitStack() as stack:
        programs, store = stack.enter_context(processes.programs()), stack.enter_context(house.store())
        provider = start_noop(programs)
        built = build_house(programs, store, "lisoloo", provider.url, [OPEN], batch_max=TOGETHER)
        (worker,) = built.start_workers(1)
        steering = Steering(store.redis, house.ACCOUNT, SEND, "bench")
        steering.pause(Scope())
        empty = store.memory()
        with closing(built.producer()) as producer:
            accepted = sum(1 for _ in producer.enqueue_many(_sends(count, together=together)))
        waiting = store.memory()
        before = _cpu(worker), _server_cpu(store)
        steering.resume(Scope())
        _wait(store, accepted)
        keys, done = AccountKeys(house.ACCOUNT), store.memory()
        return Drained(
            worker=_cpu(worker) - before[0],
            server=_server_cpu(store) - before[1],
            waiting=(waiting - empty) / accepted,
            done=(done - empty) / accepted,
            record=store.weight(keys.intent("*")) / accepted,
            events=store.weight(keys.events) / accepted,
            calls=store.weight(keys.batch("*"), keys.provider_id("*")) / accepted,
        )


@dataclass(frozen=True, slots=True)
class Idle:
    """What a worker costs for which nothing is to do: CPU for each second."""

    worker: float
    server: float


def _idle(accounts: int, seconds: float) -> Idle:
    """One worker of so many accounts."""
    with ExitStack() as stack:
        programs, store = stack.enter_context(processes.programs()), stack.enter_context(house.store())
        worker = _serve(programs, store, accounts, {"base_url": "http://127.0.0.1:9"})
        worker.until("ready for action")
        time.sleep(SETTLED)
        before = _cpu(worker), _server_cpu(store)
        time.sleep(seconds)
        return Idle((_cpu(worker) - before[0]) / seconds, (_server_cpu(store) - before[1]) / seconds)


def _connections(accounts: Sequence[int], seconds: float) -> list[int]:
    """What a worker keeps once all of its threads have called and all of its duties have come round, for so many accounts each."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        stores = [stack.enter_context(house.store()) for _ in accounts]
        provider = start_noop(programs, takes=ANSWER)
        settings = {"base_url": provider.url, "sender_id": house.SENDER, "limits": [str(OPEN)], "cold_start": "burst"}
        workers = [_serve(programs, store, count, settings, **QUICK) for store, count in zip(stores, accounts, strict=True)]
        for worker in workers:
            worker.until("ready for action")
        for store in stores:
            with closing(Producer.from_url(store.url, source="bench")) as producer:
                list(producer.enqueue_many(_sends(CALLS, together=False)))
        processes.wait_until(lambda: int(provider.seen()["calls"]) == CALLS * len(stores), "the last call", WITHIN, every=0.2)
        time.sleep(SETTLED + seconds)
        return [_connected(store) for store in stores]


def _serve(programs: Programs, store: Store, accounts: int, settings: Mapping[str, object], **environment: str) -> Program:
    """One worker of so many accounts with these settings; the first is the one that sends are for."""
    common = {"provider": "lisoloo", "environment": "sandbox", **settings}
    names = [house.ACCOUNT, *(f"idle-{place}" for place in range(1, accounts))]
    known = {name: common | {"api_key": f"sk_test_{place}"} for place, name in enumerate(names)}
    command = [sys.executable, "-m", "tuma_worker.cli", "worker", "--processes", "1", "--threads", str(house.THREADS)]
    return programs.start("worker", command, TUMA_REDIS_URL=store.url, TUMA_ACCOUNTS=json.dumps(known), **environment)


def _wait(store: Store, accepted: int) -> None:
    keys = AccountKeys(house.ACCOUNT)
    queue = keys.queue(SEND)

    def over() -> bool:
        return not (store.redis.zcard(queue.entries) or store.redis.hlen(queue.inflight))

    processes.wait_until(over, "the last settlement", WITHIN, every=0.2)
    told: Any = store.redis.xrange(keys.events)
    if (submitted := sum(fields[b"e"] == b"submitted" for _, fields in told)) != accepted:
        message = f"{accepted} accepted, {submitted} handed over"
        raise RuntimeError(message)


def _cpu(worker: Program) -> float:
    """Seconds of CPU of all processes of a worker's session."""
    return sum(_ticks(stat) for stat in Path("/proc").glob("[0-9]*/stat") if _session(stat) == worker.pid) / _TICK


def _fields(stat: Path) -> list[str]:
    try:
        return stat.read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []


def _session(stat: Path) -> int:
    fields = _fields(stat)
    return int(fields[3]) if fields else 0


def _ticks(stat: Path) -> int:
    fields = _fields(stat)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _server_cpu(store: Store) -> float:
    cpu: Any = store.redis.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def _connected(store: Store) -> int:
    clients: Any = store.redis.info("clients")
    return int(clients["connected_clients"]) - 1  # one is ours


def _parts(one: float, many: float, calls: int, recipients: int) -> tuple[float, float]:
    """What a call costs and what a recipient does, from `one` recipient a call and from `many`."""
    each, hundred = one / calls, many / (recipients / TOGETHER)
    recipient = max(0.0, (hundred - each) / (TOGETHER - 1))
    return each - recipient, recipient


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds, and what they tell."""
    machine = output.machine()
    calls, recipients = options.size, options.size * 10
    rounds = [(_drain(calls, together=False), _drain(recipients, together=True)) for _ in range(options.rounds)]
    output.table([asdict(part) for pair in rounds for part in pair])
    one, many = ([pair[index] for pair in rounds] for index in (0, 1))

    def parts(name: str) -> tuple[float, float]:
        found = [median(getattr(part, name) for part in each) for each in (one, many)]
        return _parts(found[0], found[1], calls, recipients)

    few, lots = _idle(1, options.seconds), _idle(1 + MANY, options.seconds)
    alone, among = _connections([1, 1 + FEW], options.seconds)
    each = (among - alone) / FEW
    (worker_call, worker_recipient), (server_call, server_recipient) = parts("worker"), parts("server")
    return {
        "bench": "capacity",
        "worker_ms_per_call": round(worker_call * 1000, 3),
        "worker_ms_per_recipient": round(worker_recipient * 1000, 4),
        "redis_ms_per_call": round(server_call * 1000, 3),
        "redis_ms_per_recipient": round(server_recipient * 1000, 4),
        "bytes_per_waiting_single": round(median(part.waiting for part in one)),
        "bytes_per_finished_single": round(median(part.done for part in one)),
        "bytes_per_finished_record": round(median(part.record for part in one)),
        "bytes_per_events_of_single": round(median(part.events for part in one)),
        "bytes_per_finished_call": round(median(part.calls for part in one)),
        "connections_per_account": round(each, 1),
        "connections_of_rest": round(alone - each - house.THREADS, 1),
        "worker_ms_per_s_and_idle_account": round(1000 * (lots.worker - few.worker) / MANY, 3),
        "redis_ms_per_s_and_idle_account": round(1000 * (lots.server - few.server) / MANY, 3),
        "machine": machine,
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=30)
    parser.add_argument("--size", type=int, default=SIZE, help="calls with a recipient each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
