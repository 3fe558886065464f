"""Puts jobs into a Python peer's queue, each by one call of the peer's API.

`PEER fill COUNT`; `PEER drip COUNT LEAST MOST`, with pauses in seconds, the text of a job telling when it was enqueued in ns; or
`PEER rate COUNT`, whose last line tells as JSON how fast it went.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Put = Callable[[str, str], Awaitable[object]]

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
WARM_UP = 200


async def fill(put: Put, count: int) -> None:
    """Put so many in."""
    for place in range(count):
        await put(_number(place), TEXT)


async def drip(put: Put, count: int, least: float, most: float) -> None:
    """Put so many in, each after a pause."""
    for place in range(count):
        await asyncio.sleep(random.uniform(least, most))  # noqa: S311 - pauses are no secret
        await put(_number(place), str(time.time_ns()))


async def rate(put: Put, count: int) -> None:
    """Put so many in and tell how fast, once it goes evenly."""
    await fill(put, WARM_UP)
    started, cpu = time.perf_counter(), time.process_time()
    await fill(put, count)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    found = {"per_s": round(count / seconds), "cpu_s_per_1000": round(used / count * 1000, 4)}
    sys.stdout.write(json.dumps(found) + "\n")


def _number(place: int) -> str:
    return f"+24399{place:07d}"


MODES: dict[str, Callable[..., Awaitable[None]]] = {"fill": fill, "drip": drip, "rate": rate}


async def main(peer: str, mode: str, count: int, *pauses: float) -> None:
    """Do what the command line says."""
    async with importlib.import_module(f"tests.bench.peers.{peer}_app").producing() as put:
        await MODES[mode](put, count, *pauses)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:])))
