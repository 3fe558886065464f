"""What many look at is looked at once, and only while somebody does."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from tuma_worker.gateway.dashboard import live
from tuma_worker.gateway.dashboard.live import Live
from tuma_worker.gateway.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATIENCE = 10.0  # seconds


class Sight:
    """Something to look at, which is another each time that it is; until it is broken."""

    def __init__(self) -> None:
        self.looks = 0
        self.broken = False

    async def look(self) -> str:
        await asyncio.sleep(0)
        if self.broken:
            raise LookupError
        self.looks += 1
        return f"look {self.looks}"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 0.001)


async def until_page(told: AsyncGenerator[bytes, None]) -> str:
    async for piece in told:
        if piece.startswith(b"event: page\n"):
            page: str = json.loads(piece.partition(b"data: ")[2])
            return page
    raise AssertionError


def test_two_viewers_share_a_look_and_it_ends_with_the_last_of_them() -> None:
    async def watch() -> None:
        shared, sight = Live(), Sight()
        async with aclosing(shared.follow("a", sight.look)) as one:
            await until_page(one)
            async with aclosing(shared.follow("a", sight.look)) as two:
                pages = [await until_page(one), await until_page(two)]
                assert len(asyncio.all_tasks()) == 2  # this one, and the one that looks
            assert all(page.startswith("look ") for page in pages)
            await until_page(one)
        await asyncio.sleep(0)
        looks = sight.looks
        await asyncio.sleep(0.02)
        assert (sight.looks, len(asyncio.all_tasks())) == (looks, 1)

    asyncio.run(watch())


def test_a_page_that_changes_while_the_last_one_is_taken_is_shown_as_well() -> None:
    async def watch() -> None:
        sights, looked = ["before"], asyncio.Semaphore(0)

        async def look() -> str:
            looked.release()
            return sights[-1]

        async with aclosing(Live().follow("a", look)) as told, asyncio.timeout(PATIENCE):
            assert await until_page(told) == "before"
            sights.append("after")
            while not looked.locked():
                await looked.acquire()
            for _ in range(2):  # with the second look, what the first saw has been put down
                await looked.acquire()
            assert await until_page(told) == "after"

    asyncio.run(watch())


def test_what_goes_wrong_with_a_look_ends_all_who_follow_it() -> None:
    async def watch() -> None:
        sight = Sight()
        async with aclosing(Live().follow("a", sight.look)) as told:
            await until_page(told)
            sight.broken = True
            with pytest.raises(LookupError):
                _ = [piece async for piece in told]

    asyncio.run(watch())


def test_no_more_get_in_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "VIEWERS_MOST", 1)

    async def watch() -> None:
        shared, sight = Live(), Sight()
        shared.expect_room()
        async with aclosing(shared.follow("a", sight.look)) as told:
            await until_page(told)
            with pytest.raises(Problem, match="1 viewers already"):
                shared.expect_room()
        shared.expect_room()

    asyncio.run(watch())
