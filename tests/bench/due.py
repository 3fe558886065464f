"""Sends for later: what a million of them weigh, whether a claim feels them, and how punctually a thousand of one second start.

The jobs are put in by the enqueue script with a time, as schedules will be. They belong to intents of a hundred recipients; the
size of a job in the due set does not depend on that. `claim_us_*` are medians of claims that find one ready job, taken in turn on a
server with all the jobs and on one with a thousand.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import milliseconds, percentile, ratio, rounded
from tests.bench.support.house import House, Store, build_house
from tests.bench.support.noop import NoopProvider, start_noop

from tuma_producer import Send
from tuma_producer.contract import wire
from tuma_worker.core.limits import Limit as OwnLimit
from tuma_worker.queue.config import SEND, QueueConfig
from tuma_worker.queue.scripts import Claim, Release, claim, release
from tuma_worker.queue.seats import new_token

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tests.bench.support.processes import Program

SIZE = 1_000_000
FEW = 1_000
TOGETHER = 100  # recipients of an intent
CLAIMS = 1000
WARM_UP = 200  # claims that are not counted: a server that has just been filled is slower for a while
PUNCTUAL = 1_000  # jobs that come due within one second
AHEAD = 3.0  # seconds between their being put in and the first of them
LATER = 86_400.0  # when the others are due: not while this runs
OPEN = Limit(1_000_000, "calls", 1.0)
TEXT = "Your appointment is tomorrow."

_QUEUE = QueueConfig(account=house.ACCOUNT, operation=SEND, limits=(OwnLimit.parse("1000000 calls/s"),))
_DUE = _QUEUE.keys.due
_PIPELINE = 20


def _put(store: Store, sends: Iterator[tuple[Send, float]]) -> None:
    """Accept sends, each due at its time (Unix seconds)."""
    pipeline = store.redis.pipeline(transaction=False)
    for place, (send, due) in enumerate(sends, start=1):
        request = wire.encode(send, "bench")
        request.args[7] = max(0, round((due - time.time()) * 1000))  # as if it were held back for so long
        pipeline.eval(request.script.source, len(request.keys), *request.keys, *request.args) if place == 1 else pipeline.evalsha(
            request.script.sha, len(request.keys), *request.keys, *request.args
        )
        if place % _PIPELINE == 0:
            pipeline.execute()
    pipeline.execute()


def _later(jobs: int) -> Iterator[tuple[Send, float]]:
    """Intents with so many recipients in all, due tomorrow, a millisecond apart."""
    due = time.time() + LATER
    for first in range(0, jobs, TOGETHER):
        numbers = [house.number(place) for place in range(first, min(first + TOGETHER, jobs))]
        yield Send(account=house.ACCOUNT, to=numbers, message=TEXT), due + first / 1000


def _rss(program: Program) -> int:
    """Resident bytes of all processes of a program's session."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == program.pid:
                found += int(fields[21]) * 4096
        except OSError:
            continue  # it has ended since it was listed
    return found


def _used(store: Store) -> int:
    memory: Any = store.redis.info("memory")
    return int(memory["used_memory"])


def _freed(store: Store) -> bool:
    """Whether the server has given back what was deleted: it does so beside its other work."""
    memory: Any = store.redis.info("memory")
    return int(memory["lazyfree_pending_objects"]) == 0


def _fill(built: House, jobs: int) -> float:
    """Put them in beside a worker that waits. Returns by how many megabytes the worker has grown."""
    worker = built.start_workers(1)[0]
    _put(built.store, _later(FEW))  # the worker has seen that there is something
    before = _rss(worker)
    if not before:
        message = "the worker's memory is not to be seen here"
        raise processes.NotStartedError(message)
    _put(built.store, _later(jobs - FEW))
    time.sleep(2.0)  # a worker that took jobs into its memory would do so now
    grown = _rss(worker) - before
    processes.end_all([worker])
    return grown / 1e6


def _one_ready(store: Store) -> None:
    request = wire.encode(Send(account=house.ACCOUNT, to=house.number(9_999_999), message=TEXT), "bench")
    request.script.run(store.redis, request.keys, request.args)


def _claim_seconds(store: Store) -> float:
    """How long a claim takes that finds one ready job. The job is then gone."""
    _one_ready(store)
    batch = new_token()
    started = time.perf_counter()
    found = claim(store.redis, _QUEUE, batch, "bench", last=False)
    took = time.perf_counter() - started
    if not isinstance(found, Claim):
        message = f"a ready job was not claimed: {found.why}"
        raise TypeError(message)
    release(store.redis, _QUEUE, batch, Release.DONE)
    return took


