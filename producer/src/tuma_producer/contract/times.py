"""Instants as Redis keeps them: whole Unix milliseconds, by the server's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPOCH = datetime.fromtimestamp(0, UTC)


def moment(milliseconds: int) -> datetime:
    """Unix milliseconds as an instant, exactly, however far away."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def moment_in(text: str) -> datetime | None:
    """The instant that a text of Unix milliseconds says; None for an empty one."""
    return moment(int(text)) if text else None


def milliseconds(at: datetime) -> int:
    """An instant in Unix milliseconds, rounded up: nothing is to happen before its time."""
    return -((_EPOCH - at) // timedelta(milliseconds=1))


def server_time(reply: Sequence[int]) -> int:
    """What a server answers to `TIME`, in Unix milliseconds, rounded down as clock.lua does."""
    seconds, micros = reply
    return int(seconds) * 1000 + int(micros) // 1000
