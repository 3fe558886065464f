"""The server's clock: the only one that all workers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.contract.times import server_time

if TYPE_CHECKING:
    from redis import Redis


def server_ms(redis: Redis) -> int:
    """The time in Unix milliseconds, as the scripts have it."""
    return server_time(redis.time())
