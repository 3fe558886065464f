"""Whether a worker follows an account's sends. Nobody keeps a list of them, so whoever asks looks at what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_worker.queue.config import SEND
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

_LOOK_EVERY = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Attendance:
    """What tells of workers: calls in flight, and how many seconds ago one registered that is configured with the account.

    Such a one need not follow the account: it may have been started for others. `registered` is None where none ever did.
    """

    in_flight: int
    registered: float | None


def attendance(redis: Redis, account: str) -> Attendance:
    """What tells of workers now."""
    keys, now = account_keys(account), server_ms(redis)
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.zcount(keys.queue(SEND).leases, now, "+inf")
    pipeline.hget(keys.profile, "attended")
    in_flight, attended = pipeline.execute()
    return Attendance(in_flight, None if attended is None else (now - int(attended)) / 1000)


def comes(redis: Redis, account: str, looks: int, pause: Callable[[float], None]) -> bool:
    """Ring the account's bell, and return whether a consumer has heard it after so many looks.

    It finds what it would have found anyway. A bell that nobody has heard goes on ringing for the next one who comes.
    """
    bell = account_keys(account).queue(SEND).bell
    if not redis.exists(bell):
        redis.rpush(bell, 1)
    for _ in range(looks):
        if not redis.exists(bell):
            return True
        pause(_LOOK_EVERY)
    return False
