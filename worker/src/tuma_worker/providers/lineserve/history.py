"""Lineserve's books: finding a call whose answer was lost among its campaigns or its messages. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted, RecipientAnswer, Traced
from tuma_worker.providers.reading import digits, identifier, items, milliseconds, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.providers.base import Call

# Assumed: what a date filters by is not documented, nor whether it is inclusive, so the search is wider on both sides.
_MARGIN = timedelta(minutes=5)
_PAGE = 100  # documented: the most messages of a page


def message_query(call: Call, since: float) -> dict[str, str]:
    """The filter that a single message must pass."""
    begun = datetime.fromtimestamp(since, UTC)
    return {"to": call.numbers[0], "from_date": (begun - _MARGIN).isoformat(timespec="seconds"), "per_page": str(_PAGE)}


def traced_message(body: Mapping[str, object], call: Call) -> Traced:
    """The listed messages with this recipient and text. Several are several sends of the same text: the caller knows the others.

    What a template came to, the provider alone knows for sure: any other text to the recipient may be it, and proves no absence.
    """
    number = call.numbers[0]
    listed = [item for item in items(body, "messages") if isinstance(item, dict)]
    theirs = [item for item in listed if digits(identifier(item.get("to")) or "") == digits(number)]
    found = tuple(
        Accepted(message_id, {number: RecipientAnswer(provider_id=message_id)})
        for item in theirs
        if item.get("message") == call.message and (message_id := identifier(item.get("message_id"))) is not None
    )
    pages = section(body, "meta").get("pages")
    whole = "messages" in body and (pages in {0, 1} or (pages is None and len(listed) < _PAGE))
    return Traced(found, complete=whole and (call.template is None or len(theirs) == len(found)))


def traced_campaign(body: Mapping[str, object], call: Call, since: float) -> Traced:
    """The campaign that carries the attempt's own name; it is unique, so there is one or none.

    Neither the paging of the list is documented nor the size of a page: a list proves an absence only if it reaches back to before
    the call, or is empty.
    """
    listed = [item for item in items(body, "campaigns") if isinstance(item, dict)]
    found = tuple(
        Accepted(campaign_id)
        for item in listed
        if item.get("campaign_name") == call.reference
        if (campaign_id := identifier(item.get("campaign_id"))) is not None
    )
    times = [moment for item in listed if (moment := milliseconds(item.get("created_at"))) is not None]
    reaches_back = bool(times) and min(times) < since * 1000
    return Traced(found, complete="campaigns" in body and (not listed or reaches_back))
