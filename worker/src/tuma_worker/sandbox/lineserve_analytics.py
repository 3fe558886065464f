"""Lineserve's delivery figures, made from what its stand-in remembers."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuma_worker.sandbox.lineserve_messaging import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tuma_worker.sandbox.life import Batch, Recipient

    Pair = tuple[Batch, Recipient]

_BEGINNINGS: Mapping[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
_FAILED = frozenset({"failed", "rejected", "expired"})


def analytics(sent: Iterable[Pair], query: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A line for each day, week (from Monday) or month with messages, and their sum. Both dates belong to it."""
    group = query.get("group_by") or "day"
    if group not in _BEGINNINGS:
        complain("group_by", group)
    first, last = _day(query, "from_date", date.min), _day(query, "to_date", date.max)
    groups: defaultdict[date, list[Pair]] = defaultdict(list)
    for pair in sent:
        day = datetime.fromtimestamp(pair[0].created_at, UTC).date()
        if first <= day <= last:
            groups[_BEGINNINGS[group](day)].append(pair)
    lines = [{"date": day.isoformat(), **_figures(pairs)} for day, pairs in sorted(groups.items())]
    summed = _figures([pair for pairs in groups.values() for pair in pairs])
    return lines, {
        "total_messages": summed["total_messages"],
        "total_delivered": summed["delivered"],
        "total_failed": summed["failed"],
        "average_delivery_rate": summed["delivery_rate"],
        "total_cost": summed["total_cost"],
    }


def _figures(pairs: list[Pair]) -> dict[str, Any]:
    delivered = sum(recipient.status == "delivered" for _, recipient in pairs)
    return {
        "total_messages": len(pairs),
        "delivered": delivered,
        "failed": sum(recipient.status in _FAILED for _, recipient in pairs),
        "delivery_rate": round(100 * delivered / len(pairs), 2) if pairs else 0,
        "total_cost": round(sum(batch.unit_cost for batch, _ in pairs if batch.cost), 4),
    }


def _day(query: Mapping[str, str], name: str, default: date) -> date:
    try:
        return date.fromisoformat(query[name]) if query.get(name) else default
    except ValueError:
        complain(name, query[name])
