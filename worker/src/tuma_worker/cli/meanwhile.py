"""What is seen on stderr while a command makes calls to a provider: how far it is, and what it waits for."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tuma_worker.cli.output import screen

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORTH_TELLING = 1.0  # seconds of waiting


@dataclass
class Meanwhile:
    """What is seen on stderr while calls are made: a bar where that is a terminal and there is more than a page, else lines."""

    bar: Progress | None

    def advance(self, done: int, total: int | None) -> None:
        """So many are done, of so many in all."""
        if self.bar is None or total is None or (done >= total and not self.bar.tasks):
            return
        if not self.bar.tasks:
            self.bar.add_task("", total=total)
        self.bar.update(self.bar.tasks[0].id, completed=done, total=total, description="")

    def waits(self, why: str, seconds: float) -> None:
        """There is nothing to do for so long."""
        if seconds < _WORTH_TELLING:
            return
        text = f"waits {seconds:.0f} s: {why}"
        if self.bar is not None and self.bar.tasks:
            self.bar.update(self.bar.tasks[0].id, description=text)
        else:
            screen(stderr=True).print(text)


@contextmanager
def meanwhile() -> Iterator[Meanwhile]:
    """What shows it, for as long as calls are made."""
    console = screen(stderr=True)
    if not console.is_terminal:
        yield Meanwhile(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, redirect_stdout=False, transient=True) as bar:
        yield Meanwhile(bar)
