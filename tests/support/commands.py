"""Every command of `tuma`, as Typer has made it of the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer.main

from tuma_worker.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLE = re.compile(r"^Example: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command: its whole name, and what Typer knows of it."""

    name: str
    made: Any  # Typer's commands have no public class that all its releases share

    @property
    def summary(self) -> str:
        """What it does, in the first sentence of its help."""
        return self.text.partition("\n")[0]

    @property
    def text(self) -> str:
        """Its help, without the examples; empty lines part paragraphs."""
        return _EXAMPLE.sub("", self.made.help or "").strip()

    @property
    def examples(self) -> list[str]:
        """The command lines that its help shows."""
        return _EXAMPLE.findall(self.made.help or "")

    @property
    def parameters(self) -> list[Any]:
        """What may be given to it, but `--help`."""
        return [one for one in self.made.params if one.name != "help"]

    def read(self, words: list[str]) -> None:
        """Read a command line as if it were to be run. Raises what Typer raises for one that cannot be."""
        self.made.make_context(self.name, list(words))


def _commands(made: Any, name: str) -> Iterator[Command]:  # noqa: ANN401 - as above
    inner = getattr(made, "commands", None)
    if inner is None or made.invoke_without_command:
        yield Command(name, made)
    for word, found in (inner or {}).items():
        yield from _commands(found, f"{name} {word}")


COMMANDS = tuple(_commands(typer.main.get_command(app), "tuma"))
