"""Bad days by name, and what of the fates they bring is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuma_worker.sandbox.scenarios import SCENARIOS

if TYPE_CHECKING:
    from tests.contract.conftest import Receiver, Sandbox

TO = ["+254711000001", "+254711000002"]


def play(sandbox: Sandbox, name: str, **more: object) -> None:
    assert sandbox.http.post("/_sandbox/scenarios", json={"name": name, **more}).status_code == 201


def bulk(sandbox: Sandbox, **more: object) -> list[dict[str, str]]:
    answer = sandbox.lineserve("POST", "/sms/bulk", {"recipients": TO, "message": "Karibu", **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["messages"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_played(sandbox: Sandbox, name: str) -> None:
    assert name in sandbox.http.get("/_sandbox/scenarios").json()
    first = sandbox.http.get("/_sandbox/config").json()
    play(sandbox, name)
    assert sandbox.faults() or sandbox.http.get("/_sandbox/config").json() != first


def test_a_scenario_arms_its_fault_where_and_as_often_as_it_is_told(sandbox: Sandbox) -> None:
    play(sandbox, "error-after-accept", provider="lineserve", count=3)
    (fault,) = sandbox.faults()
    assert (fault["kind"], fault["provider"], fault["count"]) == ("accept_then_500", "lineserve", 3)


def test_an_unknown_scenario_says_which_there_are(sandbox: Sandbox) -> None:
    for wanted in ({"name": "sunshine"}, ["money-runs-out"], {"name": "error-after-accept", "count": 0}):
        answer = sandbox.http.post("/_sandbox/scenarios", json=wanted)
        assert answer.status_code == 400
    assert "money-runs-out" in sandbox.http.post("/_sandbox/scenarios", json={}).json()["error"]
    assert sandbox.faults() == []


def test_one_lost_in_a_batch_is_paid_for_and_never_heard_of(sandbox: Sandbox, receiver: Receiver) -> None:
    play(sandbox, "one-lost-in-a-batch")
    assert [message["to"] for message in bulk(sandbox, callback_url=receiver.url)] == TO[:1]
    told = receiver.wait_for(2)
    assert {one.event["data"]["to"] for one in told} == {TO[0]}
    (campaign,) = sandbox.lineserve("GET", "/sms/campaigns").json()["campaigns"]
    assert (campaign["total_messages"], campaign["delivered_messages"], campaign["status"]) == (2, 1, "processing")


def test_delivered_after_failed_tells_both_in_that_order(sandbox: Sandbox, receiver: Receiver) -> None:
    play(sandbox, "delivered-after-failed")
    bulk(sandbox, callback_url=receiver.url)
    told = [one.event for one in receiver.wait_for(6) if one.event["data"]["to"] == TO[0]]
    assert [event["event"] for event in told] == ["sms.sent", "sms.failed", "sms.delivered"]


def test_hammering_a_limit_suspends_the_key(sandbox: Sandbox) -> None:
    play(sandbox, "suspended-for-hammering")
    body = {"to": TO, "message": "Karibu"}
    statuses = [sandbox.lisoloo("POST", "/send", body).status_code for _ in range(5)]
    assert statuses == [201, 429, 429, 429, 403]


# ----------------------------------------------------------------------------------------------------- what people write


@pytest.mark.parametrize(("provider", "name"), [("lisoloo", "event_type"), ("lineserve", "event")])
def test_what_somebody_writes_is_told_where_the_switch_names_the_event(
    sandbox: Sandbox, receiver: Receiver, provider: str, name: str
) -> None:
    wrote = {"provider": provider, "from": TO[0], "to": "KITOKO", "message": "STOP"}
    sandbox.config(**{provider: {"webhook": {"url": receiver.url}}})
    assert sandbox.http.post("/_sandbox/inbound", json=wrote).json() == {
        "error": f"{provider} tells nobody: set its inbound_event, and a webhook that wants it"
    }
    sandbox.config(**{provider: {"inbound_event": "sms.received"}})
    assert sandbox.http.post("/_sandbox/inbound", json=wrote).json() == {"webhooks": 1}
    (told,) = receiver.wait_for(1)
    assert told.event[name] == "sms.received"
    assert told.event["data"].items() >= {"from": TO[0], "to": "KITOKO", "message": "STOP"}.items()


@pytest.mark.parametrize(
    ("wrote", "field"),
    [
        ([], "provider"),
        ({"provider": "another"}, "provider"),
        ({"provider": "lisoloo", "from": TO[0]}, "message"),
        ({"provider": "lisoloo", "from": 7, "message": "a"}, "from"),
    ],
)
def test_what_is_no_message_is_refused_by_its_field(sandbox: Sandbox, wrote: object, field: str) -> None:
    answer = sandbox.http.post("/_sandbox/inbound", json=wrote)
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (400, field)
