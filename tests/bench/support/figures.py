"""Figures out of measurements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def percentile(values: Collection[float], share: float) -> float | None:
    """The value that `share` of the values do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to a hundredth."""
    return None if seconds is None else round(seconds * 1000, 2)


def ratio(of: float | None, to: float | None) -> float | None:
    """A quotient to three places; None where one side is missing or there is nothing to divide by."""
    return None if of is None or not to else round(of / to, 3)


def rounded(value: float | None, places: int = 4) -> float | None:
    """A figure as it is reported."""
    return None if value is None else round(value, places)
