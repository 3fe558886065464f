"""What the peers run on: environments in `.bench-venv`, made on demand from exact versions.

What cannot be had raises `MissingError`, and its figure is null.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

APPS = ROOT / "tests" / "bench" / "peers"
NODE_HOME = ROOT / ".bench-venv" / "node"

_HOME = ROOT / ".bench-venv"
_INSTALL_WITHIN = 300


class MissingError(RuntimeError):
    """A peer cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class PythonHome:
    """A virtual environment and the file of its versions."""

    folder: Path
    requirements: str

    def program(self, name: str) -> str:
        """The path of a program in it."""
        return str(self.folder / "bin" / name)

    def prepare(self) -> None:
        """Make it, unless it is there with these versions. Raises `MissingError`."""
        done, wanted = self.folder / ".ready", APPS / self.requirements
        if done.exists() and done.read_bytes() == wanted.read_bytes():
            return
        _make_home()
        _install([sys.executable, "-m", "venv", str(self.folder)])
        _install([self.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
        done.write_bytes(wanted.read_bytes())


COMMON = PythonHome(_HOME / "common", "requirements.txt")
ARQ = PythonHome(_HOME / "arq", "requirements-arq.txt")


def prepare_node() -> None:
    """Make the folder of the Node peer, unless it is there with these versions. Raises `MissingError`."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        message = "there is no Node here"
        raise MissingError(message)
    wanted, there = APPS / "package.json", NODE_HOME / "package.json"
    if there.exists() and there.read_bytes() == wanted.read_bytes():
        return
    _make_home()
    NODE_HOME.mkdir(exist_ok=True)
    shutil.copy(wanted, there)
    try:
        _install([npm, "install", "--prefix", str(NODE_HOME), "--no-package-lock", "--no-audit", "--no-fund"])
    except MissingError:
        there.unlink()  # the next try is to install it again
        raise


def _make_home() -> None:
    """Make the folder, and keep git and the tools that follow git out of it."""
    _HOME.mkdir(exist_ok=True)
    (_HOME / ".gitignore").write_text("*\n", encoding="utf-8")


def _install(command: Sequence[str]) -> None:
    try:
        subprocess.run(list(command), check=True, timeout=_INSTALL_WITHIN, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{Path(command[0]).name} could not install it ({type(error).__name__})"
        raise MissingError(message) from None
