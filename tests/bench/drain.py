"""How fast a backlog goes out where nothing limits it: two worker processes of eight threads, a provider that costs nothing.

`batched` has one text, so that a call carries a hundred recipients; `calls` has one recipient a call, each with limiter, record and
events; `both` is produced by one process while the workers drain it. Beside them, in the same round and so on the same machine in
the same minute: `bare`, two processes that make the same Redis writes for a hundred recipients at a time and no calls at all, and
the peers making the POST of `calls`. Last, `calls` by one worker process and more, and stock Dramatiq's, at a provider whose
answers take a tenth of a second as a real one's do: where workers wait, more of them do more. A rate is taken between the moments
when a tenth and nine tenths of the work had arrived: the start and the end of processes are not in it. Figures are medians over the
rounds, and so are the ratios.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, peers, processes
from tests.bench.support.audit import Limit
from tests.bench.support.bare_drain import GO
from tests.bench.support.bare_writes import TOGETHER, BareQueue
from tests.bench.support.environments import MissingError
from tests.bench.support.figures import rounded
from tests.bench.support.house import House, Store, build_house
from tests.bench.support.noop import NoopProvider, start_noop

from tuma_producer import Send
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.queue.config import SEND
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from tests.bench.support.peers import Peer
    from tests.bench.support.processes import Programs

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."
OPEN = Limit(1_000_000, "calls", 1.0)
WORKERS = 2
SIZE = 40_000  # recipients of a batched part; parts with a call for each have a tenth
CALLS_SHARE = 0.1
ROUNDS = 3
STEPS = (1, 2, 4, 8)  # worker processes
ANSWER = 0.1  # seconds, of the provider that is asked by more and more workers
STEP_LASTS = 6.0  # seconds, at the most that so many workers could do
FROM, TO = 0.1, 0.9  # of the work: between them a rate is taken
WITHIN = 300.0

_LOOK = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Site:
    """A server, a provider, and what is started for one part."""

    programs: Programs
    store: Store
    provider: NoopProvider
    workers: int = WORKERS


def _sends(count: int, *, coalesce: bool) -> Iterator[Send]:
    for place in range(count):
        yield Send(account=house.ACCOUNT, to=house.number(place), message=TEXT, sender_id=house.SENDER, coalesce=coalesce)


def _rate(count: Callable[[], int], whole: int, what: str) -> float:
    """Work per second between its first and last tenth, as `count` grows to the whole."""
    samples = [(time.perf_counter(), count())]
    while samples[-1][1] < whole:
        if samples[-1][0] - samples[0][0] > WITHIN:
            message = f"not within {WITHIN:g} s: {what}"
            raise processes.NotStartedError(message)
        time.sleep(_LOOK)
        samples.append((time.perf_counter(), count()))
    began, before = _crossing(samples, FROM * whole)
    ended, after = _crossing(samples, TO * whole)
    if after == before:  # less work than two looks can tell apart
        (began, before), (ended, after) = samples[0], samples[-1]
    return (after - before) / (ended - began)


def _crossing(samples: list[tuple[float, int]], level: float) -> tuple[float, int]:
    """The first sample at or over this level."""
    return next(after for _, after in pairwise([samples[0], *samples]) if after[1] >= level)


def _house(site: Site) -> House:
    return build_house(site.programs, site.store, "lisoloo", site.provider.url, [OPEN], batch_max=TOGETHER)


def _drained(site: Site, size: int, *, coalesce: bool) -> float:
    """Fill a paused line, let it go."""
    built = _house(site)
    built.start_workers(site.workers)
    steering = Steering(site.store.redis, house.ACCOUNT, SEND, "bench")
    steering.pause(Scope())
    with closing(built.producer()) as producer:
        accepted = sum(1 for _ in producer.enqueue_many(_sends(size, coalesce=coalesce)))
    steering.resume(Scope())
    rate = _rate(lambda: int(site.provider.seen()["recipients"]), accepted, "the last call")
    _check(site, accepted)
    return rate


def batched(site: Site, size: int) -> float:
    """Recipients per second, a hundred in a call."""
    return _drained(site, size, coalesce=True)


def calls(site: Site, size: int) -> float:
    """Calls per second, one recipient in each."""
    return _drained(site, round(size * CALLS_SHARE), coalesce=False)


def both(site: Site, size: int) -> float:
    """Recipients per second from the first `enqueue_many` to the last call, produced and drained at once."""
    built = _house(site)
    built.start_workers(WORKERS)
    with closing(built.producer()) as producer:
        started = time.perf_counter()
        accepted = sum(1 for _ in producer.enqueue_many(_sends(size, coalesce=True)))
        processes.wait_until(lambda: int(site.provider.seen()["recipients"]) == accepted, "the last call", WITHIN)
        took = time.perf_counter() - started
    _check(site, accepted)
    return accepted / took


def _check(site: Site, accepted: int) -> None:
    """Every recipient was called for once, and is written down as handed over."""
    keys = AccountKeys(house.ACCOUNT)
    queue = keys.queue(SEND)
    processes.wait_until(lambda: not site.store.redis.hlen(queue.inflight), "the last settlement")
    seen = site.provider.seen()["recipients"]
    told: Any = site.store.redis.xrange(keys.events)
    events = sum(fields[b"e"] == b"submitted" for _, fields in told)
    if (seen, events) != (accepted, accepted):
        message = f"{accepted} accepted, {seen} called for, {events} handed over"
        raise RuntimeError(message)


def bare(site: Site, size: int) -> float:
    """Recipients per second of the same writes by bare scripts."""
    queue = BareQueue(site.store.redis)
    queue.load()
    queue.enqueue_many(size, TEXT)
    command = [sys.executable, "-m", "tests.bench.support.bare_drain", site.store.url]
    started = [site.programs.start(f"bare-{number}", [*command, f"{number:04x}"]) for number in range(WORKERS)]
    for program in started:
        program.until("ready")
    site.store.redis.rpush(GO, *range(WORKERS))
    told = [json.loads(program.until("items")) for program in started]
    if (items := sum(one["items"] for one in told)) != size:
        message = f"{size} written, {items} drained"
        raise RuntimeError(message)
    return float(size / (max(one["ended"] for one in told) - min(one["began"] for one in told)))


def _peer(peer: Peer) -> Callable[[Site, int], float]:
    """Its part: calls per second, which raises `MissingError` where it cannot run."""

    def calls_of_peer(site: Site, size: int) -> float:
        peer.prepare()
        jobs, setting = round(size * CALLS_SHARE), peers.Setting(site.store.url, site.provider.url)
        peers.fill(site.programs, peer, setting, jobs)
        peers.start_workers(site.programs, peer, setting, site.workers)
        return _rate(lambda: int(site.provider.seen()["calls"]), jobs, "the last call")

    return calls_of_peer


OURS: dict[str, Callable[[Site, int], float]] = {"batched": batched, "bare": bare, "both": both, "calls": calls}
PEERS: dict[str, Callable[[Site, int], float]] = {name: _peer(peer) for name, peer in peers.ALL.items()}


def _measure(part: Callable[[Site, int], float], size: int) -> float:
    """One part on a server and with a provider of its own."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        return part(Site(programs, store, start_noop(programs)), size)


