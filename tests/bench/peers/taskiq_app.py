"""taskiq with its stream broker, which acknowledges, and pyrate-limiter around the call.

It cannot put a job back, so jobs wait inside.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from pyrate_limiter import Limiter, Rate, RedisBucket
from redis.asyncio import Redis
from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found] # only in the peers' environment
from tests.bench.peers import work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

broker = RedisStreamBroker(work.URL)


@cache
def _limiter() -> asyncio.Future[Limiter]:
    return asyncio.ensure_future(_make_limiter())


async def _make_limiter() -> Limiter:
    return Limiter(await RedisBucket.init([Rate(work.LIMIT, round(work.WINDOW * 1000))], Redis.from_url(work.URL), "provider"))


async def _permitted() -> None:
    if work.LIMIT:
        await (await _limiter()).try_acquire_async("provider")


@broker.task(task_name="send")  # type: ignore[untyped-decorator] # as above
async def send(to: str, message: str) -> None:
    """One call, within the limit where there is one, tried until it is accepted."""
    work.started()
    await _permitted()
    while (wait := await work.post_async(to, message)) is not None:
        await asyncio.sleep(wait)
        await _permitted()


@asynccontextmanager
async def producing() -> AsyncIterator[Callable[[str, str], Awaitable[object]]]:
    """Its enqueueing."""
    await broker.startup()
    yield send.kiq
    await broker.shutdown()
