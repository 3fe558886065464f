"""Tuma as it is measured: a server, one account, and `tuma worker` processes as an operator starts them."""

from __future__ import annotations

import json
import re
import socket
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis import Redis
from tests.bench.support.output import say
from tests.bench.support.processes import end_all, programs
from tests.bench.support.provider import StrictProvider, start_provider
from tests.support import servers

from tuma_producer import Producer
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.bench.support.audit import Limit
    from tests.bench.support.processes import Program, Programs

    from tuma_producer import Send

ACCOUNT = "bench"
SENDER = "BENCH"
THREADS = 8
OTP_FLOOR = 0.05  # of each window, by default: what the lower lanes leave alone

_INSIDE = re.compile(rb"^\+[\d.]+ \[\d+ lua\]", re.MULTILINE)

_BASE_PATHS = {"lisoloo": "", "lineserve": "/v1"}


@dataclass(frozen=True, slots=True)
class Store:
    """A server of its own for one system, and how many commands it has seen."""

    url: str
    redis: Redis

    def commands(self) -> dict[str, int]:
        """How often each command has run since the server's start, those inside scripts included."""
        stats: Any = self.redis.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(fields["calls"]) for name, fields in stats.items()}

    def memory(self) -> int:
        """Bytes that what it holds, and it itself, take."""
        memory: Any = self.redis.info("memory")
        return int(memory["used_memory"])

    def weight(self, *patterns: str) -> int:
        """Bytes that the keys of these patterns take, each counted to its last element."""
        with self.redis.pipeline(transaction=False) as asked:
            for pattern in patterns:
                for key in self.redis.scan_iter(pattern, count=1000):
                    asked.memory_usage(key, samples=0)
            found: list[Any] = asked.execute()
        return sum(found)

    def empty(self) -> None:
        """Take away all but what makes accounts and tokens known."""
        known = (b"tuma:accounts", b"tuma:tokens")
        doomed = [key for key in self.redis.scan_iter(count=1000) if not key.endswith(b":profile") and key not in known]
        for start in range(0, len(doomed), 1000):
            self.redis.delete(*doomed[start : start + 1000])

    @contextmanager
    def watched(self) -> Iterator[Callable[[], tuple[int, int]]]:
        """Watch the server. What is given counts the commands since then: those that clients sent, and those inside scripts."""
        options: Any = self.redis.connection_pool.connection_kwargs
        with socket.create_connection((options["host"], options["port"])) as line:
            line.sendall(b"MONITOR\r\n")
            if line.recv(64) != b"+OK\r\n":
                message = "this server cannot be watched"
                raise RuntimeError(message)

            def count() -> tuple[int, int]:
                line.setblocking(False)  # noqa: FBT003 - the standard library's own argument
                seen = b""
                with suppress(BlockingIOError):
                    while more := line.recv(65536):
                        seen += more
                lines = seen.count(b"\n")
                inside = len(_INSIDE.findall(seen))
                return lines - inside, inside

            yield count


@contextmanager
def store() -> Iterator[Store]:
    """A server that holds nothing and keeps nothing."""
    server = servers.start()
    client = Redis.from_url(server.url)
    try:
        yield Store(server.url, client)
    finally:
        client.close()
        server.stop()


@dataclass(frozen=True, slots=True)
class House:
    """Tuma with one account at a provider."""

    store: Store
    settings: dict[str, Any]
    programs: Programs

    def start_workers(self, count: int, *, threads: int = THREADS, **more: str) -> list[Program]:
        """Start so many `tuma worker`, each with one process and this environment, and return once all of them take jobs."""
        environment = {
            "TUMA_REDIS_URL": self.store.url,
            "TUMA_ACCOUNTS": json.dumps({ACCOUNT: self.settings}),
            "TUMA_LOG_FORMAT": "json",
            **more,
        }
        command = [sys.executable, "-m", "tuma_worker.cli", "worker", "--processes", "1", "--threads", str(threads)]
        workers = [self.programs.start(f"tuma-{number}", command, **environment) for number in range(count)]
        for worker in workers:
            worker.until("ready for action")
        return workers

    def introduce(self) -> None:
        """Make the account known to producers, as any worker does, and leave nobody at work."""
        end_all(self.start_workers(1))

    def fill(self, source: str, sends: Iterable[Send]) -> None:
        """Queue what a service of this name sends."""
        with closing(self.producer(source)) as producer:
            queued = sum(receipt.recipients for receipt in producer.enqueue_many(sends))
        say(f"{queued} recipients of {source} wait")

    def producer(self, source: str = "bench") -> Producer:
        """A producer for a service of this name."""
        return Producer.from_url(self.store.url, source=source)

    def attempts(self) -> int:
        """How many calls have been written down as about to be made."""
        return sum(1 for _ in self.store.redis.scan_iter(AccountKeys(ACCOUNT).batch("*"), count=1000))


def build_house(programs: Programs, the_store: Store, provider: str, url: str, limits: Sequence[Limit], **more: object) -> House:
    """A house; `more` goes into the account's settings. Producers know the account once a worker has started."""
    settings = {
        "provider": provider,
        "base_url": url + _BASE_PATHS[provider],
        "api_key": "sk_test_bench",
        "environment": "sandbox",
        "sender_id": SENDER,
        "limits": [str(limit) for limit in limits],
        "cold_start": "burst",
        **more,
    }
    return House(the_store, settings, programs)


@contextmanager
def behind(limit: Limit, *, latency_ms: float) -> Iterator[tuple[House, StrictProvider]]:
    """A house that producers know and in which nobody works yet, and its provider, which has this one limit."""
    with programs() as started, store() as the_store:
        provider = start_provider(started, [limit], latency_ms=latency_ms)
        built = build_house(started, the_store, "lisoloo", provider.url, [limit])
        built.introduce()
        yield built, provider


def number(place: int) -> str:
    """An obviously invented number, another for every place."""
    return f"+24399{place:07d}"
