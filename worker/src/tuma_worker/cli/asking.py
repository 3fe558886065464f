"""A command line that is made of a provider's operations: each is a command, each of its parameters an argument or an option."""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tuma_producer.errors import TumaError
from tuma_producer.intents import normalise_number
from tuma_worker.cli.output import redacted
from tuma_worker.cli.reading import read_instant
from tuma_worker.providers.operations import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuma_worker.providers.operations import Operation, Parameter

_STDIN = "-"
_CONTACT_COLUMNS = frozenset({"phone", "name", "email"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: an operation with its parameters as its function takes them, and how the result is to be shown."""

    operation: Operation
    parameters: dict[str, object]
    as_json: bool
    show_numbers: bool
    most: int | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TumaError(redacted(f"{self.prog}: {message}; see: {self.prog} --help"))


def read_command(program: str, operations: Sequence[Operation], words: Sequence[str]) -> Asked:
    """The command that these words are. Raises `TumaError`; asked for help, writes it and ends the program."""
    parser = _Parser(prog=program, description="Ask the provider, or have it keep something.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="OPERATION", required=True, dest="operation")
    for operation in operations:
        _add_command(commands.add_parser(operation.name, help=operation.summary, allow_abbrev=False), operation)
    found = vars(parser.parse_args(words))
    named = {operation.name: operation for operation in operations}[found.pop("operation")]
    shown = {"as_json": found.pop("json"), "show_numbers": found.pop("show_numbers"), "most": found.pop("most")}
    return Asked(named, {name: value for name, value in found.items() if value is not None}, **shown)


def _add_command(command: argparse.ArgumentParser, operation: Operation) -> None:
    command.description = f"{operation.summary} ({operation.endpoint})"
    for parameter in operation.parameters:
        _add_parameter(command, parameter)
    command.add_argument("--json", action="store_true", help="write JSON, a line for each result")
    command.add_argument("--show-numbers", action="store_true", help="show phone numbers and texts whole")
    command.add_argument("--most", type=_count, metavar="N", help="show no more lines than that")


def _add_parameter(command: argparse.ArgumentParser, parameter: Parameter) -> None:
    more: dict[str, Any] = {"help": parameter.help.replace("%", "%%")}
    if parameter.one_of:
        more["choices"] = parameter.one_of
    if reader := _READERS.get(parameter.kind):
        more["type"] = reader
    if parameter.kind in {Kind.WORDS, Kind.PAIRS}:
        more |= {"nargs": "+", "action": "extend"}
    if parameter.kind is Kind.PAIRS:
        more |= {"action": _Pairs, "default": {}}
    if parameter.in_path:
        command.add_argument(parameter.name, metavar=parameter.name.upper(), **more)
        return
    if not parameter.one_of:
        more["metavar"] = _METAVARS.get(parameter.kind, "TEXT")
    command.add_argument(f"--{parameter.name.replace('_', '-')}", dest=parameter.name, required=parameter.required, **more)


class _Pairs(argparse.Action):
    """Collects NAME=VALUE into one mapping."""

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: Any, _option: object = None) -> None:  # noqa: ANN401 - as argparse has it
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **dict(values)})


# ---------------------------------------------------------------------------------------------------------- reading one value


def _reading(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader whose `ValueError` tells the rule; argparse adds the option's name."""

    def reader(text: str) -> Any:  # noqa: ANN401 - as it reads
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reader


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        message = "must be a day such as 2026-11-28"
        raise ValueError(message) from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        message = "must be NAME=VALUE"
        raise ValueError(message)
    return name, value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        message = "must be a whole number from 1 up"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _content(path: str) -> str:
    try:
        return sys.stdin.read() if path == _STDIN else Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot read {path} ({error.strerror})"
        raise ValueError(message) from None
    except UnicodeDecodeError:
        message = f"{path} is not UTF-8 text"
        raise ValueError(message) from None


def _secret(path: str) -> str:
    secret = _content(path).strip()
    if not secret:
        message = f"{path} is empty"
        raise ValueError(message)
    return secret


def _contacts(path: str) -> list[dict[str, str]]:
    """Every row, checked before the first of them is sent."""
    reader = csv.DictReader(_content(path).splitlines(), strict=True)
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error:
        columns = []
    if "phone" not in columns or not set(columns) <= _CONTACT_COLUMNS:
        message = f"{path}: the first line must name the columns: phone, and perhaps name and email"
        raise ValueError(message)
    reader.fieldnames = columns
    try:
        contacts = [_contact(path, reader.line_num, row) for row in reader]
    except csv.Error as error:
        message = f"{path}, line {reader.line_num}: {error}"
        raise ValueError(message) from None
    if not contacts:
        message = f"{path}: holds no contact"
        raise ValueError(message)
    return contacts


def _contact(path: str, line: int, row: dict[str | None, Any]) -> dict[str, str]:
    if None in row:
        message = f"{path}, line {line}: has more cells than columns; a text with a comma in it must stand in quotes"
        raise ValueError(message)
    cells = {name: cell.strip() for name, cell in row.items() if name and cell and cell.strip()}
    try:
        return cells | {"phone": normalise_number(cells.get("phone", ""))}
    except ValueError as error:
        message = f"{path}, line {line}: {error}"
        raise ValueError(message) from None


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.NUMBER: _reading(normalise_number),
    Kind.INSTANT: _reading(read_instant),
    Kind.DAY: _reading(_day),
    Kind.PAIRS: _reading(_pair),
    Kind.SECRET: _reading(_secret),
    Kind.CONTACTS: _reading(_contacts),
}
_METAVARS = {
    Kind.NUMBER: "NUMBER",
    Kind.INSTANT: "TIME",
    Kind.DAY: "DAY",
    Kind.WORDS: "WORD",
    Kind.PAIRS: "NAME=VALUE",
    Kind.SECRET: "FILE",
    Kind.CONTACTS: "FILE",
}
