"""The limits: does a provider ever count too much, and is what it allows used?

Four worker processes, a backlog that never ends, and a provider that counts each window in every way there is. `jitter` delays each
way at random by up to 400 ms; `steady` takes 50 ms a call, and its rate is what `utilisation` and `expected_floor` are about;
`paced` is the same with the lane that is spread over the window; `threefold` has three limits at once, two in calls and one in
messages, and shared calls. Peers send the same calls through the network of `steady`.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.support import audit, house, output, peers, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import ratio, rounded
from tests.bench.support.provider import StrictProvider, start_provider

from tuma_producer import Send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tests.bench.support.audit import Call
    from tests.bench.support.house import House
    from tests.bench.support.processes import Program

    from tuma_producer.intents import Priority

WORKERS = 4
TOGETHER = 10  # sends with one text: as many as make calls and messages of the threefold limits run out together
STEADY_MS = 50.0
STEADY = {"latency_ms": STEADY_MS}
JITTER_MS = 400.0  # at most, each way
JITTER = {"jitter_ms": JITTER_MS}


@dataclass(frozen=True, slots=True)
class Case:
    """One account with its limits, behind one network."""

    name: str
    provider: str
    limits: tuple[Limit, ...]
    network: dict[str, float]
    priority: Priority = "transactional"
    together: int = 1

    @property
    def longest_call(self) -> float:
        """Seconds that the network can make of a call."""
        return (self.network.get("latency_ms", 0.0) + 2 * self.network.get("jitter_ms", 0.0)) / 1000

    @property
    def expected_floor(self) -> float:
        """What must be used at the least, of the limit with the longest window: a permit is held for its call as well."""
        window = max(limit.window for limit in self.limits)
        return window / (window + self.longest_call) - 0.005

    def sends(self, seconds: float) -> Iterator[Send]:
        """More than all windows of the measurement can take, each window opened twice as an upper bound."""
        most = min(limit.count * (math.ceil(seconds / limit.window) + 2) / (1 if limit.unit == "calls" else self.together)
                   for limit in self.limits)  # fmt: skip
        for place in range(math.ceil(most) * self.together):
            yield Send(
                account=house.ACCOUNT, to=house.number(place), message=f"Notice {place // self.together}", priority=self.priority,
                coalesce=self.together > 1,
            )  # fmt: skip


def cases(calls: int, window: float) -> tuple[Case, ...]:
    """The cases, scaled to so many calls in so many seconds. The threefold limits keep the documented messages per call."""
    one = (Limit(calls, "calls", window),)
    three = (
        Limit(max(1, round(calls * 0.3)), "calls", window / 5),
        Limit(calls, "calls", window * 2),
        Limit(calls * TOGETHER, "messages", window * 2),
    )
    return (
        Case("jitter", "lisoloo", one, JITTER),
        Case("steady", "lisoloo", one, STEADY),
        Case("paced", "lisoloo", one, STEADY, priority="bulk"),
        Case("threefold", "lineserve", three, STEADY, together=TOGETHER),
    )


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Let the workers loose on one case and audit what arrived."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        provider = start_provider(programs, case.limits, **case.network)
        built = house.build_house(programs, store, case.provider, provider.url, case.limits)
        built.introduce()
        built.fill("bench", case.sends(seconds))
        store.redis.config_resetstat()  # from here on scripts are the workers' alone
        workers = built.start_workers(WORKERS)
        _let_run(provider, seconds)
        processes.end_all(workers)
        return _figures(case, provider.calls(), seconds) | _work(built, workers, provider.calls())


def _let_run(provider: StrictProvider, seconds: float) -> None:
    """Return `seconds` after the first call, and a little: the last window is to be whole."""
    processes.wait_until(provider.any_call, "the first call")
    first = min(call.counted for call in provider.calls())
    time.sleep(max(0.0, first + seconds + 0.5 - time.time()))


def _figures(case: Case, calls: Sequence[Call], seconds: float) -> dict[str, Any]:
    share = 1 - house.OTP_FLOOR
    used = [audit.utilisation(calls, limit, seconds=seconds, share=share) for limit in case.limits]
    kept_up = [audit.sustained(calls, limit, seconds=seconds, share=share) for limit in case.limits]
    return {
        "calls": len(calls),
        "messages": sum(call.messages for call in calls if call.accepted),
        **audit.obedience(calls, case.limits),
        # Of several limits the scarcest decides: the others cannot be used up.
        "utilisation": rounded(max((one for one in used if one is not None), default=None)),
        "sustained": rounded(max((one for one in kept_up if one is not None), default=None)),
        "expected_floor": rounded(case.expected_floor),
        "use_over_time": audit.use_over_time(calls, case.limits[0], seconds=seconds, share=share),
    }


def _work(built: House, workers: Sequence[Program], calls: Sequence[Call]) -> dict[str, Any]:
    """What it took inside. The workers have ended, so that nothing is in flight.

    A call takes three scripts: claim, begin, settle. What is left of all that workers ran are claims that were told to wait (and a
    few renewals of leases, at most one per worker and five seconds, and what each does once as it starts).
    """
    attempts = built.attempts()
    refused = built.store.commands().get("evalsha", 0) - 3 * attempts
    return {
        "wasted_claims": attempts - len(calls) + sum(_started_in_vain(worker) for worker in workers),
        "refused_claims_per_call": ratio(refused, len(calls)),
    }


def _started_in_vain(worker: Program) -> int:
    """How often a job was started and could not call: the worker says so in its log."""
    lines = (line for line in worker.said().splitlines() if line.startswith("{"))
    return sum(json.loads(line).get("event") == "delivery.deferred" for line in lines)


def measure_peer(peer: peers.Peer, limit: Limit, seconds: float) -> dict[str, Any]:
    """Let the same number of a peer's worker processes loose on the calls of `steady`."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        provider = start_provider(programs, [limit], **STEADY)
        backlog = limit.count * (math.ceil(seconds / limit.window) + 2)
        setting = peers.Setting(store.url, provider.url, starts=programs.home / "starts", limit=limit)
        peers.fill(programs, peer, setting, backlog)
        started = peers.start_workers(programs, peer, setting, WORKERS)
        _let_run(provider, seconds)
        processes.end_all(started)
        calls = provider.calls()
        taken = sum(call.accepted for call in calls)
        return {
            "utilisation": rounded(audit.utilisation(calls, limit, seconds=seconds)),
            "rate_limited": len(calls) - taken,
            "wasted": setting.started() - taken,
            "use_over_time": audit.use_over_time(calls, limit, seconds=seconds),
        }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All cases, then the peers."""
    machine = output.machine()
    results = {}
    for case in cases(options.calls, options.window):
        if options.case and case.name not in options.case:
            continue
        results[case.name] = measure(case, options.seconds)
        output.table([{"case": case.name, **results[case.name]}])
    limit = Limit(options.calls, "calls", options.window)
    wanted = peers.chosen(peers.LIMITED, options)
    measured = peers.measure_each(wanted, lambda peer: measure_peer(peer, limit, options.seconds))
    return {"bench": "limits", **_together(results), "cases": results, "peers": measured, "machine": machine}


def _together(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The promises: sums over all cases, and the rate of the steady one; where it was not wanted, of the one that used least."""
    told = "steady" if "steady" in results else min(results, key=lambda name: results[name]["sustained"] or 0.0)
    of = ("utilisation", "sustained", "expected_floor", "refused_claims_per_call")
    sums = ("violations", "rate_limited", "wasted_claims")
    return {
        **{name: sum(one[name] for one in results.values()) for name in sums},
        "case": told,
        **{name: results[told][name] for name in of},
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=60)
    parser.add_argument("--calls", type=int, default=100, help="calls that a window allows (%(default)s)")
    parser.add_argument("--window", type=float, default=10.0, help="the window in seconds (%(default)s)")
    parser.add_argument("--case", action="append", choices=[case.name for case in cases(1, 1)], help="this case only (repeatable)")
    peers.add_option(parser, peers.LIMITED)
    output.measure(parser, run)


if __name__ == "__main__":
    main()
