"""Keep every account's event stream within its bounds, and warn before a group of consumers loses what it has not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker.logs import Event, complain

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
        return {stream.account: self._look_safely(stream) for stream in self.streams}

    def _look_safely(self, stream: Stream) -> list[str]:
        try:
            return self._look(stream) if stream.lead(self.worker, EVERY * 3) else []
        except Exception as error:  # noqa: BLE001 - it is logged whole, and concerns this account
            complain(error, Event.UPKEEP_FAILED, account=stream.account)
            return []

    def _look(self, stream: Stream) -> list[str]:
        warned = [group.name for group in stream.make_room() if stream.warn(group)]
        for name in warned:
            _log.warning(Event.CONSUMERS_BEHIND, account=stream.account, group=name)
        stream.expire()
        return warned
