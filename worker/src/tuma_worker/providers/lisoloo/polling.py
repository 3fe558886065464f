"""What Lisoloo tells when it is asked about a call of which receipts did not: counts of the whole call and one word for it.

Nothing tells of a single recipient (check status). So the word is believed where there is but one, and the counts where they leave
no choice. How the word of several recipients comes about is not documented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_worker.core.polling import alike
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers.lisoloo.operations import status
from tuma_worker.providers.operations import NotDone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuma_worker.core.polling import Overdue
    from tuma_worker.providers.lisoloo.operations import Standing
    from tuma_worker.providers.operations import Exchange

# The documented words that say more than that the call was taken (message lifecycle), and who vouches for each; `cancelled` is not
# among them: assumed. What was delivered in part did not arrive.
WORDS: Mapping[str, tuple[RecipientState, Evidence]] = {
    "sent": (RecipientState.SENT, Evidence.OPERATOR),
    "delivered": (RecipientState.DELIVERED, Evidence.HANDSET),
    "partially_delivered": (RecipientState.FAILED, Evidence.OPERATOR),
    "undelivered": (RecipientState.UNDELIVERED, Evidence.OPERATOR),
    "rejected": (RecipientState.REJECTED, Evidence.OPERATOR),
    "expired": (RecipientState.EXPIRED, Evidence.OPERATOR),
    "failed": (RecipientState.FAILED, Evidence.OPERATOR),
    "delivery_unknown": (RecipientState.UNKNOWN, Evidence.PROVIDER),
    "cancelled": (RecipientState.CANCELLED, Evidence.PROVIDER),
    "canceled": (RecipientState.CANCELLED, Evidence.PROVIDER),
}

_WITHDRAWN = frozenset({"cancelled", "canceled"})  # a call is withdrawn as a whole

_SUCCESSES = frozenset({RecipientState.SENT, RecipientState.DELIVERED})


def inquire(exchange: Exchange, calls: Sequence[Overdue]) -> Iterator[tuple[Overdue, list[Receipt]]]:
    """Ask about each call in turn. Raises `NotDone` where one cannot be asked about now."""
    for call in calls:
        yield call, _about(call, exchange)


def _about(call: Overdue, exchange: Exchange) -> list[Receipt]:
    try:
        standing = status(exchange, call.provider_id)
    except NotDone as error:
        if error.not_found:  # how long an id is remembered is not documented
            return []
        raise
    word = (standing.status or "").lower()
    state, evidence = _by_word(word) if call.size == 1 or word in _WITHDRAWN else _by_counts(call, standing)
    if state is None:
        return []
    reason = None if state in _SUCCESSES else word or None
    return [Receipt(f"status.{word}", call.provider_id, number, state, evidence, reason) for number in call.silent]


def _by_word(word: str) -> tuple[RecipientState | None, Evidence]:
    return WORDS.get(word, (None, Evidence.PROVIDER))


def _by_counts(call: Overdue, standing: Standing) -> tuple[RecipientState | None, Evidence]:
    state = alike(call, total=standing.total_recipients, delivered=standing.delivered, failed=standing.failed)
    return state, Evidence.HANDSET if state is RecipientState.DELIVERED else Evidence.PROVIDER
