"""What dies with a worker, and how soon somebody else has done it: 2,000 sends, five SIGKILLs, then SIGTERMs; others beside ours.

Two workers send to the sandbox, whose answers take 100 ms. One of them is killed while it holds calls, and another is started. What
it held is looked up in Redis at that moment; it is recovered when the provider has it and our records say so. The same is done with
SIGTERM. Leases and patience are the defaults. Other queues get the same sends, SIGKILLs and provider: `support/crash_peers.py`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import crash_peers, output, peers
from tests.bench.support.crash_peers import LATENCY_MS
from tests.bench.support.figures import rounded
from tests.bench.support.house import THREADS
from tests.support import servers
from tests.support.houses import House, open_house

from tuma_producer import Send
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.store.accounts import held_by

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tests.support.programs import Running

ACCOUNT = "bench"
SIZE = 2000
TIMES = 5  # of each signal
EVERY = 2.0  # seconds between two deaths
WITHIN = 120.0  # seconds from the last death: what is not done by then is told as such

_ON_THE_WAY = {"accepted", "queued", "sending"}


def _held_by(house: House, worker: Running) -> set[str]:
    """The intents that a worker's processes hold now: claimed, or on the wire."""
    record: Any = house.redis.hgetall(AccountKeys(ACCOUNT).queue("send").inflight)
    fields = {name.decode(): value.decode() for name, value in record.items()}
    batches = [name for name, packed in fields.items() if not name.endswith(":items") and _is_of(packed, worker)]
    subjects = [subject for name in batches for subject in fields.get(f"{name}:items", "").split()[1::2]]
    return {f"{ACCOUNT}.{subject.partition(':')[0]}" for subject in subjects if ":" in subject}


def _is_of(packed: str, worker: Running) -> bool:
    pid = int(held_by(packed).rpartition(":")[2])
    try:
        return os.getpgid(pid) == worker.process.pid
    except ProcessLookupError:  # of a worker that died before
        return False


def _end(house: House, worker: Running, how: signal.Signals) -> tuple[float, set[str]]:
    """End a worker while it holds something. Returns when, and what it held."""
    while not (held := _held_by(house, worker)):
        time.sleep(0.005)
    ended = time.monotonic()
    if how is signal.SIGKILL:
        worker.kill()
    else:
        worker.process.send_signal(how)
    return ended, held


def _recovered(house: House, held: set[str]) -> bool:
    return not any(_ON_THE_WAY.intersection(house.producer.get(intent).counts) for intent in held)


def _deaths(house: House, how: signal.Signals, *, times: int, size: int, within: float) -> dict[str, Any]:
    """Drain a backlog through so many deaths."""
    texts = [f"{how.name} {place}" for place in range(size)]
    sends = (Send(account=ACCOUNT, to=f"+24399{place:07d}", message=text, coalesce=False) for place, text in enumerate(texts))
    workers = [house.worker(threads=THREADS), house.worker(threads=THREADS)]
    intents = [receipt.id for receipt in house.producer.enqueue_many(sends)]
    waiting: list[tuple[float, set[str]]] = []
    took: list[float] = []
    for turn in range(times):
        waiting.append(_end(house, workers[turn % 2], how))
        workers[turn % 2] = house.start("worker", "--threads", str(THREADS))
        _watch(house, waiting, took, EVERY)
    deadline = time.monotonic() + within
    _watch(house, waiting, took, within)
    left = _left(house, intents, deadline)
    copies = Counter(text for call in house.sandbox.calls(ACCOUNT) for text in [call["message"]] if text in set(texts))
    for worker in workers:
        worker.kill()
    missing = [intent for text, intent in zip(texts, intents, strict=True) if text not in copies and intent not in left]
    unknown = sum("unknown" in house.producer.get(intent).counts for intent in missing)
    return {
        "lost": len(missing) - unknown,
        "told_as_unknown": unknown,  # a worker died with the call written down and not yet made, at a provider without books
        "duplicated": sum(count - 1 for count in copies.values()),
        "not_done_within_s": len(left),
        "unrecovered": len(waiting),
        "recovered_median_s": rounded(median(took), 3) if took else None,
        "recovered_max_s": rounded(max(took), 3) if took else None,
    }


def _left(house: House, intents: Sequence[str], deadline: float) -> set[str]:
    """Those of these intents that are still on their way when all are done or the time is over."""
    left = set(intents)
    while (left := {one for one in left if not _recovered(house, {one})}) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _watch(house: House, waiting: list[tuple[float, set[str]]], took: list[float], seconds: float) -> None:
    """Note how long each death's work took to be done, for so many seconds; less where `seconds` is all the patience there is."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and (waiting or seconds == EVERY):
        for one in [one for one in waiting if _recovered(house, one[1])]:
            waiting.remove(one)
            took.append(time.monotonic() - one[0])
        time.sleep(0.005)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Both ways to end, then the others."""
    machine = output.machine()
    server = servers.start()
    account = {"provider": "lisoloo", "limits": ["1000000 calls/1s"]}
    config = {"latency_ms": LATENCY_MS, "lisoloo": {"limits": {"send": []}}}
    try:
        with open_house(server, {ACCOUNT: account}, config=config) as house:
            sizes = {"times": options.times, "size": options.size, "within": options.within}
            found = {how.name: _deaths(house, how, **sizes) for how in (signal.SIGKILL, signal.SIGTERM)}
    finally:
        server.stop()
    output.table([{"signal": name, **figures} for name, figures in found.items()])
    return {
        "bench": "crash",
        "sends": options.size,
        "deaths": options.times,
        "within_s": options.within,
        "tuma": found,
        "peers": crash_peers.measure(peers.chosen(crash_peers.CRASHED, options), every=EVERY, **sizes),
        "machine": machine,
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=SIZE, help="sends for each signal (%(default)s)")
    parser.add_argument("--times", type=int, default=TIMES, help="deaths of each kind (%(default)s)")
    parser.add_argument("--within", type=float, default=WITHIN, help="seconds to wait after the last death (%(default)s)")
    peers.add_option(parser, crash_peers.CRASHED)
    output.measure(parser, run)


if __name__ == "__main__":
    main()
