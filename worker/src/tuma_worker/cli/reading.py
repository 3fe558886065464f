"""How what people write on a command line is read: instants, in UTC unless they say otherwise, and seconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import typer

from tuma_producer.errors import TumaError

_CENTURY = 36_525 * 86_400  # seconds


def read_instant(text: str) -> datetime:
    """The instant that is meant. Raises `ValueError` that tells the rule."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = "must be a time such as 2026-12-01T08:00Z (UTC unless it says otherwise)"
        raise ValueError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def instant_of(option: str, text: str) -> datetime:
    """The instant that an option names. Raises `TumaError` that names the option."""
    try:
        return read_instant(text)
    except ValueError as error:
        message = f"{option}: {error}"
        raise TumaError(message) from None


def seconds(text: str) -> float:
    """So many seconds. Raises `typer.BadParameter`, also for `nan` and `inf`, which are floats."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= _CENTURY:
        message = f"must be a number of seconds from 0 to {_CENTURY}"
        raise typer.BadParameter(message)
    return found
