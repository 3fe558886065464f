"""arq with its stock settings, and the moving window of `limits` before the call: a job without room is put back until then."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from arq import Retry, create_pool  # type: ignore[import-not-found] # only in the peers' environment
from arq.connections import RedisSettings  # type: ignore[import-not-found] # as above
from limits import RateLimitItemPerSecond  # type: ignore[import-not-found] # as above
from limits.aio.storage import RedisStorage  # type: ignore[import-not-found] # as above
from limits.aio.strategies import MovingWindowRateLimiter  # type: ignore[import-not-found] # as above
from tests.bench.peers import work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_LEAST = 0.05  # seconds after which a job without room is tried again
_LIMIT = RateLimitItemPerSecond(work.LIMIT or 1, max(1, round(work.WINDOW)))


async def start(context: dict[str, Any]) -> None:
    """Make the limiter of this process."""
    context["limiter"] = MovingWindowRateLimiter(RedisStorage(f"async+{work.URL}", implementation="redispy"))


async def send(context: dict[str, Any], to: str, message: str) -> None:
    """One call, within the limit where there is one."""
    work.started()
    if work.LIMIT:
        await _permitted(context["limiter"])
    wait = await work.post_async(to, message)
    if wait is not None:
        raise Retry(defer=wait)


async def _permitted(limiter: MovingWindowRateLimiter) -> None:
    if not await limiter.hit(_LIMIT, "provider"):
        room = await limiter.get_window_stats(_LIMIT, "provider")
        raise Retry(defer=max(_LEAST, room.reset_time - time.time()))


class WorkerSettings:
    """What the `arq` command reads; jobs at once as with the other peers, the rest as it comes."""

    functions = (send,)
    on_startup = start
    redis_settings = RedisSettings.from_dsn(work.URL)
    max_jobs = 8
    max_tries = 1_000_000
    keep_result = 0


@asynccontextmanager
async def producing() -> AsyncIterator[Callable[[str, str], Awaitable[object]]]:
    """Its enqueueing."""
    pool = await create_pool(WorkerSettings.redis_settings)
    yield lambda to, message: pool.enqueue_job("send", to, message)
    await pool.aclose()
