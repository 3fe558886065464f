"""Puts jobs into a Python peer's queue: `PEER fill COUNT`, or `PEER drip COUNT LEAST MOST` with pauses in seconds."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _dramatiq(key: str) -> None:
    importlib.import_module("tests.bench.peers.dramatiq_app").send.send(key)


async def _taskiq(key: str) -> None:
    await importlib.import_module("tests.bench.peers.taskiq_app").send.kiq(key)


PEERS: dict[str, Callable[[str], Awaitable[None]]] = {"dramatiq": _dramatiq, "taskiq": _taskiq}


async def main(peer: str, mode: str, count: int, least: float = 0.0, most: float = 0.0) -> None:
    """Enqueue as many as are wanted. A job's key is when it was enqueued, in nanoseconds."""
    app = importlib.import_module(f"tests.bench.peers.{peer}_app")
    if peer == "taskiq":
        await app.broker.startup()
    for _ in range(count):
        if mode == "drip":
            await asyncio.sleep(random.uniform(least, most))  # noqa: S311 - pauses are no secret
        await PEERS[peer](str(time.time_ns()))
    if peer == "taskiq":
        await app.broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:])))
