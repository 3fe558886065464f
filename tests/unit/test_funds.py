"""What is kept of an account's money, and how long the rest lasts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tuma_worker.core.funds import Balance, Reading, Reserve, per_hour, runway

HOUR = 3_600_000


def readings(*amounts: int, every: int = HOUR) -> list[Reading]:
    return [Reading(index * every, Decimal(amount)) for index, amount in enumerate(amounts)]


@pytest.mark.parametrize(
    ("text", "balance", "kept"),
    [
        ("5000 CDF", Balance(Decimal(9), "CDF"), Decimal(5000)),
        ("12.5 USD", Balance(Decimal(9), "USD"), Decimal("12.5")),
        ("0 USD", Balance(Decimal(9), "USD"), Decimal(0)),
        ("2000 messages", Balance(Decimal(9), "USD", Decimal("0.02")), Decimal(40)),
        ("2000 messages", Balance(Decimal(9), "USD"), None),
        ("5000 CDF", Balance(Decimal(9), "USD", Decimal("0.02")), None),
    ],
)
def test_a_reserve_is_money_or_messages_at_the_price_that_is_told(text: str, balance: Balance, kept: Decimal | None) -> None:
    assert Reserve.parse(text).of(balance) == kept


@pytest.mark.parametrize("text", ["", "5000", "-1 CDF", "5000 cdf", "1e9 CDF", "5000 CDF or so", "messages"])
def test_what_is_no_reserve_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"5000 CDF.*2000 messages"):
        Reserve.parse(text)


@pytest.mark.parametrize(
    ("told", "spent"),
    [
        (readings(100, 90, 70), Decimal(15)),
        (readings(100, 90, 190, 170), Decimal(10)),  # what was paid in is no spending
        (readings(100, 100), Decimal(0)),
        (readings(100, 90, every=300_000), Decimal(120)),
        (readings(100, 90, every=299_999), None),  # of too short a time to say anything
        (readings(100), None),
        ([], None),
    ],
)
def test_whatever_made_the_balance_fall_was_spent(told: list[Reading], spent: Decimal | None) -> None:
    assert per_hour(told) == spent


@pytest.mark.parametrize(("left", "spent", "hours"), [(100, 8, 12.5), (-1, 8, 0.0), (100, 0, None), (100, None, None)])
def test_the_runway_is_how_long_it_lasts_at_that(left: int, spent: int | None, hours: float | None) -> None:
    assert runway(Decimal(left), None if spent is None else Decimal(spent)) == hours
