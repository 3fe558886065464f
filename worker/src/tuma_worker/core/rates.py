"""How fast somebody may ask: the generic cell rate algorithm, which needs one number for each who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuma_worker.core.limits import Limit


def spend(due: float, now: float, cost: float, limit: Limit) -> tuple[float, float]:
    """Ask for `cost` at once. Returns when all that was asked for is due, and for how many seconds it is too soon (0: it is not).

    `due` is what was returned before, 0 at first. After a quiet window a whole one may be asked for at once.
    """
    due = max(due, now) + cost * limit.window / limit.count
    return due, max(0.0, due - now - limit.window)
