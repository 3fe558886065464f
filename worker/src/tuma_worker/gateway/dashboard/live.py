"""Pages that keep themselves up to date: what many look at is looked at once, and only while somebody does."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tuma_worker.gateway.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator

    Look = Callable[[], Awaitable[str]]

VIEWERS_MOST = 200  # of one gateway
EVERY = 1.0  # seconds between two looks, at the least
_SHARE = 4  # times as long as a look took is waited for the next: looking takes a fifth of anybody's time at the most
_PULSE = 2.0  # seconds: so long may a viewer that has gone, or a gateway that is to end, go unnoticed


class Shown:
    """What some viewers look at together."""

    def __init__(self, look: Look) -> None:
        self.page = ""
        self.viewers = 0
        self.looking = asyncio.create_task(self._keep_looking(look))
        self._changed = asyncio.Event()
        self.looking.add_done_callback(lambda _: self._changed.set())

    async def _keep_looking(self, look: Look) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            page = await look()
            if page != self.page:
                self.page = page
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(max(EVERY, _SHARE * (clock() - began)))

    async def wait(self) -> None:
        """Wait until the page has changed, or for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PULSE):
                await self._changed.wait()


class Live:
    """All that is looked at in this process, by what it is."""

    def __init__(self) -> None:
        self._shown: dict[Hashable, Shown] = {}

    async def follow(self, key: Hashable, look: Look) -> AsyncGenerator[bytes, None]:
        """The page, and again whenever it has changed, as server-sent events; comments in between. Raises what `look` does."""
        with self._viewing(key, look) as shown:
            seen = ""
            yield b": tuma\n\n"
            while not shown.looking.done():
                await shown.wait()
                page = shown.page  # it may be another one by the time the viewer has taken this one
                yield b":\n\n" if page == seen else _event(page)
                seen = page
            shown.looking.result()

    def expect_room(self) -> None:
        """Raise `Problem` where there are too many viewers already."""
        if sum(shown.viewers for shown in self._shown.values()) >= VIEWERS_MOST:
            raise Problem(Kind.BUSY, f"this gateway has {VIEWERS_MOST} viewers already")

    @contextmanager
    def _viewing(self, key: Hashable, look: Look) -> Iterator[Shown]:
        shown = self._shown.get(key)
        if shown is None:
            shown = self._shown[key] = Shown(look)
        shown.viewers += 1
        try:
            yield shown
        finally:
            shown.viewers -= 1
            if not shown.viewers:
                shown.looking.cancel()
                del self._shown[key]


def _event(page: str) -> bytes:
    return b"event: page\ndata: " + json.dumps(page, ensure_ascii=False).encode() + b"\n\n"
