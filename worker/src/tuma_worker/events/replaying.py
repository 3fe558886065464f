"""Tell a subscriber again what it has been told: one event, or all that happened in some time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuma_worker.store.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_worker.store.subscriptions import Subscription, Subscriptions

MOST = 100_000  # events of one replay: each is kept as pending until it is taken


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are told again; and the first that was left out, where they were too many."""

    events: int
    left: str | None = None


def replay(subscriptions: Subscriptions, subscription_id: str, first: str, last: str, *, by: str) -> Replayed:
    """Have a subscriber told again of what is between these entries of the stream, both included, and of what it wants of that.

    `by` is who asks for it. Raises `UnknownSubscriptionError`.
    """
    subscription = subscriptions.named(subscription_id)
    feed = Feed(subscriptions.redis, subscriptions.account, subscription)
    done = _put_back(feed, first, last)
    if done.events:
        subscriptions.change(subscription_id, _with_a_replay, by=by, act="replayed")
    return done


def _put_back(feed: Feed, first: str, last: str) -> Replayed:
    events = 0
    for page in _pages(feed, first, last):
        wanted = page[: MOST - events]
        if wanted:
            feed.put_back(wanted)
        events += len(wanted)
        if len(wanted) < len(page):
            return Replayed(events, left=page[len(wanted)])
    return Replayed(events)


def _pages(feed: Feed, first: str, last: str) -> Iterator[list[str]]:
    """What the subscriber wants of each page."""
    while page := feed.between(first, last):
        yield [entry_id for entry_id, event in page if event is not None and feed.wants(event)]
        first = f"({page[-1][0]}"


def _with_a_replay(subscription: Subscription) -> Subscription:
    return replace(subscription, replays=subscription.replays + 1)
