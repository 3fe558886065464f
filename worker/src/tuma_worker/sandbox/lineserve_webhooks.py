"""What Lineserve's stand-in tells by webhook, in Lineserve's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuma_worker.sandbox.webhooks import Policy, Target, Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_worker.sandbox.inbound import Written
    from tuma_worker.sandbox.life import Batch, Recipient
    from tuma_worker.sandbox.lineserve_messaging import Subscription
    from tuma_worker.sandbox.settings import Settings

_SIGNATURE = "X-Lineserve-Signature"  # assumed

WORDS = {
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "partially_delivered": "failed",
    "rejected": "rejected",
    "expired": "expired",
}
"""The sandbox's steps in Lineserve's words; a step that is missing here changes nothing."""


def step_events(  # noqa: PLR0917 - what an event is made of
    batch: Batch, recipients: Sequence[Recipient], step: str, now: float, settings: Settings, told: Sequence[Subscription] = ()
) -> list[Webhook]:
    """One event per recipient and target; the call's callback, the account's webhook and those subscribed all get it."""
    word, at, own = WORDS[step], iso(now), settings.lineserve
    name = f"sms.{word}"
    place = {"network": own.network, "country": own.country}
    trouble = {} if word in {"sent", "delivered"} else {"error_code": step, "error_message": f"The message is {step}"}
    targets = _targets(name, settings, told, batch.callback_url)
    webhooks: list[Webhook] = []
    for recipient in recipients:
        data = {"message_id": recipient.message_id, "to": recipient.number, "from": batch.sender, "status": word}
        event: dict[str, object] = {"event": name, "timestamp": at, "data": {**data, f"{word}_at": at, **place, **trouble}}
        webhooks.extend(Webhook(target, event, recipient.number) for target in targets)
    return webhooks


def inbound_events(
    written: Written, message_id: str, now: float, settings: Settings, told: Sequence[Subscription]
) -> list[Webhook]:
    """One event per target for a message that somebody has written."""
    name = settings.lineserve.inbound_event
    data = {"message_id": message_id, "from": written.sender, "to": written.to, "message": written.text}
    event: dict[str, object] = {"event": name, "timestamp": iso(now), "data": data}
    return [Webhook(target, event, written.sender) for target in _targets(name, settings, told)]


def _targets(event: str, settings: Settings, told: Sequence[Subscription], callback_url: str = "") -> list[Target]:
    own, webhook = settings.lineserve, settings.lineserve.webhook
    policy = Policy(tuple(delay * settings.webhook_factor for delay in own.retry_delays), "everything", own.webhook_timeout)
    header = webhook.signature_header or _SIGNATURE

    def target(url: str, secret: str) -> Target:
        return Target(url, policy, "", secret, header, webhook.timestamp_header)

    targets = []
    if callback_url:
        targets.append(target(callback_url, webhook.secret if own.sign_callbacks else ""))
    if webhook.url and (not webhook.events or event in webhook.events):
        targets.append(target(webhook.url, webhook.secret))
    targets.extend(target(one.url, one.secret) for one in told if event in one.events)
    return targets


def iso(moment: float) -> str:
    """The time as Lineserve writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
