"""What a process's consumers share with its threads: how many threads are free, and the seat that each queue has in the process."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_worker.queue.scripts import Claim


class Slots:
    """The worker threads of this process that are free. A consumer claims only while it holds one."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    def resize(self, count: int) -> None:
        """Set how many there are in all; before any is taken."""
        with self._changed:
            self._free = count

    def take(self, consumer: object, timeout: float) -> bool:
        """Take one for this consumer, waiting at most so many seconds."""
        with self._changed:
            self._waiting.append(consumer)
            try:
                if not self._changed.wait_for(lambda: self._free > 0, timeout):
                    return False
            finally:
                self._waiting.remove(consumer)
            self._free -= 1
            return True

    def others_wait(self, consumer: object) -> bool:
        """Whether a consumer other than this one waits for one."""
        with self._changed:
            return any(waiting is not consumer for waiting in self._waiting)

    def give(self) -> None:
        """Give one back."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    @property
    def any_left(self) -> bool:
        """Whether another claim could follow at once."""
        with self._changed:
            return self._free > 0


def new_token() -> str:
    """A batch id that nobody else has."""
    return secrets.token_hex(16)


@dataclass
class Seat:
    """A process's place at a queue. It outlives a consumer that lost its connection, and so does what threads go by.

    `turned_at` is when its consumer last came round, by the process's clock; None before it ever has. `stopping` once nothing more
    is to be claimed, `listening` while its consumer waits because nothing may move.
    `handed` are claims of another kind than the thread that made them was at: they wait for a thread of their own.
    """

    worker: str
    turned_at: float | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    listening: bool = False
    handed: deque[Claim] = field(default_factory=deque)
    _unanswered: deque[str] = field(default_factory=deque)

    @contextmanager
    def token(self) -> Iterator[str]:
        """The id of the batch that the claim inside will take.

        Where no answer came, whether it was lost in the network or with the consumer, whoever claims next asks for the same batch
        again, instead of leaving it to its lease.
        """
        try:
            token = self._unanswered.popleft()
        except IndexError:
            token = new_token()
        try:
            yield token
        except BaseException:
            self._unanswered.append(token)
            raise
