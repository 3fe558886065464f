"""`tuma pause`, `resume`, `cancel`, `forget`: what they say, to people and to programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tuma_producer import Producer, Send

if TYPE_CHECKING:
    from redis import Redis
    from tests.e2e.conftest import Tuma

NUMBER, MASKED = "+243990000001", "+243…01"


def test_an_intent_is_paused_resumed_and_cancelled(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main")
    assert tuma("pause", intent_id).out == f"{intent_id}: pause done: 1 paused\n"
    shown = tuma("get", intent_id).out
    assert shown.startswith(f"{intent_id}: paused, accepted 1")
    assert "waits: the intent is paused" in shown
    assert tuma("resume", intent_id).out == f"{intent_id}: resume done: 1 in the line\n"
    assert tuma("cancel", intent_id).out == f"{intent_id}: cancel done: 1 cancelled\n"
    assert tuma("get", intent_id, "--json").json["state"] == "cancelled"


def test_what_is_cancelled_refuses_to_be_resumed_with_status_1(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main")
    tuma("cancel", intent_id)
    ran = tuma("resume", intent_id)
    assert (ran.status, ran.out) == (1, f"{intent_id}: resume refused: it is cancelled\n")


def test_programs_get_every_recipient_with_numbers_masked_unless_they_are_asked_for(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main")
    found = tuma("cancel", intent_id, "--json").json
    told = {"stopped": [MASKED], "with_provider": [], "ended": [], "next_firing": None, "custody": None, "advice": None}
    assert found == {"id": intent_id, "verb": "cancel", "outcome": "done", **told}
    assert tuma("cancel", intent_id, "--json", "--show-numbers").json["stopped"] == [NUMBER]


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_an_unknown_id_is_one_line_and_status_1(tuma: Tuma, verb: str) -> None:
    ran = tuma(verb, "lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e")
    assert ran.status == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1


CAMPAIGN = ("--account", "lisoloo-main", "--campaign")


def test_a_campaign_is_paused_resumed_and_cancelled_as_a_whole(tuma: Tuma) -> None:
    for place in range(2):
        ran = tuma("send", "--account", "lisoloo-main", "--to", f"+24399000000{place}", "--message", "Hi", "--campaign", "spring")
        assert ran.status == 0
    assert tuma("pause", *CAMPAIGN, "spring").out == "spring: pause done: 2 intents, 2 paused\n"
    assert tuma("resume", *CAMPAIGN, "spring").out == "spring: resume done: 2 intents, 2 in the line\n"
    told = {"intents": 2, "stopped": 2, "with_provider": 0, "ended": 0, "requested": 0}
    whole = {"account": "lisoloo-main", "campaign": "spring", "verb": "cancel", "outcome": "done", **told}
    assert tuma("cancel", *CAMPAIGN, "spring", "--json").json == whole
    ran = tuma("pause", *CAMPAIGN, "spring")
    assert (ran.status, ran.out) == (1, "spring: pause too-late: 2 intents, 2 ended before\n")


def test_campaigns_are_listed_and_one_is_counted(tuma: Tuma, redis: Redis) -> None:
    producer = Producer(redis)
    for name in ("spring", "spring", "summer"):
        producer.enqueue(Send(account="lisoloo-main", to=NUMBER, message="Hi", campaign_name=name))
    producer.pause_campaign("lisoloo-main", "spring", by="amani")
    found = {one["campaign"]: one["paused_by"] for one in tuma("campaigns", "--json").json}
    assert found == {"spring": "amani", "summer": None}
    assert "paused by amani" in tuma("campaigns", "--account", "lisoloo-main").out
    assert tuma("campaigns", "show", "lisoloo-main", "spring").out == "spring: 2 intents, paused by amani: accepted 2\n"
    counted = tuma("campaigns", "show", "lisoloo-main", "summer", "--json").json
    assert (counted["intents"], counted["counted"], counted["counts"]) == (1, 1, {"queued": 1})
    ran = tuma("campaigns", "show", "lisoloo-main", "winter")
    assert (ran.status, ran.err.startswith("error: campaign: 'winter' is not known in lisoloo-main")) == (1, True)


def test_a_campaign_that_nobody_knows_is_status_1_and_half_a_choice_status_2(tuma: Tuma) -> None:
    assert tuma("send", "--account", "lisoloo-main", "--to", NUMBER, "--message", "Hi").status == 0
    ran = tuma("cancel", *CAMPAIGN, "nowhere")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: campaign: 'nowhere' is not known in lisoloo-main")
    for arguments in ((), ("--campaign", "spring"), ("--account", "lisoloo-main"), ("lisoloo-main.1", *CAMPAIGN, "spring")):
        ran = tuma("cancel", *arguments)
        assert (ran.status, ran.err) == (2, "error: give either an ID, or --account and --campaign\n")
    ran = tuma("cancel", "--account", "nobody", "--campaign", "spring")
    assert (ran.status, ran.err) == (2, "error: account: 'nobody' is not configured (known: lisoloo-main)\n")


def test_a_number_is_forgotten_once_all_is_over_with_it_and_until_then_what_keeps_it_is_told(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main")
    tuma("suppress", "add", "lisoloo-main", NUMBER)
    ran = tuma("forget", NUMBER)
    stays = "it stays on the suppression list, unreadable"
    nothing = f"account lisoloo-main: {MASKED} taken out of 0 recipients, 0 events, 0 receipts; {stays}\n"
    assert (ran.status, ran.out) == (1, nothing)
    assert f"{intent_id}: something may still come of {MASKED} there" in ran.err
    tuma("cancel", intent_id)
    taken = {"recipients": 1, "events": 1, "receipts": 0}
    done = {"account": "lisoloo-main", **taken, "waits": [], "unapplied": 0, "suppressed": True}
    assert tuma("forget", "+243 990 000 001", "--json").json == [done]
    assert tuma("get", intent_id).status == 1
    assert tuma("forget", NUMBER).out == nothing


def test_who_did_what_is_shown_from_a_time_on(tuma: Tuma) -> None:
    tuma.send("--account", "lisoloo-main")
    assert tuma("queue", "pause", "lisoloo-main", "--priority", "bulk", "--by", "amani").status == 0
    (told,) = [json.loads(line) for line in tuma("audit", "--account", "lisoloo-main", "--json").out.splitlines()]
    assert (told["by"], told["action"], told["name"]) == ("amani", "paused", "lisoloo-main.send bulk")
    shown = tuma("audit", "--since", told["at"]).out
    assert "amani" in shown
    assert "lisoloo-main.send bulk" in shown
    assert "amani" not in tuma("audit", "--since", "2999-01-01").out
