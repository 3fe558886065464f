"""Lineserve's webhooks: an optional signature and one event per body. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers.incoming import event_name, inbound, per_recipient, receipt_body
from tuma_worker.providers.proofs import Proofs, Signed
from tuma_worker.providers.reading import code, identifier, milliseconds, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.providers.lineserve.settings import LineserveSettings

# Each event's state and who vouches for it. All are about one recipient.
EVENTS: Mapping[str, tuple[RecipientState, Evidence]] = {
    "sms.sent": (RecipientState.SENT, Evidence.OPERATOR),
    "sms.delivered": (RecipientState.DELIVERED, Evidence.HANDSET),
    "sms.failed": (RecipientState.FAILED, Evidence.OPERATOR),
    "sms.expired": (RecipientState.EXPIRED, Evidence.OPERATOR),
    "sms.rejected": (RecipientState.REJECTED, Evidence.OPERATOR),
}

_SUCCESSES = frozenset({RecipientState.SENT, RecipientState.DELIVERED, None})
_TIME_FIELDS = ("delivered_at", "sent_at", "failed_at", "expired_at", "rejected_at")


class LineserveReceipts:
    """Checks and reads the webhooks of one Lineserve key."""

    def __init__(self, settings: LineserveSettings) -> None:
        self._inbound_event = settings.inbound_event
        secrets = (settings.webhook_secret, settings.webhook_secret_old)
        self._proofs = Proofs.of(Signed.of(settings.signature_header, settings.webhook_timestamp_header, *secrets))

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether the body is signed with a configured secret. Assumed, since only the secret is documented: as `Signed` has it."""
        return self._proofs.authentic(headers, body, now)

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether there is a signature, and a wrong one. Whether `callback_url` gets one is not documented; assumed: none."""
        return self._proofs.forged(headers, body, now)

    def read(self, body: bytes) -> list[Receipt]:
        """The one event of a body. Raises `BadReceipt`."""
        envelope = receipt_body(body)
        event = event_name("event", envelope.get("event"))
        data = section(envelope, "data")
        state, evidence = EVENTS.get(event, (None, Evidence.PROVIDER))
        provider_id = identifier(data.get("message_id"))
        return [
            Receipt(
                event=event,
                provider_id=provider_id,
                number=per_recipient("data.to", data.get("to"), needed=state is not None),
                state=state,
                evidence=evidence,
                reason=None if state in _SUCCESSES else code(data.get("error_code")),
                occurred_at=_occurred_at(envelope, data),
                # Events carry no id of their own; a message has each of them once.
                event_id=f"{provider_id}:{event}" if provider_id else None,
                inbound=inbound(event, self._inbound_event, data),
            ),
        ]


def _occurred_at(envelope: Mapping[str, object], data: Mapping[str, object]) -> int | None:
    times = (*(data.get(name) for name in _TIME_FIELDS), envelope.get("timestamp"))
    return next((moment for value in times if (moment := milliseconds(value)) is not None), None)
