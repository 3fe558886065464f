"""A small source beside a large one: `early` has a hundred thousand sends in the line when `late` comes with its hundred.

Both in one lane, and none shares a call. Fair would be half of the calls for each until `late` is through: its hundred in the time
of two hundred calls. `ratio` is what it took by that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.bench.support import audit, house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import ratio, rounded

from tuma_producer import Send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tests.bench.support.audit import Call
    from tests.bench.support.provider import StrictProvider

WORKERS = 2
SOURCES = 2
LATENCY_MS = 10.0


def sends(source: str, count: int, first: int) -> Iterator[Send]:
    """So many sends of one source, each a call of its own."""
    for place in range(first, first + count):
        yield Send(account=house.ACCOUNT, to=house.number(place), message=f"{source} {place}", coalesce=False)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The one case there is."""
    machine, limit = output.machine(), Limit(options.calls, "calls", options.window)
    with house.behind(limit, latency_ms=LATENCY_MS) as (built, provider):
        built.fill("early", sends("early", options.early, 0))
        built.start_workers(WORKERS)
        processes.wait_until(provider.any_call, "the first call")
        time.sleep(options.window + 1)  # the line moves evenly
        began = time.time()
        built.fill("late", sends("late", options.late, options.early))
        _wait_for(provider, "late", options.late, options.seconds)
        figures = _figures(provider.calls(), limit, began, options.late)
    output.table([figures])
    return {"bench": "fair", **figures, "early": options.early, "late": options.late, "machine": machine}


def _wait_for(provider: StrictProvider, source: str, count: int, within: float) -> None:
    """Return once so many calls of this source have arrived."""

    def arrived() -> bool:
        return len(_of(provider.calls(), source)) >= count

    processes.wait_until(arrived, f"{count} calls of {source}", within, every=0.25)  # asked seldom: asking is a load


def _of(calls: Sequence[Call], source: str) -> list[Call]:
    return [call for call in calls if call.accepted and call.key.startswith(source)]


def _figures(calls: Sequence[Call], limit: Limit, began: float, count: int) -> dict[str, Any]:
    last = max(call.arrived for call in _of(calls, "late"))
    meanwhile = [call for call in _of(calls, "early") if began <= call.arrived <= last]
    rate = limit.count * (1 - house.OTP_FLOOR) / limit.window
    fair = SOURCES * count / rate
    return {
        "b_last_s": rounded(last - began, 3),
        "fair_time_s": rounded(fair, 3),
        "ratio": ratio(last - began, fair),
        "a_calls_meanwhile": len(meanwhile),
        **audit.obedience(calls, [limit]),
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=90)
    parser.add_argument("--calls", type=int, default=100, help="calls that a window allows (%(default)s)")
    parser.add_argument("--window", type=float, default=1.0, help="the window in seconds (%(default)s)")
    parser.add_argument("--early", type=int, default=100_000, help="sends of the source that came first (%(default)s)")
    parser.add_argument("--late", type=int, default=100, help="sends of the source that comes then (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
