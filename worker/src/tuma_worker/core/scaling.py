"""How many calls in flight would help: what workers should be scaled by.

A backlog says nothing of that, for a limit may be what holds it; nor does the processor, which a waiting call does not use. By
Little's law, a rate of calls keeps `rate * seconds of each` slots busy; no more than that can help, and no rate passes the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUSY = 0.5  # seconds that a call is taken to last before any was measured


@dataclass(frozen=True, slots=True)
class Load:
    """What an account's sends are asked and allowed, over all workers.

    Calls per second: `permitted` by the limits (infinite without any), `arriving`. `backlog` is the calls that could go now but for
    the limits, `busy` the seconds that one keeps a thread, `concurrency` the calls that the provider takes at once (None: any).
    `room` says that the limits have room for the next call: then whoever waits does not wait for them.
    """

    permitted: float
    arriving: float
    backlog: float
    busy: float = BUSY
    concurrency: int | None = None
    room: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """The calls in flight that would help, and whether the provider's limits are what holds: no worker more would help then."""

    slots: int
    provider_bound: bool


def need(load: Load, *, drain: float = 60.0, headroom: float = 1.25) -> Need:
    """What would work off the backlog in `drain` seconds, or as fast as the limits allow. `headroom` is for the longer calls.

    The limits hold what waits wherever the next call finds no room, however slowly more arrives: a spent hour may be long.
    """
    wanted = load.arriving + load.backlog / drain
    slots = math.ceil(min(load.permitted, wanted) * load.busy * headroom)
    most = slots if load.concurrency is None else load.concurrency
    held = load.backlog > 0 and not load.room and math.isfinite(load.permitted)
    return Need(min(most, slots), provider_bound=held or slots > most)
