"""Numbers that the provider has blamed: left out of an account's calls for a while. Settling adds to them; begin looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from redis import Redis


def forget(redis: Redis, account: str, number: str | None = None) -> int:
    """Let this number be called again, or all of them. Returns how many were remembered."""
    key = AccountKeys(account).bad_numbers
    if number is not None:
        return int(redis.zrem(key, number))
    pipeline: Any = redis.pipeline(transaction=True)
    pipeline.zcard(key)
    pipeline.delete(key)
    known, _ = pipeline.execute()
    return int(known)
