"""What Lineserve's stand-in remembers and lets be searched: messages and campaigns, per key."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuma_worker.sandbox.faults import digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tuma_worker.sandbox.life import Batch, Recipient

    Pair = tuple[Batch, Recipient]

_PER_PAGE = 20
_PER_PAGE_MAX = 100


class History:
    """All accepted messages, findable by id and by number."""

    def __init__(self) -> None:
        self._messages: dict[str, Pair] = {}
        self._by_number: defaultdict[str, list[Pair]] = defaultdict(list)
        self._campaigns: dict[str, Batch] = {}

    def add(self, batch: Batch) -> None:
        """Remember the messages of an accepted call."""
        for recipient in batch.recipients:
            pair = (batch, recipient)
            self._messages[recipient.message_id] = pair
            self._by_number[digits(recipient.number)].append(pair)

    def add_campaign(self, batch: Batch) -> None:
        """Remember a bulk call as a campaign."""
        self._campaigns[batch.id] = batch

    def clear(self) -> None:
        """Forget all."""
        self._messages.clear()
        self._by_number.clear()
        self._campaigns.clear()

    def all(self, key: str) -> Iterator[Pair]:
        """Every message of the key, oldest first."""
        return (pair for pair in self._messages.values() if pair[0].key == key)

    def message(self, key: str, message_id: str) -> Pair | None:
        """The message, if it was sent with this key."""
        pair = self._messages.get(message_id)
        return pair if pair and pair[0].key == key else None

    def campaign(self, key: str, campaign_id: str) -> Batch | None:
        """The campaign, if it was sent with this key."""
        batch = self._campaigns.get(campaign_id)
        return batch if batch and batch.key == key else None

    def campaigns(self, key: str, before: float) -> list[Batch]:
        """The key's campaigns that are old enough to be seen, newest first."""
        return [batch for batch in reversed(self._campaigns.values()) if batch.key == key and batch.created_at <= before]

    def page(self, key: str, query: Mapping[str, str], before: float) -> tuple[list[Pair], dict[str, int]]:
        """One page of the key's messages, newest first, and its `meta`. Raises ValueError for a filter that makes no sense."""
        page, per_page = _whole(query, "page", 1), min(_PER_PAGE_MAX, _whole(query, "per_page", _PER_PAGE))
        wanted = _filter(query)
        found = [p for p in self._candidates(query) if p[0].key == key and p[0].created_at <= before and wanted(p)]
        meta = {"total": len(found), "page": page, "per_page": per_page, "pages": math.ceil(len(found) / per_page)}
        return found[(page - 1) * per_page : page * per_page], meta

    def _candidates(self, query: Mapping[str, str]) -> Iterator[Pair]:
        if query.get("to"):
            return reversed(self._by_number.get(digits(query["to"]), []))
        return reversed(self._messages.values())


def _filter(query: Mapping[str, str]) -> Callable[[Pair], bool]:
    """Both dates are inclusive and mean when the message was created."""
    begin = _moment(query, "from_date", -math.inf)
    end = _moment(query, "to_date", math.inf)
    status, sender = query.get("status"), query.get("from")

    def wanted(pair: Pair) -> bool:
        batch, recipient = pair
        return begin <= batch.created_at <= end and status in {None, recipient.status} and sender in {None, batch.sender}

    return wanted


def _moment(query: Mapping[str, str], name: str, default: float) -> float:
    if not query.get(name):
        return default
    # An unencoded + of an offset arrives as a blank.
    parsed = datetime.fromisoformat(query[name].replace(" ", "+") if "T" in query[name] else query[name])
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    value = int(query.get(name) or default)
    if value < 1:
        msg = f"{name} is from 1 up"
        raise ValueError(msg)
    return value
