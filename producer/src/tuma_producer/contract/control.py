"""Pausing, resuming and cancelling an intent: what to ask of the scripts, and what their answers say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import Argument, Script, load
from tuma_producer.contract.wire import EVENTS_KEPT, LANES, RETENTION_MS, split_id
from tuma_producer.errors import UnknownIntent
from tuma_producer.intents import ControlResult, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITHDRAW = load("tuma_producer.contract", "withdraw")
_RESUME = load("tuma_producer.contract", "resume")

# The service's table of states says which moves there are; a test of it holds these against that table.
ENDS = ("cancelled", "delivered", "expired", "failed", "rejected", "suppressed", "undelivered", "unknown")
MOVES: dict[Verb, tuple[str, tuple[str, ...]]] = {
    "cancel": ("cancelled", ("accepted", "queued")),
    "pause": ("accepted", ("queued",)),
    "resume": ("queued", ("accepted",)),
}
_HELD: dict[Verb, str] = {"cancel": "cancelled", "pause": "paused"}


@dataclass(frozen=True, slots=True)
class Control:
    """One call of a control script, and what its answer means."""

    intent_id: str
    verb: Verb
    script: Script
    keys: list[str]
    args: list[Argument]

    def result(self, reply: Sequence[bytes]) -> ControlResult:
        """The script's reply. Raises `UnknownIntent`."""
        stands, *flat = [part.decode() for part in reply]
        if stands == "unknown-intent":
            raise UnknownIntent(self.intent_id)
        states = dict(zip(flat[::2], flat[1::2], strict=True))
        target, _ = MOVES[self.verb]
        stopped = tuple(number for number, state in states.items() if state == target)
        ended = tuple(number for number, state in states.items() if state in ENDS and state != target)
        return ControlResult(
            id=self.intent_id,
            verb=self.verb,
            outcome="refused" if self._refused(stands) else _outcome(len(stopped), len(states)),
            stopped=stopped,
            with_provider=tuple(number for number, state in states.items() if state not in {target, *ENDS}),
            ended=ended,
        )

    def _refused(self, stands: str) -> bool:
        """Whether the intent stands otherwise than was asked: what is cancelled is neither paused nor resumed."""
        return self.verb != "cancel" and stands == "cancelled"


def _outcome(stopped: int, of: int) -> Literal["done", "partly", "too-late"]:
    return "done" if stopped == of else "partly" if stopped else "too-late"


def control(intent_id: str, verb: Verb, by: str) -> Control:
    """What to run for this verb, in the name of `by`. Raises `UnknownIntent` for what cannot be an id."""
    parts = split_id(intent_id)
    if parts is None:
        raise UnknownIntent(intent_id)
    account, short_id = parts
    keys, queue = account_keys(account), account_keys(account).queue("send")
    line = [queue.entries, queue.groups, *map(queue.sources, range(len(LANES))), queue.due, queue.spent]
    target, allowed = MOVES[verb]
    header = {
        "target": target,
        "allowed": _spaced(allowed),
        "ends": _spaced(ENDS),
        "retention": RETENTION_MS,
        "maxlen": EVENTS_KEPT,
    }
    if verb == "resume":
        script, more = _RESUME, [queue.state, queue.bell]
    else:
        script, more = _WITHDRAW, []
        header["held"] = _HELD[verb]
    args: list[Argument] = [short_id, json.dumps(header | {"by": by})]
    return Control(intent_id, verb, script, [*line, *more, keys.events, keys.intent(short_id)], args)


def _spaced(states: Sequence[str]) -> str:
    return f" {' '.join(states)} "
