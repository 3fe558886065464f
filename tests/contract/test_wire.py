"""The wire form: what stands in Redis after an enqueue is promised to every other version of producer and worker."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import Send
from tuma_producer.contract import ids, records, wire
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.scripts import load
from tuma_producer.outcomes import decode_event

if TYPE_CHECKING:
    from collections.abc import Mapping

VALID = {"account": "lisoloo-main", "to": ["+243990000001"], "message": "Hello"}


def body(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Send
    return dict(json.loads(str(wire.encode(Send(**(VALID | more)), "billing").entry.body)))


# ------------------------------------------------------------------------------------------------------------------ written


def test_a_body_says_its_version_and_leaves_out_what_was_not_said() -> None:
    assert body() == {"v": 1, "message": "Hello"}


def test_a_body_holds_all_that_the_worker_needs() -> None:
    said = {"sender_id": "KITOKO", "on_unknown": "resend", "campaign_name": "June", "metadata": {"invoice": "7"}}
    assert body(**said) == {"v": 1, "message": "Hello", **said}


def test_the_keys_are_those_that_other_versions_look_for() -> None:
    request = wire.encode(Send(**VALID, idempotency_key="k"), "billing")
    assert request.keys == [
        "tuma:{lisoloo-main}:profile",
        "tuma:{lisoloo-main}:send:entries",
        "tuma:{lisoloo-main}:send:groups",
        "tuma:{lisoloo-main}:send:sources:0",
        "tuma:{lisoloo-main}:send:sources:1",
        "tuma:{lisoloo-main}:send:sources:2",
        "tuma:{lisoloo-main}:send:due",
        "tuma:{lisoloo-main}:send:spent",
        "tuma:{lisoloo-main}:send:state",
        "tuma:{lisoloo-main}:send:bell",
        "tuma:{lisoloo-main}:events",
        "tuma:{lisoloo-main}:send:deadlines",
        "tuma:{lisoloo-main}:suppressed",
        "tuma:{lisoloo-main}:budgets",
        f"tuma:{{lisoloo-main}}:intent:{request.short_id}",
        f"tuma:{{lisoloo-main}}:idempotency:{ids.digest('billing', 'k')}",
    ]


@pytest.mark.parametrize(
    ("said", "deadline"),
    [
        ({}, ""),
        ({"priority": "bulk"}, ""),
        ({"priority": "otp"}, "+600000"),
        ({"priority": "otp", "expires_in": 30}, "+30000"),
        ({"priority": "otp", "expires_at": datetime(2033, 11, 14, 0, 0, tzinfo=UTC)}, "2015539200000"),
    ],
)
def test_a_code_has_ten_minutes_unless_it_is_given_another_deadline(said: dict[str, Any], deadline: str) -> None:
    assert wire.encode(Send(**VALID, **said), "billing").entry.deadline == deadline


# Producers of different versions meet in one group, and a repeated key must find the first intent: these may not change.
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("billing", "login-42"), "27bc4ee1fe75e211dd3cb558fc666268"),
        (("Hello", "KITOKO", None), "4acd9e3c7ab3e68d5509711215d010ec"),
        (("Voilà l'été 😀", None, None), "7d1190f37e24950bc86aec6ed43f226c"),
    ],
)
def test_digests_are_the_same_in_every_version(parts: tuple[str | None, ...], expected: str) -> None:
    assert ids.digest(*parts) == expected


texts = st.lists(st.none() | st.text(st.sampled_from("-:019a\n"), max_size=4) | st.text(max_size=5), max_size=4)


@given(texts, texts)
def test_different_texts_have_different_digests(one: list[str | None], other: list[str | None]) -> None:
    assert (ids.digest(*one) == ids.digest(*other)) == (one == other)


def test_ids_sort_by_the_time_at_which_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0, 1, 1_700_000_000_000, 1_900_000_000_000, 17_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments) * 1_000_000)
    made = [ids.new_id() for _ in range(5)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert {len(one) for one in made} == {26}


def test_an_id_names_its_account() -> None:
    assert ids.split_id(ids.full_id("lisoloo-main", "018f3a")) == ("lisoloo-main", "018f3a")
    assert [ids.split_id(text) for text in ("", "x", ".x", "x.")] == [None] * 4


def test_every_script_includes_its_parts_once_and_leaves_no_include_open() -> None:
    source = load("tuma_producer.contract", "enqueue").source
    assert "-- include:" not in source
    assert source.count("local function clock()") == source.count("local function ready_push(") == 1


def test_composed_keys_are_the_same_object_whoever_asks() -> None:
    assert AccountKeys("a").queue("send") is AccountKeys("a").queue("send")


# --------------------------------------------------------------------------------------------------------------------- read

# Frozen: records as version 1 wrote them. A reader of any later version must go on understanding them.
RECORD = {
    "body": '{"v":1,"message":"Hello","sender_id":"KITOKO","campaign_name":"June","metadata":{"invoice":"7"}}',
    "source": "billing",
    "lane": "0",
    "group": "send.1.0.0123456789abcdef0123456789abcdef",
    "at": "1700000000000",
    "expires": "1700000300000",
    "open": "1",
    "seq": "3",
    "attempts": "b-1",
    "+243990000001": "queued",
    "+243990000002": "delivered|1700000005000|handset||b-1|m-7",
    "+243990000003": "rejected|1700000001000|provider|1203|b-1|",
}


def test_a_record_of_version_1_is_understood() -> None:
    intent = records.decode("lisoloo-main.018f3a", RECORD)
    assert (intent.state, intent.source, intent.priority, intent.campaign_name) == ("active", "billing", "otp", "June")
    assert (intent.metadata, intent.counts) == ({"invoice": "7"}, {"queued": 1, "delivered": 1, "rejected": 1})
    assert intent.accepted == datetime.fromtimestamp(1_700_000_000, UTC)
    assert intent.expires == datetime.fromtimestamp(1_700_000_300, UTC)
    waiting, delivered, rejected = intent.recipients
    assert (waiting.number, waiting.state, waiting.since, waiting.evidence) == ("+243990000001", "queued", None, None)
    assert (delivered.evidence, delivered.reason, delivered.attempt, delivered.provider_id) == ("handset", None, "b-1", "m-7")
    assert (rejected.evidence, rejected.reason, rejected.provider_id) == ("provider", "1203", None)


def test_a_record_in_which_nobody_is_open_is_done() -> None:
    assert records.decode("lisoloo-main.018f3a", {**RECORD, "open": "0"}).state == "done"


def test_what_a_later_version_adds_is_no_trouble_to_an_earlier_one() -> None:
    later = {**RECORD, "colour": "red", "body": '{"v":2,"message":"Hello","new":[1]}', "+243990000001": "queued|1|a|b|c|d|e|f"}
    assert records.decode("lisoloo-main.018f3a", later).counts["queued"] == 1


def test_an_attempt_that_was_forgotten_is_left_out() -> None:
    assert records.attempt("b-1", {}) is None
    found = records.attempt("b-1", {"at": "1700000000000", "phase": "accepted", "ended": "1700000000300", "provider_id": "m-7"})
    assert found is not None
    assert (found.phase, found.provider_id, found.code) == ("accepted", "m-7", None)
    assert found.ended is not None
    assert (found.ended - found.started).total_seconds() == 0.3


@pytest.mark.parametrize(
    ("fields", "kind", "data"),
    [
        ({"e": "accepted", "i": "018f3a", "s": "billing", "q": "1", "n": "2"}, "tuma.intent.accepted", {"recipients": 2}),
        ({"e": "done", "i": "018f3a", "s": "billing", "q": "9"}, "tuma.intent.done", {}),
        ({"e": "sent", "i": "018f3a", "s": "billing", "q": "2", "r": "+243990000001", "v": "operator"}, "tuma.recipient.sent", {}),
        ({"e": "halted", "w": "1302"}, "tuma.account.halted", {}),
    ],
)
def test_an_event_of_version_1_is_understood(fields: Mapping[str, str], kind: str, data: dict[str, Any]) -> None:
    event = decode_event("lisoloo-main", "1700000000123-4", fields)
    assert (event.type, event.data, event.id) == (kind, data, "lisoloo-main/1700000000123-4")
    assert event.time == datetime.fromtimestamp(1_700_000_000.123, UTC)
    assert event.intent == ("lisoloo-main.018f3a" if "i" in fields else None)
    assert event.sequence == (int(fields["q"]) if "q" in fields else None)


def test_a_correction_says_that_it_is_one() -> None:
    fields = {"e": "delivered", "i": "018f3a", "s": "billing", "q": "7", "r": "+243990000001", "v": "handset", "c": "1"}
    event = decode_event("lisoloo-main", "1700000000123-0", fields)
    assert event.correction
    assert event.as_cloudevent()["data"] == {
        "recipient": "+243990000001",
        "evidence": "handset",
        "source": "billing",
        "correction": True,
    }


def test_an_event_becomes_json_as_it_is() -> None:
    event = decode_event("lisoloo-main", "1700000000123-0", {"e": "accepted", "i": "018f3a", "s": "billing", "q": "1", "n": "2"})
    assert json.loads(json.dumps(event.as_cloudevent())) == {
        "specversion": "1.0",
        "id": "lisoloo-main/1700000000123-0",
        "type": "tuma.intent.accepted",
        "source": "/tuma/accounts/lisoloo-main",
        "time": "2023-11-14T22:13:20.123+00:00",
        "datacontenttype": "application/json",
        "data": {"source": "billing", "recipients": 2},
        "subject": "lisoloo-main.018f3a",
        "sequence": "0000000001",
    }


ATTEMPT = {"at": "1700000000000", "phase": "accepted", "+243990000001": "018f3a"}
RECEIPT = {"look:receipt": records.look(1_700_000_002_000, "receipt", "adopted")}


def test_a_call_without_an_answer_tells_what_was_looked_for_and_found_oldest_first() -> None:
    looks = {"look:a": records.look(1_700_000_001_000, "one", "adopted", "p-1")}
    found = records.attempt("b", {**ATTEMPT, "ended": "1700000000500", "awaits": "1700000060000", **RECEIPT, **looks})
    assert found is not None
    assert found.awaited == datetime.fromtimestamp(1_700_000_060, UTC)
    assert [(look.found, look.decision, look.provider_id) for look in found.looks] == [
        ("one", "adopted", "p-1"),
        ("receipt", "adopted", None),
    ]


def test_a_call_whose_worker_died_tells_of_the_receipt_that_came() -> None:
    found = records.attempt("b", {**ATTEMPT, **RECEIPT})
    assert found is not None
    assert [look.found for look in found.looks] == ["receipt"]


def test_a_receipt_that_only_overtook_an_answer_is_no_look() -> None:
    found = records.attempt("b", {**ATTEMPT, "ended": "1700000000500", **RECEIPT})
    assert found is not None
    assert found.looks == ()


def test_looks_of_older_workers_which_tell_nothing_are_passed_over() -> None:
    found = records.attempt("b", {**ATTEMPT, "look:a": "1"})
    assert found is not None
    assert found.looks == ()
