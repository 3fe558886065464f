"""Puts jobs into a Python peer's queue.

One call of the peer's API a job: `PEER fill COUNT`; `PEER drip COUNT LEAST MOST`, with pauses in seconds, the text of a job telling
when it was enqueued in ns; `PEER rate COUNT`, whose last line tells as JSON how fast it went. `PEER many COUNT` is `rate` by the
peer's call for many at once, five hundred at a time.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Put = Callable[[str, str], Awaitable[object]]

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
WARM_UP = 200
AT_ONCE = 500


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
    with _timed(count):
        await fill(put, count)


def many(put_many: Callable[[list[tuple[str, str]]], object], count: int) -> None:
    """Put so many in, by the five hundred, and tell how fast."""
    put_many([(_number(place), TEXT) for place in range(WARM_UP)])
    with _timed(count):
        for first in range(0, count, AT_ONCE):
            put_many([(_number(place), TEXT) for place in range(first, min(first + AT_ONCE, count))])


@contextmanager
def _timed(count: int) -> Iterator[None]:
    started, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    found = {"per_s": round(count / seconds), "cpu_s_per_1000": round(used / count * 1000, 4)}
    sys.stdout.write(json.dumps(found) + "\n")


def _number(place: int) -> str:
    return f"+24399{place:07d}"


MODES: dict[str, Callable[..., Awaitable[None]]] = {"fill": fill, "drip": drip, "rate": rate}


async def main(peer: str, mode: str, count: int, *pauses: float) -> None:
    """Do what the command line says."""
    app = importlib.import_module(f"tests.bench.peers.{peer}_app")
    if mode == "many":
        many(app.put_many, count)
        return
    async with app.producing() as put:
        await MODES[mode](put, count, *pauses)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:])))
