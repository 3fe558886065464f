"""Other queues whose workers are killed: the sends, the SIGKILLs and the provider that our own measurement has.

The peers' apps note when they begin a call and when they have done it, in a file that outlives them. What a worker held
when it was killed are the calls that it had begun and not done; they are recovered when somebody has done them. Workers are killed
first, of one peer after another; then all are waited for together, since some look for what is missing after minutes or an hour.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, peers, processes
from tests.bench.support.environments import MissingError
from tests.bench.support.figures import rounded
from tests.bench.support.peers import Setting
from tests.bench.support.processes import NotStartedError
from tests.support.houses import key_of
from tests.support.sandbox import QUICK, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from redis import Redis
    from tests.bench.support.peers import Peer
    from tests.bench.support.processes import Program, Programs

LATENCY_MS = 100
WORKERS = 2
_NUMBER = re.compile(r"\+24399\d{7}")
_CELERY_BODY = re.compile(r'"body": ?"([A-Za-z0-9+/=]+)"')


_LATE = replace(peers.CELERY, name="celery_acks_late", more={"BENCH_LATE": "1"})
CRASHED = {peer.name: peer for peer in (peers.DRAMATIQ, peers.CELERY, _LATE, peers.ARQ, peers.BULLMQ)}


@dataclass
class Notes:
    """What the jobs have written down, by number: whom each worker began to call for, and when somebody was first done with it."""

    file: Path
    began: dict[str, set[str]] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    _read: int = 0

    def read(self) -> Notes:
        """Take in what has been written since."""
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read += len(whole + newline)
            for line in whole.decode().splitlines():
                self._take(*line.split(" "))
        return self

    def held(self, worker: str) -> set[str]:
        """The numbers that a worker has begun and nobody has done."""
        return self.began.get(worker, set()) - self.done.keys()

    def _take(self, at: str, worker: str, what: str, number: str) -> None:
        if what == "began":
            self.began.setdefault(worker, set()).add(number)
        else:
            self.done.setdefault(number, float(at))


@dataclass
class Case:
    """A peer at work: its own server and provider, and the deaths so far, each as its time (Unix seconds) and what was held."""

    peer: Peer
    programs: Programs
    redis: Redis
    sandbox: Sandbox
    setting: Setting
    notes: Notes
    size: int
    deaths: list[tuple[float, set[str]]] = field(default_factory=list)
    _started: int = 0

    def start_worker(self) -> tuple[str, Program]:
        """Start a worker under a name of its own."""
        self._started += 1
        name = f"{self.peer.name}-{self._started}"
        (command,) = self.peer.workers(1)
        watched = {"BENCH_NOTES": str(self.notes.file), "BENCH_WORKER": name}
        return name, self.programs.start(name, command, **self.setting.environment(), **watched, **self.peer.more)

    def kill(self, name: str, program: Program) -> None:
        """Kill a worker while it holds something."""
        processes.wait_until(lambda: bool(self.notes.read().held(name)), f"{name} to hold a call", every=0.005)
        at = time.time()
        program.kill()
        self.deaths.append((at, self.notes.read().held(name)))

    def over(self, within: float) -> bool:
        """Whether all sends are done, or so many seconds have passed since the last death."""
        return len(self.notes.read().done) == self.size or time.time() > self.deaths[-1][0] + within

    def figures(self) -> dict[str, Any]:
        """What came of it. What the provider never took is lost only where the peer's server holds nothing of it either."""
        copies = Counter(number for call in self.sandbox.books()["accepted"] for number in call["recipients"])
        done, kept = self.notes.read().done, set(_kept(self.redis))
        took = [max(done[number] for number in held) - at for at, held in self.deaths if held <= done.keys()]
        return {
            "lost": self.size - len(copies.keys() | kept),
            "duplicated": sum(count - 1 for count in copies.values()),
            "not_done_within_s": len(kept - done.keys()),
            "unrecovered": len(self.deaths) - len(took),
            "recovered_median_s": rounded(median(took), 3) if took else None,
            "recovered_max_s": rounded(max(took), 3) if took else None,
        }


def measure(wanted: Sequence[Peer], *, times: int, size: int, every: float, within: float) -> dict[str, dict[str, Any] | None]:
    """Kill workers of each peer `times` times, every so many seconds; None for a peer that cannot run here."""
    measured: dict[str, dict[str, Any] | None] = dict.fromkeys(peer.name for peer in wanted)
    with processes.programs() as programs, ExitStack() as stack:
        cases = []
        for peer in wanted:
            try:
                peer.prepare()
                cases.append(_killed(_open(stack, programs, peer, size), times, every))
            except (MissingError, NotStartedError) as error:
                output.notice(f"{peer.name} is left out: {error}")
        for case in cases:
            while not case.over(within):
                time.sleep(0.2)
            found = measured[case.peer.name] = case.figures()
            output.table([{"peer": case.peer.name, **found}])
    return measured


def _open(stack: ExitStack, programs: Programs, peer: Peer, size: int) -> Case:
    store = stack.enter_context(house.store())
    config = {**QUICK, "latency_ms": LATENCY_MS, "lisoloo": {"limits": {"send": []}, "keys": {key_of(house.ACCOUNT): {}}}}
    command = [sys.executable, "-m", "tuma_worker.cli", "sandbox", "--port", "0", "--config", json.dumps(config)]
    sandbox = Sandbox(programs.start(f"{peer.name}-provider", command).until("listening").split()[-1])
    stack.callback(sandbox.close)
    setting = Setting(store.url, f"{sandbox.url}/lisoloo")
    return Case(peer, programs, store.redis, sandbox, setting, Notes(programs.home / f"{peer.name}-notes"), size)


def _killed(case: Case, times: int, every: float) -> Case:
    """The case after its deaths, with all its workers at work again."""
    peers.fill(case.programs, case.peer, case.setting, case.size)
    workers = [case.start_worker() for _ in range(WORKERS)]
    for turn in range(times):
        place = turn % WORKERS
        case.kill(*workers[place])
        workers[place] = case.start_worker()
        time.sleep(every)
    return case


def _kept(redis: Redis) -> Iterator[str]:
    """The numbers that stand anywhere in a server: sends that are waiting, or that somebody is thought to be working on."""
    reads: dict[bytes, Callable[[bytes], object]] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"set": redis.smembers,
        b"stream": redis.xrange,
    }
    for key in redis.scan_iter(count=1000):
        kind: Any = redis.type(key)
        said = repr(reads[kind](key)) if kind in reads else ""
        yield from _NUMBER.findall(said)
        for body in _CELERY_BODY.findall(said):
            yield from _NUMBER.findall(base64.b64decode(body).decode(errors="replace"))
