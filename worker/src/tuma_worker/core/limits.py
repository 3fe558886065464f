"""What a provider allows: so many calls or messages in so long a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_UNITS = {"s": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_TEXT = re.compile(
    r"^\s*(?P<count>\d+(?:\.\d+)?)\s*(?P<kind>calls|messages)?\s*/\s*(?P<per>\d+(?:\.\d+)?)?\s*(?P<unit>[a-z]+)\s*$", re.ASCII
)
_MOST = 1e12  # of a count; far more than anybody sends, and a whole number wherever it is reckoned with
_LONGEST = 366 * 86_400.0  # seconds


class Counted(StrEnum):
    """What a limit counts."""

    CALLS = "calls"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` of `counted` in any interval of `window` seconds. `count` may be fractional."""

    name: str
    counted: Counted
    count: float
    window: float

    def __post_init__(self) -> None:
        if not self.count >= 1 or not self.window > 0:
            message = f"limit {self.name!r}: count must be at least 1 and window greater than 0; write 1/2s rather than 0.5/s"
            raise ValueError(message)
        if not self.count <= _MOST or not self.window <= _LONGEST:
            message = f"limit {self.name!r}: count must be at most {_MOST:g} and window at most 366 days"
            raise ValueError(message)

    @classmethod
    def parse(cls, text: str, *, name: str | None = None) -> Limit:
        """Read a limit as people write it: `60/min`, `10000 messages/h`, `16.7 calls/min`, `5/10s`.

        Raises `ValueError` with the rule that the text breaks.
        """
        match = _TEXT.match(text)
        if match is None or match["unit"] not in _UNITS:
            message = f"limit {text!r}: expected COUNT [calls|messages] / [N] s|min|h|d, for example '60/min' or '10000 messages/h'"
            raise ValueError(message)
        window = float(match["per"] or 1) * _UNITS[match["unit"]]
        counted = Counted(match["kind"] or Counted.CALLS)
        return cls(name or f"{counted}-{window:g}s", counted, float(match["count"]), window)

    def __str__(self) -> str:
        return f"{self.count:g} {self.counted}/{self.window:g}s"
