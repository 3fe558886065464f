"""A bare receiver of receipts: plain ASGI that checks a password and writes the body down, an XADD for each, many in one trip.

It knows no accounts, no attempts and no limits, and reads nothing of what it writes down.

Run as a program: `python -m tests.bench.support.bare_receiver REDIS_URL PORT AUTHORIZATION`.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STREAM = "bare"


class Writer:
    """Writes down what came while the last trip was under way, in the next one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, body: bytes) -> None:
        """Return when it is written."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._trips())
        await written

    async def _trips(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            pipeline = self._redis.pipeline(transaction=False)
            for body, _ in together:
                pipeline.xadd(STREAM, {"d": body})
            await pipeline.execute()
            for _, written in together:
                written.set_result(None)


def app(redis: Redis, authorization: bytes) -> Callable[..., Awaitable[None]]:
    """The application."""
    writer = Writer(redis)

    async def receive_receipt(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own callables
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        good = hmac.compare_digest(given, authorization)
        if good:
            await writer.write(body)
        await send({"type": "http.response.start", "status": 200 if good else 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return receive_receipt


async def _serve(redis_url: str, port: int, authorization: bytes) -> None:
    config = uvicorn.Config(
        app(Redis.from_url(redis_url), authorization), port=port, lifespan="off", ws="none", access_log=False, log_config=None,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()))
