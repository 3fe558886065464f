"""Money runs low: bulk stops at what is kept for those who cannot wait, everybody is told why, and it goes on by itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.support.cluster import until
from tests.support.houses import House, open_house

from tuma_worker.store import funds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import Settings

ACCOUNTS: dict[str, Settings] = {"lisoloo": {"provider": "lisoloo", "reserve": "10 USD", "balance_every": 0.2, "lease": 2}}
MONEY: Settings = {"lisoloo": {"balance": 10.05, "unit_price": 0.02, "currency": "USD"}}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    with open_house(server, ACCOUNTS, config=MONEY) as found:
        yield found


def until_bulk(house: House, became: str) -> None:
    next(event for event in house.account_events("lisoloo") if event.type == f"tuma.account.bulk-{became}")


def left(house: House) -> Decimal | None:
    found = funds.look(house.redis, "lisoloo")
    return None if found is None else found.left


def test_bulk_stops_at_the_reserve_and_goes_on_when_money_is_paid_in(house: House) -> None:
    worker = house.worker()
    house.done(house.send("lisoloo", *(f"+24399002{n:04}" for n in range(5)), priority="bulk"))
    until_bulk(house, "held")
    waiting = house.send("lisoloo", "+243990030000", priority="bulk")
    for priority in ("otp", "transactional"):
        assert house.done(house.send("lisoloo", "+243990030001", priority=priority)).counts == {"delivered": 1}
    assert house.producer.get(waiting).counts == {"queued": 1}

    # Seven of them were paid. A reading that comes while a call is made may take its cost off twice, until the next one.
    until(lambda: left(house) == Decimal("9.91"), "the balance is read after the last call")
    assert "hold: bulk waits: 9.91 USD is left, of which 10.00 USD is kept for the others" in house.tuma("queue").out
    assert "9.91 USD left; bulk waits, 10.00 USD is kept" in house.tuma("accounts").out

    house.sandbox.configure(lisoloo={"balance": 20})
    assert house.done(waiting).counts == {"delivered": 1}
    until_bulk(house, "released")
    assert worker.until("account.bulk_released", '"account": "lisoloo"')
