"""How a measurement says what it found: a table for people, and with --json one object as the last line for programs."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.support.processes import end_tidily_when_terminated
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_OURS = ("dramatiq", "redis", "hiredis", "httptools", "pydantic")


def options(description: str, *, seconds: float) -> argparse.ArgumentParser:
    """The options that all measurements understand; a measurement may add its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="write the figures as one JSON object, the last line")
    parser.add_argument("--seconds", type=float, default=seconds, help="how long each part is measured (%(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="measure Tuma alone")
    return parser


def say(text: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def notice(text: str) -> None:
    """A line about what is missing, apart from the figures."""
    sys.stderr.write(f"notice: {text}\n")
    sys.stderr.flush()


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same columns, aligned. What is a course of time is for programs."""
    columns = [name for name, value in rows[0].items() if not isinstance(value, list)]
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def machine() -> dict[str, Any]:
    """What the figures were measured on. `load_before` is the machine's own load average as the measurement begins."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": _versions(),
    }


def _processor() -> str:
    """Its name, where Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    """What takes part: the server that measurements start, and our own parts."""
    kind, path = next(iter(servers.binaries().items()), ("no server", None))
    said = "" if path is None else subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"v=([\w.]+)", said)
    return {kind: found[1] if found else "unknown"} | {name: version(name) for name in _OURS}


def measure(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], Mapping[str, Any]]) -> None:
    """What a measurement's command does: read the options, run, and say the figures in the last line where they are wanted."""
    options = parser.parse_args()
    end_tidily_when_terminated()
    figures = run(options)
    if options.json:
        say(json.dumps(figures))


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
