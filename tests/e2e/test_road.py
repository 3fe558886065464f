"""The whole road, end to end: read this first.

Each story hands something to the producer, as a service would, lets a real worker send it to the providers' stand-ins, and then
asks two witnesses: our own events, and the books of the sandbox, which knows nothing of us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house

from tuma_producer import Send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

PROVIDERS = ("lisoloo", "lineserve")
ACCOUNTS: dict[str, Settings] = {
    "lisoloo": {"provider": "lisoloo"},
    "lineserve": {"provider": "lineserve"},
    "crowd": {"provider": "lisoloo"},
    "tight": {"provider": "lisoloo", "limits": ["4 calls/2s"]},
    "slow": {"provider": "lisoloo", "limits": ["1 calls/2s"]},
    "mishap": {"provider": "lisoloo"},
    "refused": {"provider": "lisoloo"},
}
STEPS = ["sending", "submitted", "sent", "delivered"]
REFUSED = "+243990999909"  # the sandbox calls it an invalid number


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS) as found:
        found.worker(*(name for name in ACCOUNTS if name != "crowd"))
        yield found


def numbers(count: int, first: int = 0) -> list[str]:
    """So many numbers that nobody has."""
    return [f"+24399000{first + n:04}" for n in range(count)]


# ------------------------------------------------------------------------------------------------------- the happy stories


@pytest.mark.parametrize("account", PROVIDERS)
def test_one_message_goes_from_accepted_to_delivered_and_each_step_is_one_event(house: House, account: str) -> None:
    intent_id = house.send(account, "+243990000001")
    assert house.story(intent_id) == ["accepted", *STEPS, "done"]
    intent = house.producer.get(intent_id)
    assert (intent.state, intent.counts) == ("done", {"delivered": 1})
    assert intent.recipients[0].evidence == "handset"
    assert [attempt.phase for attempt in intent.attempts] == ["accepted"]


@pytest.mark.parametrize("account", PROVIDERS)
def test_a_list_is_one_call_and_everybody_on_it_takes_every_step_once(house: House, account: str) -> None:
    to = numbers(40, first=100)
    before = len(house.sandbox.calls(account))
    intent_id = house.send(account, *to)
    assert house.done(intent_id).counts == {"delivered": 40}
    assert len(house.sandbox.calls(account)) == before + 1
    events = house.until(intent_id, "intent.done")
    assert [event.sequence for event in events] == list(range(1, 1 + 1 + 40 * 4 + 1))
    for number in to:
        assert [event.type.rpartition(".")[2] for event in events if event.recipient == number] == STEPS


def test_lineserve_is_asked_for_one_message_in_one_way_and_for_several_in_another(house: House) -> None:
    single, bulk = "POST /sms/send", "POST /sms/bulk"
    before = {endpoint: sum(house.sandbox.requests("lineserve", endpoint).values()) for endpoint in (single, bulk)}
    house.all_done([house.send("lineserve", "+254990000001"), house.send("lineserve", "+254990000001", "+254990000002")])
    after = {endpoint: sum(house.sandbox.requests("lineserve", endpoint).values()) for endpoint in (single, bulk)}
    assert {endpoint: after[endpoint] - before[endpoint] for endpoint in after} == {single: 1, bulk: 1}


def test_fifteen_hundred_sends_of_the_same_text_need_two_calls(house: House) -> None:
    to = [f"+24399{n:07}" for n in range(1500)]
    sends = (Send(account="crowd", to=number, message="The shop opens at 8") for number in to)
    intents = [receipt.id for receipt in house.producer.enqueue_many(sends)]
    house.worker("crowd")
    house.all_done(intents)
    calls = house.sandbox.calls("crowd")
    assert sorted(len(call["recipients"]) for call in calls) == [500, 1000]
    assert sorted(number for call in calls for number in call["recipients"]) == to


def test_a_one_time_password_overtakes_a_campaign_that_waits_for_the_limit(house: House) -> None:
    campaign = [house.send("tight", number, priority="bulk", message=f"offer {number}") for number in numbers(7, first=200)]
    before = len(house.sandbox.until_calls("tight"))
    code = house.send("tight", "+243990000299", priority="otp", message="Code 493 201")
    house.all_done([*campaign, code])
    texts = [call["message"] for call in house.sandbox.calls("tight")]
    assert len(texts) == 8
    # What was being claimed while the code was handed in may have gone first; what waited may not.
    assert texts.index("Code 493 201") <= before + 1
    assert house.sandbox.books()["rate_limited"] == 0


# ------------------------------------------------------------------------------------------------- numbers that are no good


@pytest.mark.parametrize("account", PROVIDERS)
def test_a_bad_number_that_the_provider_names_ends_rejected_and_the_others_are_delivered(house: House, account: str) -> None:
    before = len(house.sandbox.calls(account))
    intent = house.done(house.send(account, *numbers(4, first=300), REFUSED))
    assert intent.counts == {"delivered": 4, "rejected": 1}
    assert next(one for one in intent.recipients if one.state == "rejected").number == REFUSED
    assert len(house.sandbox.calls(account)) == before + 1


def test_a_bad_number_that_the_provider_does_not_name_is_found_by_halving(house: House) -> None:
    with house.sandbox.configured(lisoloo={"error_format": "detail"}):
        intent = house.done(house.send("lisoloo", *numbers(7, first=400), REFUSED))
    assert intent.counts == {"delivered": 7, "rejected": 1}
    assert next(one for one in intent.recipients if one.state == "rejected").number == REFUSED
    sent = [number for text, number in house.copies("lisoloo") if number in numbers(7, first=400)]
    assert sorted(sent) == numbers(7, first=400)
    assert all(count == 1 for count in house.copies("lisoloo").values())


def test_a_bad_number_within_an_accepted_call_ends_rejected_alone(house: House) -> None:
    with house.sandbox.configured(lineserve={"bad_bulk_number": "reject_item"}):
        intent = house.done(house.send("lineserve", *numbers(2, first=500), REFUSED))
    assert intent.counts == {"delivered": 2, "rejected": 1}
    assert len(intent.attempts) == 1


# ---------------------------------------------------------------------------------------------------- accounts in trouble


@pytest.mark.parametrize(
    ("trouble", "fault"),
    [({"balance": 0.0}, "money"), ({"state": "revoked"}, "key")],
    ids=["no money", "a revoked key"],
)
def test_an_account_in_trouble_halts_with_nothing_failed_and_goes_on_when_resumed(
    house: House, trouble: dict[str, object], fault: str
) -> None:
    before = house.halts("mishap")
    with house.sandbox.configured(lisoloo={"keys": {"sk_test_mishap": trouble}}):
        first = house.send("mishap", *numbers(3))
        house.until_halted("mishap", before=before)
        second = house.send("mishap", "+243990000009")
        waiting = [house.producer.get(intent_id) for intent_id in (first, second)]
    assert [intent.counts for intent in waiting] == [{"queued": 3}, {"queued": 1}]
    assert all(any(f"halted: {fault}" in hold for hold in intent.holds) for intent in waiting)
    assert house.tuma("accounts", "resume", "mishap").status == 0
    assert [house.done(intent_id).counts for intent_id in (first, second)] == [{"delivered": 3}, {"delivered": 1}]


def test_after_a_429_the_account_waits_as_told_then_one_call_goes_first_and_there_is_no_second_429(house: House) -> None:
    house.sandbox.arm("rate_limit", to=["+243990000601"], retry_after=3)
    before = house.sandbox.books()["rate_limited"]
    intents = [house.send("refused", "+243990000601")]
    house.until(intents[0], "recipient.queued")
    with house.sandbox.configured(latency_ms=400):
        intents += [house.send("refused", number) for number in numbers(3, first=602)]
        assert all("asked for no calls" in " ".join(house.producer.get(intent_id).holds) for intent_id in intents)
        house.all_done(intents)
    refused_at = house.producer.get(intents[0]).attempts[0].ended
    probe, *others = [call["arrived_at"] for call in house.sandbox.calls("refused")]
    assert refused_at is not None
    assert probe >= refused_at.timestamp() + 3
    assert all(arrived >= probe + 0.4 for arrived in others)  # not before the first of them was answered
    assert house.sandbox.books()["rate_limited"] == before + 1


def test_what_is_past_its_deadline_when_its_turn_comes_ends_expired_and_is_never_sent(house: House) -> None:
    first = house.send("slow", "+243990000701")
    house.until(first, "recipient.sending")
    late = house.send("slow", "+243990000702", expires_in=0.3)
    assert house.story(late) == ["accepted", "expired", "done"]
    last = house.send("slow", "+243990000703")
    house.all_done([first, last])
    assert house.producer.get(late).attempts == ()
    assert [number for _, number in house.copies("slow")] == ["+243990000701", "+243990000703"]
