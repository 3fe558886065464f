"""Who asks, and whether they may: bearer tokens (RFC 6750), looked up by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.contract.connection import server_of, translated
from tuma_worker.core.tokens import digest
from tuma_worker.gateway.problems import Kind, Problem
from tuma_worker.store import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from tuma_worker.core.tokens import Scope, Token

_REMEMBERED = 5.0  # seconds that a removed token may go on


class Access:
    """Finds tokens, and remembers those that it found for a little while. `clock` gives Unix seconds."""

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._where = server_of(redis)
        self._clock = clock
        self._known: dict[str, tuple[float, Token]] = {}  # only what was found: as many as there are tokens

    async def token(self, authorization: str, scope: Scope) -> Token:
        """The token of an `Authorization` header, which must have this scope. Raises `Problem`, and `StoreUnavailable`."""
        method, _, given = authorization.partition(" ")
        if method.lower() != "bearer" or not given.strip():
            raise Problem(Kind.NO_TOKEN, "give a token: Authorization: Bearer tuma_…")
        found = await self.holding(digest(given.strip()))
        if found is None:
            raise Problem(Kind.NO_TOKEN, "the token is not known, or its time is over", headers=_INVALID)
        if scope not in found.rights:
            raise Problem(Kind.NO_SCOPE, f"the token {found.name} has not the scope {scope}", scope=scope)
        return found

    async def holding(self, key: str) -> Token | None:
        """The token of this digest; None where there is none, or its time is over. Raises `StoreUnavailable`."""
        found = await self._find(key)
        return found if found is not None and found.holds_at(round(self._clock() * 1000)) else None

    async def _find(self, key: str) -> Token | None:
        now = self._clock()
        looked, found = self._known.get(key, (0.0, None))
        if found is not None and looked <= now < looked + _REMEMBERED:
            return found
        self._known.pop(key, None)
        with translated(self._where):
            read = await tokens.find(self._redis, key)
        if read is not None:
            self._known[key] = (now, read)
        return read


_INVALID = {"WWW-Authenticate": 'Bearer realm="tuma", error="invalid_token"'}
