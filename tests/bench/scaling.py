"""Workers come and go under load: is anything lost, doubled or over the limit, and does anybody outside notice?

`scale` goes from one worker process to eight and back while a backlog waits, and reads at each size what the first one tells
scalers. `rollout` replaces four workers one after another, as a deployment does: a new one first, then SIGTERM for an old one. Once
the limit is what holds them (`limited`), once nothing does (`unlimited`): then a worker that is missing is a call that is missing.
A dip is the least that was called in any `WINDOW`, by the mean of the calm before; `noise` is the same of that calm itself.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from tests.bench.support import house, output, processes
from tests.bench.support.audit import Limit, obedience
from tests.bench.support.figures import rounded
from tests.support import servers

from tuma_producer import Send
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.queue.config import SEND

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tests.bench.support.audit import Call
    from tests.bench.support.house import House
    from tests.bench.support.processes import Program
    from tests.bench.support.provider import StrictProvider

THREADS = 2  # of a worker: so that one does not use the limit up, and eight would use it up several times over
LATENCY_MS = 250.0
LIMITED = Limit(20, "calls", 1.0)
UNLIMITED = Limit(1_000_000, "calls", 1.0)
# Seconds: four times the limit's rhythm, which is its window and the time of the calls that it waits for. Calls go in waves, one
# for each slot: of two rhythms a wave that comes a little after the window's edge would be a fifth, and says nothing of a rollout.
WINDOW = 5.0
MOST = 8
ROLLED = 4
LOOKS = 9
BOOTS_IN = 20.0  # seconds for which the backlog must last besides, for each worker that is started


@dataclass(frozen=True, slots=True)
class Span:
    """A while, in Unix seconds."""

    began: float
    ended: float

    def rate(self, calls: Sequence[Call]) -> float:
        """Calls per second in it."""
        return len(self._moments(calls)) / (self.ended - self.began)

    def least(self, calls: Sequence[Call]) -> float:
        """The lowest rate in any `WINDOW` of it, wherever that begins."""
        moments = self._moments(calls)
        # The emptiest one begins right after a call, or with the while itself.
        begins = [self.began, *(moment for moment in moments if moment + WINDOW < self.ended)]
        return min(sum(begin < moment <= begin + WINDOW for moment in moments) for begin in begins) / WINDOW

    def _moments(self, calls: Sequence[Call]) -> list[float]:
        return sorted(call.counted for call in calls if self.began <= call.counted < self.ended)


def _let_run(seconds: float) -> Span:
    began = time.time()
    time.sleep(seconds)
    return Span(began, time.time())


def _backlog(count: float) -> Iterator[Send]:
    for place in range(math.ceil(count)):
        yield Send(account=house.ACCOUNT, to=house.number(place), message=f"Notice {place}", sender_id=house.SENDER, coalesce=False)


def _fill(built: House, count: float) -> int:
    with closing(built.producer()) as producer:
        return sum(1 for _ in producer.enqueue_many(_backlog(count)))


def _kept(built: House, provider: StrictProvider, accepted: int, limit: Limit) -> dict[str, Any]:
    """What became of all that was accepted. Nobody is at work any more."""
    queue = AccountKeys(house.ACCOUNT).queue(SEND)
    waiting = built.store.redis.zcard(queue.entries) + built.store.redis.zcard(queue.due) + built.store.redis.hlen(queue.inflight)
    calls = provider.calls()
    called = {call.key for call in calls}
    return {
        "lost": accepted - len(called) - waiting,
        "duplicated": len(calls) - len(called),
        **obedience(calls, [limit]),
    }


def _signal(port: int) -> dict[str, Any]:
    """What scalers are told, looked at a few times: between a permit's end and the next claim no limit holds anything."""
    told = []
    for _ in range(LOOKS):
        told.append(httpx.get(f"http://127.0.0.1:{port}/scaling/{house.ACCOUNT}", timeout=10, trust_env=False).json())
        time.sleep(0.1)
    bound = sum(one["provider_bound"] for one in told)
    return {"useful_slots": told[-1]["useful_slots"], "provider_bound": bound > LOOKS / 2}


def scale(seconds: float, most: int) -> dict[str, Any]:
    """One worker, `most` of them, and one again, for so many seconds each."""
    with house.behind(LIMITED, latency_ms=LATENCY_MS) as (built, provider):
        port = servers.closed_port()
        workers = built.start_workers(1, threads=THREADS, TUMA_OPS_PORT=str(port))
        idle = _signal(port)
        accepted = _fill(built, LIMITED.count * (3 * seconds + BOOTS_IN * most))
        spans, told = {}, {"idle": idle}
        for name, size in (("one", 1), ("most", most), ("one_again", 1)):
            workers = _resized(built, workers, size)
            spans[name], told[name] = _let_run(seconds), _signal(port)
        processes.end_all(workers)
        calls = provider.calls()
        return {
            "calls_per_s": {name: rounded(span.rate(calls), 2) for name, span in spans.items()},
            "provider_bound": {name: one["provider_bound"] for name, one in told.items()},
            "useful_slots": {name: one["useful_slots"] for name, one in told.items()},
            **_kept(built, provider, accepted, LIMITED),
        }


def _resized(built: House, workers: list[Program], size: int) -> list[Program]:
    processes.end_all(workers[size:])
    return workers[:size] + built.start_workers(max(0, size - len(workers)), threads=THREADS)


def rollout(seconds: float, limit: Limit) -> dict[str, Any]:
    """Replace all workers, after so many seconds of calm."""
    with house.behind(limit, latency_ms=LATENCY_MS) as (built, provider):
        old = built.start_workers(ROLLED, threads=THREADS)
        accepted = _fill(built, ROLLED * THREADS / (LATENCY_MS / 1000) * (2 * seconds + BOOTS_IN * ROLLED))
        processes.wait_until(provider.any_call, "the first call")
        time.sleep(1.0)
        calm, new = _let_run(seconds), []
        for one in old:
            new += built.start_workers(1, threads=THREADS)
            processes.end_all([one])
        rolled = Span(calm.ended, time.time())
        processes.end_all(new)
        calls = provider.calls()
        rate = calm.rate(calls)
        return {
            "calls_per_s": rounded(rate, 2),
            "took_s": rounded(rolled.ended - rolled.began, 1),
            "dip": rounded(1 - rolled.least(calls) / rate),
            "noise": rounded(1 - calm.least(calls) / rate),
            **_kept(built, provider, accepted, limit),
        }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Scaling, then both rollouts."""
    machine = output.machine()
    scaled = scale(options.seconds, options.most)
    rolled = {name: rollout(options.seconds, limit) for name, limit in (("limited", LIMITED), ("unlimited", UNLIMITED))}
    output.table([{"rollout": name, **figures} for name, figures in rolled.items()])
    parts = [scaled, *rolled.values()]
    sums = {name: sum(part[name] for part in parts) for name in ("lost", "duplicated", "violations", "rate_limited")}
    return {"bench": "scaling", "workers": options.most, **sums, "scale": scaled, "rollout": rolled, "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=20)
    parser.add_argument("--most", type=int, default=MOST, help="workers at the most (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
