"""What the claim script must know of a queue: its limits, floors, pacing and batch sizes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tuma_producer.contract.keys import QueueKeys, account_keys
from tuma_producer.contract.wire import LANES
from tuma_worker.core.limits import Counted, Limit
from tuma_worker.queue.hours import HoursTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_producer.quiet import Quiet

SEND = "send"  # the operation whose queue carries the sends of an account

PROMOTED_AT_ONCE = 500  # due jobs that one claim moves into the line; the next claim goes on
CRASHES_TOLERATED = 3  # deaths of a worker that held a job before it is parked as their likely cause


@dataclass(frozen=True)
class QueueConfig:
    """One queue of one account, `<account>.<operation>`.

    `floors` maps a lane to the share of each window that lower lanes may not touch. `guard` is the share of calls that goes to
    each waiting lower lane whatever waits above it (0: none); where a floor is in the way, such a call has one job. `paced` names
    the lanes whose calls are spread over the window. `count_segments` says whether a long text counts once per segment against
    limits in messages. `cold_start` says whether the first window of a limiter without history is opened evenly (`paced`) or at
    once (`burst`, right only for a key that nobody has used for a whole window). Times in seconds: `lease` is how long a silent
    worker keeps its batch, `grace` how long a call that was given up may still reach the provider, `idle` the longest wait on the
    bell. In `quiet` hours some are not called.
    """

    account: str
    operation: str
    limits: tuple[Limit, ...] = ()
    floors: Mapping[str, float] = field(default_factory=dict)
    guard: float = 0.01
    paced: frozenset[str] = frozenset()
    batch_max: int = 1
    count_segments: bool = True
    cold_start: str = "paced"
    lease: float = 15.0
    grace: float = 5.0
    idle: float = 5.0
    quiet: Quiet | None = None

    @property
    def name(self) -> str:
        """The queue's name, as Dramatiq and operators use it."""
        return f"{self.account}.{self.operation}"

    @cached_property
    def keys(self) -> QueueKeys:
        """The queue's Redis keys."""
        return account_keys(self.account).queue(self.operation)

    @cached_property
    def line_keys(self) -> list[str]:
        """The keys that scripts need to put jobs into the line."""
        keys = self.keys
        return [keys.entries, keys.groups, keys.sources(0), keys.sources(1), keys.sources(2), keys.due, keys.spent]

    @cached_property
    def window_keys(self) -> list[str]:
        """One list per limit, in the order of the limits."""
        return [self.keys.window(limit.name) for limit in self.limits]

    @cached_property
    def for_limits(self) -> list[dict[str, object]]:
        """The limits as scripts read them, times in milliseconds."""
        return [
            {"name": limit.name, "unit": limit.counted.value, "count": limit.count, "window": round(limit.window * 1000)}
            for limit in self.limits
        ]

    @cached_property
    def for_claim(self) -> str:
        """The configuration as the claim script reads it."""
        # Not for the script: for whoever looks at the account.
        quiet = {} if self.quiet is None else {"quiet": self.quiet.as_json()}
        return json.dumps(
            quiet
            | {
                "limits": self.for_limits,
                "floors": [self.floors.get(lane, 0.0) for lane in LANES],
                "paced": [lane in self.paced for lane in LANES],
                "batch_max": self.batch_max,
                "segments": self.count_segments,
                "messages_per_call": self._messages_per_call,
                "cold_start": self.cold_start,
                "grace": round(self.grace * 1000),
                "idle": round(self.idle * 1000),
                "promote": PROMOTED_AT_ONCE,
                "crashes": CRASHES_TOLERATED,
                "guard": round(1 / self.guard) if self.guard else 0,
            },
        )

    @cached_property
    def hours(self) -> HoursTable | None:
        """Which numbers may be called now; None where they may at any time."""
        return None if self.quiet is None else HoursTable(self.quiet)

    @property
    def _messages_per_call(self) -> float:
        """How many messages a call must carry, on average, for the messages of a window to be used up before its calls are."""
        calls = [limit.count / limit.window for limit in self.limits if limit.counted is Counted.CALLS]
        messages = [limit.count / limit.window for limit in self.limits if limit.counted is Counted.MESSAGES]
        return max(1.0, min(messages) / min(calls)) if calls and messages else 1.0
