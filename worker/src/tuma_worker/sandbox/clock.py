"""The clock by which scheduled sends go out. It may be put forward, so that a test need not wait until Christmas.

Only schedules go by it: limits, steps, webhooks and the times in answers stay with the machine's own clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 3600.0  # seconds that one timer waits at most: an event loop takes no year


class Clock:
    """The machine's time and what was added to it, and what is to be done at given times of it (epoch seconds)."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """What it shows."""
        return time.time() + self._ahead

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do this then."""
        heapq.heappush(self._waiting, (moment, next(self._order), action))
        self._set_timer()

    def advance(self, seconds: float) -> None:
        """Put it forward; what comes due by that is done at once, in its order."""
        self._ahead += seconds
        self._ring()

    def clear(self) -> None:
        """Forget what waits, and show the machine's time again."""
        self._waiting.clear()
        self._ahead = 0.0

    def _ring(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now():
            heapq.heappop(self._waiting)[-1]()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            left = max(0.0, self._waiting[0][0] - self.now())
            self._timer = asyncio.get_running_loop().call_later(min(left, _LONGEST), self._ring)
