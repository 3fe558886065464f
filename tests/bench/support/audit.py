"""What a list of calls says about a limit: whether it was broken, and how much of it was used. Shares no code with the provider."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIGNMENTS = (0.0, 0.25, 0.5, 0.75)
STEPS = 20  # of a window, where its use is told over time


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the provider saw it, times in Unix seconds: its first byte `arrived`, its windows saw it at `counted`."""

    arrived: float
    counted: float
    accepted: bool
    messages: int
    key: str


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` of `unit` (`calls` or `messages`) in `window` seconds."""

    count: int
    unit: str
    window: float

    def __str__(self) -> str:
        return f"{self.count} {self.unit}/{self.window:g}s"

    def weight(self, call: Call) -> int:
        """What a call weighs against this limit."""
        return 1 if self.unit == "calls" else call.messages


def violations(calls: Sequence[Call], limits: Sequence[Limit]) -> int:
    """How many calls, refused ones included, were too many in some window of some limit, sliding or fixed in any alignment."""
    ordered = sorted(calls, key=lambda call: call.counted)
    over: set[int] = set()
    for limit in limits:
        over |= _over_sliding(ordered, limit)
        for shift in ALIGNMENTS:
            over |= _over_fixed(ordered, limit, shift)
    return len(over)


def obedience(calls: Sequence[Call], limits: Sequence[Limit]) -> dict[str, Any]:
    """How often the limits were broken, and what the provider refused: nothing, both times, is the promise."""
    return {"violations": violations(calls, limits), "rate_limited": sum(not call.accepted for call in calls)}


def _over_sliding(ordered: Sequence[Call], limit: Limit) -> set[int]:
    over, oldest, within = set(), 0, 0
    for place, call in enumerate(ordered):
        within += limit.weight(call)
        while call.counted - ordered[oldest].counted >= limit.window:
            within -= limit.weight(ordered[oldest])
            oldest += 1
        if within > limit.count:
            over.add(place)
    return over


def _over_fixed(ordered: Sequence[Call], limit: Limit, shift: float) -> set[int]:
    over = set()
    within: defaultdict[int, int] = defaultdict(int)
    for place, call in enumerate(ordered):
        window = math.floor(call.counted / limit.window - shift)
        within[window] += limit.weight(call)
        if within[window] > limit.count:
            over.add(place)
    return over


def utilisation(calls: Sequence[Call], limit: Limit, *, seconds: float, share: float = 1.0) -> float | None:
    """What was accepted in the whole windows from the first call on, by what `share` of the limit allows in them.

    The first call opens a window, and calls that slip from one window into the next are not seen to be missing until they slip out
    of the last: `sustained` sees them. None where no window is whole.
    """
    taken = _taken(calls)
    windows = math.floor(seconds / limit.window + 1e-9)
    if not taken or not windows:
        return None
    end = taken[0].counted + windows * limit.window
    return sum(limit.weight(call) for call in taken if call.counted < end) / (windows * limit.count * share)


def use_over_time(calls: Sequence[Call], limit: Limit, *, seconds: float, share: float = 1.0) -> list[list[float]]:
    """How full the window was that ends then, by what `share` of the limit allows: [seconds since the first call, use].

    There are `STEPS` of them in a window.
    """
    taken = _taken(calls)
    if not taken:
        return []
    moments = [(call.counted - taken[0].counted, limit.weight(call)) for call in taken]
    step = limit.window / STEPS
    return [
        [
            round(end, 3),
            round(sum(weight for moment, weight in moments if end - limit.window < moment <= end) / (limit.count * share), 4),
        ]
        for end in (step * place for place in range(1, math.floor(seconds / step) + 1))
    ]


def sustained(calls: Sequence[Call], limit: Limit, *, seconds: float, share: float = 1.0) -> float | None:
    """The rate that the calls keep up, by the limit's: how long the same place in a later window's allowance takes to come round.

    None where too little was accepted to compare two windows.
    """
    taken = _taken(calls)
    rounds = math.floor(seconds / limit.window + 1e-9) - 1
    allowed = round(limit.count * share)
    moments = [call.counted for call in taken for _ in range(limit.weight(call))]
    later = moments[rounds * allowed :]
    if rounds < 1 or not later:
        return None
    took = fmean(end - start for start, end in zip(moments[:allowed], later, strict=False))
    return rounds * limit.window / took


def _taken(calls: Sequence[Call]) -> list[Call]:
    return sorted((call for call in calls if call.accepted), key=lambda call: call.counted)
