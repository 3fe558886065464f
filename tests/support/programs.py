"""Our command line in tests: run within the test, or as a process of its own whose every line is read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tuma_worker.cli import app

ROOT = Path(__file__).parents[2]
PATIENCE = 45.0  # seconds; a busy machine is no failure


@dataclass(frozen=True)
class Ran:
    """What a command has said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the command writes
        """Its only line of output, as JSON."""
        return json.loads(self.out)

    @property
    def jsons(self) -> list[dict[str, Any]]:
        """Its lines of output, each as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Tuma:
    """The command line with an environment."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment

    def __call__(self, *arguments: str, stdin: str | bytes | None = None, **environment: str) -> Ran:
        """Run a command that ends by itself, within the test."""
        result = CliRunner().invoke(app, list(arguments), input=stdin, env={**self.environment, **environment})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def send(self, *arguments: str) -> str:
        """Send one message and return its id."""
        ran = self("send", "--json", "--message", "hello", "--to", "+243990000001", *arguments)
        assert ran.status == 0, ran.err
        return str(ran.json["id"])

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start a command as a process of its own."""
        return self.start_module("tuma_worker.cli", *arguments, **environment)

    def start_module(self, module: str, *arguments: str, **environment: str) -> Running:
        """Start any other module of Python with the same environment; it may import the tests."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TUMA_")}
        return Running((module, *arguments), {**plain, "PYTHONPATH": str(ROOT), **self.environment, **environment})


def _mind_interrupts() -> None:
    """A test run in the background is started with Ctrl-C ignored, and a program inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A module of Python that runs. What it says, on either stream, is read as it comes."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_mind_interrupts,  # noqa: PLW1509 - it only sets a signal's action, which no lock of another thread can hold up
        )
        self.said: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self._note(line.rstrip("\n"))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _note(self, line: str) -> None:
        with self._changed:
            self.said.append(line)
            self._changed.notify_all()

    def until(self, *words: str, within: float = PATIENCE) -> str:
        """The first line with all of these words, once it is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._line(*words) or self._ended, within), self.said
            found = self._line(*words)
        assert found is not None, self.said
        return found

    def _line(self, *words: str) -> str | None:
        return next((line for line in self.said if all(word in line for word in words)), None)

    def hear(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self, how: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.ended()

    def ended(self, within: float = PATIENCE) -> int:
        """Close its standard input and return the exit status, within so many seconds."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reader.join(within)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it and its children at once."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it has not read any more
            self.process.stdin.close()
        self._reader.join(PATIENCE)
