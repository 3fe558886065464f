"""Editing a schedule: what to ask of the script, and what its answers say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from tuma_producer.contract import ids, records, wire
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scheduling import is_firing, next_firing
from tuma_producer.contract.scripts import Argument, ScriptCall, load, token
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import EVENTS_KEPT
from tuma_producer.errors import InvalidSend, NotEditable, UnknownIntent
from tuma_producer.results import EditResult
from tuma_producer.text import segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_producer.contract.steps import ActSteps
    from tuma_producer.intents import Send
    from tuma_producer.schedules import Schedule

_EDIT = load("tuma_producer.contract", "edit")
_WHY = {
    "no-schedule": "it has no schedule; cancel it and send another",
    "custody": "the provider keeps its dates and cannot change them; cancel it and send another",
    "cancelled": "it is cancelled; send another schedule",
    "done": "it is done, none of its times is still to come; send another schedule",
}


def edit(intent_id: str, changes: Mapping[str, Any], by: str) -> ActSteps[EditResult]:
    """What to ask for these changes of a `Send`'s fields, in the name of `by`, step by step.

    Raises `UnknownIntent`, `NotEditable`, and `InvalidSend` where a change breaks a rule.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        field, rule = "message", "nothing is to be changed; give message, schedule or to"
        raise InvalidSend(field, rule)
    calls = _Calls(intent_id, by)
    (reply,) = yield [calls.look()]
    while True:
        if reply[0] != b"stands":
            _refuse(intent_id, reply[0].decode())
        edited = _Edited.of(calls.account, calls.short_id, _Standing.of(reply), changes)
        after = edited.seen.now
        while True:
            (reply,) = yield [calls.change(edited, after)]
            if reply[0] != b"again":
                break
            after = int(reply[1])
        if reply[0] == b"edited":
            return _result(intent_id, edited, reply)


def _refuse(intent_id: str, verdict: str) -> NoReturn:
    if verdict == "unknown-intent":
        raise UnknownIntent(intent_id)
    if verdict == "past":
        field, rule = "schedule", "is over: none of its times is still to come"
        raise InvalidSend(field, rule)
    raise NotEditable(intent_id, _WHY[verdict])


def _result(intent_id: str, edited: _Edited, reply: Sequence[bytes]) -> EditResult:
    state = cast("Literal['scheduled', 'paused']", reply[1].decode())
    firing = moment(int(reply[2])) if reply[2] else None
    return EditResult(intent_id, state, edited.numbers.count(" ") + 1, segment(edited.send.message).segments, firing)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A schedule as the script found it at `now`; `following` is the firing that it waits for. Unix milliseconds."""

    now: int
    edits: int
    following: int
    held: bool
    numbers: str
    record: dict[str, str]

    @classmethod
    def of(cls, reply: Sequence[Any]) -> _Standing:
        now, edits, following, held, source, lane, group, numbers, body = reply[1:]
        record = {"source": source, "lane": lane, "group": group, "body": body}
        texts = {name: value.decode() for name, value in record.items()}
        return cls(int(now), int(edits), int(following), bool(held), numbers.decode(), texts | {"expires": ""})


@dataclass(frozen=True, slots=True)
class _Edited:
    """What is to stand in the place of what was `seen`, and the names of what `changes`. `schedule` is given where the times do."""

    seen: _Standing
    send: Send
    group: str
    body: str
    numbers: str
    schedule: Schedule | None
    changes: str

    @classmethod
    def of(cls, account: str, short_id: str, seen: _Standing, changes: Mapping[str, Any]) -> _Edited:
        # Whoever it is to changes neither group nor body; there may be thousands.
        fields = {"to": [seen.numbers.partition(" ")[0]], **changes}
        send = records.again(account, short_id, seen.record, **fields)
        numbers = " ".join(dict.fromkeys(send.to)) if "to" in changes else seen.numbers
        group, body = wire.content(send, short_id)
        return cls(seen, send, group, body, numbers, send.schedule if "schedule" in changes else None, " ".join(sorted(changes)))

    def following(self, after: int) -> int | None:
        """The firing to wait for: one that has come due already, if the new times have it; else the first after this instant."""
        if self.schedule is None:
            return None
        due = self.seen.following
        return due if due <= after and not self.seen.held and is_firing(self.schedule, due) else next_firing(self.schedule, after)


class _Calls:
    """The calls of the script about one schedule. Raises `UnknownIntent` for what cannot be an id."""

    def __init__(self, intent_id: str, by: str) -> None:
        parts = ids.split_id(intent_id)
        if parts is None:
            raise UnknownIntent(intent_id)
        self.account, self.short_id = parts
        self._by = by
        keys = account_keys(self.account)
        queue = keys.queue("send")
        self._keys, self._account_keys = [queue.due, queue.bell, keys.events, keys.intent(self.short_id)], keys

    def look(self) -> ScriptCall:
        return self._call([self.short_id, "{}", "", "", "", "", ""])

    def change(self, edited: _Edited, after: int) -> ScriptCall:
        header = {
            "edits": edited.seen.edits, "timed": edited.schedule is not None, "by": self._by, "maxlen": EVENTS_KEPT,
            "changed": edited.changes,
        }  # fmt: skip
        following = edited.following(after)
        args: list[Argument] = [self.short_id, json.dumps(header), edited.group, edited.body, edited.numbers, after]
        return self._call([*args, "" if following is None else following])

    def _call(self, args: list[Argument]) -> ScriptCall:
        return ScriptCall(_EDIT, [*self._keys, self._account_keys.answer(token()), self._account_keys.audit], args)
