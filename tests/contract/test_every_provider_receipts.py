"""What must hold of every provider's webhooks: read in our words, or refused naming the field, and nothing else."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.contract.canned import InventedAccount, webhook

from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers import PROVIDERS, named
from tuma_worker.providers.base import BadReceipt

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

    from tuma_worker.providers.base import Receipts

NOW = 1_747_736_100.0
NUMBER = "+254711000001"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def receipts(provider: str) -> Receipts:
    return named(provider).receipts(InventedAccount("https://provider.example"))


@pytest.mark.parametrize(
    ("name", "state", "evidence"),
    [
        ("receipt-sent", RecipientState.SENT, Evidence.OPERATOR),
        ("receipt-delivered", RecipientState.DELIVERED, Evidence.HANDSET),
        ("receipt-failed", RecipientState.FAILED, Evidence.OPERATOR),
        ("receipt-strange", None, Evidence.PROVIDER),
    ],
)
def test_a_receipt_says_whom_it_is_about_and_what_became_of_it(
    receipts: Receipts, provider: str, name: str, state: RecipientState | None, evidence: Evidence
) -> None:
    (receipt,) = receipts.read(json.dumps(webhook(provider, name)).encode())
    assert (receipt.state, receipt.evidence) == (state, evidence)
    assert receipt.number is not None
    assert receipt.number.startswith("+2")
    assert receipt.provider_id
    assert receipt.event_id
    assert receipt.occurred_at is not None
    assert 1_747_000_000_000 < receipt.occurred_at < 1_748_000_000_000
    assert (receipt.reason is not None) == (name == "receipt-failed")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'"sms.sent"', b"{}", b'{"event": 7, "event_type": {}}'])
def test_a_body_that_is_no_receipt_is_refused_naming_what_is_missing(receipts: Receipts, body: bytes) -> None:
    with pytest.raises(BadReceipt, match=r"^(body|event|event_type): "):
        receipts.read(body)


def test_news_about_a_recipient_without_its_number_is_not_taken_for_news_about_the_call(receipts: Receipts, provider: str) -> None:
    body = webhook(provider, "receipt-delivered")
    body["data"] = {"segments": 1, "message_id": "msg_1"}
    with pytest.raises(BadReceipt, match=r"^data\.\w+: "):
        receipts.read(json.dumps(body).encode())


@settings(max_examples=200, deadline=None)
@given(inner=JSON, outer=JSON, event=st.sampled_from(["sms.sent", "sms.failed", "sms.queued", "sms.other"]))
def test_whatever_a_webhook_holds_it_is_read_or_refused(inner: object, outer: object, event: str) -> None:
    names = ("recipient_phone", "to", "message_id", "error_code", "reason", "delivered_at", "status")
    bodies = (
        outer,
        {"event": event, "event_type": event, "message_id": outer, "event_id": outer, "timestamp": outer, "data": inner},
        {"event": event, "event_type": event, "data": dict.fromkeys(names, inner)},
    )
    for provider in PROVIDERS.values():
        receipts = provider.receipts(InventedAccount("https://provider.example"))
        for body in bodies:
            with suppress(BadReceipt):
                assert len(receipts.read(json.dumps(body).encode())) == 1


# --------------------------------------------------------------------------------------------------- where it comes from

BARE: dict[str, Any] = {"webhook_username": None, "webhook_password": None, "webhook_secret": None}


def signed_by(provider: str, secret: str, **more: Any) -> Receipts:  # noqa: ANN401 - fields of an account
    account = InventedAccount("https://provider.example", **BARE | {"webhook_secret": SecretStr(secret)} | more)
    return named(provider).receipts(account)


@pytest.mark.parametrize("asks", [{}, BARE])
def test_a_bare_webhook_is_believed_nowhere_and_is_no_forgery(provider: str, asks: dict[str, Any]) -> None:
    receipts = named(provider).receipts(InventedAccount("https://provider.example", **asks))
    assert not receipts.authentic({}, b"{}", NOW)
    assert not receipts.forged({}, b"{}", NOW)


@pytest.mark.parametrize("timestamp", ["", "X-Signed-At"])
def test_what_the_stand_in_signs_is_believed_and_no_other_body_nor_secret(
    provider: str, sandbox: Sandbox, receiver: Receiver, timestamp: str
) -> None:
    webhook = {"url": receiver.url, "secret": "invented", "timestamp_header": timestamp}
    sandbox.config(**{provider: {"webhook": webhook}})
    send = {
        "lisoloo": ("/send", {"to": [NUMBER], "message": "Karibu"}),
        "lineserve": ("/sms/send", {"to": NUMBER, "message": "Karibu"}),
    }
    path, body = send[provider]
    assert (sandbox.lisoloo if provider == "lisoloo" else sandbox.lineserve)("POST", path, body).is_success
    told, *_ = receiver.wait_for(1)
    receipts = signed_by(provider, "invented", webhook_timestamp_header=timestamp or None)
    now = time.time()
    assert receipts.authentic(told.headers, told.body, now)
    assert receipts.authentic(told.headers, told.body, now + 301) is not bool(timestamp)
    assert receipts.forged(told.headers, told.body + b" ", now)
    assert signed_by(provider, "another").forged(told.headers, told.body, now)
