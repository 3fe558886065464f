"""What ended without reaching anybody is seen, put right and sent again: by the command line, through real workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house

from tuma_producer.contract.keys import AccountKeys
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.store.moves import Target, apply_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.e2e.conftest import Tuma
    from tests.support import servers
    from tests.support.houses import House

CAMPAIGN = [f"+2439900{n:05}" for n in range(30)]
APPROVED, REFUSED = "KITOKO", "GHOST"
NUMBER, MASKED = "+243990000001", "+243…01"


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    accounts = {"campaign": {"provider": "lineserve"}}
    with open_house(server, accounts, config={"lineserve": {"senders": [APPROVED]}}) as found:
        found.worker()
        yield found


def test_a_campaign_whose_sender_was_refused_is_redriven_with_another_and_each_number_is_sent_to_once(house: House) -> None:
    refused = house.done(house.send("campaign", *CAMPAIGN, sender_id=REFUSED, metadata={"invoice": "7"}))
    assert refused.counts == {"rejected": 30}
    assert house.tuma("dead", "--json").json == [{"account": "campaign", "classes": {"rejected": 30}}]
    shown = house.tuma("dead", "show", refused.id, "--json").json
    assert (len(shown["letters"]), shown["attempts"][-1]["phase"]) == (30, "rejected")
    foreseen = house.tuma("dead", "redrive", "--all", "--sender", APPROVED, "--dry-run", "--json")
    assert (foreseen.status, foreseen.json["redriven"]) == (0, 30)
    redriven = house.tuma("dead", "redrive", "--class", "rejected", "--sender", APPROVED, "--json")
    assert (redriven.status, redriven.json["redriven"], redriven.json["skipped"]) == (0, 30, {})
    (new_id,) = redriven.json["intents"]
    intent = house.done(new_id)
    assert (intent.counts, intent.source, intent.metadata) == ({"delivered": 30}, "test", {"invoice": "7"})
    copies = house.copies("campaign")
    assert sorted(number for _, number in copies) == CAMPAIGN
    assert set(copies.values()) == {1}
    assert house.tuma("dead").out == "no dead letters\n"
    assert {one["redriven_as"] for one in house.tuma("get", refused.id, "--json").json["recipients"]} == {new_id}


# ------------------------------------------------------------------------------------------------- the command line alone


def died(redis: Redis, intent_id: str, state: RecipientState = RecipientState.REJECTED) -> str:
    """The intent, whose recipient has ended so."""
    account, _, short_id = intent_id.rpartition(".")
    target = [Target(short_id, NUMBER)]
    # Only what is on the wire can become unknown.
    for step in (RecipientState.SENDING, state):
        call = apply_request(AccountKeys(account), "", target, step, Evidence.ASSUMED, reason="test", unfenced=True)
        call.run(redis)
    return intent_id


def test_the_letters_are_counted_listed_and_shown_with_their_numbers_masked(tuma: Tuma, redis: Redis) -> None:
    intent_id = died(redis, tuma.send("--account", "lisoloo-main", "--source", "billing"))
    assert tuma("dead").out.splitlines()[1].split() == ["lisoloo-main", "rejected", "1"]
    for command in (("list",), ("list", "--class", "rejected", "--source", "billing"), ("show", intent_id)):
        ran = tuma("dead", *command)
        assert ran.status == 0
        assert intent_id in ran.out
        assert MASKED in ran.out
        assert NUMBER not in ran.out + tuma("dead", *command, "--json").out
        assert NUMBER in tuma("dead", *command, "--json", "--show-numbers").out
    assert tuma("dead", "list", "--json").json["class"] == "rejected"
    for other in (("--class", "unknown"), ("--source", "shop"), ("--older-than", "3600")):
        assert tuma("dead", "list", "--json", *other).out == ""


def test_what_may_have_arrived_is_redriven_by_its_id_or_its_class_alone(tuma: Tuma, redis: Redis) -> None:
    first, second = (died(redis, tuma.send("--account", "lisoloo-main"), RecipientState.UNKNOWN) for _ in range(2))
    ran = tuma("dead", "redrive", "--all")
    assert (ran.status, ran.out.splitlines()[0]) == (0, "redriven: 0")
    assert "left: 2 unknown" in ran.out
    assert "--class unknown" in ran.out
    assert tuma("dead", "redrive", f"{first}:{NUMBER}", "--json").json["redriven"] == 1
    assert tuma("dead", "redrive", "--class", "unknown", "--json").json["redriven"] == 1
    assert tuma("dead", "redrive", second).status == 1


def test_what_is_past_its_deadline_is_passed_over_and_said(tuma: Tuma, redis: Redis) -> None:
    intent_id = died(redis, tuma.send("--account", "lisoloo-main", "--expires-in", "3600"))
    redis.hset(AccountKeys("lisoloo-main").intent(intent_id.rpartition(".")[2]), "expires", 1)
    ran = tuma("dead", "redrive", "--all")
    assert (ran.status, ran.out) == (1, "redriven: 0\npassed over: 1, its deadline has passed; give another with --expires-in\n")
    assert tuma("dead", "redrive", "--all", "--expires-in", "60").status == 0


def test_a_drop_asks_and_what_is_dropped_is_listed_no_more(tuma: Tuma, redis: Redis) -> None:
    intent_id = died(redis, tuma.send("--account", "lisoloo-main"))
    ran = tuma("dead", "drop", "--all")
    assert (ran.status, ran.out) == (2, "")
    assert "repeat it with --yes" in ran.err
    assert tuma("dead", "drop", intent_id, "--dry-run").out == "would drop: 1\n"
    assert tuma("dead", "drop", "--account", "lisoloo-main", "--yes", "--by", "ada", "--json").json["dropped"] == 1
    assert tuma("dead", "list", "--json").out == ""
    assert tuma("dead", "show", intent_id).status == 1
    assert tuma("get", intent_id, "--json").json["counts"] == {"rejected": 1}
    told = tuma("outcomes", "--group", "g", "--wait", "0.05").jsons[-1]
    assert (told["type"], told["data"]["by"]) == ("tuma.recipient.dropped", "ada")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("redrive",), "say which: ids, or --all"),
        (("redrive", "lisoloo-main.1", "--all"), "say which: ids, or --all"),
        (("redrive", "--all", "--account-to", "nobody"), "account: 'nobody' is not configured"),
        (("redrive", "--all", "--sender", "x" * 16), "sender_id: "),
        (("redrive", "lisoloo-main.1:12"), "is not an international number"),
        (("list", "--class", "odd"), "--class: 'odd' is not one of exhausted"),
        (("drop", "--account", "nobody", "--yes"), "account: 'nobody' is not configured"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_line_and_exit_status_2(tuma: Tuma, redis: Redis, arguments: tuple[str, ...], reason: str) -> None:
    died(redis, tuma.send("--account", "lisoloo-main"))
    ran = tuma("dead", *arguments)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("error: ")
    assert reason in ran.err


def test_every_command_about_the_dead_has_help_with_an_example(tuma: Tuma) -> None:
    for command in ((), ("list",), ("show",), ("redrive",), ("drop",)):
        assert f"Example: tuma {' '.join(('dead', *command))}" in tuma("dead", *command, "--help").out
    assert json.loads(tuma("dead", "--json").out) == [{"account": "lisoloo-main", "classes": {}}]
