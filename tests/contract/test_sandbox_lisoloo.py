"""Lisoloo's stand-in: keys, validation, answers, states, webhooks."""

from __future__ import annotations

import base64
import itertools
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Received, Receiver, Sandbox

_BODY: dict[str, Any] = {"to": ["+243990000001"], "message": "hello", "sender_id": "KITOKO"}


def _types(received: list[Received]) -> list[str]:
    return [one.event["event_type"] for one in received]


# Keys.


@pytest.mark.parametrize(("key", "status"), [("", 401), ("sk_test_wrong", 401), ("sk_live_wrong", 401)])
def test_a_missing_or_wrong_key_is_401_with_a_detail(sandbox: Sandbox, key: str, status: int) -> None:
    answer = sandbox.lisoloo("POST", "/send", _BODY, key=key)
    assert (answer.status_code, answer.json()) == (status, {"detail": "Missing or invalid app-key"})
    assert sandbox.ledger()["calls"] == 0


def test_a_test_key_on_production_is_401_and_a_live_key_on_the_sandbox_too(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"keys": {"sk_live_a": {"label": "live"}}})
    assert sandbox.lisoloo("GET", "/balance").status_code == 200
    assert sandbox.lisoloo("GET", "/balance", key="sk_live_a").status_code == 401
    sandbox.config(lisoloo={"environment": "production"})
    assert sandbox.lisoloo("GET", "/balance").status_code == 401
    assert sandbox.lisoloo("GET", "/balance", key="sk_live_a").status_code == 200


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [("suspended", 403, "1004"), ("expired", 403, "1005"), ("revoked", 401, "1001"), ("not_allowed", 403, "1003")],
)
def test_a_key_that_is_not_active_is_refused_by_its_state(sandbox: Sandbox, state: str, status: int, code: str) -> None:
    sandbox.config(lisoloo={"error_format": "structured", "keys": {"sk_test_x": {"state": state}}})
    answer = sandbox.lisoloo("POST", "/send", _BODY, key="sk_test_x")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_health_needs_no_key(sandbox: Sandbox) -> None:
    assert sandbox.lisoloo("GET", "/health", key="").json() == {"status": "ok"}


# Validation.


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"to": None}, "1109", "to"),
        ({"message": None}, "1109", "message"),
        ({"to": []}, "1101", "to"),
        ({"to": "+243990000001"}, "1101", "to"),
        ({"to": [243990000001]}, "1101", "to"),
        ({"to": [f"+24399{i:07d}" for i in range(1001)]}, "1101", "to"),
        ({"to": ["+243990000001", "+243 99"]}, "1104", "to[1]"),
        ({"to": ["+2439900000011234"]}, "1104", "to[0]"),
        ({"to": ["+243990999909"]}, "1104", "to[0]"),
        ({"message": ""}, "1102", "message"),
        ({"message": "x" * 1601}, "1102", "message"),
        ({"sender_id": "Kitoko"}, "1103", "sender_id"),
        ({"sender_id": "KITOKOKITOKO"}, "1103", "sender_id"),
        ({"sending_type": "instant"}, "1105", "sending_type"),
        ({"sending_type": "scheduled"}, "1106", "scheduled_dates"),
        ({"scheduled_dates": [{"date": "2030-01-01", "time": "10:00"}]}, "1110", "scheduled_dates"),
        ({"callback_url": "ftp://example.org/"}, "1108", "callback_url"),
        ({"callback_url": "nowhere"}, "1108", "callback_url"),
    ],
)
def test_a_broken_rule_is_told_in_the_structured_shape(sandbox: Sandbox, change: dict[str, Any], code: str, field: str) -> None:
    answer = sandbox.lisoloo("POST", "/send", {**_BODY, **change})
    told = answer.json()
    assert answer.status_code == told["status_code"] == 400
    assert (told["success"], told["error_code"], told["retryable"], told["retry_after"]) == (False, code, False, None)
    assert told["details"][0]["field"] == field
    assert re.fullmatch("req_[0-9a-f]{16}", told["request_id"])
    assert sandbox.ledger()["calls"] == 0


def test_everything_at_its_largest_is_accepted(sandbox: Sandbox) -> None:
    body = {**_BODY, "to": [f"24399{i:07d}" for i in range(1000)], "message": "x" * 1600, "sending_type": "immediate"}
    answer = sandbox.lisoloo("POST", "/send", body)
    assert (answer.status_code, answer.json()["data"]["total_messages"]) == (201, 11_000)


def test_https_is_demanded_of_callbacks_when_the_switch_is_off(sandbox: Sandbox) -> None:
    sandbox.config(allow_http_callbacks=False)
    assert sandbox.lisoloo("POST", "/send", {**_BODY, "callback_url": "http://127.0.0.1/x"}).json()["error_code"] == "1108"


def test_a_body_that_is_no_json_is_the_frameworks_422(sandbox: Sandbox) -> None:
    answer = sandbox.http.post(
        "/lisoloo/api/v1/lisoloo/sms-api/send",
        content=b"{",
        headers={"app-key": "sk_test_Sandbox0000000000000000000000000"},
    )
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "json_invalid")


