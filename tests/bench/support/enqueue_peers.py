"""The peers whose enqueueing is measured: the program that does it, and the environment that it runs in, made on demand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.support.peers import APPS, ENVIRONMENT, MissingError, install_node, install_python

if TYPE_CHECKING:
    from collections.abc import Callable

NODE_HOME = ENVIRONMENT / "node"

_INSTALL_WITHIN = 300
_MODULE = "tests.bench.peers.enqueue_rate"


@dataclass(frozen=True, slots=True)
class EnqueuePeer:
    """A peer: `command` puts a number of jobs in and tells how fast, once `prepare` has run (which raises `MissingError`)."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[], None]


def _own_environment(name: str, requirements: str) -> tuple[str, Callable[[], None]]:
    """The interpreter of a further environment, and what makes it."""
    home, wanted = ENVIRONMENT / name, APPS / requirements
    python = home / "bin" / "python"

    def prepare() -> None:
        done = home / ".ready"
        if done.exists() and done.read_bytes() == wanted.read_bytes():
            return
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
        for command in ([sys.executable, "-m", "venv", str(home)], install):
            _run(command)
        done.write_bytes(wanted.read_bytes())

    return str(python), prepare


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, timeout=_INSTALL_WITHIN, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{Path(command[0]).name} could not install it ({type(error).__name__})"
        raise MissingError(message) from None


def _python_peer(name: str, python: str, prepare: Callable[[], None]) -> EnqueuePeer:
    return EnqueuePeer(name, (python, "-m", _MODULE, name), prepare)


_COMMON = (str(ENVIRONMENT / "bin" / "python"), install_python)
_FURTHER = _own_environment("enqueue", "requirements-enqueue.txt")
_ARQ = _own_environment("arq", "requirements-arq.txt")

PEERS: dict[str, EnqueuePeer] = {
    "dramatiq": _python_peer("dramatiq", *_COMMON),
    "celery": _python_peer("celery", *_FURTHER),
    "arq": _python_peer("arq", *_ARQ),
    "taskiq": _python_peer("taskiq", *_COMMON),
    "rq": _python_peer("rq", *_FURTHER),
    "bullmq": EnqueuePeer("bullmq", ("node", str(APPS / "bullmq_rate.mjs")), install_node),
}
