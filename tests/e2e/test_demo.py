"""`tuma demo`: it adds up, also when a worker is killed in the middle, and it leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from tests.support.programs import PATIENCE, Tuma

if TYPE_CHECKING:
    from types import TracebackType

PROC = Path("/proc")
pytestmark = pytest.mark.skipif(not (PROC / "self" / "environ").exists(), reason="only Linux shows the environment of processes")
ZEROS = ("lost", "duplicates", "limit_violations", "rate_limited_responses")


class Marked:
    """A demo whose processes are all known by a variable in their environment, wherever they have gone."""

    def __init__(self, home: Path, *options: str) -> None:
        mark = secrets.token_hex(16)
        self._mark = f"MARK={mark}"
        self._home = home
        self.running = Tuma().start("demo", *options, MARK=mark, TMPDIR=str(home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.running.kill()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(pid, signal.SIGKILL)

    def until_under_way(self) -> None:
        """Wait until its last worker takes jobs. Where nobody watches, the demo says nothing before its end; its files do."""
        deadline = time.monotonic() + PATIENCE
        while not any("ready for action" in log.read_text() for log in self._home.glob("tuma-demo-*/worker-2.log")):
            assert time.monotonic() < deadline, self.running.said
            assert self.running.process.poll() is None, self.running.said
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Those of its processes that run now."""
        return [int(place.name) for place in PROC.iterdir() if place.name.isdigit() and self._mark in _environment(place)]

    def leftovers(self) -> list[object]:
        """What still runs, and what still lies about."""
        return [*self.processes(), *self._home.iterdir()]


def _environment(place: Path) -> str:
    try:
        return (place / "environ").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is somebody else's
        return ""


LONG = 4 * PATIENCE  # half a minute where nothing else runs


def test_the_demo_adds_up_with_a_worker_killed_stays_if_asked_to_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Marked(tmp_path, "--json", "--kill-worker", "--stay") as demo:
        url, token = re.findall(r"http://\S+|tuma_\S+", demo.running.until("Dashboard:", within=LONG))
        assert httpx.post(f"{url}login", data={"token": token}).headers["location"] == "/"
        demo.running.until("goes on until Ctrl-C", within=LONG)
        assert demo.running.end(signal.SIGINT) == 0
        assert demo.leftovers() == []
    summary = added_up(demo)
    assert summary["worker_killed"] is True
    assert summary["recipients"] <= summary["ledger_recipients"] <= summary["recipients"] + summary["unknown"]


@pytest.mark.long
def test_the_demo_in_which_nobody_dies_knows_of_everybody(tmp_path: Path) -> None:
    with Marked(tmp_path, "--json") as demo:
        assert demo.running.ended(within=LONG) == 0, demo.running.said
        assert demo.leftovers() == []
    summary = added_up(demo)
    assert (summary["worker_killed"], summary["unknown"]) == (False, 0)
    assert summary["recipients"] == summary["ledger_recipients"]


def added_up(demo: Marked) -> dict[str, Any]:
    """The summary, which must have no fault."""
    summary: dict[str, Any] = next(json.loads(line) for line in demo.running.said if line.startswith("{"))
    assert summary["problems"] == []
    assert {name: summary[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert summary["recipients"] + summary["unknown"] > 5000
    return summary


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_demo_that_is_broken_off_leaves_nothing_behind(how: signal.Signals, tmp_path: Path) -> None:
    with Marked(tmp_path) as demo:
        demo.until_under_way()
        assert len(demo.processes()) >= 7  # itself, the server, the sandbox, the gateway and the workers: they are found
        assert demo.running.end(how) != 0
        assert demo.leftovers() == []
