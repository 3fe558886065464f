"""Many small things that one event loop wants of Redis, in as few trips as they allow.

What comes while a trip is under way goes out together as the next one. Alone, a question goes at once; under load a trip is
shared by as many as came during the one before, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tuma_producer.contract.connection import REDIS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Question = TypeVar("Question")


class FullError(Exception):
    """So many wait that whoever comes now would not be answered in time."""


@dataclass(slots=True)
class Group(Generic[Question]):
    """Asks together. At most `most` questions wait, a trip takes `at_once` of them, and at most `within` seconds.

    `travel` makes a trip: it gives the answers in the order of the questions. An error among them is raised where that was asked,
    and one that `travel` raises wherever anything was.
    """

    travel: Callable[[Sequence[Question]], Awaitable[Sequence[Any]]]
    most: int = 2000
    at_once: int = 500
    within: float = 4.0
    _waiting: list[tuple[Question, asyncio.Future[Any]]] = field(default_factory=list)
    _trips: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Any:  # noqa: ANN401 - whatever a trip brings
        """The answer to a question. Raises `FullError`, `TimeoutError`, and what redis-py raises."""
        if len(self._waiting) >= self.most:
            raise FullError
        trips = self._trips
        if trips is None or trips.done():
            trips = self._trips = asyncio.create_task(self._make_trips())
        reply: asyncio.Future[Any] = trips.get_loop().create_future()  # to ask which loop runs costs a system call
        self._waiting.append((question, reply))
        return await reply

    async def _make_trips(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[: self.at_once], self._waiting[self.at_once :]
            answers = await self._answers([question for question, _ in together])
            for (_, reply), answer in zip(together, answers, strict=True):
                _settle(reply, answer)

    async def _answers(self, questions: Sequence[Question]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(self.within):
                return await self.travel(questions)
        except (*REDIS_ERRORS, OSError) as error:  # the built-in TimeoutError is an OSError
            return [error] * len(questions)


def _settle(reply: asyncio.Future[Any], answer: object) -> None:
    if reply.done():  # whoever asked has gone
        return
    if isinstance(answer, BaseException):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
