"""Many small things that one event loop wants of Redis, in as few trips as they allow.

What comes while a trip is under way goes out together as the next one. Alone, each goes at once; under load a trip is shared by as
many as came during the one before, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    Stage = Callable[[Pipeline], None]

Wanted = TypeVar("Wanted")


class FullError(Exception):
    """So many wait that whoever comes now would not be answered in time."""


@dataclass(slots=True)
class Trips(Generic[Wanted]):
    """Trips that are shared. At most `most` wait for one, which takes `at_once` of them, and at most `within` seconds.

    `travel` makes a trip: it gives what is brought back, in the order of what was wanted; an error in a place is that one's. One
    that it raises is told to all who wait: the next trip would only find the same, when those in it have waited twice as long.
    """

    travel: Callable[[Sequence[Wanted]], Awaitable[Sequence[Any]]]
    most: int = 2000
    at_once: int = 500
    within: float = 4.0
    _waiting: list[tuple[Wanted, asyncio.Future[Any]]] = field(default_factory=list)
    _under_way: asyncio.Task[None] | None = None

    async def take(self, wanted: Wanted) -> Any:  # noqa: ANN401 - whatever a trip brings back
        """What a trip brings back for this. Raises `FullError`, `TimeoutError`, and what redis-py raises."""
        if len(self._waiting) >= self.most:
            raise FullError
        under_way = self._under_way
        if under_way is None or under_way.done():
            under_way = self._under_way = asyncio.create_task(self._go())
        reply: asyncio.Future[Any] = under_way.get_loop().create_future()  # to ask which loop runs costs a system call
        self._waiting.append((wanted, reply))
        return await reply

    async def _go(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[: self.at_once], self._waiting[self.at_once :]
            try:
                async with asyncio.timeout(self.within):
                    brought = await self.travel([wanted for wanted, _ in together])
                told = list(zip(together, brought, strict=True))
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
                told = [(one, error) for one in (*together, *self._waiting)]
                self._waiting.clear()
            for (_, reply), answer in told:
                _settle(reply, answer)


def _settle(reply: asyncio.Future[Any], answer: object) -> None:
    if reply.done():  # whoever asked has gone
        return
    if isinstance(answer, BaseException):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)


async def ask_together(redis: Redis, stages: Sequence[Stage]) -> list[Any]:
    """The replies to what these put into a pipeline; errors in their places."""
    pipeline = redis.pipeline(transaction=False)
    for stage in stages:
        stage(pipeline)
    return await pipeline.execute(raise_on_error=False)