def _claims(many: Store, few: Store, claims: int) -> dict[str, Any]:
    """In turn on both, and each as often first, so that both see the same machine."""
    took: dict[int, list[float]] = {id(many): [], id(few): []}
    for turn in range(claims + WARM_UP):
        for store in (many, few) if turn % 2 else (few, many):
            took[id(store)].append(_claim_seconds(store))
    of_many, of_few = (median(took[id(store)][WARM_UP:]) for store in (many, few))
    return {
        "claim_us_1m": rounded(of_many * 1e6, 1),
        "claim_us_1k": rounded(of_few * 1e6, 1),
        "claim_ratio": ratio(of_many, of_few),
    }


def _weight(store: Store, jobs: int) -> dict[str, Any]:
    """What the due set weighs, by its own account and by what the server has less of when it is gone. It is gone then."""
    own: Any = store.redis.memory_usage(_DUE, samples=0)
    before = _used(store)
    store.redis.delete(_DUE)
    processes.wait_until(lambda: _freed(store), "the due set's memory")
    return {"due_set_bytes_per_job": round(own / jobs, 1), "bytes_per_job_beyond_record": round((before - _used(store)) / jobs, 1)}


def _many_and_few(jobs: int, claims: int) -> dict[str, Any]:
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        many, few = stack.enter_context(house.store()), stack.enter_context(house.store())
        provider = start_noop(programs)
        house_of_many = build_house(programs, many, "lisoloo", provider.url, [OPEN])
        build_house(programs, few, "lisoloo", provider.url, [OPEN]).introduce()
        grown = _fill(house_of_many, jobs)
        _put(few, _later(min(FEW, jobs)))
        found = _claims(many, few, claims)
        waiting = int(many.redis.zcard(_DUE))
        return {"jobs": waiting, "worker_rss_growth_mb": rounded(grown, 2), **found, **_weight(many, waiting)}


def _lateness(jobs: int, *, coalesce: bool) -> dict[str, Any]:
    """Jobs that come due within one second, evenly: from each one's time to the first byte of the call that carries it."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        provider = start_noop(programs, keep=True)
        built = build_house(programs, store, "lisoloo", provider.url, [OPEN])
        built.start_workers(1)
        first = round(time.time() + AHEAD, 3)
        due = {house.number(place): first + place / jobs for place in range(jobs)}
        texts = (Send(account=house.ACCOUNT, to=number, message=TEXT, coalesce=coalesce) for number in due)
        _put(store, zip(texts, due.values(), strict=True))
        spare = first - time.time()
        processes.wait_until(lambda: provider.seen()["recipients"] >= jobs, "the last of them")
        return _late_figures(provider, due) | {"put_in_before_s": rounded(spare, 2)}


def _late_figures(provider: NoopProvider, due: dict[str, float]) -> dict[str, Any]:
    seen = provider.seen()
    late = [arrived - due[number] for arrived, numbers in seen["kept"] for number in numbers]
    if min(late) < -0.001:
        message = f"a job started {-min(late):.3f} s before its time"
        raise RuntimeError(message)
    return {
        "calls": seen["calls"],
        "p50_ms": milliseconds(percentile(late, 0.5)),
        "p99_ms": milliseconds(percentile(late, 0.99)),
        "max_ms": milliseconds(max(late)),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Weight and claims, then punctuality with one text and with a call for each."""
    machine = output.machine()
    found = _many_and_few(max(FEW, options.size), options.claims)
    output.table([found])
    together, alone = (_lateness(options.punctual, coalesce=coalesce) for coalesce in (True, False))
    output.table([{"punctual": "one text", **together}, {"punctual": "a call each", **alone}])
    punctual = {"start_p50_ms": together["p50_ms"], "start_p99_ms": together["p99_ms"], "start_p99_ms_a_call_each": alone["p99_ms"]}
    return {"bench": "due", **found, **punctual, "together": together, "a_call_each": alone, "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="delayed jobs (%(default)s)")
    parser.add_argument("--claims", type=int, default=CLAIMS, help="claims that are timed on each server (%(default)s)")
    parser.add_argument("--punctual", type=int, default=PUNCTUAL, help="jobs that come due in one second (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
