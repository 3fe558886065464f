"""What every reader of event streams knows: replies as events, whose turn it is, what others left behind, when to stop."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.ids import home_of
from tuma_producer.contract.reading import texts
from tuma_producer.errors import TumaError
from tuma_producer.outcomes import Event, decode_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from redis.exceptions import ResponseError

READ_AT_ONCE = 500  # events
_FIRST = b"0-0"
NO_TIME = 0.001  # seconds: the shortest wait that there is
STALLED_MS = 60_000  # an event that a consumer took and did not acknowledge for so long is given to another
TURN = 0.1  # seconds that a read of one stream may keep the others waiting, where they cannot be read together
_LAST_TURN = 2**64 - 1  # the last entry that a stream can have in a millisecond
_NAMED = {"beginning": "0", "now": "$"}
_ENTRY = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")  # no more than Redis reads
_BLOCK = 2.0  # seconds that one read waits at most; then it looks for stalled events and new accounts

Entry = tuple[str, Event]


def entries(account: str, raw: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> Iterator[Entry]:
    """Stream entries as pairs of entry id and event. One that was trimmed while pending has no fields left and is passed over."""
    for entry_id, fields in raw:
        if fields:
            yield entry_id.decode(), decode_event(account, entry_id.decode(), texts(fields))


def by_account(streams: Mapping[str, str], reply: Any) -> Iterator[tuple[str, list[Entry]]]:  # noqa: ANN401 - a stream reply, in either protocol's form
    """A read of several streams as entries by account. `streams` names the account of each stream's key."""
    for key, found in pages(reply):
        account = streams[key.decode()]
        yield account, list(entries(account, found))


def pages(reply: Any) -> Iterator[tuple[bytes, list[tuple[bytes, dict[bytes, bytes] | None]]]]:  # noqa: ANN401 - as above
    """A read of several streams as raw entries by the streams' keys."""
    pairs = reply.items() if isinstance(reply, dict) else reply or ()
    for key, found in pairs:
        # With the newer protocol redis-py wraps the list of entries once more.
        yield key, found[0] if found and isinstance(found[0], list) else found


def turns(streams: Sequence[str], block: float) -> Iterator[tuple[str, int | None]]:
    """How to read streams that cannot be read together: all of them at once, then each in turn a little while, for `block` seconds.

    Gives a stream and for how many milliseconds to wait there, None for not at all. Whoever finds something stops.
    """
    until = time.monotonic() + block
    while True:
        for key in streams:
            yield key, None
        left = until - time.monotonic()
        if left <= 0:
            return
        yield streams[0], max(1, round(min(left, TURN if len(streams) > 1 else left) * 1000))


class Places:
    """How far each stream was searched for what others left behind. A search sees a page of what is pending, and not all of it."""

    def __init__(self) -> None:
        self._next: dict[str, bytes] = {}

    def begin(self, key: str) -> bytes:
        """Where the next page of a stream begins."""
        return self._next.get(key, _FIRST)

    def went(self, key: str, following: bytes) -> None:
        """Note where the page after this one begins, as Redis has said."""
        self._next[key] = following

    def more(self, keys: Iterable[str]) -> bool:
        """Whether one of these streams has a further page."""
        return any(self.begin(key) != _FIRST for key in keys)


class Patience:
    """How much longer a reader goes on without an event: `wait` seconds since the last one, for ever where it is None."""

    def __init__(self, wait: float | None) -> None:
        self._wait = wait
        self._until = 0.0
        self.renew()

    def renew(self) -> None:
        """There was an event: begin anew."""
        self._until = time.monotonic() + (self._wait or 0.0)

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return self._wait is not None and time.monotonic() >= self._until

    @property
    def block(self) -> float:
        """Seconds for which the next read may wait, more than none."""
        left = _BLOCK if self._wait is None else self._until - time.monotonic()
        return min(_BLOCK, max(NO_TIME, left))


class Grasp:
    """For how long what a consumer took is its own: `milliseconds`, unless it says that it still works on it."""

    def __init__(self, milliseconds: float) -> None:
        self._seconds = milliseconds / 1000
        self._since = 0.0
        self.renew()

    def renew(self) -> None:
        """It has said so."""
        self._since = time.monotonic()

    @property
    def slackens(self) -> bool:
        """Whether it is time to say so."""
        return time.monotonic() - self._since >= self._seconds / 3

    @property
    def lost(self) -> bool:
        """Whether another may have it by now."""
        return time.monotonic() - self._since >= self._seconds


def is_part(event: Event) -> bool:
    """Whether it tells of an intent that carries another's recipients: that one tells the same, as its own."""
    return event.intent is not None and home_of(event.intent) is not None


def told_to(source: str, *, all_sources: bool) -> Callable[[Event], bool]:
    """Whether an event is told to a consumer of this source, or of all. One of an account itself has no source: all are told."""
    return lambda event: all_sources or (event.source in {None, source} and not is_part(event))


def group_vanished(error: ResponseError) -> bool:
    """Whether a read failed because its group, or the whole stream, is there no more: before the read, or while it waited."""
    return str(error).startswith(("NOGROUP", "UNBLOCKED"))


Start = str | datetime


def begins_after(start: Start, account: str) -> str:
    """The entry of an account's stream after which a group begins. Raises `TumaError`.

    After an event of another account, it begins with the same moment.
    """
    if isinstance(start, datetime):
        if start.tzinfo is None:
            message = "start: a time needs its zone, such as datetime.now(UTC)"
            raise TumaError(message)
        return _just_before(round(start.timestamp() * 1000))
    if start in _NAMED:
        return _NAMED[start]
    whose, _, entry_id = start.partition("/")
    if not _ENTRY.fullmatch(entry_id):
        message = f"start: {start!r} is neither beginning nor now nor an event's id nor a time"
        raise TumaError(message)
    return entry_id if whose == account else _just_before(int(entry_id.partition("-")[0]))


def _just_before(milliseconds: int) -> str:
    """The last entry that there could be before this moment."""
    return f"{milliseconds - 1}-{_LAST_TURN}" if milliseconds > 0 else "0"


def group_of(group: str, source: str, *, all_sources: bool) -> str:
    """The consumer group's name in Redis. A source's groups are its own: two services may give theirs the same name."""
    return group if all_sources else f"{source}:{group}"
