"""Lineserve's five webhook events and its optional signature."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from tests.contract.canned import SECRET, InventedAccount, webhook

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers import named

RECEIPTS = named("lineserve").receipts(InventedAccount("https://provider.example"))
BODY = b'{"event": "sms.sent"}'
SIGNATURE = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("event", "state", "evidence", "reason", "occurred_at"),
    [
        ("sent", RecipientState.SENT, Evidence.OPERATOR, None, 1747736102000),
        ("delivered", RecipientState.DELIVERED, Evidence.HANDSET, None, 1747736104250),
        ("failed", RecipientState.FAILED, Evidence.OPERATOR, "absent_subscriber", 1747736104000),
        ("expired", RecipientState.EXPIRED, Evidence.OPERATOR, "validity", 1747736105000),
        ("rejected", RecipientState.REJECTED, Evidence.OPERATOR, "blocked", 1747736105000),
        ("strange", None, Evidence.PROVIDER, None, 1747736105000),
    ],
)
def test_each_event_is_read_in_full(
    event: str, state: RecipientState | None, evidence: Evidence, reason: str | None, occurred_at: int
) -> None:
    body = webhook("lineserve", f"receipt-{event}")
    name = body["event"]
    (receipt,) = RECEIPTS.read(json.dumps(body).encode())
    assert receipt == Receipt(
        name, "msg_1234567890", "+254700000001", state, evidence, reason, occurred_at, f"msg_1234567890:{name}"
    )


def test_a_receipt_without_a_message_id_can_still_find_its_call_by_other_means() -> None:
    (receipt,) = RECEIPTS.read(b'{"event": "sms.sent", "data": {"to": "254700000001"}}')
    assert (receipt.provider_id, receipt.event_id, receipt.number) == (None, None, "+254700000001")


@pytest.mark.parametrize(
    ("headers", "authentic"),
    [
        ({"X-Lineserve-Signature": SIGNATURE}, True),
        ({"x-lineserve-signature": f"sha256={SIGNATURE.upper()}"}, True),
        ({"X-Lineserve-Signature": SIGNATURE[:-1]}, False),
        ({"X-Lineserve-Signature": "é"}, False),
        ({"X-Lineserve-Signature": ""}, False),
        ({"X-Signature": SIGNATURE}, False),
        ({}, False),
    ],
)
def test_only_a_body_signed_with_the_configured_secret_is_authentic(headers: dict[str, str], *, authentic: bool) -> None:
    assert RECEIPTS.authentic(headers, BODY) is authentic


def test_a_signature_is_for_one_body_only() -> None:
    assert not RECEIPTS.authentic({"X-Lineserve-Signature": SIGNATURE}, BODY + b" ")
