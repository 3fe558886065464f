"""The bell of a queue: where a consumer waits, with nothing to do, until somebody has work for it or its time comes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError

from tuma_producer.contract.connection import on_one_connection, server_for

if TYPE_CHECKING:
    from redis import Redis

EXACT_BELOW = 5.0  # seconds; where a wait is as long as that, a tenth of a second does not matter


@dataclass
class Bell:
    """Where a consumer waits, on a connection of its own to the server that holds `key`.

    `blocking` makes that connection, `redis` is for all that does not block. Where the key moves to another server, waiting raises
    as if the connection were lost, and the next bell is hung there.
    """

    blocking: Redis
    key: str
    redis: Redis
    _line: Redis | None = None
    _client_id: int | None = None

    def wait(self, seconds: float) -> bool:
        """Block until somebody rings or the time is over. Returns whether it rang: then nobody else has heard it."""
        connection = self._connection()
        connection.send_command("BLPOP", self.key, f"{seconds:.3f}")
        # A server that nobody else talks to looks at its clock ten times a second only: we look at ours.
        if seconds < EXACT_BELOW and not connection.can_read(timeout=seconds):
            with suppress(NoPermissionError):  # then the server ends it, at its own pace
                self.unblock()
        return connection.read_response() is not None  # what was rung in this moment too

    def _connection(self) -> Any:  # noqa: ANN401 - as redis-py has it
        if self._line is None:
            self._line = on_one_connection(self.blocking, self.key)
            self._client_id = self._line.client_id()
        return self._line.connection

    def pass_on(self) -> None:
        """Ring for somebody else."""
        self.redis.rpush(self.key, 1)

    def unblock(self) -> None:
        """End a wait, if there is one; also from another thread."""
        if self._client_id is not None:
            server_for(self.redis, self.key).client_unblock(self._client_id)

    def close(self) -> None:
        """Close the connection it waits on."""
        if self._line is not None:
            self._line.close()
        self.blocking.close()
