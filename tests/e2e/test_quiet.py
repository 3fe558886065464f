"""Quiet hours with a real worker: nobody is called in them who did not ask for it, and it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House
    from tests.support.servers import Server

TO = "+254712345678"  # in Nairobi, at +03:00 all year


def in_nairobi(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=3 + hours)).strftime("%H:%M")


@pytest.fixture(scope="module")
def house(server: Server) -> Iterator[House]:
    now = {"hours": f"{in_nairobi(-2)}-{in_nairobi(5)}"}
    accounts = {
        "waits": {"provider": "lisoloo", "quiet": now},
        "ends": {"provider": "lineserve", "quiet": now | {"action": "expire"}},
        "later": {"provider": "lisoloo", "quiet": {"hours": f"{in_nairobi(5)}-{in_nairobi(8)}"}},
    }
    with open_house(server, accounts) as found:
        found.worker()
        yield found


def test_a_bulk_send_waits_for_the_morning_while_others_go(house: House) -> None:
    waiting = house.send("waits", TO, priority="bulk", message="Sale")
    loud = house.send("waits", TO, priority="bulk", message="Evacuate", ignore_quiet=True)
    urgent = house.send("waits", TO, priority="otp", message="Code 1")
    assert [house.done(one).counts for one in (loud, urgent)] == [{"delivered": 1}] * 2
    assert house.copies("waits") == {("Evacuate", TO): 1, ("Code 1", TO): 1}
    shown = house.tuma("get", waiting).out
    assert "queued 1" in shown
    assert "waits: quiet hours until " in shown
    assert "quiet hours: ignored" in house.tuma("get", loud).out


def test_an_account_may_let_them_end_instead(house: House) -> None:
    intent = house.done(house.send("ends", TO, priority="bulk"))
    assert (intent.counts, intent.recipients[0].reason) == ({"expired": 1}, "quiet")
    assert house.copies("ends") == {}


def test_out_of_quiet_hours_everybody_is_called(house: House) -> None:
    assert house.done(house.send("later", TO, priority="bulk")).counts == {"delivered": 1}
