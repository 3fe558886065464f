"""Other queues beside ours, doing the same. They live in an environment of their own, made on demand from exact versions.

The Python ones get `.bench-venv`, BullMQ a folder in it. Where an installer or Node is missing, a notice says so and the figure is
null.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.support import output
from tests.bench.support.processes import ROOT, NotStartedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.support.audit import Limit
    from tests.bench.support.processes import Program, Programs

APPS = ROOT / "tests" / "bench" / "peers"
ENVIRONMENT = ROOT / ".bench-venv"

_PYTHON = ENVIRONMENT / "bin" / "python"
_NODE_HOME = ENVIRONMENT / "node"
_INSTALL_WITHIN = 300
_THREADS = 8


class MissingError(RuntimeError):
    """A peer cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: how `count` of its worker processes are started (as one program, or as many), and how its jobs are put in."""

    name: str
    workers: Callable[[int], list[list[str]]]
    enqueue: tuple[str, ...]
    prepare: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a peer works: its server, the provider, the file in which it leaves a byte for every job started, and its limit."""

    redis_url: str
    provider_url: str
    starts: Path
    limit: Limit | None = None
    more: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What the apps read."""
        plain = {
            "BENCH_URL": self.redis_url,
            "BENCH_HTTP": self.provider_url,
            "BENCH_STARTS": str(self.starts),
            "PYTHONPATH": str(ROOT),
            "BENCH_NODE_HOME": str(_NODE_HOME),
        }
        limit = {} if self.limit is None else {"LIMIT": str(self.limit.count), "WINDOW": f"{self.limit.window:g}"}
        return plain | limit | self.more

    def started(self) -> int:
        """How many jobs have been started."""
        return self.starts.stat().st_size if self.starts.exists() else 0


def install_python() -> None:
    """Make the environment of the Python peers. Raises `MissingError`."""
    done = ENVIRONMENT / ".ready"
    wanted = (APPS / "requirements.txt").read_text(encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    _make_home()
    _install([sys.executable, "-m", "venv", str(ENVIRONMENT)])
    _install([str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(APPS / "requirements.txt")])
    done.write_text(wanted, encoding="utf-8")


def install_node() -> None:
    """Make the folder of the Node peer. Raises `MissingError`."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        message = "there is no Node here"
        raise MissingError(message)
    _make_home()
    _NODE_HOME.mkdir(exist_ok=True)
    wanted, there = APPS / "package.json", _NODE_HOME / "package.json"
    if there.exists() and there.read_bytes() == wanted.read_bytes():
        return
    shutil.copy(wanted, there)
    try:
        _install([npm, "install", "--prefix", str(_NODE_HOME), "--no-package-lock", "--no-audit", "--no-fund"])
    except MissingError:
        there.unlink()  # the next try is to install it again
        raise


def _make_home() -> None:
    """Make the folder, and keep git and the tools that follow git out of it."""
    ENVIRONMENT.mkdir(exist_ok=True)
    (ENVIRONMENT / ".gitignore").write_text("*\n", encoding="utf-8")


def _install(command: Sequence[str]) -> None:
    try:
        subprocess.run(list(command), check=True, timeout=_INSTALL_WITHIN, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{Path(command[0]).name} could not install it ({type(error).__name__})"
        raise MissingError(message) from None


def _dramatiq(count: int) -> list[list[str]]:
    command = [str(_PYTHON), "-m", "dramatiq", "tests.bench.peers.dramatiq_app"]
    return [[*command, "--processes", str(count), "--threads", str(_THREADS)]]


def _taskiq(count: int) -> list[list[str]]:
    command = [str(_PYTHON), "-m", "taskiq", "worker", "tests.bench.peers.taskiq_app:broker"]
    return [[*command, "--workers", str(count), "--max-async-tasks", str(_THREADS), "--log-level", "WARNING"]]


def _bullmq(count: int) -> list[list[str]]:
    return [["node", str(APPS / "bullmq.mjs"), "work"] for _ in range(count)]


DRAMATIQ = Peer("dramatiq", _dramatiq, (str(_PYTHON), "-m", "tests.bench.peers.produce", "dramatiq"), install_python)
TASKIQ = Peer("taskiq", _taskiq, (str(_PYTHON), "-m", "tests.bench.peers.produce", "taskiq"), install_python)
BULLMQ = Peer("bullmq", _bullmq, ("node", str(APPS / "bullmq.mjs")), install_node)

LIMITED = (DRAMATIQ, TASKIQ, BULLMQ)
DRIPPED = (DRAMATIQ, TASKIQ)


def measure_each(
    wanted: Sequence[Peer], measure: Callable[[Peer], dict[str, Any]], *, skip: bool
) -> dict[str, dict[str, Any] | None]:
    """Measure the peers one after another; None for one that cannot run here."""
    measured: dict[str, dict[str, Any] | None] = {}
    for peer in () if skip else wanted:
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
    return [programs.start(peer.name, command, **setting.environment()) for command in peer.workers(count)]


def fill(programs: Programs, peer: Peer, setting: Setting, jobs: int) -> None:
    """Put so many jobs in its queue."""
    filler = programs.start(f"{peer.name}-fill", [*peer.enqueue, "fill", str(jobs)], **setting.environment())
    if filler.wait(_INSTALL_WITHIN):
        message = f"its jobs were not queued: {filler.said()[-300:]}"
        raise NotStartedError(message)


def drip(programs: Programs, peer: Peer, setting: Setting, jobs: int, gap: tuple[float, float]) -> Program:
    """Begin to queue so many jobs, each after a random pause of so many seconds; the program ends with the last one."""
    words = ["drip", str(jobs), *(f"{bound:g}" for bound in gap)]
    return programs.start(f"{peer.name}-drip", [*peer.enqueue, *words], **setting.environment())
