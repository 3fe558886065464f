"""What a stretch of work cost: wall time, this process's CPU, the server's CPU, its memory and its writes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.bench.support.house import Store


@dataclass
class Cost:
    """All in seconds, bytes and commands; filled in when the stretch is over."""

    seconds: float = 0.0
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    memory: int = 0
    writes: int = 0


@contextmanager
def measured(store: Store) -> Iterator[Cost]:
    """Measure what happens in the block on this process and this server."""
    cost = Cost()
    before = _snapshot(store)
    started, cpu = time.perf_counter(), time.process_time()
    yield cost
    cost.seconds, cost.client_cpu = time.perf_counter() - started, time.process_time() - cpu
    after = _snapshot(store)
    cost.server_cpu, cost.memory, cost.writes = after[0] - before[0], after[1] - before[1], after[2] - before[2]


def _snapshot(store: Store) -> tuple[float, int, int]:
    cpu: Any = store.redis.info("cpu")
    # A server that frees lazily, or has just grown a table, tells of it a moment later; singles are counted in the ten thousands.
    memory = store.memory()
    writing = _writing(store.redis)
    writes = sum(calls for name, calls in store.commands().items() if name in writing)
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], memory, writes


@cache
def _writing(redis: Redis) -> frozenset[str]:
    """The names of the commands that write, as the server itself classes them."""
    found: Any = redis.acl_cat("write")
    return frozenset(name.decode() if isinstance(name, bytes) else name for name in found)
