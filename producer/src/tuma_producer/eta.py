"""When a send is expected to go, by what waits before it and by what its limits still allow. Pure: no clock, no I/O.

It lives with the producer because a send that would be late can be refused where it is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Window:
    """One limit as it stands: `count` in `span` ms, of which the lane may use `most`. Calls or messages; Unix milliseconds.

    `ends` says when parts of what counts now stop counting, ascending; `flying` counts and has no end yet. `opened` is when its
    history began, where the first window is opened evenly from then on; `paced_from` from when a paced lane may go by this limit.
    """

    of_messages: bool
    count: float
    span: int
    most: float
    ends: tuple[tuple[int, float], ...] = ()
    flying: float = 0.0
    opened: int | None = None
    paced_from: int | None = None

    @property
    def counted(self) -> float:
        """What counts now."""
        return self.flying + sum(weight for _, weight in self.ends)


@dataclass(frozen=True, slots=True)
class Lane:
    """How many jobs, in how many groups, wait in a lane: in all, and of the source that asks; and how many other sources wait."""

    jobs: int = 0
    groups: int = 0
    own_jobs: int = 0
    own_groups: int = 0
    others: int = 0


def ahead(above: Lane, lane: Lane, *, jobs: int, groups: int) -> tuple[int, int]:
    """Jobs and groups that go before the last recipient of a send is called, those of its own, so many, included.

    What waits in the lanes above goes first. In its own lane sources take turns, so each of the others goes about as often
    meanwhile as its own source does.
    """
    jobs += lane.own_jobs
    groups += lane.own_groups
    jobs_of_others = min(lane.jobs - lane.own_jobs, lane.others * jobs)
    groups_of_others = min(lane.groups - lane.own_groups, lane.others * groups, jobs_of_others)
    return above.jobs + jobs_of_others + jobs, above.groups + groups_of_others + groups


def expected(now: int, windows: Sequence[Window], *, calls: int, messages: int) -> int:
    """When the last of so many calls with so many messages may start, in Unix milliseconds; now, where the limits have room."""
    needs = ((window, messages if window.of_messages else calls) for window in windows)
    return max((_allowed(window, need, now) for window, need in needs), default=now)


def _allowed(window: Window, need: int, now: int) -> int:
    return max(now, _freed(window, need, now), _opening(window, need, now), _paced(window, need, now))


def _freed(window: Window, need: int, now: int) -> int:
    """When enough has stopped counting. What goes meanwhile counts in its turn for a window, so the ends come again and again."""
    free = window.most - window.counted
    if need <= free:
        return now
    ends = [*window.ends, (now + window.span, window.flying + max(0.0, free))]
    total = sum(weight for _, weight in ends)
    rounds = math.ceil((need - free) / total) - 1
    left = need - free - rounds * total
    for at, weight in ends:
        left -= weight
        if left <= 0:
            return at + rounds * window.span
    return now + (rounds + 1) * window.span


def _opening(window: Window, need: int, now: int) -> int:
    """While the first window is opened evenly, the allowance grows with the time since it began."""
    if window.opened is None or now >= window.opened + window.span or window.counted + need <= 1:
        return now
    return math.ceil(window.opened + (window.counted + need) * window.span / window.count)


def _paced(window: Window, need: int, now: int) -> int:
    """A paced lane goes evenly: each call is its share of the window after the one before."""
    if window.paced_from is None:
        return now
    return math.ceil(max(now, window.paced_from) + (need - 1) * window.span / window.most)
