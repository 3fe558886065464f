"""Singles with one text become few calls: sixty thousand of them on Lisoloo's limit, with time running ten times as fast.

The first cases find the whole backlog in the line, as after a pause or in the shadow of a limit. The `arriving` ones are enqueued
while the workers run, so that the first calls carry what is there by then; and the producer, whose time runs no faster, takes
most of a window for it. A thousand recipients fit a call, so sixty calls are the least.
The provider is the strict one: it counts every window in every alignment and refuses what any of them refuses.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.support import audit, house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import ratio, rounded
from tests.bench.support.house import build_house
from tests.bench.support.provider import StrictProvider, start_provider

from tuma_producer import Send
from tuma_worker.queue.config import SEND
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tuma_producer.intents import Priority

TEXT = "The water supply of your street will be interrupted on Sunday between 8 and 12 o'clock."
SIZE = 60_000
CALLS, WINDOW = 60, 6.0  # Lisoloo's 60 calls a minute, ten times as fast
LATENCY_MS = 50.0
WORKERS = 2
WITHIN = 20.0  # windows that the whole may take before it is given up


@dataclass(frozen=True, slots=True)
class Case:
    """One lane, with its backlog there from the beginning or not."""

    name: str
    priority: Priority
    waiting: bool


CASES = (
    Case("transactional", "transactional", waiting=True),
    Case("bulk", "bulk", waiting=True),
    Case("transactional-arriving", "transactional", waiting=False),
    Case("bulk-arriving", "bulk", waiting=False),
)


def _sends(case: Case, size: int) -> Iterator[Send]:
    for place in range(size):
        yield Send(account=house.ACCOUNT, to=house.number(place), message=TEXT, priority=case.priority)


def measure(case: Case, size: int, limit: Limit) -> dict[str, Any]:
    """Send them all and look at what arrived."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        provider = start_provider(programs, [limit], latency_ms=LATENCY_MS)
        built = build_house(programs, store, "lisoloo", provider.url, [limit])
        built.start_workers(WORKERS)
        steering = Steering(store.redis, house.ACCOUNT, SEND, "bench")
        if case.waiting:
            steering.pause(Scope())
        started = time.time()
        with closing(built.producer()) as producer:
            accepted = sum(1 for _ in producer.enqueue_many(_sends(case, size)))
        if case.waiting:
            started = time.time()
            steering.resume(Scope())
        processes.wait_until(lambda: _taken(provider) >= accepted, "the last recipient", WITHIN * limit.window)
        return _figures(provider, limit, started)


def _taken(provider: StrictProvider) -> int:
    return sum(call.messages for call in provider.calls() if call.accepted)


def _figures(provider: StrictProvider, limit: Limit, started: float) -> dict[str, Any]:
    calls = provider.calls()
    return {
        "calls": len(calls),
        "recipients": _taken(provider),
        "recipients_per_call": ratio(_taken(provider), len(calls)),
        "seconds": rounded(max(call.counted for call in calls) - started, 2),
        **audit.obedience(calls, [limit]),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All cases; the figures of the whole are the worst of the waiting ones, and violations are added up over all."""
    machine, limit = output.machine(), Limit(CALLS, "calls", options.window)
    results = {}
    for case in CASES:
        if case.name in (options.case or [case.name]):
            results[case.name] = measure(case, options.size, limit)
            output.table([{"case": case.name, **results[case.name]}])
    waiting = [results[case.name] for case in CASES if case.waiting and case.name in results]
    return {
        "bench": "batch",
        "calls": max((one["calls"] for one in waiting), default=None),
        "recipients_per_call": min((one["recipients_per_call"] for one in waiting), default=None),
        "seconds": max((one["seconds"] for one in waiting), default=None),
        "violations": sum(one["violations"] for one in results.values()),
        "recipients": options.size,
        "cases": results,
        "machine": machine,
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="singles (%(default)s)")
    parser.add_argument("--window", type=float, default=WINDOW, help=f"seconds in which {CALLS} calls are allowed (%(default)s)")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="this case only (repeatable)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
