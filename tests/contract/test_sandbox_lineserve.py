"""Lineserve's stand-in: keys, validation, answers, history, campaigns, test numbers, webhooks."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

_SINGLE: dict[str, Any] = {"to": "+243990000001", "message": "hello", "from": "KITOKO"}
_BULK: dict[str, Any] = {
    "recipients": ["+243990000001", "+243990000002", "+243990000003"],
    "message": "hello",
    "from": "KITOKO",
    "campaign_name": "batch-7",
}


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_missing_or_wrong_key_is_401(sandbox: Sandbox, key: str) -> None:
    answer = sandbox.lineserve("POST", "/sms/send", _SINGLE, key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_a_suspended_account_is_403(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"keys": {"x": {"state": "suspended"}}})
    assert sandbox.lineserve("POST", "/sms/send", _SINGLE, key="x").status_code == 403


@pytest.mark.parametrize(
    ("change", "status", "code", "details"),
    [
        ({"to": None}, 400, "invalid_parameter", {"field": "to", "value": None}),
        ({"to": "0990000001"}, 400, "invalid_phone_number", {"field": "to", "value": "0990000001"}),
        ({"to": "+243990999909"}, 400, "invalid_phone_number", {"field": "to", "value": "+243990999909"}),
        ({"message": ""}, 400, "invalid_parameter", {"field": "message", "value": None}),
        ({"message": "x" * 1601}, 422, "message_too_long", {"field": "message", "value": 1601}),
        ({"from": "KITOKO SARL"}, 400, "invalid_parameter", {"field": "from", "value": "KITOKO SARL"}),
        ({"callback_url": "nowhere"}, 400, "invalid_parameter", {"field": "callback_url", "value": "nowhere"}),
    ],
)
def test_a_broken_rule_is_told_in_one_error_object(
    sandbox: Sandbox,
    change: dict[str, Any],
    status: int,
    code: str,
    details: dict[str, Any],
) -> None:
    answer = sandbox.lineserve("POST", "/sms/send", {**_SINGLE, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]) == (status, code, details)
    assert sandbox.ledger()["calls"] == 0


def test_only_approved_senders_pass_once_there_is_a_list(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"senders": ["KITOKO SARL"]})
    assert sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "from": "KITOKO SARL"}).status_code == 200
    refused = sandbox.lineserve("POST", "/sms/send", _SINGLE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "sender_id_not_approved")


def test_one_bad_number_refuses_the_whole_bulk_call_or_only_its_item(sandbox: Sandbox) -> None:
    body = {**_BULK, "recipients": ["+243990000001", "bad"]}
    refused = sandbox.lineserve("POST", "/sms/bulk", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_phone_number")
    sandbox.config(lineserve={"bad_bulk_number": "reject_item"})
    told = sandbox.lineserve("POST", "/sms/bulk", body).json()
    assert [message["status"] for message in told["messages"]] == ["pending", "rejected"]
    assert told["total_cost"] == 0.05


def test_more_recipients_than_the_cap_are_refused(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"bulk_cap": 2, "bulk_cap_status": 413})
    assert sandbox.lineserve("POST", "/sms/bulk", _BULK).status_code == 413


def test_money_that_runs_out_is_told_and_nothing_is_sent(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"balance": 0.15})
    assert sandbox.lineserve("POST", "/sms/bulk", _BULK).status_code == 200
    refused = sandbox.lineserve("POST", "/sms/send", _SINGLE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_balance")
    assert sandbox.ledger()["recipients"] == 3


def test_a_message_is_echoed_at_once_and_told_whole_when_delivered(sandbox: Sandbox) -> None:
    told = sandbox.lineserve("POST", "/sms/send", _SINGLE).json()
    message_id = told["message_id"]
    assert message_id.startswith("msg_")
    assert (told["to"], told["message"], told["from"], told["status"]) == ("+243990000001", "hello", "KITOKO", "pending")
    assert (told["cost"], told["currency"]) == (0.05, "USD")
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1})
    status = sandbox.lineserve("GET", f"/sms/status/{message_id}").json()
    assert status["status"] == "delivered"
    assert told["created_at"] < status["sent_at"] < status["delivered_at"]
    assert status["delivery_report"] == {"network": "Sandbox", "country": "Kenya", "error_code": None, "error_message": None}


def test_an_unknown_message_is_404(sandbox: Sandbox) -> None:
    assert sandbox.lineserve("GET", "/sms/status/msg_1").status_code == 404


@pytest.mark.parametrize(
    ("number", "end"),
    [
        ("+254700000001", "delivered"),
        ("+254700000002", "failed"),
        ("+243990999901", "failed"),
        ("+243990999903", "rejected"),
        ("+243990999904", "expired"),
        ("+243990999907", "sent"),
    ],
)
def test_test_numbers_and_magic_numbers_come_to_their_end(sandbox: Sandbox, number: str, end: str) -> None:
    message_id = sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "to": number}).json()["message_id"]
    sandbox.until(lambda ledger: ledger["messages"] == {end: 1})
    report = sandbox.lineserve("GET", f"/sms/status/{message_id}").json()["delivery_report"]
    assert (report["error_code"] is None) == (end in {"delivered", "sent"})


def test_the_random_test_number_falls_both_ways(sandbox: Sandbox) -> None:
    sandbox.lineserve("POST", "/sms/bulk", {**_BULK, "recipients": ["+254700000003"] * 60})
    messages = sandbox.until(lambda ledger: not ledger["messages"].keys() - {"delivered", "failed"})["messages"]
    assert messages["delivered"] > 5
    assert messages["failed"] > 5


def test_test_mode_and_test_numbers_cost_nothing_and_do_not_count_as_sms(sandbox: Sandbox) -> None:
    tested = sandbox.lineserve("POST", "/sms/send", _SINGLE, headers={"X-Test-Mode": "true"})
    numbered = sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "to": "+254700000001"})
    for answer in (tested, numbered):
        assert (answer.json()["cost"], answer.headers["X-SMS-Remaining"]) == (0, "10000")
    assert numbered.headers["X-RateLimit-Remaining"] == "998"


def test_a_campaign_is_found_by_name_with_its_messages_and_completes(sandbox: Sandbox) -> None:
    told = sandbox.lineserve("POST", "/sms/bulk", _BULK).json()
    assert (told["campaign_name"], told["total_messages"], told["total_cost"]) == ("batch-7", 3, 0.15)
    assert [message["to"] for message in told["messages"]] == _BULK["recipients"]
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 3})
    (listed,) = sandbox.lineserve("GET", "/sms/campaigns").json()["campaigns"]
    assert (listed["campaign_id"], listed["campaign_name"], listed["status"]) == (told["campaign_id"], "batch-7", "completed")
    assert (listed["delivered_messages"], listed["failed_messages"]) == (3, 0)
    whole = sandbox.lineserve("GET", f"/sms/campaigns/{told['campaign_id']}").json()
    assert {message["message_id"] for message in whole["messages"]} == {message["message_id"] for message in told["messages"]}


def test_the_history_is_filtered_and_paged_newest_first(sandbox: Sandbox) -> None:
    for text in ("one", "two", "three"):
        sandbox.lineserve("POST", "/sms/bulk", {**_BULK, "message": text})
    page = sandbox.lineserve("GET", "/sms/messages?per_page=2&page=2&to=%2B243990000001").json()
    assert page["meta"] == {"total": 3, "page": 2, "per_page": 2, "pages": 2}
    assert [message["message"] for message in page["messages"]] == ["one"]
    assert sandbox.lineserve("GET", "/sms/messages?from=NOBODY").json()["meta"]["total"] == 0
    assert sandbox.lineserve("GET", "/sms/messages?from_date=2099-01-01T00:00:00Z").json()["meta"]["total"] == 0
    assert sandbox.lineserve("GET", "/sms/messages?to_date=2099-01-01T00:00:00%2B01:00").json()["meta"]["total"] == 9
    assert sandbox.lineserve("GET", "/sms/messages?per_page=500").json()["meta"]["per_page"] == 100
    assert sandbox.lineserve("GET", "/sms/messages?page=zero").status_code == 400
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 9})
    assert sandbox.lineserve("GET", "/sms/messages?status=delivered").json()["meta"]["total"] == 9


def test_a_new_message_can_take_its_time_to_appear_in_the_history(sandbox: Sandbox) -> None:
    sandbox.config(lineserve={"history_delay": 600})
    sandbox.lineserve("POST", "/sms/bulk", _BULK)
    assert sandbox.lineserve("GET", "/sms/messages").json()["meta"]["total"] == 0
    assert sandbox.lineserve("GET", "/sms/campaigns").json()["campaigns"] == []


def test_callback_and_account_webhook_both_get_every_event_and_only_the_account_is_signed(
    sandbox: Sandbox,
    receiver: Receiver,
) -> None:
    sandbox.config(lineserve={"webhook": {"url": receiver.url + "/account", "secret": "s3cret"}})
    message_id = sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "callback_url": receiver.url + "/call"}).json()["message_id"]
    received = receiver.wait_for(4)
    for path in ("/account", "/call"):
        assert [one.event["event"] for one in received if one.path == path] == ["sms.sent", "sms.delivered"]
    for one in received:
        signature = "sha256=" + hmac.new(b"s3cret", one.body, hashlib.sha256).hexdigest()
        assert one.headers.get("x-lineserve-signature") == (signature if one.path == "/account" else None)
    data = received[-1].event["data"]
    assert data.pop("delivered_at") == received[-1].event["timestamp"]
    assert data == {
        "message_id": message_id,
        "to": "+243990000001",
        "from": "KITOKO",
        "status": "delivered",
        "network": "Sandbox",
        "country": "Kenya",
    }


def test_a_subscription_gets_only_its_events(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.config(lineserve={"webhook": {"url": receiver.url, "events": ["sms.failed"]}})
    sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "to": "+254700000002"})
    (one,) = receiver.wait_for(1)
    assert (one.event["event"], one.event["data"]["error_code"]) == ("sms.failed", "failed")


def test_every_answer_but_a_success_is_retried(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [404, 302, 500, 0]
    sandbox.config(steps={"final": 600})
    sandbox.lineserve("POST", "/sms/send", {**_SINGLE, "callback_url": receiver.url})
    assert len({one.body for one in receiver.wait_for(5)}) == 1
    sandbox.until(lambda ledger: ledger["webhooks"]["sent"] == 1)
