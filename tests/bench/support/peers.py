"""Other queues beside ours, doing the same: how their workers are started and how their jobs are put in.

A worker process makes eight calls at once, as ours does. Where one cannot run, a notice says so and its figure is null.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench.support import environments, output
from tests.bench.support.environments import APPS, COMMON, MissingError, PythonHome
from tests.bench.support.house import THREADS
from tests.bench.support.processes import ROOT, NotStartedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from tests.bench.support.audit import Limit
    from tests.bench.support.processes import Program, Programs

_FILL_WITHIN = 300
_APP = "tests.bench.peers.{}_app"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: how `count` of its worker processes are started (as one program, or as many), how its jobs are put in, and whether
    its API has a call that puts in many at once. `more` is what its workers read from the environment beside the setting.
    """

    name: str
    workers: Callable[[int], list[list[str]]]
    enqueue: tuple[str, ...]
    prepare: Callable[[], None]
    many: bool = False
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a peer works: its server, the provider, the file in which it leaves a byte for every job started, and its limit."""

    redis_url: str
    provider_url: str = ""
    starts: Path | None = None
    limit: Limit | None = None

    def environment(self) -> dict[str, str]:
        """What the apps read."""
        plain = {
            "BENCH_URL": self.redis_url,
            "BENCH_HTTP": self.provider_url,
            "RQ_REDIS_URL": self.redis_url,
            "PYTHONPATH": str(ROOT),
            "BENCH_NODE_HOME": str(environments.NODE_HOME),
        }
        starts = {} if self.starts is None else {"BENCH_STARTS": str(self.starts)}
        limit = {} if self.limit is None else {"LIMIT": str(self.limit.count), "WINDOW": f"{self.limit.window:g}"}
        return plain | starts | limit

    def started(self) -> int:
        """How many jobs have been started."""
        return self.starts.stat().st_size if self.starts is not None and self.starts.exists() else 0


def _dramatiq(count: int) -> list[list[str]]:
    command = [COMMON.program("dramatiq"), _APP.format("dramatiq")]
    return [[*command, "--processes", str(count), "--threads", str(THREADS)]]


def _celery(count: int) -> list[list[str]]:
    command = [COMMON.program("celery"), "--app", _APP.format("celery"), "worker", "--loglevel", "WARNING"]
    return [[*command, "--concurrency", str(THREADS), "--hostname", f"{secrets.token_hex(4)}@bench"] for _ in range(count)]


def _arq(count: int) -> list[list[str]]:
    return [[environments.ARQ.program("arq"), _APP.format("arq") + ".WorkerSettings"] for _ in range(count)]


def _taskiq(count: int) -> list[list[str]]:
    command = [COMMON.program("taskiq"), "worker", _APP.format("taskiq") + ":broker"]
    return [[*command, "--workers", str(count), "--max-async-tasks", str(THREADS), "--log-level", "WARNING"]]


def _rq(count: int) -> list[list[str]]:
    """RQ knows no threads: a process for each call."""
    command = [COMMON.program("rq"), "worker-pool", "--quiet", "--worker-class", "rq.worker.SimpleWorker"]
    return [[*command, "--num-workers", str(count * THREADS)]]


def _bullmq(count: int) -> list[list[str]]:
    return [["node", str(APPS / "bullmq.mjs"), "work"] for _ in range(count)]


def _python_peer(name: str, home: PythonHome, workers: Callable[[int], list[list[str]]], *, many: bool = False) -> Peer:
    return Peer(name, workers, (home.program("python"), "-m", "tests.bench.peers.produce", name), home.prepare, many)


DRAMATIQ = _python_peer("dramatiq", COMMON, _dramatiq)
CELERY = _python_peer("celery", COMMON, _celery)
ARQ = _python_peer("arq", environments.ARQ, _arq)
TASKIQ = _python_peer("taskiq", COMMON, _taskiq)
RQ = _python_peer("rq", COMMON, _rq, many=True)
BULLMQ = Peer("bullmq", _bullmq, ("node", str(APPS / "bullmq.mjs")), environments.prepare_node, many=True)

ALL = {peer.name: peer for peer in (DRAMATIQ, CELERY, ARQ, TASKIQ, RQ, BULLMQ)}
LIMITED = {name: peer for name, peer in ALL.items() if peer is not RQ}  # it has no limiter
DRIPPED = {peer.name: peer for peer in (DRAMATIQ, TASKIQ)}


def add_option(parser: argparse.ArgumentParser, among: Mapping[str, Peer]) -> None:
    """Let the command choose."""
    parser.add_argument("--peer", action="append", choices=among, help="this peer only (repeatable)")


def chosen(among: Mapping[str, Peer], options: argparse.Namespace) -> list[Peer]:
    """The peers that the command wants measured."""
    return [] if options.no_peers else [among[name] for name in options.peer or among]


def measure_each(wanted: Collection[Peer], measure: Callable[[Peer], dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """Measure the peers one after another; None for one that cannot run here."""
    measured: dict[str, dict[str, Any] | None] = {}
    for peer in wanted:
        try:
            peer.prepare()
            found = measure(peer)
            output.table([{"peer": peer.name, **found}])
            measured[peer.name] = found
        except (MissingError, NotStartedError) as error:
            output.notice(f"{peer.name} is left out: {error}")
            measured[peer.name] = None
    return measured


def start_workers(programs: Programs, peer: Peer, setting: Setting, count: int) -> list[Program]:
    """Start so many of its worker processes."""
    environment = setting.environment() | {"WORKERS": str(count)} | peer.more
    return [programs.start(peer.name, command, **environment) for command in peer.workers(count)]


def fill(programs: Programs, peer: Peer, setting: Setting, jobs: int) -> None:
    """Put so many jobs in its queue."""
    filler = programs.start(f"{peer.name}-fill", [*peer.enqueue, "fill", str(jobs)], **setting.environment())
    if filler.wait(_FILL_WITHIN):
        message = f"its jobs were not queued: {filler.said()[-300:]}"
        raise NotStartedError(message)


def drip(programs: Programs, peer: Peer, setting: Setting, jobs: int, gap: tuple[float, float]) -> Program:
    """Begin to queue so many jobs, each after a random pause of so many seconds; the program ends with the last one."""
    words = ["drip", str(jobs), *(f"{bound:g}" for bound in gap)]
    return programs.start(f"{peer.name}-drip", [*peer.enqueue, *words], **setting.environment())
