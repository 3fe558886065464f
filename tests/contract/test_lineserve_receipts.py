"""Lineserve's five webhook events and its optional signature."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr
from tests.contract.canned import SECRET, InventedAccount, webhook

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers import named

RECEIPTS = named("lineserve").receipts(InventedAccount("https://provider.example"))
NOW = 1_747_736_100.0
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
    assert RECEIPTS.authentic(headers, BODY, NOW) is authentic


def test_a_signature_is_for_one_body_only() -> None:
    assert not RECEIPTS.authentic({"X-Lineserve-Signature": SIGNATURE}, BODY + b" ", NOW)


def signed(content: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def test_while_a_secret_is_replaced_the_old_and_the_new_one_are_good() -> None:
    account = InventedAccount("https://provider.example", webhook_secret_old=SecretStr("the one before"))
    receipts = named("lineserve").receipts(account)
    for secret, good in ((SECRET, True), ("the one before", True), ("another", False)):
        assert receipts.authentic({"X-Lineserve-Signature": signed(BODY, secret)}, BODY, NOW) is good


@pytest.mark.parametrize(
    ("signed_at", "authentic"),
    [
        (str(int(NOW)), True),
        (str(int(NOW) - 299), True),
        (str(int(NOW) + 299), True),
        (str(int(NOW) - 301), False),  # overheard, and played again
        (str(int(NOW) + 301), False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_where_the_time_is_signed_as_well_an_old_signature_is_good_for_nothing(signed_at: str, *, authentic: bool) -> None:
    receipts = named("lineserve").receipts(InventedAccount("https://provider.example", webhook_timestamp_header="X-Signed-At"))
    signature = signed(signed_at.encode() + b"." + BODY)
    assert receipts.authentic({"X-Lineserve-Signature": signature, "x-signed-at": signed_at}, BODY, NOW) is authentic
    assert not receipts.authentic({"X-Lineserve-Signature": SIGNATURE, "x-signed-at": signed_at}, BODY, NOW)
    assert not receipts.authentic({"X-Lineserve-Signature": signature, "x-signed-at": str(int(NOW) - 1)}, BODY, NOW)
