"""Lists of sends, read row by row: numbers from standard input, or a CSV file. Nothing is held but the row at hand."""

from __future__ import annotations

import csv
import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("to", "message", "account", "sender_id", "priority", "idempotency_key")
_DELIMITERS = ",;\t"  # spreadsheets write what their country is used to


class BadRow(TumaError):
    """A row that cannot be read; the others can."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, counted from 1, and its cells by the names of `Send`'s fields; empty cells are left out."""

    line: int
    cells: dict[str, str] | BadRow


@dataclass(frozen=True, slots=True)
class Listing:
    """A list being read: which fields its rows may give, the rows, and how far reading has come (`size` None: unknown), in bytes."""

    columns: frozenset[str]
    rows: Iterator[Row]
    size: int | None
    raw: IO[bytes]

    def position(self) -> int:
        """Bytes read so far."""
        return self.raw.tell() if self.size is not None else 0


def numbers() -> Listing:
    """Standard input, a number on each line. Empty lines are passed over."""
    text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
    return Listing(frozenset({"to"}), _numbers(text), None, sys.stdin.buffer)


def _numbers(text: IO[str]) -> Iterator[Row]:
    with _legible("standard input"):
        for line, number in enumerate(text, start=1):
            if number.strip():
                yield Row(line, {"to": number.strip()})


@contextmanager
def sheet(path: str) -> Iterator[Listing]:
    """A CSV file with a header, or standard input where `path` is `-`. Raises `TumaError` for one that cannot be read at all."""
    with _opened(path) as raw, _legible(path):
        # Universal newlines are off, as the csv module asks for: a quoted cell may hold some.
        reader = csv.reader(text := io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
        header = text.readline()
        reader = csv.reader(text, delimiter=max(_DELIMITERS, key=header.count), strict=True)
        names = _names(path, next(csv.reader([header], dialect=reader.dialect), []))
        size = Path(path).stat().st_size if path != "-" else None
        yield Listing(frozenset(names), _rows(path, reader, names), size, raw)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        raw = Path(path).open("rb")
    except OSError as error:
        message = f"cannot read {path} ({error.strerror})"
        raise TumaError(message) from None
    with raw:
        yield raw


@contextmanager
def _legible(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        message = f"{name} is not UTF-8 text; save it as UTF-8"
        raise TumaError(message) from None
    except OSError as error:
        message = f"cannot read {name} ({error.strerror})"
        raise TumaError(message) from None


def _names(path: str, header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    unknown = [name for name in names if name not in COLUMNS]
    if "to" not in names or unknown or len(set(names)) != len(names):
        message = f"{path}: the first line must name the columns, each once: to, and any of {', '.join(COLUMNS[1:])}"
        raise TumaError(message)
    return names
