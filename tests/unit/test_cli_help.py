"""Whoever asks a command for help is told what each word of it means, with an example that can be run as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import COMMANDS, Command
from typer.testing import CliRunner

from tuma_worker.cli import app

BASH = shutil.which("bash")


def names(command: Command) -> str:
    return command.name


@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_every_command_says_what_it_does_and_what_each_word_means(command: Command) -> None:
    assert re.match(r"[A-Z].*\.", command.summary), command.summary
    assert [one.name for one in command.parameters if not one.help] == []


def examples() -> list[Any]:
    return [
        pytest.param(command, example, id=f"{command.name} {number}")
        for command in COMMANDS
        for number, example in enumerate(command.examples)
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_every_command_has_an_example_of_itself(command: Command) -> None:
    assert command.examples
    assert all(f"{command.name} " in f"{example} " for example in command.examples)


@pytest.mark.parametrize(("command", "example"), examples())
def test_every_example_is_a_command_line_that_can_be_read(command: Command, example: str) -> None:
    words = shlex.split(example)
    command.read(words[words.index("tuma") + len(command.name.split()) :])


# -------------------------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_every_usual_shell(shell: str) -> None:
    ran = CliRunner().invoke(app, env={"_TUMA_COMPLETE": f"source_{shell}"}, prog_name="tuma")
    assert (ran.exit_code, f"_TUMA_COMPLETE=complete_{shell}" in ran.stdout) == (0, True), ran.stdout


COMPLETED = {
    "tuma expl": {"explain"},
    "tuma que": {"queue"},
    "tuma subscriptions re": {"remove", "replay"},
    "tuma dead drop --older": {"--older-than"},
}


@pytest.mark.parametrize("typed", COMPLETED)
def test_commands_and_options_are_completed(typed: str) -> None:
    environment = {"_TUMA_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    ran = CliRunner().invoke(app, env=environment, prog_name="tuma")
    assert set(ran.stdout.split()) == COMPLETED[typed]


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_completes_as_it_is_set_up_to() -> None:
    script = (
        'eval "$(_TUMA_COMPLETE=source_bash tuma)"; COMP_WORDS=(tuma expl); COMP_CWORD=1; _tuma_completion tuma\n'
        'echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run([str(BASH), "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.split() == ["explain"], ran.stderr
