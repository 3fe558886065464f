"""Lisoloo's webhooks: Basic credentials, an announced signature, and one event per body. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers.incoming import event_name, inbound, per_recipient, receipt_body
from tuma_worker.providers.proofs import Basic, Proofs, Signed
from tuma_worker.providers.reading import code, identifier, milliseconds, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.providers.lisoloo.settings import LisolooSettings

# Each event's state and who vouches for it. Only `sms.queued` is about the call as a whole.
EVENTS: Mapping[str, tuple[RecipientState, Evidence]] = {
    "sms.queued": (RecipientState.SUBMITTED, Evidence.PROVIDER),
    "sms.processing": (RecipientState.SUBMITTED, Evidence.PROVIDER),
    "sms.sent": (RecipientState.SENT, Evidence.OPERATOR),
    "sms.delivered": (RecipientState.DELIVERED, Evidence.HANDSET),
    "sms.failed": (RecipientState.FAILED, Evidence.OPERATOR),
}

# The provider has finer ends than it has events; assumed: `sms.failed` says which in one of its fields. First match counts.
FAILURE_WORDS: Mapping[str, RecipientState] = {
    "delivery_unknown": RecipientState.UNKNOWN,
    "undeliver": RecipientState.UNDELIVERED,
    "unreachable": RecipientState.UNDELIVERED,
    "reject": RecipientState.REJECTED,
    "1502": RecipientState.REJECTED,
    "expire": RecipientState.EXPIRED,
}

# Announced (changelog), and not documented further: assumed, as the form of what it holds.
SIGNATURE_HEADER = "X-Lisoloo-Signature"

_CALL_EVENT = "sms.queued"
_FAILED_EVENT = "sms.failed"
_REASON_FIELDS = ("error_code", "code", "reason", "status")
_TIME_FIELDS = ("delivered_at", "sent_at", "failed_at")


class LisolooReceipts:
    """Checks and reads the webhooks of one Lisoloo key."""

    def __init__(self, settings: LisolooSettings) -> None:
        self._inbound_event = settings.inbound_event
        self._proofs = Proofs.of(
            Basic.of(settings.webhook_username, settings.webhook_password, settings.webhook_password_old),
            Signed.of(SIGNATURE_HEADER, settings.webhook_timestamp_header, settings.webhook_secret, settings.webhook_secret_old),
        )

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether the Basic credentials are the configured ones, and the signature is right, as far as either is configured."""
        return self._proofs.authentic(headers, body, now)

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether either is there and wrong. Whether `callback_url` gets them is not documented."""
        return self._proofs.forged(headers, body, now)

    def read(self, body: bytes) -> list[Receipt]:
        """The one event of a body. Raises `BadReceipt`."""
        envelope = receipt_body(body)
        event = event_name("event_type", envelope.get("event_type"))
        data = section(envelope, "data")
        state, evidence = _meaning(event, data)
        wanted = state is not None and event != _CALL_EVENT
        return [
            Receipt(
                event=event,
                provider_id=identifier(envelope.get("message_id")),
                number=per_recipient("data.recipient_phone", data.get("recipient_phone"), needed=wanted),
                state=state,
                evidence=evidence,
                reason=_reason(data) if event == _FAILED_EVENT else None,
                occurred_at=_occurred_at(envelope, data),
                event_id=identifier(envelope.get("event_id")),
                inbound=inbound(event, self._inbound_event, data),
            ),
        ]


def _meaning(event: str, data: Mapping[str, object]) -> tuple[RecipientState | None, Evidence]:
    if event not in EVENTS:
        return None, Evidence.PROVIDER
    state, evidence = EVENTS[event]
    return (_failure(data), evidence) if event == _FAILED_EVENT else (state, evidence)


def _failure(data: Mapping[str, object]) -> RecipientState:
    said = " ".join(str(data.get(name) or "") for name in _REASON_FIELDS).lower().replace(" ", "_").replace("-", "_")
    return next((state for word, state in FAILURE_WORDS.items() if word in said), RecipientState.FAILED)


def _reason(data: Mapping[str, object]) -> str | None:
    return next((reason for name in _REASON_FIELDS if (reason := code(data.get(name)))), None)


def _occurred_at(envelope: Mapping[str, object], data: Mapping[str, object]) -> int | None:
    for name in _TIME_FIELDS:
        if name in data and (moment := milliseconds(data[name])) is not None:
            return moment
    return milliseconds(envelope.get("timestamp"))
