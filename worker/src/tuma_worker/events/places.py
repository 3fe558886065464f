"""Places in an account's events, as people name them: by a time, or by an event's id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuma_producer.contract.streams import begins_after
from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from tuma_producer.contract.streams import Start


def beginning(given: str) -> Start:
    """Where to begin: a time, in UTC where it does not say otherwise, or whatever `Producer.outcomes` understands."""
    if not given[:1].isdigit():
        return given
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        return given
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def entry(account: str, given: str) -> str:
    """An event's entry, or a time in milliseconds, which as a first entry begins and as a last one ends it. Raises `TumaError`."""
    moment = beginning(given)
    if isinstance(moment, datetime):
        return str(max(0, round(moment.timestamp() * 1000)))
    whose, _, entry_id = moment.partition("/")
    if whose != account:
        message = f"{given!r} is neither an event's id of {account} nor a time such as 2026-12-01T08:00Z"
        raise TumaError(message)
    begins_after(moment, account)
    return entry_id
