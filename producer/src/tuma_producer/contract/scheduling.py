"""Schedules: how one is written into Redis, which of its firings comes next, and what each occurrence of it is.

The record of a schedule is kept under an intent's id, but has no recipients of its own: at each firing they come into being with an
intent of that occurrence. A firing is known by its time in Unix milliseconds.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tuma_producer.contract import custody, ids, records, wire
from tuma_producer.contract.ids import digest
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import Argument, load
from tuma_producer.contract.times import milliseconds, moment
from tuma_producer.contract.wire import EVENTS_KEPT, IDEMPOTENCY_MS, Enqueue
from tuma_producer.errors import InvalidSend
from tuma_producer.schedules import read_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_producer.contract.wire import Entry
    from tuma_producer.intents import Send
    from tuma_producer.results import Receipt
    from tuma_producer.schedules import Schedule

_SCHEDULE = load("tuma_producer.contract", "schedule")
_SLOW = 60_000  # ms by which the server's clock may be behind ours, without being asked a second time


def request(send: Send, source: str) -> Enqueue:
    """What to write for a send of this source, scheduled or not. Pure but for the id and a guess at the time."""
    if send.schedule is None:
        return wire.encode(send, source)
    if send.custody == "provider":
        return custody.request(send, source)
    return _new_schedule(send, wire.entry_of(send, source), send.schedule)


@dataclass(frozen=True, slots=True)
class NewSchedule(Enqueue):
    """One call of the script that accepts a schedule."""

    script = _SCHEDULE
    schedule: Schedule = field(kw_only=True)

    def receipt(self, reply: Sequence[bytes]) -> Receipt:
        """The script's reply as a receipt. Raises as that of any send, and `InvalidSend` where nothing is to come."""
        if reply[0] == b"past":
            name, rule = "schedule", "is over: none of its times is still to come"
            raise InvalidSend(name, rule)
        return Enqueue.receipt(self, reply)

    def again(self, reply: Sequence[bytes]) -> Enqueue | None:
        """What to ask instead, where the server's clock says another time than was guessed; None where it does not."""
        return self.counted_from(int(reply[1])) if reply[0] == b"again" else None

    def counted_from(self, after: int) -> NewSchedule:
        """The same with the first firing after this instant."""
        following = next_firing(self.schedule, after)
        return replace(self, args=[*self.args[:-2], after, "" if following is None else following])


def _new_schedule(send: Send, entry: Entry, schedule: Schedule) -> NewSchedule:
    account = account_keys(send.account)
    queue = account.queue("send")
    record, *campaign_and_key = entry.keys
    keys = [account.profile, record, queue.due, queue.bell, account.events, account.schedules, *campaign_and_key]
    life = entry.deadline.removeprefix("+")  # a schedule has none at an instant
    args: list[Argument] = [
        entry.short_id, entry.source, entry.lane, entry.group, life, entry.body, entry.digest, IDEMPOTENCY_MS, EVENTS_KEPT,
        " ".join(entry.numbers), entry.campaign, "", "",
    ]  # fmt: skip
    guess = NewSchedule(keys, args, send, entry, schedule=schedule)
    return guess.counted_from(time.time_ns() // 1_000_000 - _SLOW)


# ------------------------------------------------------------------------------------------------------------- its firings


def next_firing(schedule: Schedule, after: int) -> int | None:
    """The first firing after an instant; None where none is left."""
    following = next(schedule.firings(moment(after)), None)
    return None if following is None else milliseconds(following.at)


def is_firing(schedule: Schedule, at: int) -> bool:
    """Whether the schedule has a firing at that time."""
    return next_firing(schedule, at - 1) == at


def schedule_in(body: str | bytes) -> Schedule:
    """The schedule in the body of a record."""
    return read_schedule(json.loads(body)["schedule"])


# --------------------------------------------------------------------------------------------------------- its occurrences


def occurrence_id(short_id: str, firing: int) -> str:
    """The id of the occurrence of a schedule at a firing: always the same, and no easier to guess than the schedule's."""
    return f"{firing:011x}{digest(short_id, str(firing))[:15]}" + (ids.CALLS_BACK if ids.calls_back(short_id) else "")


def firing_of(occurrence: str) -> int:
    """The firing at which an occurrence came into being, from its id."""
    return int(occurrence[:11], 16)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What an occurrence of a schedule is written as. Its recipients are those of the schedule."""

    short_id: str
    firing: int
    group: str
    body: str


def occurrences(account: str, short_id: str, record: Mapping[str, str], firings: Sequence[int]) -> list[Occurrence]:
    """The occurrences at these firings of the schedule that this record holds."""
    # Whoever they are to changes neither body nor group; there may be thousands.
    send = records.again(account, short_id, record, to=[record["to"].partition(" ")[0]], schedule=None)
    found = []
    for firing in firings:
        child = occurrence_id(short_id, firing)
        group, body = wire.content(send, child, parent=short_id)
        found.append(Occurrence(child, firing, group, body))
    return found
