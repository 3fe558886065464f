"""What serves a request of the API: the ways into the store, and the request with the token that allowed it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuma_producer import AsyncProducer
from tuma_worker.gateway.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from starlette.requests import Request

    from tuma_worker.core.tokens import Token
    from tuma_worker.gateway.access import Access
    from tuma_worker.gateway.rates import Rates


@dataclass(slots=True)
class Readers:
    """Those who read events here, and whether they are to end."""

    count: int = 0
    ending: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that all requests share.

    `store` is for what is asked seldom, in a thread. `clock` gives Unix seconds, `name` a name that nobody else has, `secret` a
    long one that nobody can guess.
    """

    access: Access
    rates: Rates
    redis: AsyncRedis
    store: Redis
    clock: Callable[[], float]
    name: Callable[[], str]
    secret: Callable[[], str]
    readers: Readers = field(default_factory=Readers)
    _producers: dict[str, AsyncProducer] = field(default_factory=dict)  # by source: as many as tokens have

    def producer(self, source: str) -> AsyncProducer:
        """A producer in the name of this source."""
        if source not in self._producers:
            self._producers[source] = AsyncProducer(self.redis, source=source)
        return self._producers[source]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that may be served."""

    request: Request
    token: Token
    desk: Desk

    @property
    def producer(self) -> AsyncProducer:
        """A producer in the name of the token's source."""
        return self.desk.producer(self.token.source)

    def named(self, name: str) -> str:
        """The part of the path that has this name."""
        return str(self.request.path_params[name])

    async def account(self) -> str:
        """The account that the path names. Raises `Problem` where there is none."""
        return await self.known(self.named("account"))

    async def known(self, account: str) -> str:
        """The account of this name. Raises `Problem` where there is none."""
        names = await self.producer.accounts()
        if account not in names:
            raise Problem(Kind.NO_ACCOUNT, f"account: is not configured (known: {', '.join(names) or 'none yet'})", field="account")
        return account
