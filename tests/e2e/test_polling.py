"""No receipt comes: the provider is asked, within its limits, and what it can prove is told as a receipt would have told it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import House, open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import Settings
    from tests.support.programs import Running

ACCOUNTS: dict[str, Settings] = {
    "lisoloo": {"provider": "lisoloo", "poll_after": 0.3, "lease": 2},
    "lineserve": {"provider": "lineserve", "poll_after": 0.3, "lease": 2, "resolve_after": 0.5},
    "held": {"provider": "lisoloo", "poll_after": 0.3, "lease": 2, "provider_cancel_within": {"bulk": 3600}},
    "never": {"provider": "lisoloo", "poll_after": 0, "receipts_for": 1, "lease": 2},
}
TO = [f"+24399001{n:04}" for n in range(3)]


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS, config={"lisoloo": {"cancel_within": True}}) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def worker(house: House) -> Running:
    return house.worker(TUMA_POLL_EVERY="0.2", TUMA_SWEEP_EVERY="0.5")


@pytest.mark.parametrize("account", ["lisoloo", "lineserve"])
def test_who_is_never_told_of_is_asked_about_and_ends_as_the_provider_says(house: House, worker: Running, account: str) -> None:
    house.sandbox.arm("no_receipts", to=TO)
    intent_id = house.send(account, *TO)
    assert {(one.state, one.evidence) for one in house.done(intent_id).recipients} == {("delivered", "handset")}
    story = house.story(intent_id)
    assert story.count("delivered") == len(TO)  # told once each
    assert worker.until("delivery.polled", f'"account": "{account}"')


def test_a_campaign_that_only_its_name_told_of_is_found_again_message_by_message(house: House) -> None:
    house.sandbox.arm("accept_then_reset", receipts="none", to=TO)
    intent_id = house.send("lineserve", *TO)
    assert {(one.state, one.evidence) for one in house.done(intent_id).recipients} == {("delivered", "handset")}
    (attempt,) = house.producer.get(intent_id).attempts
    assert [look.decision for look in attempt.looks] == ["adopted"]


def test_whose_account_is_set_not_to_ask_ends_unknown(house: House) -> None:
    house.sandbox.arm("no_receipts", to=TO[:1])
    (recipient,) = house.done(house.send("never", TO[0])).recipients
    assert (recipient.state, recipient.reason) == ("unknown", "no-receipt")
    assert not house.lines("delivery.polled", '"account": "never"')


def test_a_call_that_the_provider_holds_back_is_withdrawn_there_and_its_recipients_end_cancelled(house: House) -> None:
    held, urgent = house.send("held", *TO, priority="bulk"), house.send("held", *TO, priority="otp")
    assert house.done(urgent).counts == {"delivered": len(TO)}  # not of the priorities that are held back
    house.until_events(held, "recipient.submitted", len(TO))
    (attempt,) = house.producer.get(held).attempts
    assert house.tuma("provider", "held", "cancel", attempt.provider_id or "").status == 0
    assert {(one.state, one.evidence) for one in house.done(held).recipients} == {("cancelled", "provider")}
