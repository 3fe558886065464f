"""The schedules of an account: as they stand, and moved on past what was decided of their firings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tuma_producer.contract import scheduling
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.records import is_schedule
from tuma_producer.contract.scripts import ScriptCall, load, run_together
from tuma_producer.contract.times import server_time
from tuma_producer.contract.wire import EVENTS_KEPT, RETENTION_MS
from tuma_worker.queue.scripts import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from tuma_producer.schedules import Schedule
    from tuma_worker.queue.config import QueueConfig

_FIRE = load(__package__, "fire")

OCCURRENCES_NAMED = 100  # the last ones, in a schedule's record, and older ones that have not ended
_OLD_AT_ONCE = 1000  # older ones, of which one firing asks whether they have ended


def waiting(short_id: str) -> str:
    """The name of a schedule's job among what waits for a time; waits.lua says the same."""
    return f"0|{SYSTEM}|fire.0.100.-|{short_id}"


def ready(short_id: str, following: int) -> str:
    """The name of the same job in the line, once that time has come."""
    return f"0|{SYSTEM}|fire.0.100.-|{following:011x}|{short_id}"


@dataclass(frozen=True, slots=True)
class ScheduleStanding:
    """A schedule that may fire, as it stood at `now`. `following` is its next firing; times in Unix milliseconds."""

    short_id: str
    schedule: Schedule
    recipients: int
    following: int
    now: int
    record: dict[str, str]


class Decided(NamedTuple):
    """What is to become of a schedule: occurrences at these `firings`, and the one to wait for; None ends it."""

    standing: ScheduleStanding
    firings: Sequence[int]
    following: int | None


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules of one account."""

    redis: Redis
    queue: QueueConfig

    def load(self, short_ids: Sequence[str]) -> list[ScheduleStanding]:
        """These schedules as they stand, without those that are paused, have ended, or were never there."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        pipeline.execute_command("TIME")  # by its name: a cluster's pipeline lacks the method
        for short_id in short_ids:
            pipeline.hgetall(account_keys(self.queue.account).intent(short_id))
        time, *records = pipeline.execute()
        now = server_time(time)
        found = (_standing(short_id, record_texts(raw), now) for short_id, raw in zip(short_ids, records, strict=True))
        return [standing for standing in found if standing is not None]

    def fire(self, decided: Sequence[Decided]) -> list[list[str] | None]:
        """Make occurrences, and let each schedule wait for the firing that follows; all in one trip, each by a step of its own.

        Returns their short ids by schedule; None where one no longer stands as it was loaded, and nothing is changed of it.
        """
        made, calls = [], []
        for one in decided:
            standing = one.standing
            found = scheduling.occurrences(self.queue.account, standing.short_id, standing.record, one.firings)
            arguments = [part for child in found for part in (child.short_id, child.firing, child.group, child.body)]
            header = {"edits": int(standing.record.get("edits", 0)), "ended": self._ended(standing, len(found))}
            calls.append(self._call(standing.short_id, standing.following, one.following, arguments, header))
            made.append([child.short_id for child in found])
        fired = run_together(self.redis, calls) if calls else []
        return [None if count < 0 else children for count, children in zip(fired, made, strict=True)]

    def _ended(self, standing: ScheduleStanding, more: int) -> list[str]:
        """The occurrences that have ended and are older than the last ones, with so many more. A verb must find all others."""
        named = standing.record.get("children", "").split()
        old = named[: max(0, len(named) + more - OCCURRENCES_NAMED)][:_OLD_AT_ONCE]
        pipeline = self.redis.pipeline(transaction=False)
        for child in old:
            pipeline.hget(account_keys(self.queue.account).intent(child), "open")
        still_open = pipeline.execute() if old else []
        return [child for child, count in zip(old, still_open, strict=True) if count in {None, b"0"}]

    def put_back(self, short_id: str, following: int) -> bool:
        """Give a schedule its place among what waits, if it still is to fire next then."""
        return int(self._call(short_id, following, following, [], {"ended": []}).run(self.redis)) >= 0

    def _call(
        self, short_id: str, expected: int, following: int | None, occurrences: Sequence[str | int], about: dict[str, Any]
    ) -> ScriptCall:
        account, keys = account_keys(self.queue.account), self.queue.keys
        header = about | {"expected": expected, "retention": RETENTION_MS, "maxlen": EVENTS_KEPT}
        if following is not None:
            header["next"] = following
        made = [account.intent(str(child)) for child in occurrences[::4]]
        return ScriptCall(
            _FIRE,
            [
                *self.queue.line_keys,
                keys.state,
                keys.bell,
                account.events,
                keys.deadlines,
                account.suppressed,
                account.intent(short_id),
                account.profile,
                account.budgets,
                *made,
            ],
            [short_id, json.dumps(header), *occurrences],
        )


def _standing(short_id: str, record: dict[str, str], now: int) -> ScheduleStanding | None:
    if not is_schedule(record) or record["open"] == "0" or "held" in record:
        return None
    return ScheduleStanding(
        short_id=short_id,
        schedule=scheduling.schedule_in(record["body"]),
        recipients=record["to"].count(" ") + 1,
        following=int(record["next"]),
        now=now,
        record=record,
    )
