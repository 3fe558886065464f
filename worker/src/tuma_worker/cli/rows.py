"""Lists of sends, read row by row: numbers from standard input, or a CSV file. Nothing is held but the row at hand."""

from __future__ import annotations

import csv
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLUMNS = ("to", "message", "account", "sender_id", "priority", "idempotency_key", "template_id")
VARIABLE = "var:"  # begins the names of columns that hold a variable of the template
STDIN = "-"
_NOT_UTF8 = "is not UTF-8 text; save the file as CSV UTF-8"
_DELIMITERS = ",;\t"  # spreadsheets write what their country is used to


class BadRow(TumaError):
    """A row that cannot be read; the others can."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, counted from 1, and its cells by the names of `Send`'s fields. Empty cells are left out."""

    line: int
    cells: dict[str, str] | BadRow


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that is being read: the fields that its rows may give, the rows, and how far reading has come.

    `size` and `position` are bytes; `size` is None where nobody can know it.
    """

    columns: frozenset[str]
    rows: Iterator[Row]
    size: int | None
    position: Callable[[], int]


def numbers() -> Listing:
    """Standard input, a number on each line. Empty lines are passed over."""
    with _standard_input() as text:
        return Listing(frozenset({"to"}), _numbers(text), None, lambda: 0)


def _numbers(text: TextIO) -> Iterator[Row]:
    for line, number in enumerate(_lines("standard input", text), start=1):
        if number.strip():
            yield Row(line, {"to": number.strip()})


@contextmanager
def numbers_of(path: str) -> Iterator[Listing]:
    """The numbers that a file's lines begin with; `-` is standard input. A first line without a digit names columns.

    Raises `TumaError` where it cannot be read.
    """
    with _standard_input() if path == STDIN else _file(path) as text:
        found = _first_cells(_lines(path, text))
        size = _size(path, text)
        yield Listing(frozenset({"to"}), found, size, lambda: text.buffer.tell() if size else 0)


def _first_cells(lines: Iterator[str]) -> Iterator[Row]:
    for line, text in enumerate(lines, start=1):
        cell = re.split(f"[{_DELIMITERS}]", text, maxsplit=1)[0].strip().strip('"')
        names = line == 1 and not any(map(str.isdigit, cell))
        if cell and not names:
            yield Row(line, BadRow(_NOT_UTF8) if _is_foreign(cell) else {"to": cell})


def _size(path: str, text: TextIO) -> int | None:
    return None if path == STDIN else os.fstat(text.fileno()).st_size


@contextmanager
def sheet(path: str) -> Iterator[Listing]:
    """A CSV file with a header; `-` is standard input. Raises `TumaError` where it cannot be read or names wrong columns."""
    with _standard_input() if path == STDIN else _file(path) as text:
        lines = _lines(path, text)
        header = next(lines, "")
        delimiter = max(_DELIMITERS, key=header.count)
        names = _names(path, _cells(header, delimiter))
        size = _size(path, text)
        # The text layer does not tell its place while it is iterated; the bytes below it do.
        yield Listing(frozenset(names), _rows(lines, delimiter, names), size, lambda: text.buffer.tell() if size else 0)


_FOREIGN = "surrogateescape"  # bytes that are no UTF-8 are kept apart, so that a row of them costs no other row


def _is_foreign(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)


@contextmanager
def _standard_input() -> Iterator[TextIO]:
    sys.stdin.reconfigure(encoding="utf-8-sig", errors=_FOREIGN, newline="")  # type: ignore[union-attr] # it is a text wrapper; typeshed allows for less
    yield sys.stdin


@contextmanager
def _file(path: str) -> Iterator[TextIO]:
    try:
        text = Path(path).open(encoding="utf-8-sig", errors=_FOREIGN, newline="")  # noqa: SIM115 - closed below; only the opening may be translated
    except OSError as error:
        message = f"cannot read {path} ({error.strerror})"
        raise TumaError(message) from None
    with text:
        yield text


def _lines(name: str, text: TextIO) -> Iterator[str]:
    try:
        yield from text
    except OSError as error:
        message = f"cannot read {name} ({error.strerror})"
        raise TumaError(message) from None


def _cells(header: str, delimiter: str) -> list[str]:
    """What the first line names; nothing where it is no line of CSV, so that what it should be is said."""
    try:
        return next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        return []


def _names(path: str, header: list[str]) -> list[str]:
    names = [_column(name.strip()) for name in header]
    plain = {name for name in names if not name.startswith(VARIABLE)}
    if "to" not in names or len(set(names)) != len(names) or not plain <= set(COLUMNS):
        message = (
            f"{path}: the first line must name the columns, each once: to, and any of {', '.join(COLUMNS[1:])}, {VARIABLE}NAME"
        )
        raise TumaError(message)
    return names


def _column(name: str) -> str:
    variable = name.lower().startswith(VARIABLE)
    return VARIABLE + name[len(VARIABLE) :] if variable else name.lower()


def _rows(lines: Iterator[str], delimiter: str, names: list[str]) -> Iterator[Row]:
    """The rows after the header. A quoted cell may hold line ends; its row is known by the line that it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            through = f", through line {reader.line_num + 1}" if reader.line_num + 1 > line else ""
            yield Row(line, BadRow(f"not CSV{through} ({error}); is a quote left open?"))
            continue
        if cells:
            yield Row(line, _named(names, cells))


def _named(names: list[str], cells: list[str]) -> dict[str, str] | BadRow:
    if len(cells) > len(names):
        return BadRow(f"{len(cells)} cells under {len(names)} columns; a text with a comma in it must stand in quotes")
    if any(_is_foreign(cell) for cell in cells):
        return BadRow(_NOT_UTF8)
    return {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}
