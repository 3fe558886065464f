"""An OTP behind a campaign: how long it waits for its call when the limit is used up by a hundred thousand bulk recipients.

Half of them are sends of their own, half share calls by the hundred. Once a whole window is full of them, an OTP is enqueued every
200 ms. The promise is one permit interval: the time in which the limit allows one call.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from tests.bench.support import audit, house, output, processes
from tests.bench.support.audit import Limit
from tests.bench.support.figures import milliseconds, percentile, ratio

from tuma_producer import Send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tests.bench.support.audit import Call
    from tests.bench.support.house import House

WORKERS = 2
EVERY = 0.2  # seconds between two OTPs
SHARED = 100  # recipients of a send that shares a call
LATENCY_MS = 50.0

_OTP = "otp "  # an OTP's text: this and the time of its enqueueing in nanoseconds


def campaign(recipients: int) -> Iterator[Send]:
    """So many bulk recipients: alternately one send to a hundred, and a hundred sends to one each."""
    for first in range(0, recipients, 2 * SHARED):
        numbers = [house.number(place) for place in range(first, min(first + 2 * SHARED, recipients))]
        common: dict[str, Any] = {"account": house.ACCOUNT, "priority": "bulk"}
        yield Send(to=numbers[:SHARED], message=f"Offer {first}", **common)
        for number in numbers[SHARED:]:
            yield Send(to=number, message=f"Offer for {number}", coalesce=False, **common)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The one case there is."""
    machine, limit = output.machine(), Limit(options.calls, "calls", options.window)
    with house.behind(limit, latency_ms=LATENCY_MS) as (built, provider):
        built.fill("campaigns", campaign(options.recipients))
        built.start_workers(WORKERS)
        processes.wait_until(provider.any_call, "the first call")
        time.sleep(options.window + 1)  # the windows fill with bulk calls
        began = time.time()
        sent = _send_otps(built, options.seconds)
        processes.wait_until(lambda: len(_otps(provider.calls())) >= sent, "the last OTP's call")
        figures = _figures(provider.calls(), limit, (began, began + options.seconds))
    output.table([figures])
    return {"bench": "priority", **figures, "recipients": options.recipients, "machine": machine}


def _send_otps(built: House, seconds: float) -> int:
    """Enqueue one each 200 ms, by a clock that does not run late where an enqueueing took long. Returns how many."""
    producer, count, began = built.producer("login"), math.ceil(seconds / EVERY), time.monotonic()
    for place in range(count):
        time.sleep(max(0.0, began + place * EVERY - time.monotonic()))
        to = house.number(9_000_000 + place)
        producer.enqueue(Send(account=house.ACCOUNT, to=to, message=f"{_OTP}{time.time_ns()}", priority="otp"))
    producer.close()
    return count


def _otps(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if call.key.startswith(_OTP)]


def _figures(calls: Sequence[Call], limit: Limit, span: tuple[float, float]) -> dict[str, Any]:
    enqueued = {call: int(call.key.removeprefix(_OTP)) / 1e9 for call in _otps(calls)}
    waits = [call.arrived - moment for call, moment in enqueued.items()]
    within = [call for call in calls if call.accepted and span[0] <= call.counted < span[1]]
    otps = len(_otps(within))
    allowed = limit.count * (span[1] - span[0]) / limit.window
    return {
        "otps": len(waits),
        "otp_p50_ms": milliseconds(percentile(waits, 0.5)),
        "otp_p99_ms": milliseconds(percentile(waits, 0.99)),
        "otp_max_ms": milliseconds(max(waits, default=None)),
        "permit_interval_ms": milliseconds(limit.window / limit.count),
        "bulk_calls": len(within) - otps,
        "bulk_share_of_what_otps_leave": ratio(len(within) - otps, allowed - otps),
        # The floor is a reserve for the next OTPs, so that it is no part of what bulk may have.
        "bulk_share_of_rest": ratio(len(within) - otps, allowed * (1 - house.OTP_FLOOR) - otps),
        **audit.obedience(calls, [limit]),
        "waits": [[round(moment - span[0], 2), milliseconds(call.arrived - moment)] for call, moment in enqueued.items()],
    }


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=60)
    parser.add_argument("--calls", type=int, default=60, help="calls that a window allows (%(default)s)")
    parser.add_argument("--window", type=float, default=10.0, help="the window in seconds (%(default)s)")
    parser.add_argument("--recipients", type=int, default=100_000, help="bulk recipients that wait (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
