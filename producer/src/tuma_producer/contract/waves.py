"""Pipelines that overlap: the next one is on its way to the server before the replies to the last one are read.

The server then works while the next sends are encoded, instead of one waiting for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import ResponseError

from tuma_producer.contract.connection import REDIS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from redis import Redis

    from tuma_producer.contract.scripts import ScriptCall


class Waves:
    """One connection of a client, with pipelines under way on it. Not for a cluster, whose keys are on many servers.

    A connection that fails loses all that is under way: `replies` then answers None, and whoever asked offers the same again, which
    every script allows.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: Any = None
        self._unread = 0  # pipelines
        self._lost = 0  # of them, those that went down with a connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is None:
            return
        if self._unread:
            self._connection.disconnect()  # nobody will read these replies, so nobody else may find them there
        self._pool.release(self._connection)

    def write(self, calls: Sequence[ScriptCall]) -> None:
        """Put these calls of scripts under way."""
        commands = [("EVALSHA", one.script.sha, len(one.keys), *one.keys, *one.args) for one in calls]
        self._unread += 1
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except REDIS_ERRORS:
            self._lose()

    def replies(self, count: int) -> list[Any] | None:
        """The replies to the oldest pipeline, which had `count` calls: values, or errors of the server's; None where lost."""
        self._unread -= 1
        if not self._lost:
            try:
                return [self._reply() for _ in range(count)]
            except REDIS_ERRORS:
                self._lose(also=1)
        self._lost -= 1
        return None

    def _reply(self) -> Any:  # noqa: ANN401 - what a script returns, or redis-py's error
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

    def _lose(self, also: int = 0) -> None:
        if self._connection is not None:
            self._connection.disconnect()
        self._lost = self._unread + also
