"""Who is logged in at the dashboard: each session stands for an API token, and is known by a digest as tokens are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.keys import session

if TYPE_CHECKING:
    from redis.asyncio import Redis

LIFETIME = 12 * 3600  # seconds; a shift


async def begin(redis: Redis, key: str, token: str) -> None:
    """Let the session of this digest stand for the token of that one, for its lifetime."""
    await redis.set(session(key), token, ex=LIFETIME)


async def token_of(redis: Redis, key: str) -> str | None:
    """The digest of the token that this session stands for; None where there is no such session."""
    found = cast("bytes | None", await cast("Any", redis.get(session(key))))
    return None if found is None else found.decode()


async def end(redis: Redis, key: str) -> None:
    """Forget the session."""
    await redis.delete(session(key))
