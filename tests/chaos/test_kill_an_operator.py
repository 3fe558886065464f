"""An operator's process is killed between the steps of a redrive: the next operator finishes it, and each number is sent to once.

A redrive plans in the old account, enqueues in the new one and then leaves the dead letters behind: three scripts that no
transaction can join. Each case has an account of its own, whose senders the provider has refused.
"""

from __future__ import annotations

import signal
from itertools import product
from typing import TYPE_CHECKING

import pytest
from tests.support import mortal
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House

APPROVED, REFUSED = "KITOKO", "GHOST"
NUMBERS = [f"+2439900{place:05}" for place in range(30)]
DEATHS = list(product(("before", "after"), ("store.plan", "contract.enqueue", "store.leave")))


def account_of(side: str, step: str) -> str:
    return f"{side}-{step}".replace(".", "-")


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    accounts = {account_of(*death): {"provider": "lineserve"} for death in DEATHS}
    with open_house(server, accounts, config={"lineserve": {"senders": [APPROVED]}}) as found:
        found.worker()
        yield found


def dies_redriving(house: House, account: str, side: str, step: str) -> int:
    """Let an operator begin a redrive and die at the step. Returns how the process ended."""
    command = ("dead", "redrive", "--account", account, "--all", "--sender", APPROVED)
    operator = house.tuma.start_module("tests.support.mortal", *command, **mortal.fate(step, side))
    try:
        return operator.ended()
    finally:
        operator.kill()


@pytest.mark.parametrize(("side", "step"), DEATHS)
def test_a_redrive_whose_operator_is_killed_is_finished_by_the_next_and_sent_once(house: House, side: str, step: str) -> None:
    account = account_of(side, step)
    refused = house.send(account, *NUMBERS, sender_id=REFUSED)
    assert house.done(refused).counts == {"rejected": len(NUMBERS)}
    assert dies_redriving(house, account, side, step) == -signal.SIGKILL, "it never came to the step"
    again = house.tuma("dead", "redrive", "--account", account, "--all", "--sender", APPROVED, "--json")
    assert again.status == 0, again.err
    (redriven_as,) = {one.redriven_as for one in house.producer.get(refused).recipients}
    assert redriven_as is not None
    assert house.done(redriven_as).counts == {"delivered": len(NUMBERS)}
    copies = house.copies(account)
    assert sorted(number for _, number in copies) == NUMBERS
    assert set(copies.values()) == {1}
    assert house.tuma("dead", "list", "--account", account, "--json").out == ""
