"""Which of all processes has a duty that one is enough for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis


def take_lead(redis: Redis, key: str, name: str, seconds: float) -> bool:
    """Whether `name` is the one process that `key` stands for, for so long from now; the first to ask is."""
    milliseconds = round(seconds * 1000)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.set(key, name, nx=True, px=milliseconds)
    pipeline.get(key)
    taken, leader = pipeline.execute()
    return bool(taken) or (leader == name.encode() and bool(redis.pexpire(key, milliseconds)))
