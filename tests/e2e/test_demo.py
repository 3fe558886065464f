"""`tuma demo`: it adds up, also when a worker is killed in the middle, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import tempfile
from pathlib import Path

import pytest
from tests.support.programs import Tuma

ZEROS = ("lost", "duplicates", "limit_violations", "rate_limited_responses")


class Marked:
    """A demo whose processes are all known by a variable in their environment, wherever they have gone."""

    def __init__(self, home: Path, *options: str) -> None:
        self._mark = f"MARK={secrets.token_hex(16)}"
        self._home = home
        name, _, value = self._mark.partition("=")
        self.running = Tuma().start("demo", *options, **{name: value, "TMPDIR": str(home)})

    def leftovers(self) -> list[str]:
        """What still runs, and what still lies about."""
        if not Path("/proc/self/environ").exists():
            pytest.skip("only Linux shows the environment of other processes")
        running = [pid for pid in os.listdir("/proc") if pid.isdigit() and self._mark in _environment(pid)]
        return running + os.listdir(self._home)


def _environment(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is somebody else's
        return ""


@pytest.mark.parametrize("options", [(), ("--kill-worker",)], ids=["undisturbed", "with a worker killed"])
def test_the_demo_adds_up_and_leaves_nothing_behind(options: tuple[str, ...], tmp_path: Path) -> None:
    demo = Marked(tmp_path, "--json", *options)
    try:
        assert demo.running.ended() == 0, demo.running.said
    finally:
        demo.running.kill()
    summary = json.loads(demo.running.said[-1])
    assert summary["problems"] == []
    assert {name: summary[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert summary["worker_killed"] is bool(options)
    if not options:
        assert summary["unknown"] == 0
        assert summary["recipients"] == summary["ledger_recipients"]
    assert summary["recipients"] <= summary["ledger_recipients"] <= summary["recipients"] + summary["unknown"]
    assert summary["recipients"] > 5000
    assert demo.leftovers() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_demo_that_is_broken_off_leaves_nothing_behind(how: signal.Signals, tmp_path: Path) -> None:
    demo = Marked(tmp_path)
    try:
        demo.running.until("Starting a server")
        demo.running.until("one-time passwords")
        assert demo.running.end(how) != 0
    finally:
        demo.running.kill()
    assert demo.leftovers() == []


def test_marks_are_seen() -> None:
    """The tests above would be worth nothing if a process that is left were overlooked."""
    with tempfile.TemporaryDirectory() as home:
        demo = Marked(Path(home))
        try:
            demo.running.until("Starting a server")
            assert str(demo.running.process.pid) in demo.leftovers()
        finally:
            demo.running.end(signal.SIGINT)
            demo.running.kill()
