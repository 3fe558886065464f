"""Which of all processes has a duty that one is enough for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.contract.scripts import load

if TYPE_CHECKING:
    from redis import Redis

_LEAD = load(__package__, "lead")


def take_lead(redis: Redis, key: str, name: str, seconds: float) -> bool:
    """Whether `name` is the one process that `key` stands for, for so long from now; the first to ask is."""
    return bool(_LEAD.run(redis, [key], [name, round(seconds * 1000)]))


def leave_lead(redis: Redis, key: str, name: str) -> None:
    """Let any other process be the one; where `name` is not, this changes nothing."""
    _LEAD.run(redis, [key], [name, 0])
