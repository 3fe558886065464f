"""How fast one gateway process accepts intents over HTTP, one by one and as lines, beside the Python producer.

Every round measures all ways, one after another on the same server, each on an empty line, so that a busy machine is busy for all
of them; the figures are medians over the rounds, and so are the ratios. The gateway has one core, where there are two; the server
and who asks have the other. What is measured of the producer begins with the construction of a `Send`, as it does in the gateway.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
from tests.bench.support import house, output, processes
from tests.bench.support.figures import milliseconds, percentile, rounded
from tests.bench.support.posting import post_all, request
from tests.redis.driver import Driver, queue_of
from tests.support import servers

from tuma_producer import Producer, Send
from tuma_worker.bootstrap.parts import build_tokens
from tuma_worker.core.tokens import Scope

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from tests.bench.support.house import Store
    from tests.bench.support.processes import Programs

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
CONNECTIONS = 32
BATCH = 5000  # lines of a request
SIZE = 10_000
ROUNDS = 5
WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs, and a token for it."""

    port: int
    pid: int
    token: str

    def singles(self, count: int) -> dict[str, float]:
        """Intents one by one, as many at once as there are connections."""
        headers = {"authorization": f"Bearer {self.token}"}
        posted = post_all(self.port, [request("/v1/intents", _body(place), headers) for place in range(count)], CONNECTIONS)
        if posted.statuses != {201: count}:
            message = f"not every intent was accepted: {dict(posted.statuses)}"
            raise RuntimeError(message)
        p50, p99 = (percentile(posted.answers, share) or 0.0 for share in (0.5, 0.99))
        return {"per_s": count / posted.seconds, "p50": p50, "p99": p99}

    def lines(self, count: int) -> dict[str, float]:
        """Intents as lines, one request after another."""
        bodies = [b"\n".join(map(_body, range(first, min(first + BATCH, count)))) for first in range(0, count, BATCH)]
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-ndjson"}
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=processes.PATIENCE) as http:
            began = time.perf_counter()
            answers = [http.post("/v1/intents/batch", content=body).raise_for_status().text for body in bodies]
            seconds = time.perf_counter() - began
        accepted = sum('"id"' in line for answer in answers for line in answer.splitlines())
        if accepted != count:
            message = f"{accepted} of {count} lines were accepted"
            raise RuntimeError(message)
        return {"per_s": count / seconds}


def _body(place: int) -> bytes:
    return json.dumps({"account": house.ACCOUNT, "to": house.number(place), "message": TEXT}).encode()


def _start(programs: Programs, store: Store) -> Gateway:
    port = servers.closed_port()
    command = [sys.executable, "-m", "tuma_worker.cli", "gateway", "--port", str(port)]
    gateway = programs.start("gateway", command, TUMA_REDIS_URL=store.url, TUMA_LOG_FORMAT="json")
    gateway.until("gateway.started")
    token = build_tokens(store.redis).add("bench", "bench", [Scope.SEND], by="bench")
    return Gateway(port, gateway.pid, str(token))


def ways(gateway: Gateway, producer: Producer) -> dict[str, Callable[[int], dict[str, float]]]:
    """What is compared."""

    def one_by_one(count: int) -> dict[str, float]:
        began = time.perf_counter()
        for place in range(count):
            producer.enqueue(Send(account=house.ACCOUNT, to=house.number(place), message=TEXT))
        return {"per_s": count / (time.perf_counter() - began)}

    def many(count: int) -> dict[str, float]:
        began = time.perf_counter()
        sends = (Send(account=house.ACCOUNT, to=house.number(place), message=TEXT) for place in range(count))
        for _ in producer.enqueue_many(sends):
            pass
        return {"per_s": count / (time.perf_counter() - began)}

    return {"http": gateway.singles, "http_lines": gateway.lines, "enqueue": one_by_one, "enqueue_many": many}


def _share_out(gateway: int, server: int) -> None:
    """One core for the gateway, the other for the server and for us; where there is one, all share it."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(gateway, {cores[0]})
        for pid in (0, server):
            os.sched_setaffinity(pid, set(cores[1:]))


def measure(size: int, rounds: int) -> dict[str, Any]:
    """All rounds on one server."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        Driver(store.redis, queue_of(account=house.ACCOUNT))  # makes the account known
        gateway = _start(programs, store)
        producer = stack.enter_context(closing(Producer.from_url(store.url, source="bench")))
        info: Any = store.redis.info("server")
        _share_out(gateway.pid, int(info["process_id"]))
        found = [_round(store, ways(gateway, producer), size) for _ in range(rounds)]
    output.table([{"way": name} | {key: rounded(_middle(found, name, key), 4) for key in found[0][name]} for name in found[0]])
    return _summary(found)


def _round(store: Store, compared: dict[str, Callable[[int], dict[str, float]]], size: int) -> dict[str, dict[str, float]]:
    """Every way once, each on an empty line."""
    found = {}
    for name, accept in compared.items():
        store.empty()
        accept(WARM_UP)
        found[name] = accept(size)
    return found


def _middle(rounds: list[dict[str, dict[str, float]]], name: str, figure: str) -> float:
    return float(median(one[name][figure] for one in rounds))


def _ratio(rounds: list[dict[str, dict[str, float]]], name: str, to: str) -> float:
    return float(median(one[name]["per_s"] / one[to]["per_s"] for one in rounds))


def _summary(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        "http_per_s": round(_middle(rounds, "http", "per_s")),
        "http_p50_ms": milliseconds(_middle(rounds, "http", "p50")),
        "http_p99_ms": milliseconds(_middle(rounds, "http", "p99")),
        "http_lines_per_s": round(_middle(rounds, "http_lines", "per_s")),
        "enqueue_per_s": round(_middle(rounds, "enqueue", "per_s")),
        "enqueue_many_per_s": round(_middle(rounds, "enqueue_many", "per_s")),
        "http_vs_enqueue": rounded(_ratio(rounds, "http", "enqueue"), 3),
        "http_lines_vs_enqueue_many": rounded(_ratio(rounds, "http_lines", "enqueue_many"), 3),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures. There are no peers: what is compared with is the producer."""
    machine = output.machine()
    return {"bench": "gateway", **measure(options.size, options.rounds), "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="intents of each way and round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, of which the median counts (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
