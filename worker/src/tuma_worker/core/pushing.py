"""What follows from a subscriber's answer, and when an endpoint is left alone for a while. Pure: the caller knows the time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRIED_FOR = 73 * 3600.0  # seconds from an event's first try for which it is tried again, where others get through meanwhile
BORNE_FOR = 5 * 86_400.0  # seconds without any event getting through after which a subscription is disabled
_FIRST, _LONGEST = 5.0, 1800.0  # seconds until the second try of an event, and until any later one at the most
_STRIKES = 5  # failures in a row after which the endpoint is tried by one event at a time
_REST, _LONGEST_REST = 5.0, 300.0  # seconds between two such, at first and at the most

_OK = range(200, 300)
_GONE = 410
_OURS = frozenset({408, 425, 429})  # of the 4xx, those that say nothing of the event
_CLIENT = range(400, 500)


class Meaning(Enum):
    """What an answer means."""

    TOLD = "told"
    REFUSED = "refused"  # this event: another one may get through
    FAILED = "failed"  # the endpoint does not work, or not now
    GONE = "gone"  # the endpoint wants no more: Standard Webhooks, "410 Gone"


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What came of one request: a status, or the word for how it failed without one; and for how many seconds to stay away."""

    status: int | None
    code: str = ""
    retry_after: float | None = None

    @property
    def meaning(self) -> Meaning:
        """By the status. A redirect is a failure: it is not followed, since it may lead anywhere."""
        if self.status is None:
            return Meaning.FAILED
        if self.status in _OK:
            return Meaning.TOLD
        if self.status == _GONE:
            return Meaning.GONE
        return Meaning.REFUSED if self.status in _CLIENT and self.status not in _OURS else Meaning.FAILED

    @property
    def reason(self) -> str:
        """In a word, for logs."""
        return self.code if self.status is None else str(self.status)


def put_off(tries: int, answer: PushAnswer, choose: Callable[[float], float]) -> float:
    """Seconds until an event that has failed so often is tried again: twice as long each time, half of it by chance."""
    most = min(_LONGEST, _FIRST * 2.0 ** min(tries - 1, 20))
    return max(most / 2 + choose(most / 2), answer.retry_after or 0.0)


@dataclass(slots=True)
class Endpoint:
    """How one address stands, in the eyes of who posts to it. Times in seconds."""

    under_way: int = 0
    _strikes: int = 0
    _rests_until: float = 0.0

    @property
    def ails(self) -> bool:
        """Whether it has failed so often in a row that one event at a time tries it."""
        return self._strikes >= _STRIKES

    def room(self, now: float, most: int) -> int:
        """How many events may go there now, of at most so many at once."""
        if now < self._rests_until:
            return 0
        return max(0, (1 if self.ails else most) - self.under_way)

    def rest(self, now: float) -> float:
        """Seconds until it may be tried."""
        return max(0.0, self._rests_until - now)

    def works(self) -> bool:
        """It has taken an event. Returns whether it ailed until then."""
        ailed, self._strikes, self._rests_until = self.ails, 0, 0.0
        return ailed

    def fails(self, now: float, answer: PushAnswer, choose: Callable[[float], float]) -> None:
        """It has not answered as it should."""
        self._strikes += 1
        if self.ails:
            most = min(_LONGEST_REST, _REST * 2.0 ** min(self._strikes - _STRIKES, 20))
            self._rests_until = now + max(most / 2 + choose(most / 2), answer.retry_after or 0.0)
        elif answer.retry_after is not None:
            self._rests_until = now + answer.retry_after
