"""When a provider that fails or crawls is left alone for a while. Pure: it judges one call, the settling counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Rejected, TryLater, Unknown

if TYPE_CHECKING:
    from tuma_worker.core.answers import Reply

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Breaker:
    """How much trouble is borne. Times in seconds.

    `after` strikes in a row open it for `opens`, twice as long at each failed probe, `most` at the most. An answer that took longer
    than `slow_after` is a strike.
    """

    after: int = 5
    slow_after: float = 10.0
    opens: float = 5.0
    most: float = 300.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one call says about the provider's health: the code of a strike, or an answer in time where there is none."""

    strike: str | None = None


def pulse(reply: Reply, took: float, breaker: Breaker) -> Pulse | None:
    """Judge a call that took so many seconds; None where it says nothing, because none was made."""
    answer = reply.answer
    if isinstance(answer, Rejected) and answer.ours:
        return None
    if isinstance(answer, Unknown):
        return Pulse(answer.code)
    if isinstance(answer, TryLater):
        if answer.unreachable or (reply.status or 0) >= _SERVER_ERROR:
            return Pulse(answer.code)
        if not answer.left:
            return None
    return Pulse("slow" if took > breaker.slow_after else None)
