"""What is done about a subscription, by whichever entrance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_worker.events.signing import new_secret
from tuma_worker.store.feed import Feed
from tuma_worker.store.subscriptions import disabled

if TYPE_CHECKING:
    from tuma_worker.store.subscriptions import Subscription, Subscriptions


def rotate(subscriptions: Subscriptions, subscription_id: str, overlap: float, *, by: str) -> tuple[Subscription, str]:
    """Sign with a new secret, and for so many seconds with the old one beside it. Returns the new one too: nothing shows it again.

    Raises `UnknownSubscriptionError`.
    """
    secret, now = new_secret(), subscriptions.now()
    ms = round(overlap * 1000)
    return subscriptions.change(subscription_id, lambda one: one.rotated(secret, now, ms), by=by, act="rotated"), secret


def enable(subscriptions: Subscriptions, subscription_id: str, *, by: str) -> Subscription:
    """Tell a subscriber again that was disabled. Raises `UnknownSubscriptionError`."""
    Feed(subscriptions.redis, subscriptions.account, subscriptions.named(subscription_id)).forget_troubles()
    return subscriptions.change(subscription_id, lambda one: disabled(one, None), "subscription-enabled", by=by, act="enabled")
