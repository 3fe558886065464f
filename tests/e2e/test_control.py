"""A campaign is paused, resumed and cancelled while it goes out: what was answered is what the provider's books show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

# One recipient in a call, so that a campaign has a middle to be stopped in.
ACCOUNTS: dict[str, Settings] = {
    "calm": {"provider": "lisoloo", "limits": ["5 calls/s"], "batch_max": 1},
    "cut": {"provider": "lisoloo", "limits": ["5 calls/s"], "batch_max": 1},
    "held": {"provider": "lisoloo"},
}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS) as found:
        found.worker(*ACCOUNTS)
        yield found


def numbers(count: int) -> list[str]:
    return [f"+24399000{n:04}" for n in range(count)]


def copies(house: House, account: str) -> dict[str, int]:
    """How often the provider took a text for each number."""
    return {number: count for (_, number), count in house.copies(account).items()}


def test_a_paused_campaign_stands_still_and_goes_on_where_it_stopped(house: House) -> None:
    to = numbers(30)
    intent_id = house.send("calm", *to, priority="transactional")
    house.until(intent_id, "recipient.submitted")
    paused = house.producer.pause(intent_id)
    assert paused.outcome == "partly"
    other = house.send("calm", "+243990009999")
    house.done(other)  # it went by: the pause is the intent's alone
    assert copies(house, "calm").keys().isdisjoint(paused.stopped)
    assert house.producer.resume(intent_id).outcome in {"done", "partly"}
    assert house.done(intent_id).counts == {"delivered": 30}
    assert {number: copies(house, "calm")[number] for number in to} == dict.fromkeys(to, 1)


def test_nobody_who_is_told_as_cancelled_is_sent_to_and_everybody_else_is(house: House) -> None:
    to = numbers(30)
    intent_id = house.send("cut", *to)
    house.until(intent_id, "recipient.submitted")
    cancelled = house.producer.cancel(intent_id)
    assert cancelled.outcome == "partly"
    intent = house.done(intent_id)
    gone = [number for number in to if number not in cancelled.stopped]
    assert intent.counts == {"cancelled": len(cancelled.stopped), "delivered": len(gone)}
    assert copies(house, "cut") == dict.fromkeys(gone, 1)


def test_a_send_that_is_held_back_is_withdrawn_before_any_call(house: House) -> None:
    intent_id = house.send("held", *numbers(3), cancel_within=600)
    assert house.producer.cancel(intent_id).outcome == "done"
    assert house.done(intent_id).state == "cancelled"
    assert copies(house, "held") == {}
