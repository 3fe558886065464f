"""What Lineserve tells when it is asked about calls of which receipts did not: its history lists every message with its state."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from tuma_producer.contract.times import moment
from tuma_worker.core.receipts import Receipt
from tuma_worker.providers.lineserve.operations import messages
from tuma_worker.providers.lineserve.receipts import EVENTS
from tuma_worker.providers.reading import digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuma_worker.core.polling import Overdue, Silent
    from tuma_worker.providers.lineserve.results import Message
    from tuma_worker.providers.operations import Exchange

_Place = tuple["Overdue", str]  # a call, and the number of one of its recipients

# Assumed: what a date filters by is not documented, nor whether it is inclusive, so more is read on both sides.
_MARGIN = timedelta(minutes=5)
_TOGETHER = 600_000  # ms: calls that began within so long of each other are looked for in the same pages


def inquire(exchange: Exchange, calls: Sequence[Overdue]) -> Iterator[tuple[Overdue, list[Receipt]]]:
    """Read the history of the times when these calls were made, the oldest first. Raises `NotDone` where it cannot be read now."""
    for together in _windows(calls):
        told = _told(exchange, together)
        yield from ((call, told[call.batch_id]) for call in together)


def _windows(calls: Sequence[Overdue]) -> Iterator[list[Overdue]]:
    window: list[Overdue] = []
    for call in sorted(calls, key=lambda call: call.started):
        if window and call.started - window[0].started > _TOGETHER:
            yield window
            window = []
        window.append(call)
    if window:
        yield window


def _told(exchange: Exchange, calls: Sequence[Overdue]) -> dict[str, list[Receipt]]:
    """What is listed about the silent recipients of these calls, by call. No page more is read than it takes."""
    told: dict[str, list[Receipt]] = {call.batch_id: [] for call in calls}
    search = _Search(calls)
    since, until = moment(calls[0].started) - _MARGIN, moment(calls[-1].started) + _MARGIN
    for page in messages(exchange, since=since, until=until) if search.goes_on else ():
        for message in page.items:
            search.look_at(message)
        if not search.goes_on:
            break
    for (call, number), message in search.found():
        told[call.batch_id] += _receipt(message, number)
    return told


class _Search:
    """Finds the messages of these calls' silent recipients in the history: by their ids, or by text and number where none is known.

    The answer to a bulk send need not list every message, and a campaign that was found by its name tells of none. The same
    text may have gone to the same number twice: then nobody can tell which message is whose.
    """

    def __init__(self, calls: Sequence[Overdue]) -> None:
        silent = [((call, number), _message_id(call, one)) for call in calls for number, one in call.silent.items()]
        self._by_id = {provider_id: place for place, provider_id in silent if provider_id}
        self._nameless = [place for place, provider_id in silent if not provider_id]
        self._wanted = {_text_and_number(call.message, number) for call, number in self._nameless}
        self._ids: dict[str, Message] = {}
        self._texts: dict[tuple[str, str], dict[str, Message]] = {}

    @property
    def goes_on(self) -> bool:
        """Whether another page may tell more."""
        return bool(self._nameless) or len(self._ids) < len(self._by_id)

    def look_at(self, message: Message) -> None:
        """Keep it if it may be one of those; the same one may be listed twice."""
        if message.message_id is None:
            return
        if message.message_id in self._by_id:
            self._ids[message.message_id] = message
            return
        key = _text_and_number(message.message or "", message.to or "")
        if key in self._wanted:
            self._texts.setdefault(key, {})[message.message_id] = message

    def found(self) -> Iterator[tuple[_Place, Message]]:
        """Whose message is which."""
        for provider_id, message in self._ids.items():
            yield self._by_id[provider_id], message
        shared = Counter(_text_and_number(call.message, number) for call, number in self._nameless)
        for call, number in self._nameless:
            key = _text_and_number(call.message, number)
            listed = [*self._texts.get(key, {}).values()]
            if len(listed) == 1 and shared[key] == 1:
                yield (call, number), listed[0]


def _message_id(call: Overdue, silent: Silent) -> str:
    """The id of a recipient's message; empty where none was told. A campaign's own id is none."""
    return "" if call.size > 1 and silent.provider_id == call.provider_id else silent.provider_id


def _text_and_number(text: str, number: str) -> tuple[str, str]:
    return text, digits(number)


def _receipt(message: Message, number: str) -> list[Receipt]:
    """What the history says of one message: nothing while it is `pending`. A state's event is called after it (webhooks)."""
    event = f"sms.{(message.status or '').lower()}"
    if event not in EVENTS:
        return []
    state, evidence = EVENTS[event]
    return [Receipt(event, message.message_id, number, state, evidence)]
