"""`python -m tests.bench.run --into FOLDER`: the measurements one after another, several times each, every result a file.

One that fails, hangs or misses a peer ends nothing: it is said at the end. Exit status 1 where one failed; a missing peer is a
notice. The page and the plots are then made by `python -m tests.bench.report`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.support.output import say
from tests.bench.support.processes import ROOT, STOP_WITHIN, end_tidily_when_terminated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAMES = (
    "limits", "latency", "priority", "fair", "batch", "due", "schedule", "enqueue", "drain", "receipts", "gateway", "crash",
    "scaling", "capacity",
)  # fmt: skip
WITHIN = 45 * 60.0  # seconds; the longest takes a quarter of that


@dataclass
class Said:
    """What a measurement left: its status, its figures, and what it could not have."""

    status: int
    figures: dict[str, Any] | None = None
    notices: list[str] = field(default_factory=list)


def command(name: str, more: Sequence[str]) -> list[str]:
    """What is run, and what a reader runs to see it again."""
    return ["python", "-m", f"tests.bench.{name}", "--json", *more]


def measure(name: str, more: Sequence[str], within: float = WITHIN) -> Said:
    """Run one measurement, and show what it says as it says it. One that is not done within so many seconds is ended."""
    program = [sys.executable, *command(name, more)[1:]]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        patience = threading.Timer(within, process.terminate)  # it then ends whatever it has started
        patience.start()
        try:
            lines = list(_shown(process.stdout or ()))
            return Said(process.wait(), _figures(lines), [line for line in lines if line.startswith("notice: ")])
        finally:
            patience.cancel()
            _end(process)


def _shown(output: Iterable[str]) -> Iterator[str]:
    """Each line, once people have seen it; figures are for programs."""
    for line in output:
        said = line.rstrip("\n")
        if not said.startswith("{"):
            say(said)
        yield said


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN)
    process.kill()


def _figures(lines: Sequence[str]) -> dict[str, Any] | None:
    """The last object among the lines."""
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and "bench" in found:
                return found
    return None


def keep(folder: Path, name: str, number: int, more: Sequence[str], figures: dict[str, Any]) -> None:
    """Write a result down. The first of a run takes the place of all of the run before."""
    if number == 1:
        for old in folder.glob(f"{name}-*.json"):
            old.unlink()
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    result = {"command": " ".join(command(name, more)), "at": at, "figures": figures}
    (folder / f"{name}-{number}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(names: Sequence[str], folder: Path, repeat: int, more: Sequence[str]) -> list[str]:
    """All of them. What stood in the way, each in a line; failures begin with `failed`."""
    folder.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    for name in names:
        for number in range(1, repeat + 1):
            say(f"== {name} ({number} of {repeat})")
            found = measure(name, more)
            said += [f"{line} ({name})" for line in found.notices]
            if found.status or found.figures is None:
                said.append(f"failed: {name}, exit status {found.status}")
                break  # it will hardly go better; the others are waiting
            keep(folder, name, number, more, found.figures)
    return list(dict.fromkeys(said))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="Further options go to each measurement.")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the results")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    options, more = parser.parse_known_args()
    end_tidily_when_terminated()
    said = run(options.only, options.into, options.repeat, more)
    for line in said:
        say(line)
    return int(any(line.startswith("failed") for line in said))


if __name__ == "__main__":
    sys.exit(main())
