"""Keep every account's event stream within its bounds, and warn before a group of consumers loses what it has not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker.logs import Event
from tuma_worker.rounds import one_by_one

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event as Signal

    from tuma_worker.store.outcomes import Stream

_log = structlog.get_logger(__name__)

EVERY = 30.0  # seconds between two looks, in which a stream is not to fill from where it is warned of to the brim


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Looks after the streams of some accounts in the name of `worker`; of all workers one looks after an account."""

    streams: Sequence[Stream]
    worker: str

    def keep_up(self, stop: Signal) -> None:
        """Look again and again until told to stop."""
        while not stop.wait(EVERY):
            self.run_once()

    def run_once(self) -> dict[str, list[str]]:
        """Look at each account once. Returns the groups that were warned of."""
        return dict(one_by_one(self.streams, _account, self._look, Event.UPKEEP_FAILED))

    def _look(self, stream: Stream) -> tuple[str, list[str]]:
        return stream.account, self._warned(stream) if stream.lead(self.worker, EVERY * 3) else []

    def _warned(self, stream: Stream) -> list[str]:
        warned = [group.name for group in stream.make_room() if stream.warn(group)]
        for name in warned:
            _log.warning(Event.CONSUMERS_BEHIND, account=stream.account, group=name)
        stream.expire()
        return warned


def _account(stream: Stream) -> str:
    return stream.account
