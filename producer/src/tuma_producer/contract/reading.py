"""What is read of one intent: its record, its attempts and its queue, as one answer that says what holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract import groups, ids, records, wire
from tuma_producer.contract.holds import holds, quiet_hours
from tuma_producer.contract.keys import AccountKeys, account_keys
from tuma_producer.contract.times import moment_in, server_time
from tuma_producer.errors import UnknownIntent
from tuma_producer.quiet import Quiet
from tuma_producer.results import Hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuma_producer.results import Intent


@dataclass(frozen=True, slots=True)
class Lookup:
    """The keys that tell about one intent. Raises `UnknownIntent` for a text that is no id."""

    intent_id: str
    account: str
    short_id: str

    @classmethod
    def of(cls, intent_id: str) -> Lookup:
        """The lookup for an id as `enqueue` returned it."""
        parts = ids.split_id(intent_id)
        if parts is None:
            raise UnknownIntent(intent_id)
        return cls(intent_id, *parts)

    @property
    def keys(self) -> AccountKeys:
        """The account's keys."""
        return account_keys(self.account)

    def record(self, raw: Mapping[bytes, bytes]) -> dict[str, str]:
        """The record as text. Raises `UnknownIntent` where there is none."""
        if b"open" not in raw:  # without it, it only says that none is to come: see withdraw.lua
            raise UnknownIntent(self.intent_id)
        return record_texts(raw)

    def found(self, record: dict[str, str], replies: Sequence[Any]) -> Found:
        """The record with the replies to the rest: time, state of the queue, its configuration, attempts."""
        time, state, profile, *batches = replies
        return Found(self, record, server_time(time), texts(state), json.loads(profile or "{}"), batches)


@dataclass(frozen=True, slots=True)
class Found:
    """An intent as it was read at `now` (Unix ms): its record, its queue's state and configuration, its attempts' records."""

    lookup: Lookup
    record: dict[str, str]
    now: int
    state: dict[str, str]
    config: Mapping[str, Any]
    batches: Sequence[Mapping[bytes, bytes]]

    def intent(self) -> Intent:
        """All of it as one answer."""
        tried = zip(attempt_ids(self.record), self.batches, strict=True)
        attempts = [found for batch_id, raw in tried if (found := records.attempt(batch_id, texts(raw))) is not None]
        return records.decode(self.lookup.intent_id, self.record, attempts, [hold.text for hold in self.holds()])

    def holds(self) -> tuple[Hold, ...]:
        """What its waiting recipients wait for."""
        fields = {name: value for name, value in self.record.items() if name.startswith("+")}
        carried = {name for name, value in fields.items() if records.is_carried(value)}
        waiting = [value for name, value in fields.items() if name not in carried and value.startswith(("queued", "accepted"))]
        held = [*self._paused(waiting), *(self._queue_holds() if waiting else ()), *self._quiet()]
        failover = json.loads(self.record["body"]).get("failover")
        if held and failover:
            held.append(
                Hold("failover", f"while it is halted or its breaker open, one of these may carry it: {', '.join(failover)}")
            )
        elsewhere = sorted({self.record[records.CARRIED + name] for name in carried})
        return (*held, *(Hold("carried", f"another account carries it: see {part}") for part in elsewhere))

    def _paused(self, waiting: Sequence[str]) -> Iterator[Hold]:
        if self.record.get("held") == "paused":
            # Whoever was held from the start was never moved, and says no time.
            times = [value.split("|")[1] if "|" in value else self.record["at"] for value in waiting]
            yield Hold("intent-paused", "the intent is paused", moment_in(max(times, key=int, default="")))

    def _queue_holds(self) -> tuple[Hold, ...]:
        return holds(self.state, lane=int(self.record["lane"]), source=self.record["source"], now_ms=self.now)

    def _quiet(self) -> Iterator[Hold]:
        """Whether quiet hours hold those that wait in the line."""
        found = self.config.get("quiet")
        loud = groups.is_loud(self.record.get("group", ""))
        if found is None or loud or wire.LANES[int(self.record["lane"])] not in found["priorities"]:
            return
        waiting = [name for name, value in self.record.items() if name.startswith("+") and value.startswith("queued")]
        if (hold := quiet_hours(Quiet.from_json(found), waiting, self.now)) is not None:
            yield hold


def attempt_ids(record: Mapping[str, str]) -> list[str]:
    """The attempts that carried recipients of this intent, oldest first."""
    return record.get("attempts", "").split()


def record_texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """An intent's record, or a part of it, as text; its body in one piece."""
    pieces = [raw[name.encode()] for name in records.BODY_FIELDS if name.encode() in raw]
    # Joined before they are text: a character may be cut in two.
    whole = {name: value for name, value in raw.items() if not name.startswith(b"body")}
    return texts({**whole, b"body": b"".join(pieces)} if pieces else whole)


def texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash reply as text."""
    return {name.decode(): value.decode() for name, value in raw.items()}
