"""Many small questions to Redis from one event loop, in as few trips as they allow.

What is asked while a pipeline is under way goes out together as the next one. Alone, a question goes at once; under load a trip is
shared by as many as came during the one before, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.connection import REDIS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    Stage = Callable[[Pipeline], None]

_PIPELINE_MOST = 1000  # questions in one trip


class FullError(Exception):
    """So many wait that whoever comes now would not be answered in time."""


@dataclass(slots=True)
class Group:
    """Asks together. At most `most` questions wait, each trip takes at most `within` seconds."""

    redis: Redis
    most: int = 2000
    within: float = 4.0
    _waiting: list[tuple[Stage, asyncio.Future[Any]]] = field(default_factory=list)
    _trips: asyncio.Task[None] | None = None

    async def ask(self, stage: Stage) -> Any:  # noqa: ANN401 - a reply is what the staged command answers
        """The reply to what `stage` puts into a pipeline. Raises `FullError`, `TimeoutError`, and what redis-py raises."""
        if len(self._waiting) >= self.most:
            raise FullError
        trips = self._trips
        if trips is None or trips.done():
            trips = self._trips = asyncio.create_task(self._make_trips())
        reply: asyncio.Future[Any] = trips.get_loop().create_future()  # to ask which loop runs costs a system call
        self._waiting.append((stage, reply))
        return await reply

    async def _make_trips(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:_PIPELINE_MOST], self._waiting[_PIPELINE_MOST:]
            pipeline = self.redis.pipeline(transaction=False)
            for stage, _ in together:
                stage(pipeline)
            try:
                async with asyncio.timeout(self.within):
                    answers = await pipeline.execute(raise_on_error=False)
            except (*REDIS_ERRORS, OSError) as error:  # the built-in TimeoutError is an OSError
                answers = [error] * len(together)
            for (_, reply), answer in zip(together, answers, strict=True):
                _settle(reply, answer)


def _settle(reply: asyncio.Future[Any], answer: object) -> None:
    if reply.done():  # whoever asked has gone
        return
    if isinstance(answer, BaseException):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
