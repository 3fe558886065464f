"""Trouble at the provider, end to end: an account without money, and a provider that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.houses import key_of, open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

OPEN = 0.3  # seconds
ACCOUNTS: dict[str, Settings] = {
    "asked": {"provider": "lisoloo", "probe_every": 0.2},
    "mute": {"provider": "lineserve", "cool_down": 0.3, "environment": "production"},  # test mode costs nothing
    "barred": {"provider": "lineserve", "probe_every": 0.2},
    "failing": {"provider": "lisoloo", "breaker_open": OPEN, "resolve_after": 0.2},
}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS) as found:
        found.worker(threads=1)
        yield found


def events_of(house: House, account: str, last: str) -> list[str]:
    """What happened to the account itself, up to the first event of this kind."""
    found = []
    for event in house.account_events(account):
        if event.type.startswith("tuma.account."):
            found.append(event.type.removeprefix("tuma.account."))
            if found[-1] == last:
                return found
    raise AssertionError((found, house.last_words()))


@pytest.mark.parametrize(("account", "provider"), [("asked", "lisoloo"), ("mute", "lineserve")])
def test_an_account_without_money_waits_and_goes_on_by_itself_when_there_is_some(house: House, account: str, provider: str) -> None:
    def fund(balance: float) -> None:
        house.sandbox.configure(**{provider: {"keys": {key_of(account): {"label": account, "balance": balance}}}})

    fund(0)
    intents = [house.send(account, f"+24399000{index:04}") for index in range(6)]
    house.until_halted(account)
    assert all(house.producer.get(intent).state == "active" for intent in intents)
    fund(1000)
    house.all_done(intents)
    assert events_of(house, account, "resumed") == ["halted", "resumed"]
    assert house.halts(account) == 1
    assert len(house.lines("account.halted", f'"{account}"')) == 1
    assert all(house.producer.get(intent).counts == {"delivered": 1} for intent in intents)
    assert list(house.copies(account).values()) == [1] * len(intents)


def test_a_suspended_account_goes_on_by_itself_when_a_probe_within_the_limits_finds_it_active(house: House) -> None:
    def become(state: str) -> None:
        house.sandbox.configure(lineserve={"keys": {key_of("barred"): {"label": "barred", "state": state}}})

    become("suspended")
    intents = [house.send("barred", f"+24399002{index:04}") for index in range(3)]
    house.until_halted("barred")
    house.sandbox.until(lambda books: "GET /sms/messages" in books["requests"]["lineserve"])
    become("active")
    house.all_done(intents)
    assert events_of(house, "barred", "resumed") == ["halted", "resumed"]
    assert list(house.copies("barred").values()) == [1] * len(intents)


def test_a_provider_that_fails_is_left_alone_but_for_one_call_at_a_time_until_it_recovers(house: House) -> None:
    house.sandbox.arm("refuse_500", count=7)
    intents = [house.send("failing", f"+24399001{index:04}", on_unknown="resend") for index in range(20)]
    house.all_done(intents)
    assert events_of(house, "failing", "breaker-closed") == ["breaker-opened", "breaker-closed"]
    attempts = [attempt for intent in intents for attempt in house.producer.get(intent).attempts]
    refused = sorted((one for one in attempts if one.phase in {"unknown", "resent"}), key=lambda one: one.started)
    assert len(refused) == 7
    fifth, sixth, seventh = refused[4:]
    assert fifth.ended is not None
    assert sixth.ended is not None
    # The clock is the server's in milliseconds.
    assert (sixth.started - fifth.ended).total_seconds() >= OPEN
    assert (seventh.started - sixth.ended).total_seconds() >= 2 * OPEN
    began = sorted(one.started for one in attempts)
    assert not [at for at in began if fifth.ended < at < sixth.started or sixth.started < at < seventh.started]
    assert list(house.copies("failing").values()) == [1] * len(intents)
