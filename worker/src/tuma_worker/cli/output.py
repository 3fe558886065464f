"""What the command line says and how it ends: mistakes as one line and an exit status, tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.errors import TumaError, UnknownCampaign, UnknownIntent
from tuma_worker.logs import redact
from tuma_worker.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NOT_AS_WISHED = 1  # the command did its work, and the answer is not the good one: not found, not delivered
MISTAKE = 2  # something has to be put right before it can work
INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C has ended
PIPE_CLOSED = 141  # what a shell reports of a program whose reader went away

# What Typer raises where a command line is not as it must be: not every release has a public name for it.
_UsageError: Any = typer.BadParameter.__base__

_PLAIN_WIDTH = 160  # of tables that go to no terminal

Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
ShowNumbers = Annotated[bool, typer.Option("--show-numbers", help="Show phone numbers whole.")]


class Commands(TyperGroup):
    """A group of commands that ends in order, whatever one of them raises."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as below
        """Read what stands before the command."""
        with ending():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's context has no public name that all its releases share
        """Run the chosen command."""
        with ending():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def ending() -> Iterator[None]:
    """Turn what a user can put right into `error: ...` on stderr and an exit status; end quietly when asked to end."""
    try:
        yield
    except (UnknownIntent, UnknownCampaign) as error:
        complain(error)
        raise typer.Exit(NOT_AS_WISHED) from None
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no mistake: the help is shown
            raise
        complain(_in_one_line(error))
        raise typer.Exit(MISTAKE) from None
    except (TumaError, SettingsError) as error:
        complain(error)
        raise typer.Exit(MISTAKE) from None
    except REDIS_ERRORS as error:
        # Redis quotes parts of a command in its errors; they may hold a number.
        complain(f"Redis refuses: {redacted(str(error))}")
        raise typer.Exit(MISTAKE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end; nobody reads that either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None


def _in_one_line(error: Any) -> str:  # noqa: ANN401 - a usage error, whose class has no public name
    """What of the command line could not be read, and where it says how it is meant. What was given may be a number."""
    path, message = error.ctx.command_path, error.format_message().rstrip(".")
    return redacted(f"{path}: {message[:1].lower()}{message[1:]}; see: {path} --help")


def redacted(text: str) -> str:
    """A text without the numbers and keys that it may repeat."""
    return str(redact(None, "", {"event": text})["event"])


def complain(problem: object) -> None:
    """Write each line of a problem to stderr, as an error."""
    for line in str(problem).splitlines():
        sys.stderr.write(f"error: {line}\n")
    sys.stderr.flush()


def count(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Screen(Console):
    """A console that leaves a closed pipe to `ending`."""

    def on_broken_pipe(self) -> None:
        """Raise on; rich would end the process here."""
        raise BrokenPipeError


def screen(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, for what rich draws."""
    console = _Screen(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def say(text: str) -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Write one value as one line of JSON, at once."""
    say(json.dumps(value, ensure_ascii=False, default=_plain))


@contextmanager
def progress(describe: Callable[[], str], size: int | None, position: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """A bar on stderr for a list that is being read, where that is a terminal, and a function that moves it."""
    console = screen(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, redirect_stdout=False)
    with bar:
        shown = bar.add_task(describe(), total=size)

        def advance() -> None:
            bar.update(shown, completed=position(), description=describe())

        yield advance


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> Table:
    """A table of cells as text; what is None is left empty, an instant is shown in UTC to the second, a list with commas."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*map(_cell, row))
    return made


def clock(now: datetime | None = None) -> str:
    """The time of a line, in UTC."""
    return (now or datetime.now(UTC)).strftime("%H:%M:%S")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case tuple():
            return _cell(", ".join(map(str, value)))
        case _:
            # A bracket would be read as mark-up.
            return str(value).replace("[", r"\[")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"  # an amount: a number of JSON would be rounded by who reads it
    message = f"{type(value).__name__} has no form in JSON"
    raise TypeError(message)