def _by_workers(part: Callable[[Site, int], float]) -> dict[str, int]:
    """Calls per second of so many worker processes, where an answer takes a while."""
    return {str(workers): round(_step(part, workers)) for workers in STEPS}


def _step(part: Callable[[Site, int], float], workers: int) -> float:
    at_most = workers * house.THREADS / ANSWER
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        site = Site(programs, store, start_noop(programs, takes=ANSWER), workers)
        return part(site, round(at_most * STEP_LASTS / CALLS_SHARE))


def _stepped(parts: dict[str, Callable[[Site, int], float]]) -> dict[str, dict[str, int] | None]:
    """Ours and stock Dramatiq's, of those that were wanted; None where one cannot run."""
    found: dict[str, dict[str, int] | None] = {}
    for name in [name for name in ("calls", "dramatiq") if name in parts]:
        try:
            found[name] = _by_workers(parts[name])
            output.table([{"calls/s by workers": name, **(found[name] or {})}])
        except (MissingError, processes.NotStartedError) as error:
            if name not in PEERS:
                raise
            output.notice(f"{name} is left out: {error}")
            found[name] = None
    return found


def _round(parts: dict[str, Callable[[Site, int], float]], size: int) -> dict[str, float]:
    found = {}
    for name, part in parts.items():
        try:
            found[name] = _measure(part, size)
        except (MissingError, processes.NotStartedError) as error:
            if name not in PEERS:
                raise
            output.notice(f"{name} is left out: {error}")
    output.table([{name: round(rate) for name, rate in found.items()}])
    return found


def _middle(rounds: list[dict[str, float]], part: str) -> int | None:
    found = [one[part] for one in rounds if part in one]
    return round(median(found)) if found else None


def _ratio(rounds: list[dict[str, float]], part: str, to: str) -> float | None:
    """The median of the ratios within each round."""
    found = [one[part] / one[to] for one in rounds if part in one and to in one]
    return rounded(median(found), 3) if found else None


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    machine = output.machine()
    parts = {name: part for name, part in (OURS | ({} if options.no_peers else PEERS)).items() if name in (options.part or [name])}
    rounds = [_round(parts, options.size) for _ in range(options.rounds)]
    stepped = {} if options.no_steps else _stepped(parts)
    return {
        "bench": "drain",
        "recipients_per_s_batched": _middle(rounds, "batched"),
        "bare_per_s": _middle(rounds, "bare"),
        "batched_vs_bare": _ratio(rounds, "batched", "bare"),
        "calls_per_s": _middle(rounds, "calls"),
        "calls_vs_stock_dramatiq": _ratio(rounds, "calls", "dramatiq"),
        "produced_and_drained_per_s": _middle(rounds, "both"),
        "peers": {name: {"calls_per_s": _middle(rounds, name)} for name in PEERS if name in parts},
        "calls_per_s_by_workers": stepped,
        "machine": machine,
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="recipients of a batched part (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--part", action="append", choices=[*OURS, *PEERS], help="this part only (repeatable)")
    parser.add_argument("--no-steps", action="store_true", help="without more and more workers")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
