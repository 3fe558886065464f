"""The server's clock: the only one that all workers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis


def server_ms(redis: Redis) -> int:
    """The time in Unix milliseconds, as the scripts have it."""
    seconds, micros = redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
