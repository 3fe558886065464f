"""What Lineserve tells when it is asked about calls of which receipts did not: its history lists every message with its state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuma_worker.core.receipts import Receipt
from tuma_worker.providers.lineserve.operations import messages
from tuma_worker.providers.lineserve.receipts import EVENTS
from tuma_worker.providers.operations import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuma_worker.core.polling import Overdue
    from tuma_worker.providers.lineserve.results import Message
    from tuma_worker.providers.operations import Exchange

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
    wanted = {silent.provider_id: (call, number) for call in calls for number, silent in call.silent.items() if silent.provider_id}
    if not wanted:
        return told
    since, until = _moment(calls[0].started) - _MARGIN, _moment(calls[-1].started) + _MARGIN
    for message in each(messages(exchange, since=since, until=until)):
        call, number = wanted.pop(message.message_id or "", (None, ""))
        if call is not None:
            told[call.batch_id] += _receipt(message, number)
        if not wanted:
            break
    return told


def _receipt(message: Message, number: str) -> list[Receipt]:
    """What the history says of one message: nothing while it is `pending`. A state's event is called after it (webhooks)."""
    event = f"sms.{(message.status or '').lower()}"
    if event not in EVENTS:
        return []
    state, evidence = EVENTS[event]
    return [Receipt(event, message.message_id, number, state, evidence)]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
