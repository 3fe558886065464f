"""How many jobs a Python peer accepts in a second, from one process: `PEER COUNT`; the last line is JSON.

Each job is one call of the peer's API.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ["BENCH_URL"]
TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
WARM_UP = 200


def _job(place: int) -> dict[str, str]:
    return {"to": f"+24399{place:07d}", "message": TEXT, "sender_id": "BENCH"}


def _dramatiq() -> Callable[[dict[str, str]], object]:
    dramatiq: Any = importlib.import_module("dramatiq")
    broker = importlib.import_module("dramatiq.brokers.redis").RedisBroker(url=URL)
    dramatiq.set_broker(broker)

    @dramatiq.actor(broker=broker)  # type: ignore[untyped-decorator] # only in the peers' environment
    def send(job: dict[str, str]) -> None:
        """Never run here."""

    return send.send  # type: ignore[no-any-return] # as above


def _celery() -> Callable[[dict[str, str]], object]:
    celery: Any = importlib.import_module("celery")
    app = celery.Celery("bench", broker=URL)
    app.conf.task_ignore_result = True

    @app.task(name="send")  # type: ignore[untyped-decorator] # as above
    def send(job: dict[str, str]) -> None:
        """Never run here."""

    return send.delay  # type: ignore[no-any-return] # as above


def _rq() -> Callable[[dict[str, str]], object]:
    rq: Any = importlib.import_module("rq")
    queue = rq.Queue(connection=importlib.import_module("redis").Redis.from_url(URL))
    return lambda job: queue.enqueue("tests.bench.peers.work.post", job)


async def _arq() -> Callable[[dict[str, str]], Awaitable[object]]:
    connections: Any = importlib.import_module("arq.connections")
    pool = await connections.create_pool(connections.RedisSettings.from_dsn(URL))
    return lambda job: pool.enqueue_job("send", job)


async def _taskiq() -> Callable[[dict[str, str]], Awaitable[object]]:
    broker = importlib.import_module("taskiq_redis").RedisStreamBroker(URL)

    @broker.task(task_name="send")  # type: ignore[untyped-decorator] # as above
    async def send(job: dict[str, str]) -> None:
        """Never run here."""

    await broker.startup()
    return send.kiq  # type: ignore[no-any-return] # as above


SYNC: dict[str, Callable[[], Callable[[dict[str, str]], object]]] = {"dramatiq": _dramatiq, "celery": _celery, "rq": _rq}
ASYNC: dict[str, Callable[[], Awaitable[Callable[[dict[str, str]], Awaitable[object]]]]] = {"arq": _arq, "taskiq": _taskiq}


def _figures(count: int, started: float, cpu: float) -> dict[str, float]:
    return {
        "per_s": round(count / (time.perf_counter() - started)),
        "cpu_s_per_1000": round((time.process_time() - cpu) / count * 1000, 4),
    }


def _measure(enqueue: Callable[[dict[str, str]], object], count: int) -> dict[str, float]:
    for place in range(WARM_UP):
        enqueue(_job(place))
    started, cpu = time.perf_counter(), time.process_time()
    for place in range(count):
        enqueue(_job(place))
    return _figures(count, started, cpu)


async def _measure_async(peer: str, count: int) -> dict[str, float]:
    enqueue = await ASYNC[peer]()
    for place in range(WARM_UP):
        await enqueue(_job(place))
    started, cpu = time.perf_counter(), time.process_time()
    for place in range(count):
        await enqueue(_job(place))
    return _figures(count, started, cpu)


def main(peer: str, count: int) -> None:
    """Enqueue and tell."""
    found = _measure(SYNC[peer](), count) if peer in SYNC else asyncio.run(_measure_async(peer, count))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
