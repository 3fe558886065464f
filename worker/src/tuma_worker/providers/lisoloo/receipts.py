"""Lisoloo's webhooks: Basic credentials and one event per body. No I/O."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

from pydantic import SecretBytes

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers.incoming import event_name, header, inbound, per_recipient, receipt_body
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
FAILURES: Mapping[str, RecipientState] = {
    "delivery_unknown": RecipientState.UNKNOWN,
    "undeliver": RecipientState.UNDELIVERED,
    "unreachable": RecipientState.UNDELIVERED,
    "reject": RecipientState.REJECTED,
    "1502": RecipientState.REJECTED,
    "expire": RecipientState.EXPIRED,
}

_CALL_EVENT = "sms.queued"
_FAILED_EVENT = "sms.failed"
_REASON_FIELDS = ("error_code", "code", "reason", "status")
_TIME_FIELDS = ("delivered_at", "sent_at", "failed_at")


class LisolooReceipts:
    """Checks and reads the webhooks of one Lisoloo key."""

    def __init__(self, settings: LisolooSettings) -> None:
        self._inbound_event = settings.inbound_event
        passwords = (settings.webhook_password, settings.webhook_password_old)
        self._expected = [
            SecretBytes(f"{settings.webhook_username}:{password.get_secret_value()}".encode())
            for password in passwords
            if password is not None
        ]

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:  # noqa: ARG002 - this provider signs neither
        """Whether the Basic credentials are the configured ones, or those that they replace; true where none are configured."""
        if not self._expected:
            return True
        given = _credentials(header(headers, "Authorization"))
        matches = [hmac.compare_digest(given, expected.get_secret_value()) for expected in self._expected]
        return any(matches)

    def presented(self, headers: Mapping[str, str]) -> bool:
        """Whether there is an `Authorization` header. Whether `callback_url` gets one is not documented."""
        return header(headers, "Authorization") is not None

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
    return next((state for word, state in FAILURES.items() if word in said), RecipientState.FAILED)


def _reason(data: Mapping[str, object]) -> str | None:
    return next((reason for name in _REASON_FIELDS if (reason := code(data.get(name)))), None)


def _occurred_at(envelope: Mapping[str, object], data: Mapping[str, object]) -> int | None:
    for name in _TIME_FIELDS:
        if name in data and (moment := milliseconds(data[name])) is not None:
            return moment
    return milliseconds(envelope.get("timestamp"))


def _credentials(value: str | None) -> bytes:
    """The `user:password` of a Basic header; empty for anything else."""
    scheme, _, encoded = (value or "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
