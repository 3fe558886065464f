"""Lisoloo's five webhook events, its finer ends, its Basic credentials, and the signature that it has announced."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import SecretStr
from tests.contract.canned import PASSWORD, SECRET, InventedAccount, webhook

from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers import named
from tuma_worker.providers.base import BadReceipt

RECEIPTS = named("lisoloo").receipts(InventedAccount("https://provider.example", webhook_secret=None))
CALL_ID = "65f1c0ffee0000000000a001"
NUMBER = "+243990000001"
NOW = 1_747_736_100.0


def read(body: dict[str, Any]) -> Receipt:
    (receipt,) = RECEIPTS.read(json.dumps(body).encode())
    return receipt


def event_id(last: int) -> str:
    return f"0b0e7f0e-0000-4000-8000-00000000000{last}"


@pytest.mark.parametrize(
    ("name", "receipt"),
    [
        (
            "receipt-queued",
            Receipt("sms.queued", CALL_ID, None, RecipientState.SUBMITTED, Evidence.PROVIDER, None, 1747736105000, event_id(1)),
        ),
        (
            "receipt-processing",
            Receipt(
                "sms.processing", CALL_ID, NUMBER, RecipientState.SUBMITTED, Evidence.PROVIDER, None, 1747736105000, event_id(2)
            ),
        ),
        (
            "receipt-sent",
            Receipt("sms.sent", CALL_ID, NUMBER, RecipientState.SENT, Evidence.OPERATOR, None, 1747736102000, event_id(3)),
        ),
        (
            "receipt-delivered",
            Receipt("sms.delivered", CALL_ID, NUMBER, RecipientState.DELIVERED, Evidence.HANDSET, None, 1747736104250, event_id(4)),
        ),
        (
            "receipt-failed",
            Receipt("sms.failed", CALL_ID, NUMBER, RecipientState.FAILED, Evidence.OPERATOR, "1501", 1747736104000, event_id(5)),
        ),
        (
            "receipt-strange",
            Receipt("sms.teleported", CALL_ID, NUMBER, None, Evidence.PROVIDER, None, 1747736105000, event_id(6)),
        ),
    ],
)
def test_each_event_is_read_in_full(name: str, receipt: Receipt) -> None:
    assert read(webhook("lisoloo", name)) == receipt


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({}, RecipientState.FAILED, None),
        ({"reason": "blocked"}, RecipientState.FAILED, "blocked"),
        ({"error_code": 1502}, RecipientState.REJECTED, "1502"),
        ({"reason": "undelivered"}, RecipientState.UNDELIVERED, "undelivered"),
        ({"status": "REJECTED"}, RecipientState.REJECTED, "REJECTED"),
        ({"code": "message_expired"}, RecipientState.EXPIRED, "message_expired"),
        ({"status": "delivery-unknown"}, RecipientState.UNKNOWN, "delivery-unknown"),
        ({"status": "partially_delivered"}, RecipientState.FAILED, "partially_delivered"),
        ({"reason": "Validity expired for +243990000001"}, RecipientState.EXPIRED, None),
        ({"reason": "243990000001"}, RecipientState.FAILED, None),
        ({"reason": {"why": "expired"}}, RecipientState.EXPIRED, None),
    ],
)
def test_a_failure_ends_as_its_reason_says_and_no_free_text_is_kept(
    fields: dict[str, object], state: RecipientState, reason: str | None
) -> None:
    receipt = read({"event_type": "sms.failed", "data": {"recipient_phone": NUMBER} | fields})
    assert (receipt.state, receipt.reason, receipt.evidence) == (state, reason, Evidence.OPERATOR)


@pytest.mark.parametrize("written", [NUMBER, "243990000001", "00243990000001", "+243 99 000 0001", 243990000001])
def test_a_number_is_found_however_it_is_written(written: object) -> None:
    assert read({"event_type": "sms.sent", "data": {"recipient_phone": written}}).number == NUMBER


@pytest.mark.parametrize("written", [None, "", "nobody", [], True, "1" * 16])
def test_a_number_that_is_none_is_refused_by_its_fields_name(written: object) -> None:
    with pytest.raises(BadReceipt, match=r"^data\.recipient_phone: is missing or unreadable$"):
        read({"event_type": "sms.sent", "data": {"recipient_phone": written}})


@pytest.mark.parametrize(
    ("timestamp", "moment"),
    [
        ("2025-05-20T10:15:05Z", 1747736105000),
        ("2025-05-20T11:15:05.5+01:00", 1747736105500),
        ("2025-05-20T10:15:05", 1747736105000),
        ("yesterday", None),
        (1747736105, None),
        (None, None),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
        ("9999-12-31T23:59:59-14:00", 253402351199000),
    ],
)
def test_a_time_is_read_with_its_zone_and_a_bad_one_does_not_lose_the_news(timestamp: object, moment: int | None) -> None:
    receipt = read({"event_type": "sms.queued", "timestamp": timestamp})
    assert (receipt.state, receipt.provider_id, receipt.event_id) == (RecipientState.SUBMITTED, None, None)
    assert receipt.occurred_at == moment


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "authentic"),
    [
        ({"Authorization": basic(f"tuma:{PASSWORD}")}, True),
        ({"authorization": basic(f"tuma:{PASSWORD}").replace("Basic", "basic")}, True),
        ({"Authorization": basic("tuma:")}, False),
        ({"Authorization": basic(f"Tuma:{PASSWORD}")}, False),
        ({"Authorization": basic(f"tuma:{PASSWORD}x")}, False),
        ({"Authorization": "Basic ===="}, False),
        ({"Authorization": "Basic é"}, False),
        ({"Authorization": f"Bearer {PASSWORD}"}, False),
        ({"Authorization": ""}, False),
        ({}, False),
    ],
)
def test_only_the_configured_credentials_are_authentic(headers: dict[str, str], *, authentic: bool) -> None:
    assert RECEIPTS.authentic(headers, b"{}", NOW) is authentic


def test_while_a_password_is_replaced_the_old_and_the_new_one_are_good() -> None:
    account = InventedAccount("https://provider.example", webhook_password_old=SecretStr("the one before"), webhook_secret=None)
    receipts = named("lisoloo").receipts(account)
    for password, good in ((PASSWORD, True), ("the one before", True), ("another", False)):
        assert receipts.authentic({"Authorization": basic(f"tuma:{password}")}, b"{}", NOW) is good


SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest()
BASIC = basic(f"tuma:{PASSWORD}")


@pytest.mark.parametrize(
    ("headers", "authentic", "forged"),
    [
        ({"Authorization": BASIC, "X-Lisoloo-Signature": SIGNATURE}, True, False),
        ({"Authorization": BASIC}, False, False),
        ({"X-Lisoloo-Signature": SIGNATURE}, False, False),
        ({"Authorization": BASIC, "X-Lisoloo-Signature": "sha256=00"}, False, True),
        ({"Authorization": basic("tuma:"), "X-Lisoloo-Signature": SIGNATURE}, False, True),
    ],
)
def test_the_announced_signature_is_asked_for_besides_the_credentials(
    headers: dict[str, str], *, authentic: bool, forged: bool
) -> None:
    receipts = named("lisoloo").receipts(InventedAccount("https://provider.example"))
    assert receipts.authentic(headers, b"{}", NOW) is authentic
    assert receipts.forged(headers, b"{}", NOW) is forged


def test_an_empty_secret_would_sign_for_everybody() -> None:
    with pytest.raises(ValueError, match="webhook_secret: is empty"):
        named("lisoloo").check(InventedAccount("https://provider.example", webhook_secret=SecretStr("")))
