"""How soon a send starts when nothing else is to do: from before `enqueue` to the first byte of its call at the provider.

One worker process that idles between sends, 150 to 600 ms apart. In the middle of each pause a bare blocking pop gets a job: a
process that does nothing but BLPOP and the same POST, on a server of its own. It is the floor of this machine in this minute, which
is why the ratios say more than the milliseconds. Peers get their jobs meanwhile, each on a server of its own.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, peers, processes
from tests.bench.support.audit import Limit
from tests.bench.support.bare import QUEUE
from tests.bench.support.environments import MissingError
from tests.bench.support.figures import milliseconds, percentile, ratio, rounded
from tests.bench.support.provider import StrictProvider, start_provider

from tuma_producer import Send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.support.house import Store
    from tests.bench.support.processes import Program, Programs

GAP = (0.15, 0.6)  # seconds between two sends: long enough to idle, and enough of them for a p99
WARM_UP = 2  # sends that open connections and load scripts; they are not measured
IDLE_SECONDS = 10.0
WORKERS = 1  # of each system, so that idle commands compare; peers have their stock settings
AMPLE = Limit(1000, "calls", 1.0)


@dataclass(frozen=True, slots=True)
class Lane:
    """One system under measurement: its provider tells when a call arrived, its server what it costs to wait."""

    name: str
    provider: StrictProvider
    store: Store

    def settled(self, sends: int) -> bool:
        """Whether all calls have arrived."""
        return len(self.provider.calls()) >= sends

    def waits(self) -> list[float]:
        """Seconds from enqueue to first byte, for each call but the warm-up's. A call's key is its time of enqueueing in ns."""
        calls = sorted(self.provider.calls(), key=lambda call: call.arrived)
        return [call.arrived - int(call.key) / 1e9 for call in calls][WARM_UP:]


@dataclass(frozen=True, slots=True)
class Sent(Lane):
    """A system that this process sends through."""

    send: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Dripped(Lane):
    """A peer, whose jobs a program of its own sends."""

    drip: Callable[[int], Program]


@contextmanager
def _tuma(programs: Programs) -> Iterator[Sent]:
    with house.store() as store:
        provider = start_provider(programs)
        built = house.build_house(programs, store, "lisoloo", provider.url, [AMPLE])
        built.start_workers(WORKERS)
        producer = built.producer()

        def send() -> None:
            producer.enqueue(Send(account=house.ACCOUNT, to=house.number(1), message=str(time.time_ns()), priority="otp"))

        yield Sent("tuma", provider, store, send=send)
        producer.close()


@contextmanager
def _bare(programs: Programs) -> Iterator[Sent]:
    with house.store() as store:
        provider = start_provider(programs)
        consumer = programs.start("bare", [sys.executable, "-m", "tests.bench.support.bare", store.url, provider.url])
        consumer.until("waiting")
        yield Sent("bare", provider, store, send=lambda: _push(store))


def _push(store: Store) -> None:
    store.redis.rpush(QUEUE, str(time.time_ns()))


@contextmanager
def _peer(programs: Programs, peer: peers.Peer) -> Iterator[Dripped]:
    with house.store() as store:
        provider = start_provider(programs)
        setting = peers.Setting(store.url, provider.url)
        peers.start_workers(programs, peer, setting, WORKERS)
        peers.drip(programs, peer, setting, 1, gap=(0, 0))
        processes.wait_until(provider.any_call, f"{peer.name}'s first call")
        yield Dripped(peer.name, provider, store, drip=lambda jobs: peers.drip(programs, peer, setting, jobs, GAP))


def _idle(lanes: Sequence[Lane], seconds: float) -> dict[str, tuple[float | None, float | None]]:
    """Commands per second that one worker process of each lane sends while nothing happens, and those that its scripts run."""
    with ExitStack() as stack:
        counts = {lane.name: stack.enter_context(lane.store.watched()) for lane in lanes}
        time.sleep(seconds)
        found = {name: count() for name, count in counts.items()}
    return {name: (rounded(sent / seconds, 2), rounded(inside / seconds, 2)) for name, (sent, inside) in found.items()}


def _send_alternately(first: Callable[[], None], second: Callable[[], None], sends: int, dice: random.Random) -> None:
    for _ in range(sends):
        pause = dice.uniform(*GAP)
        for send in (first, second):
            send()
            time.sleep(pause / 2)


def _send_all(ours: Sent, bare: Sent, others: Sequence[Dripped], sends: int) -> None:
    """Return once every system has had its sends and made its calls."""
    drips = [lane.drip(sends) for lane in others]
    _send_alternately(ours.send, bare.send, sends, random.Random(sends))  # noqa: S311 - pauses are no secret
    for program in drips:
        program.wait(sends * GAP[1] + processes.PATIENCE)
    for lane in (ours, bare, *others):
        processes.wait_until(partial(lane.settled, sends), f"{lane.name}'s last call")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything side by side."""
    machine, sends = output.machine(), max(1, round(options.seconds / ((GAP[0] + GAP[1]) / 2)))
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        ours, bare = stack.enter_context(_tuma(programs)), stack.enter_context(_bare(programs))
        others = _peers(stack, programs, skip=options.no_peers)
        dripped = [lane for lane in others.values() if lane is not None]
        lanes = [ours, bare, *dripped]
        idle = _idle(lanes, options.idle_seconds)
        _send_all(ours, bare, dripped, sends + WARM_UP)
        found = {lane.name: _figures(lane, idle) for lane in lanes}
    output.table([{"system": name, **figures} for name, figures in found.items()])
    start, floor = found["tuma"], found["bare"]
    return {
        "bench": "latency",
        "start_p50_ms": start["p50_ms"],
        "start_p99_ms": start["p99_ms"],
        "bare_p50_ms": floor["p50_ms"],
        "bare_p99_ms": floor["p99_ms"],
        "ratio_p50": ratio(start["p50_ms"], floor["p50_ms"]),
        "ratio_p99": ratio(start["p99_ms"], floor["p99_ms"]),
        "idle_commands_per_s": start["idle_commands_per_s"],
        "idle_commands_in_scripts_per_s": start["idle_commands_in_scripts_per_s"],
        "sends": start["sends"],
        "peers": {name: found.get(name) for name in others},
        "machine": machine,
    }


def _figures(lane: Lane, idle: dict[str, tuple[float | None, float | None]]) -> dict[str, Any]:
    waits = lane.waits()
    sent, inside = idle[lane.name]
    return {
        "sends": len(waits),
        "p50_ms": milliseconds(percentile(waits, 0.5)),
        "p99_ms": milliseconds(percentile(waits, 0.99)),
        "max_ms": milliseconds(max(waits, default=None)),
        "idle_commands_per_s": sent,
        "idle_commands_in_scripts_per_s": inside,
    }


def _peers(stack: ExitStack, programs: Programs, *, skip: bool) -> dict[str, Dripped | None]:
    lanes: dict[str, Dripped | None] = {}
    for peer in () if skip else peers.DRIPPED.values():
        try:
            peer.prepare()
            lanes[peer.name] = stack.enter_context(_peer(programs, peer))
        except (MissingError, processes.NotStartedError) as error:
            output.notice(f"{peer.name} is left out: {error}")
            lanes[peer.name] = None
    return lanes


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=108)
    parser.add_argument(
        "--idle-seconds", type=float, default=IDLE_SECONDS, help="how long the idle servers are watched (%(default)s)"
    )
    output.measure(parser, run)


if __name__ == "__main__":
    main()