@pytest.mark.parametrize("shape", ["mixed", "structured", "detail"])
def test_the_shape_of_errors_can_be_chosen(sandbox: Sandbox, shape: str) -> None:
    sandbox.config(lisoloo={"error_format": shape})
    bad_key = sandbox.lisoloo("POST", "/send", _BODY, key="wrong").json()
    bad_body = sandbox.lisoloo("POST", "/send", {}).json()
    assert ("detail" in bad_key, "detail" in bad_body) == {
        "mixed": (True, False),
        "structured": (False, False),
        "detail": (True, True),
    }[shape]


# Answers, money, states.


def test_an_accepted_send_is_told_with_id_totals_and_cost(sandbox: Sandbox) -> None:
    answer = sandbox.lisoloo("POST", "/send", {**_BODY, "to": ["+243990000001", "+243990000002"], "message": "😀" * 40})
    data = answer.json()["data"]
    assert answer.status_code == answer.json()["status_code"] == 201
    assert re.fullmatch("[0-9a-f]{24}", data.pop("message_id"))
    assert data == {
        "total_recipients": 2,
        "total_messages": 4,
        "total_cost": 0.08,
        "currency": "USD",
        "status": "pending",
        "sending_type": "immediate",
    }


def test_the_balance_falls_by_exactly_the_cost_and_prepaid_goes_first(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"balance": 0.03, "postpaid_balance": 0.03})
    sandbox.lisoloo("POST", "/send", {**_BODY, "to": ["+243990000001", "+243990000002"]})
    assert sandbox.lisoloo("GET", "/balance").json()["data"] == {
        "balance": 0.02,
        "sms_wallet_balance": 0.0,
        "postpaid_wallet_balance": 0.02,
        "currency": "USD",
        "unit_price": 0.02,
        "available_sms": 1,
    }
    sandbox.lisoloo("POST", "/send", _BODY)
    refused = sandbox.lisoloo("POST", "/send", _BODY)
    assert (refused.status_code, refused.json()["error_code"]) == (402, "1202")


def test_a_merchant_without_wallets_has_no_balance_to_show(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"balance": None})
    assert sandbox.lisoloo("GET", "/balance").status_code == 400


@pytest.mark.parametrize(
    ("number", "end", "counts"),
    [
        ("+243990000001", "delivered", (1, 0, 0)),
        ("+243990999901", "undelivered", (0, 1, 0)),
        ("+243990999902", "failed", (0, 1, 0)),
        ("+243990999903", "rejected", (0, 1, 0)),
        ("+243990999904", "expired", (0, 1, 0)),
        ("+243990999905", "delivery_unknown", (0, 1, 0)),
        ("+243990999907", "sent", (0, 0, 1)),
        ("+243990999910", "partially_delivered", (0, 1, 0)),
    ],
)
def test_magic_numbers_come_to_their_end(sandbox: Sandbox, number: str, end: str, counts: tuple[int, int, int]) -> None:
    message_id = sandbox.lisoloo("POST", "/send", {**_BODY, "to": [number]}).json()["data"]["message_id"]
    sandbox.until(lambda ledger: ledger["messages"] == {end: 1})
    data = sandbox.lisoloo("GET", f"/status/{message_id}").json()["data"]
    assert (data["status"], data["delivered"], data["failed"], data["pending"]) == (end, *counts)
    assert data["updated_at"] > data["created_at"]


def test_a_mixed_send_is_open_while_somebody_is_pending_and_then_partially_delivered(sandbox: Sandbox) -> None:
    sandbox.config(steps={"final": 600})
    open_ = sandbox.lisoloo("POST", "/send", {**_BODY, "to": ["+243990000001", "+243990999901"]}).json()["data"]["message_id"]
    sandbox.until(lambda ledger: ledger["messages"] == {"sent": 2})
    assert sandbox.lisoloo("GET", f"/status/{open_}").json()["data"]["status"] == "sent"
    sandbox.reset()
    mixed = sandbox.lisoloo("POST", "/send", {**_BODY, "to": ["+243990000001", "+243990999901"]}).json()["data"]["message_id"]
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1, "undelivered": 1})
    assert sandbox.lisoloo("GET", f"/status/{mixed}").json()["data"]["status"] == "partially_delivered"


def test_another_merchants_message_is_not_found(sandbox: Sandbox) -> None:
    sandbox.config(lisoloo={"keys": {"sk_test_b": {"label": "b"}}})
    message_id = sandbox.lisoloo("POST", "/send", _BODY).json()["data"]["message_id"]
    answer = sandbox.lisoloo("GET", f"/status/{message_id}", key="sk_test_b")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Message not found"})


def test_the_dice_fall_the_same_way_for_the_same_seed(sandbox: Sandbox) -> None:
    to = [f"+24399000{i:04d}" for i in range(100)]
    ends = []
    for seed in (7, 7, 8):
        sandbox.reset()
        sandbox.config(seed=seed, outcomes={"delivered": 0.5, "failed": 0.5})
        sandbox.lisoloo("POST", "/send", {**_BODY, "to": to})
        ends.append(sandbox.until(lambda ledger: not ledger["messages"].keys() - {"delivered", "failed"})["messages"])
    assert ends[0] == ends[1] != ends[2]


