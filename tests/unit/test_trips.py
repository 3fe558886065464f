"""Trips that many share: whoever waits is told, whatever becomes of a trip."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tuma_worker.receipts.trips import FullError, Trips

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


def together(trips: Trips[int], count: int) -> list[object]:
    """What each of so many is told, who come at the same time."""

    async def ask() -> list[object]:
        return list(await asyncio.gather(*map(trips.take, range(count)), return_exceptions=True))

    return asyncio.run(ask())


class Road:
    """Makes trips as it is told to, and knows who was in each."""

    def __init__(self, *ends: Callable[[Sequence[int]], Awaitable[list[object]]]) -> None:
        self._ends = iter(ends)
        self.trips: list[list[int]] = []

    async def travel(self, wanted: Sequence[int]) -> list[object]:
        self.trips.append([*wanted])
        return await next(self._ends, arrive)(wanted)


async def arrive(wanted: Sequence[int]) -> list[object]:
    return [10 * one for one in wanted]


async def fall(_: Sequence[int]) -> list[object]:
    message = "the transport is closed"
    raise RuntimeError(message)


async def lose_some(wanted: Sequence[int]) -> list[object]:
    return list(wanted[1:])


async def never_arrive(_: Sequence[int]) -> list[object]:
    await asyncio.Event().wait()
    raise AssertionError


async def refuse_the_odd(wanted: Sequence[int]) -> list[object]:
    return [ValueError(one) if one % 2 else one for one in wanted]


def test_who_comes_together_shares_trips_and_gets_what_it_wanted() -> None:
    road = Road()
    assert together(Trips(road.travel, at_once=3), 7) == [0, 10, 20, 30, 40, 50, 60]
    assert road.trips == [[0, 1, 2], [3, 4, 5], [6]]


def test_an_error_in_a_place_is_told_there_alone() -> None:
    told = together(Trips(Road(refuse_the_odd).travel), 4)
    assert [told[0], told[2]] == [0, 2]
    assert [type(one) for one in (told[1], told[3])] == [ValueError] * 2


@pytest.mark.parametrize(
    ("end", "error"), [(fall, RuntimeError), (lose_some, ValueError), (never_arrive, TimeoutError)], ids=lambda one: one.__name__
)
def test_a_trip_that_fails_is_told_to_all_who_wait_and_the_next_one_is_made_as_ever(
    end: Callable[[Sequence[int]], Awaitable[list[object]]], error: type[Exception]
) -> None:
    road = Road(end)
    trips: Trips[int] = Trips(road.travel, at_once=2, within=0.1)

    async def story() -> list[object]:
        first = await asyncio.gather(*map(trips.take, range(5)), return_exceptions=True)
        return [*first, await trips.take(7)]

    *failed, last = asyncio.run(story())
    assert [type(one) for one in failed] == [error] * 5
    assert last == 70
    assert road.trips == [[0, 1], [7]]  # nobody went on a trip that would only have found the same


def test_who_finds_no_place_is_told_at_once() -> None:
    told = together(Trips(Road().travel, most=2), 3)
    assert told[:2] == [0, 10]
    assert isinstance(told[2], FullError)
