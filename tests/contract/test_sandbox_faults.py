"""The sandbox's bad days, and the ledger that tells what was accepted in spite of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

_BODY: dict[str, Any] = {"to": ["+243990000001"], "message": "hello", "sender_id": "KITOKO"}
_BULK: dict[str, Any] = {"recipients": ["+243990000001"], "message": "hello", "from": "KITOKO"}


def _send(sandbox: Sandbox, provider: str, **more: object) -> httpx.Response:
    if provider == "lisoloo":
        return sandbox.lisoloo("POST", "/send", {**_BODY, **more})
    return sandbox.lineserve("POST", "/sms/bulk", {**_BULK, **more})


_PROVIDERS = pytest.mark.parametrize("provider", ["lisoloo", "lineserve"])


@_PROVIDERS
@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("refuse_500", (500, 500)),
        ("refuse_503", (503, 503)),
        ("rate_limit", (429, 429)),
        ("insufficient_balance", (402, 403)),
        ("suspended_key", (403, 403)),
        ("bad_key", (401, 401)),
    ],
)
def test_a_refusal_is_answered_once_and_nothing_is_accepted(
    sandbox: Sandbox,
    provider: str,
    kind: str,
    statuses: tuple[int, int],
) -> None:
    sandbox.arm(kind, provider=provider, retry_after=7)
    assert _send(sandbox, provider).status_code == statuses[provider == "lineserve"]
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["violations"]) == (0, 0)
    assert ledger["rate_limited"] == (kind == "rate_limit")
    assert _send(sandbox, provider).status_code in {200, 201}


def test_an_armed_429_says_the_wait_that_was_asked_for(sandbox: Sandbox) -> None:
    sandbox.arm("rate_limit", retry_after=7)
    answer = _send(sandbox, "lisoloo")
    assert (answer.headers["Retry-After"], answer.json()["retry_after"]) == ("7", 7)


@_PROVIDERS
@pytest.mark.parametrize(("kind", "accepted"), [("accept_then_reset", 1), ("reset_before_reading", 0), ("reset_after_reading", 0)])
def test_a_reset_leaves_the_client_without_an_answer(sandbox: Sandbox, provider: str, kind: str, accepted: int) -> None:
    sandbox.arm(kind)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)):
        _send(sandbox, provider)
    ledger = sandbox.ledger()
    assert ledger["calls"] == accepted
    assert list(ledger["requests"][provider].values()) == [{"reset": 1}]


@_PROVIDERS
def test_a_500_after_acceptance_looks_like_any_500(sandbox: Sandbox, provider: str) -> None:
    sandbox.arm("accept_then_500")
    assert _send(sandbox, provider).status_code == 500
    assert sandbox.ledger()["calls"] == 1


def test_a_call_that_hangs_is_accepted_long_before_its_answer(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("accept_then_hang", seconds=600)
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=sandbox.url, timeout=0.3) as impatient:
        impatient.post(
            "/lisoloo/api/v1/lisoloo/sms-api/send",
            json={**_BODY, "callback_url": receiver.url},
            headers={"app-key": "sk_test_Sandbox0000000000000000000000000"},
        )
    assert sandbox.ledger()["calls"] == 1
    receiver.wait_for(4)


def test_a_hang_ends_with_the_good_answer(sandbox: Sandbox) -> None:
    sandbox.arm("accept_then_hang", seconds=0.3)
    began = time.monotonic()
    assert _send(sandbox, "lisoloo").status_code == 201
    assert time.monotonic() - began >= 0.3


def test_a_proxys_page_hides_an_accepted_call(sandbox: Sandbox) -> None:
    sandbox.arm("html_200")
    answer = _send(sandbox, "lineserve")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert sandbox.ledger()["calls"] == 1


def test_json_of_another_shape_names_no_id(sandbox: Sandbox) -> None:
    sandbox.arm("wrong_json")
    answer = _send(sandbox, "lisoloo")
    assert (answer.status_code, answer.json()) == (201, {"result": ["surprise"], "ok": 1})


def test_slow_bytes_come_whole_in_the_end(sandbox: Sandbox) -> None:
    sandbox.arm("slow_bytes", seconds=0.1)
    assert "message_id" in _send(sandbox, "lisoloo").json()["data"]


def test_no_receipts_come_although_the_message_is_delivered(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("no_receipts")
    _send(sandbox, "lisoloo", callback_url=receiver.url)
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1})
    _send(sandbox, "lisoloo", message="second", callback_url=receiver.url)
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 2} and ledger["webhooks"]["sent"] == 4)
    assert len(receiver.received) == 4


def test_late_receipts_are_late_and_the_state_is_not(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("late_receipts", seconds=0.8)
    _send(sandbox, "lisoloo", callback_url=receiver.url)
    ledger = sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1})
    assert ledger["webhooks"]["attempts"] == 0
    received = receiver.wait_for(4)
    assert received[0].at - ledger["accepted"][0]["arrived_at"] >= 0.8


def test_duplicate_receipts_carry_the_same_event_id(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("duplicate_receipts")
    _send(sandbox, "lisoloo", callback_url=receiver.url)
    ids = [one.event["event_id"] for one in receiver.wait_for(8)]
    assert all(ids.count(one) == 2 for one in ids)


def test_reordered_receipts_tell_the_end_first(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("reordered_receipts")
    _send(sandbox, "lisoloo", callback_url=receiver.url)
    types = [one.event["event_type"] for one in receiver.wait_for(4)]
    assert types == ["sms.delivered", "sms.sent", "sms.processing", "sms.queued"]


@_PROVIDERS
def test_receipts_can_all_come_before_the_answer(sandbox: Sandbox, receiver: Receiver, provider: str) -> None:
    sandbox.config(steps={"queued": 600, "processing": 600, "sent": 600, "final": 600})
    sandbox.arm("receipts_before_answer")
    assert _send(sandbox, provider, callback_url=receiver.url).status_code in {200, 201}
    assert len(receiver.received) == (4 if provider == "lisoloo" else 2)


def test_two_troubles_can_meet_in_one_call(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.arm("accept_then_reset", receipts="none")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        _send(sandbox, "lisoloo", callback_url=receiver.url)
    ledger = sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1})
    assert ledger["webhooks"]["attempts"] == 0


def test_a_fault_waits_for_its_provider_its_numbers_and_its_operation(sandbox: Sandbox) -> None:
    sandbox.arm("refuse_500", provider="lineserve")
    sandbox.arm("refuse_503", to=["243990000077"], count=2)
    sandbox.arm("refuse_500", operation="balance")
    assert _send(sandbox, "lisoloo").status_code == 201
    assert _send(sandbox, "lisoloo", to=["+243990000001", "+243990000077"]).status_code == 503
    assert _send(sandbox, "lineserve").status_code == 500
    assert sandbox.lisoloo("GET", "/balance").status_code == 500
    assert [(fault["kind"], fault["count"]) for fault in sandbox.faults()] == [("refuse_503", 1)]
    sandbox.http.delete("/_sandbox/faults")
    assert _send(sandbox, "lisoloo", to=["+243990000077"]).status_code == 201


def test_a_refused_call_does_not_use_up_a_fault_that_waits_for_acceptance(sandbox: Sandbox) -> None:
    sandbox.arm("accept_then_500")
    assert _send(sandbox, "lisoloo", message="").status_code == 400
    assert _send(sandbox, "lisoloo").status_code == 500


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "explode"},
        {"kind": "refuse_500", "count": 0},
        {"kind": "refuse_500", "receipts": "none"},
        {"kind": "reset_before_reading", "to": ["+243990000001"]},
        {"kind": "accept_then_hang", "second": 3},
        {"kind": "accept_then_hang", "receipts": "sometimes"},
    ],
)
def test_a_fault_that_makes_no_sense_is_not_armed(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    answer = sandbox.http.post("/_sandbox/faults", json=[{"kind": "refuse_500"}, fault])
    assert (answer.status_code, sandbox.faults()) == (400, [])


def test_the_ledger_holds_each_accepted_call_and_counts_repeated_pairs(sandbox: Sandbox) -> None:
    before = time.time()
    first = _send(sandbox, "lisoloo", to=["+243990000001", "+243990000002"], callback_url="http://127.0.0.1:9/token")
    _send(sandbox, "lisoloo", to=["243990000001"])
    _send(sandbox, "lisoloo", message="another text")
    _send(sandbox, "lineserve", campaign_name="batch-7")
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["recipients"]) == (4, 5)
    assert (ledger["duplicates"], list(ledger["duplicate_keys"].values())) == (1, [3])
    call = ledger["accepted"][0]
    assert before <= call.pop("arrived_at") <= time.time()
    assert call == {
        "provider": "lisoloo",
        "key": "main",
        "recipients": ["+243990000001", "+243990000002"],
        "message": "hello",
        "from": "KITOKO",
        "provider_id": first.json()["data"]["message_id"],
        "reference": "",
        "callback_url": "http://127.0.0.1:9/token",
        "segments": 1,
        "cost": 0.04,
        "dispatches": 1,
    }
    assert ledger["accepted"][3]["reference"] == "batch-7"
    assert "accepted" not in sandbox.http.get("/_sandbox/ledger").json()


def test_a_reset_ledger_is_empty_and_hears_nothing_of_earlier_sends(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.config(steps={"queued": 0, "processing": 0.2})
    message_id = _send(sandbox, "lisoloo", callback_url=receiver.url).json()["data"]["message_id"]
    receiver.wait_for(1)
    assert sandbox.http.delete("/_sandbox/ledger").status_code == 204
    _send(sandbox, "lisoloo", callback_url=receiver.url + "/second")
    sandbox.until(lambda ledger: ledger["messages"] == {"delivered": 1} and ledger["webhooks"]["sent"] == 4)
    assert [one.path for one in receiver.received[1:]] == ["/second"] * 4
    assert sandbox.lisoloo("GET", f"/status/{message_id}").status_code == 404


def test_the_answer_waits_for_the_latency(sandbox: Sandbox) -> None:
    sandbox.config(latency_ms=250)
    began = time.monotonic()
    _send(sandbox, "lisoloo")
    assert time.monotonic() - began >= 0.25
