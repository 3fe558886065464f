"""Programs that a measurement starts: each in a session of its own, its output in a file, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE = 90.0  # seconds; a loaded machine boots a Python worker slowly
STOP_WITHIN = 45.0
ROOT = Path(__file__).parents[3]

_POLL = 0.02


class NotStartedError(RuntimeError):
    """A program that a measurement needs did not become ready; its last words are in the message."""


class Program:
    """A program that runs. `log` holds what it says, on either stream."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._asked = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                list(command), env=dict(environment), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of the session of all that it starts."""
        return self._process.pid

    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(self, words: str) -> str:
        """The first whole line with these words, once it is there. Raises `NotStartedError` where the program ends without it."""
        wait_until(lambda: self._line(words) is not None or self._process.poll() is not None, f"{self.name}: {words!r}")
        line = self._line(words)
        if line is None:
            message = f"{self.name} ended without saying {words!r}: {self.said()[-600:]}"
            raise NotStartedError(message)
        return line

    def wait(self, seconds: float) -> int:
        """Wait for its own end and return the exit status."""
        return self._process.wait(seconds)

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: to Dramatiq a second one means that it should end at once."""
        if not self._asked and self._process.poll() is None:
            self._process.terminate()
        self._asked = True

    def end(self) -> None:
        """Ask it to end, wait until it has, and kill whatever of its session is left. A second call is harmless."""
        self.ask_to_end()
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)
        self.kill()

    def kill(self) -> None:
        """End it, and whatever of its session is left, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _line(self, words: str) -> str | None:
        whole, _, _ = self.said().rpartition("\n")
        return next((line for line in whole.splitlines() if words in line), None)


class Programs:
    """Starts programs and ends them all."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._started: list[Program] = []

    def start(self, name: str, command: Sequence[str], **environment: str) -> Program:
        """Start a program with the machine's environment, without its TUMA_ variables, and these."""
        log = self.home / f"{len(self._started)}-{name}.log"
        self._started.append(Program(name, command, _clean_environment() | environment, log))
        return self._started[-1]

    def end(self) -> None:
        """End them all."""
        end_all(self._started)


def end_all(programs: Sequence[Program]) -> None:
    """End programs, all at the same time."""
    for program in programs:
        program.ask_to_end()
    for program in programs:
        program.end()


@contextmanager
def programs() -> Iterator[Programs]:
    """A place to start programs from; it is empty again afterwards, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="tuma-bench-") as home:
        started = Programs(Path(home))
        try:
            yield started
        finally:
            started.end()


def end_tidily_when_terminated() -> None:
    """Let SIGTERM end this process through its `finally` blocks, so that nothing which it started stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def wait_until(ready: Callable[[], bool], what: str, within: float = PATIENCE, *, every: float = _POLL) -> None:
    """Return once it is so, asking `every` so many seconds. Raises `NotStartedError` after `within` seconds."""
    deadline = time.monotonic() + within
    while not ready():
        if time.monotonic() > deadline:
            message = f"not within {within:g} s: {what}"
            raise NotStartedError(message)
        time.sleep(every)


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUMA_")}
    return kept | {"NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