# Webhooks.


def test_a_send_is_told_by_four_events_in_order_with_basic_auth(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.config(lisoloo={"webhook": {"url": receiver.url + "/account", "username": "hook", "password": "s3cret"}})
    message_id = sandbox.lisoloo("POST", "/send", _BODY).json()["data"]["message_id"]
    received = receiver.wait_for(4)
    assert _types(received) == ["sms.queued", "sms.processing", "sms.sent", "sms.delivered"]
    for one in received:
        assert one.path == "/account"
        assert one.headers["authorization"] == "Basic " + base64.b64encode(b"hook:s3cret").decode()
        assert one.event["message_id"] == message_id
        assert uuid.UUID(one.event["event_id"]).version == 4
    assert len({one.event["event_id"] for one in received}) == 4
    queued, _, sent, delivered = (one.event["data"] for one in received)
    assert queued == {"total_recipients": 1, "total_messages": 1, "total_cost": 0.02, "currency": "USD", "scheduled_at": None}
    assert sent["recipient_phone"] == delivered["recipient_phone"] == "+243990000001"
    assert delivered["segments"] == 1
    assert sandbox.until(lambda ledger: not ledger["webhooks"]["pending"])["webhooks"]["sent"] == 4


def test_a_callback_url_replaces_the_accounts_webhook_and_keeps_its_path(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.config(lisoloo={"webhook": {"url": receiver.url + "/account"}})
    sandbox.lisoloo("POST", "/send", {**_BODY, "callback_url": receiver.url + "/call/token?x=1"})
    assert {one.path for one in receiver.wait_for(4)} == {"/call/token?x=1"}
    assert "authorization" not in receiver.received[0].headers


def test_every_recipient_has_its_own_events(sandbox: Sandbox, receiver: Receiver) -> None:
    to = [f"+24399000{i:04d}" for i in range(50)]
    sandbox.lisoloo("POST", "/send", {**_BODY, "to": to, "callback_url": receiver.url})
    received = receiver.wait_for(151)
    assert _types(received).count("sms.queued") == 1
    told = [one.event["data"]["recipient_phone"] for one in received if one.event["event_type"] == "sms.delivered"]
    assert sorted(told) == to


def test_a_500_and_a_lost_connection_are_retried_with_the_same_event(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500, 0, 503]
    sandbox.config(steps={"processing": 600})
    sandbox.lisoloo("POST", "/send", {**_BODY, "callback_url": receiver.url})
    received = receiver.wait_for(4)
    assert {one.body for one in received} == {received[0].body}
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(received)]
    assert gaps[0] >= 0.03
    assert gaps[1] >= 0.12
    assert gaps[2] >= 0.6
    assert sandbox.until(lambda ledger: not ledger["webhooks"]["pending"])["webhooks"] == {
        "sent": 1,
        "failed": 0,
        "pending": 0,
        "attempts": 4,
    }


def test_after_the_last_retry_the_event_is_dropped(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500] * 9
    sandbox.config(steps={"processing": 600}, lisoloo={"retry_delays": [1, 1]})
    sandbox.lisoloo("POST", "/send", {**_BODY, "callback_url": receiver.url})
    ledger = sandbox.until(lambda ledger: ledger["webhooks"]["failed"] == 1)
    assert (ledger["webhooks"]["attempts"], len(receiver.received)) == (3, 3)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 302])
def test_an_answer_below_500_is_final(sandbox: Sandbox, receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    sandbox.config(steps={"processing": 600})
    sandbox.lisoloo("POST", "/send", {**_BODY, "callback_url": receiver.url})
    ledger = sandbox.until(lambda ledger: ledger["webhooks"]["failed"] == 1)
    assert (ledger["webhooks"]["attempts"], len(receiver.received)) == (1, 1)


def test_bad_ends_are_told_as_failed_with_their_reason_or_not_at_all(sandbox: Sandbox, receiver: Receiver) -> None:
    body = {**_BODY, "to": ["+243990999904"], "callback_url": receiver.url}
    sandbox.lisoloo("POST", "/send", body)
    received = receiver.wait_for(4)
    assert (_types(received)[3], received[3].event["data"]["reason"]) == ("sms.failed", "expired")
    sandbox.config(lisoloo={"failed_event_for_every_bad_end": False})
    sandbox.lisoloo("POST", "/send", body)
    sandbox.until(lambda ledger: ledger["messages"] == {"expired": 2} and not ledger["webhooks"]["pending"])
    assert len(receiver.received) == 7


def test_the_silent_magic_number_is_delivered_without_a_word(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.lisoloo("POST", "/send", {**_BODY, "to": ["+243990999906"], "callback_url": receiver.url})
    ledger = sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1})
    assert ledger["webhooks"]["attempts"] == 0
