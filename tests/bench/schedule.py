"""Schedules that wait: what each of them weighs, how punctually a thousand of one second fire, how fast they are steered.

`fire_*` is from an occurrence's time to the event that it has become an intent; `call_*` to the first byte of the call that
carries it, where the provider's limits leave room for all at once.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import milliseconds, percentile, rounded
from tests.bench.support.house import House, Store, build_house
from tests.bench.support.noop import NoopProvider, start_noop

from tuma_producer import At, Every, Send
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIZE = 1_000_000
PUNCTUAL = 1_000  # schedules that fire within one second
STEERED = 300  # schedules that are paused, resumed and cancelled, one after the other
AHEAD = 3.0  # seconds between the last enqueue and the first firing
FULL_RATE = 2_000  # schedules accepted in a second, at the least: how long before their firing they are to be put in
OPEN = Limit(1_000_000, "calls", 1.0)
TEXT = "Good morning."


def _waiting(size: int) -> Iterator[Send]:
    """Schedules of one recipient each that fire every day, not before tomorrow."""
    start = datetime.now(UTC).date() + timedelta(days=2)
    every = Every(frequency="daily", times="08:00", start=start, tz="Africa/Kinshasa")
    return (Send(account=house.ACCOUNT, to=house.number(place), message=TEXT, schedule=every) for place in range(size))


def _used(store: Store) -> int:
    memory: Any = store.redis.info("memory")
    return int(memory["used_memory"])


def _weight(built: House, size: int) -> tuple[dict[str, Any], list[str]]:
    """What they weigh and how fast they are accepted; and the ids of some."""
    some: list[str] = []
    before, started = _used(built.store), time.perf_counter()
    with closing(built.producer()) as producer:
        for receipt in producer.enqueue_many(_waiting(size)):
            if len(some) < STEERED:
                some.append(receipt.id)
    took = time.perf_counter() - started
    # The stream of events is trimmed, and is not what a schedule that waits weighs.
    events: Any = built.store.redis.memory_usage(AccountKeys(house.ACCOUNT).events, samples=0)
    weight = (_used(built.store) - before - int(events)) / size
    return {"schedules": size, "bytes_per_schedule": rounded(weight, 0), "accepted_per_s": rounded(size / took, 0)}, some


def _steering(built: House, some: list[str]) -> dict[str, Any]:
    """Pause, resume and cancel, one after the other by one producer."""
    with closing(built.producer()) as producer:
        started = time.perf_counter()
        for schedule in some:
            for verb in (producer.pause, producer.resume, producer.cancel):
                if verb(schedule).outcome != "done":
                    message = f"{verb.__name__} of a waiting schedule was not done"
                    raise RuntimeError(message)
        took = time.perf_counter() - started
    return {"pause_resume_cancel_per_s": rounded(len(some) / took, 0)}


def _lateness(built: House, provider: NoopProvider, punctual: int) -> dict[str, Any]:
    """Schedules whose one time lies within the same second, evenly, while all the others wait."""
    built.start_workers(1)
    first = datetime.now(UTC) + timedelta(seconds=AHEAD + punctual / FULL_RATE)
    due = {house.number(place): first + timedelta(seconds=place / punctual) for place in range(punctual)}
    sends = (Send(account=house.ACCOUNT, to=number, message=TEXT, schedule=At(times=at)) for number, at in due.items())
    built.fill("punctual", sends)
    spare = (first - datetime.now(UTC)).total_seconds()
    processes.wait_until(lambda: provider.seen()["recipients"] >= punctual, "the last of them")
    seen = provider.seen()
    calls = [arrived - due[number].timestamp() for arrived, numbers in seen["kept"] for number in numbers]
    if len(calls) != punctual or min(calls) < 0:
        message = f"{len(calls)} of {punctual} fired, the earliest {min(calls):.3f} s after its time"
        raise RuntimeError(message)
    fires = _fired(built.store)
    return {
        "punctual": punctual,
        "put_in_before_s": rounded(spare, 2),
        "fire_p50_ms": milliseconds(percentile(fires, 0.5)),
        "fire_p99_ms": milliseconds(percentile(fires, 0.99)),
        "call_p50_ms": milliseconds(percentile(calls, 0.5)),
        "call_p99_ms": milliseconds(percentile(calls, 0.99)),
        "calls": seen["calls"],
    }


def _fired(store: Store) -> list[float]:
    """By how many seconds each occurrence was later than its time, as the events tell."""
    entries: Any = store.redis.xrange(AccountKeys(house.ACCOUNT).events)
    return [(int(entry.partition(b"-")[0]) - int(fields[b"t"])) / 1000 for entry, fields in entries if fields.get(b"e") == b"fired"]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Weight, steering, then punctuality, all beside the schedules that wait."""
    machine = output.machine()
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        provider = start_noop(programs, keep=True)
        built = build_house(programs, store, "lisoloo", provider.url, [OPEN])
        built.introduce()
        weight, some = _weight(built, options.size)
        output.table([weight])
        steering = _steering(built, some)
        output.table([steering])
        store.redis.delete(AccountKeys(house.ACCOUNT).events)
        lateness = _lateness(built, provider, options.punctual)
        output.table([lateness])
    return {"bench": "schedule", **weight, **steering, **lateness, "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="schedules that wait (%(default)s)")
    parser.add_argument("--punctual", type=int, default=PUNCTUAL, help="schedules that fire in one second (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
