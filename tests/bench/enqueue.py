"""What it costs to accept a send: intents per second of one process, its CPU and the server's, writes and memory.

Every round measures our two ways, the bare writes, and again, one after another on the same server, so that a busy machine is busy
for all of them; the figures are medians over the rounds, and so are the ratios. What is measured begins with the construction of a
`Send` from what a service has (number and text) and ends with the last receipt. The bare writes are a script with the same writes,
a hundred in a pipeline, without any check.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, peers, processes
from tests.bench.support.audit import Limit
from tests.bench.support.bare_writes import BareQueue
from tests.bench.support.costs import Cost, measured
from tests.bench.support.figures import rounded
from tests.bench.support.house import House, Store, build_house

from tuma_producer import Producer, Send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from tests.bench.support.peers import Peer

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
NOWHERE = "http://127.0.0.1:9"  # nobody is at work, so nothing is ever called
SIZE = 10_000
ROUNDS = 5
WARM_UP = 200  # as the peers' programs do


@dataclass(frozen=True, slots=True)
class Way:
    """One way to accept singles: `accept` so many of them."""

    name: str
    accept: Callable[[int], None]
    share: float = 1.0  # of a round's size: what takes a round trip each gets fewer


def _sends(count: int, *, distinct: bool = False, offset: int = 0) -> Iterator[Send]:
    for place in range(offset, offset + count):
        yield Send(account=house.ACCOUNT, to=house.number(place), message=f"{TEXT} {place}" if distinct else TEXT)


def ways(producer: Producer, bare: BareQueue) -> tuple[Way, ...]:
    """What is compared."""

    def one_by_one(count: int) -> None:
        for send in _sends(count):
            producer.enqueue(send)

    def many(count: int, *, distinct: bool = False) -> None:
        for _ in producer.enqueue_many(_sends(count, distinct=distinct)):
            pass

    return (
        Way("enqueue", one_by_one, share=0.4),
        Way("enqueue_many", many),
        Way("bare", lambda count: bare.enqueue_many(count, TEXT)),
        Way("enqueue_many_distinct", lambda count: many(count, distinct=True)),
        Way("bare_distinct", lambda count: bare.enqueue_many(count, TEXT, distinct=True)),
    )


def _round(store: Store, built: House, bare: BareQueue, size: int) -> dict[str, Any]:
    """Every way once, each on an empty line."""
    found = {}
    with closing(built.producer()) as producer:
        for way in ways(producer, bare):
            store.empty()
            way.accept(WARM_UP)
            count = max(1, round(size * way.share))
            with measured(store) as cost:
                way.accept(count)
            found[way.name] = _figures(cost, count)
    return found


def _figures(cost: Cost, count: int) -> dict[str, float]:
    return {
        "per_s": count / cost.seconds,
        "cpu_s_per_1000": cost.client_cpu / count * 1000,
        "redis_cpu_s_per_1000": cost.server_cpu / count * 1000,
        "bytes": cost.memory / count,
        "writes": cost.writes / count,
    }


def _middle(rounds: list[dict[str, Any]], way: str, figure: str) -> float:
    return float(median(found[way][figure] for found in rounds))


def _ratio(rounds: list[dict[str, Any]], way: str, to: str) -> float:
    """The median of the ratios, each of two neighbours in time."""
    return float(median(found[way]["per_s"] / found[to]["per_s"] for found in rounds))


def measure(size: int, rounds: int) -> dict[str, Any]:
    """All rounds on one server."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        built = build_house(programs, store, "lisoloo", NOWHERE, [Limit(1000, "calls", 1.0)])
        built.introduce()
        bare = BareQueue(store.redis)
        bare.load()
        measured_rounds = [_round(store, built, bare, size) for _ in range(rounds)]
    names = list(measured_rounds[0])
    output.table([
        {"way": name} | {figure: rounded(_middle(measured_rounds, name, figure), 3) for figure in measured_rounds[0][name]}
        for name in names
    ])  # fmt: skip
    return _summary(measured_rounds)


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    same = _middle(rounds, "enqueue_many", "bytes") - len(TEXT)
    distinct = _middle(rounds, "enqueue_many_distinct", "bytes") - len(TEXT)
    return {
        "enqueue_per_s": round(_middle(rounds, "enqueue", "per_s")),
        "enqueue_many_per_s": round(_middle(rounds, "enqueue_many", "per_s")),
        "enqueue_many_distinct_per_s": round(_middle(rounds, "enqueue_many_distinct", "per_s")),
        "bare_per_s": round(_middle(rounds, "bare", "per_s")),
        "enqueue_many_vs_bare": rounded(_ratio(rounds, "enqueue_many", "bare"), 3),
        "enqueue_many_distinct_vs_bare": rounded(_ratio(rounds, "enqueue_many_distinct", "bare_distinct"), 3),
        "cpu_s_per_1000": rounded(_middle(rounds, "enqueue_many", "cpu_s_per_1000")),
        "redis_cpu_s_per_1000": rounded(_middle(rounds, "enqueue_many", "redis_cpu_s_per_1000")),
        "bytes_per_waiting_single": round(distinct + len(TEXT)),
        "bytes_per_waiting_single_beyond_text": round(max(same, distinct)),
        "bytes_per_waiting_single_beyond_text_same": round(same),
        "bytes_per_waiting_single_beyond_text_distinct": round(distinct),
        "redis_writes_per_intent": rounded(_middle(rounds, "enqueue_many", "writes"), 2),
    }


def measure_peer(peer: Peer, size: int) -> dict[str, Any]:
    """One peer, from one process of its own: one by one, and by its call for many where it has one."""
    many = _peer_rate(peer, "many", size)["per_s"] if peer.many else None
    return {**_peer_rate(peer, "rate", size), "many_per_s": many}


def _peer_rate(peer: Peer, mode: str, size: int) -> dict[str, Any]:
    """What it tells, on a server of its own."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        before = store.memory()
        program = programs.start(peer.name, [*peer.enqueue, mode, str(size)], **peers.Setting(store.url).environment())
        figures: dict[str, Any] = json.loads(program.until("per_s"))
        return figures | {"bytes_per_waiting_single": round((store.memory() - before) / (size + WARM_UP))}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ours, then the peers."""
    machine = output.machine()
    found = measure(options.size, options.rounds)
    measured_peers = peers.measure_each(
        peers.chosen(peers.ALL, options), lambda peer: measure_peer(peer, max(1, options.size // 2))
    )
    return {"bench": "enqueue", **found, "peers": measured_peers, "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="singles of a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, of which the median counts (%(default)s)")
    peers.add_option(parser, peers.ALL)
    output.measure(parser, run)


if __name__ == "__main__":
    main()
