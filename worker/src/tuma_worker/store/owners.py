"""Whose an intent is: what must be known of it before anything is done with it on somebody's behalf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.ids import split_id
from tuma_producer.contract.keys import account_keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def source_of(redis: Redis, intent_id: str) -> str | None:
    """The source that enqueued the intent; None where it is not known."""
    found = split_id(intent_id)
    if found is None:
        return None
    account, short_id = found
    # A stub that only says that none is to come has no source.
    source = await cast("Any", redis.hget(account_keys(account).intent(short_id), "source"))
    return source.decode() if source else None
