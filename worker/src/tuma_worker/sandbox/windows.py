"""The providers' limits, counted strictly at the moment a call arrives.

One log of arrivals per key, bucket and limit serves both kinds of window: they differ only in where the window begins.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_worker.sandbox.settings import Limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the call fits, and if not, the whole seconds (at least 1) after which the next one would."""

    allowed: bool
    retry_after: int


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of one limit, and the Unix time when more of it comes back."""

    limit: Limit
    remaining: int
    reset_at: int


class Window:
    """The weighted arrivals that count against one limit."""

    def __init__(self) -> None:
        self._log: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, begin: float) -> int:
        """The weight that arrived after `begin`; forgets all before it."""
        while self._log and self._log[0][0] <= begin:
            self._used -= self._log.popleft()[1]
        return self._used

    def add(self, now: float, weight: int) -> None:
        """Count `weight` at `now`."""
        self._log.append((now, weight))
        self._used += weight

    def oldest(self) -> float | None:
        """When the earliest counted arrival was."""
        return self._log[0][0] if self._log else None

    def freed_by(self, excess: int) -> float:
        """The arrival time of the entry with which at least `excess` of the weight leaves a sliding window."""
        for arrived, weight in self._log:
            excess -= weight
            if excess <= 0:
                return arrived
        return self._log[-1][0]


class Windows:
    """All windows of one provider, by key and bucket."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str, int], Window] = {}

    def hit(
        self,
        key: str,
        bucket: str,
        limits: Sequence[Limit],
        *,
        kind: str,
        now: float,
        weight: int = 1,
        count_refused: bool = True,
    ) -> Verdict:
        """Count a call of `weight` if every limit has room for it, or also when not, if refused calls count."""
        windows = [self._window(key, bucket, i) for i in range(len(limits))]
        waits = [
            _wait(window, limit, kind, now, weight)
            for window, limit in zip(windows, limits, strict=True)
            if window.used(_begin(limit, kind, now)) + weight > limit.count
        ]
        if not waits or count_refused:
            for window in windows:
                window.add(now, weight)
        return Verdict(not waits, max(1, math.ceil(max(waits))) if waits else 0)

    def room(self, key: str, bucket: str, limits: Sequence[Limit], *, kind: str, now: float) -> Room | None:
        """What is left of the bucket's longest limit (None: the bucket has no limit)."""
        if not limits:
            return None
        index = max(range(len(limits)), key=lambda i: limits[i].seconds)
        limit, window = limits[index], self._window(key, bucket, index)
        used = window.used(_begin(limit, kind, now))
        return Room(limit, max(0, limit.count - used), math.ceil(_reset(window, limit, kind, now)))

    def clear(self) -> None:
        """Forget every arrival."""
        self._windows.clear()

    def _window(self, key: str, bucket: str, index: int) -> Window:
        return self._windows.setdefault((key, bucket, index), Window())


def _begin(limit: Limit, kind: str, now: float) -> float:
    """Arrivals up to this time no longer count. A fixed window is aligned to the clock; its first instant counts."""
    if kind == "sliding":
        return now - limit.seconds
    return math.nextafter(math.floor(now / limit.seconds) * limit.seconds, 0)


def _reset(window: Window, limit: Limit, kind: str, now: float) -> float:
    if kind == "sliding":
        return (window.oldest() or now) + limit.seconds
    return (math.floor(now / limit.seconds) + 1) * limit.seconds


def _wait(window: Window, limit: Limit, kind: str, now: float, weight: int) -> float:
    """Seconds until the refused weight would fit, if nothing else came."""
    if weight > limit.count:
        return limit.seconds
    if kind == "sliding":
        excess = window.used(now - limit.seconds) + weight - limit.count
        return window.freed_by(excess) + limit.seconds - now
    return _reset(window, limit, kind, now) - now
