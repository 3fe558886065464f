"""The README is a promise as well: its sample runs as it stands there, and its commands are commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from tests.support.programs import PATIENCE, Tuma
from typer.core import TyperGroup

from tuma_worker.cli import app

if TYPE_CHECKING:
    from tests.support.houses import House

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [
    line.removeprefix("$ ").split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
COMMANDS = [line for line in CONSOLE if line.startswith("tuma ")]
# Those in the running text as well, which are named by their path there.
COMMANDS += [f"tuma {words}" for words in re.findall(r"`(?:\.venv/bin/)?tuma ([^`]+)`", README)]
ADDRESS = "redis://127.0.0.1:6379/0"


def test_the_readme_shows_what_the_tests_below_look_for() -> None:
    assert len(COMMANDS) >= 8
    assert any(line.startswith("export TUMA_") for line in CONSOLE)


def test_the_sample_runs_as_it_stands_but_for_the_address_of_redis(house: House) -> None:
    (sample,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert sample.count(ADDRESS) == 1
    script = sample.replace(ADDRESS, house.tuma.environment["TUMA_REDIS_URL"])
    with subprocess.Popen([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        end = threading.Timer(PATIENCE, process.kill)
        end.start()
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:  # it goes on for ever, as it should, so what it must say is waited for
                said.append(line.rstrip("\n"))
                if "tuma.intent.done" in line:
                    break
        finally:
            end.cancel()
            process.kill()
    counts, *events = said
    assert sum(json.loads(counts.replace("'", '"')).values()) == 1
    types = [event.split()[0].rpartition(".")[2] for event in events]
    assert types == ["accepted", "sending", "submitted", "sent", "delivered", "done"]
    assert any("handset" in event for event in events)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_that_it_shows_is_understood(command: str) -> None:
    """Read as the command line reads it, down to the last option, and not run."""
    words = shlex.split(command)[1:]
    found = typer.main.get_command(app)
    context = found.make_context("tuma", list(words))
    while isinstance(found, TyperGroup) and (context._protected_args or not found.invoke_without_command):
        name, inner, words = found.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None
        assert inner is not None
        found = inner
        context = found.make_context(name, list(words), parent=context)


def test_the_settings_that_it_exports_are_settings(tmp_path: Path) -> None:
    exports = [shlex.split(line)[1].split("=", 1) for line in CONSOLE if line.startswith("export ")]
    secret = tmp_path / "key"
    secret.write_text("sk_live_invented\n", encoding="utf-8")
    given = {name: str(secret) if name.endswith("_FILE") else value for name, value in exports}
    ran = Tuma()("config", "--json", **given)
    assert ran.status == 0, ran.err
    assert ran.json["redis_url"] == given["TUMA_REDIS_URL"]
    (account,) = ran.json["accounts"].values()
    assert account["provider"] == "lisoloo"
    assert account["api_key"] == "•••• (16 chars)"


def test_each_make_target_that_it_names_exists() -> None:
    named = {line.split()[1] for line in CONSOLE if line.startswith("make ")} | set(re.findall(r"`make (\w+)`", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_each_file_that_it_points_to_exists() -> None:
    pointed = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert pointed
    assert [target for target in pointed if not (ROOT / target.partition("#")[0]).exists()] == []
