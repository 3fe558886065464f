"""Pausing, resuming and cancelling an intent: what to ask of the scripts, and what their answers say."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scheduling import instant, next_firing, schedule_in
from tuma_producer.contract.scripts import Argument, Call, load
from tuma_producer.contract.wire import EVENTS_KEPT, LANES, RETENTION_MS, full_id, split_id
from tuma_producer.errors import UnknownIntent
from tuma_producer.intents import ControlResult, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.schedules import Schedule

_WITHDRAW = load("tuma_producer.contract", "withdraw")
_RESUME = load("tuma_producer.contract", "resume")
_RESCHEDULE = load("tuma_producer.contract", "reschedule")
_AT_ONCE = 10  # occurrences in one step: their recipients may be many
_COMMON: dict[str, Any] = {"retention": RETENTION_MS, "maxlen": EVENTS_KEPT}

Outcome = Literal["done", "partly", "too-late", "refused"]

# The service's table of states says which moves there are; a test of it holds these against that table.
ENDS = ("cancelled", "delivered", "expired", "failed", "rejected", "suppressed", "undelivered", "unknown")
MOVES: dict[Verb, tuple[str, tuple[str, ...]]] = {
    "cancel": ("cancelled", ("accepted", "queued")),
    "pause": ("accepted", ("queued",)),
    "resume": ("queued", ("accepted",)),
}
_HELD: dict[Verb, str] = {"cancel": "cancelled", "pause": "paused"}


Control = Generator[list[Call], list[Any], ControlResult]  # it gives calls to make, and is sent their replies in the same order


def control(intent_id: str, verb: Verb, by: str) -> Control:
    """What to ask for this verb, in the name of `by`, step by step. Raises `UnknownIntent`."""
    (reply,) = yield [_ask(intent_id, verb, by)]
    if reply[0] != b"schedule":
        return _answer(intent_id, verb, reply).result(intent_id, verb)
    return (yield from _control_schedule(intent_id, verb, by, reply))


def _control_schedule(intent_id: str, verb: Verb, by: str, told: Sequence[Any]) -> Control:
    """First the schedule, so that nothing of it comes into being any more, then the occurrences that it names."""
    after, schedule = (int(told[1]), schedule_in(told[2])) if verb == "resume" else (None, None)
    while True:
        (reply,) = yield [_change(intent_id, verb, by, after, schedule)]
        if reply[0] != b"again":
            break
        after = int(reply[1])
    stands, following, *children = [part.decode() for part in reply]
    if stands == "unknown-intent":
        raise UnknownIntent(intent_id)
    account = intent_id.rpartition(".")[0]
    replies = []
    for start in range(0, len(children), _AT_ONCE):
        some = children[start : start + _AT_ONCE]
        replies += yield [_ask(full_id(account, child), verb, by, occurrence=True) for child in some]
    return _add_up(intent_id, verb, stands, following, [_answer(intent_id, verb, one) for one in replies if _is_open(one)])


def _is_open(reply: Sequence[bytes]) -> bool:
    """Whether an occurrence had something left to steer: one that ended, or was forgotten since, had not."""
    return reply[0] not in {b"ended", b"unknown-intent"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a script says of one intent: how it stands, and its recipients by what became of them."""

    stands: str
    stopped: tuple[str, ...]
    with_provider: tuple[str, ...]
    ended: tuple[str, ...]

    def result(self, intent_id: str, verb: Verb) -> ControlResult:
        of = len(self.stopped) + len(self.with_provider) + len(self.ended)
        outcome = "refused" if _refused(verb, self.stands) else _outcome(len(self.stopped), of)
        return ControlResult(intent_id, verb, outcome, self.stopped, self.with_provider, self.ended)


def _answer(intent_id: str, verb: Verb, reply: Sequence[bytes]) -> _Answer:
    stands, *flat = [part.decode() for part in reply]
    if stands == "unknown-intent":
        raise UnknownIntent(intent_id)
    states = dict(zip(flat[::2], flat[1::2], strict=True))
    target, _ = MOVES[verb]
    return _Answer(
        stands,
        stopped=tuple(number for number, state in states.items() if state == target),
        with_provider=tuple(number for number, state in states.items() if state not in {target, *ENDS}),
        ended=tuple(number for number, state in states.items() if state in ENDS and state != target),
    )


def _add_up(intent_id: str, verb: Verb, stands: str, following: str, occurrences: Sequence[_Answer]) -> ControlResult:
    """What became of a schedule and of those of its occurrences that were open."""
    stopped, with_provider, ended = (
        tuple(number for one in occurrences for number in getattr(one, name)) for name in ("stopped", "with_provider", "ended")
    )
    if _refused(verb, stands):
        outcome: Outcome = "refused"
    elif stands == "done" and verb != "resume":  # it had ended: only occurrences could be stopped
        outcome = _outcome(len(stopped), len(stopped) + len(with_provider) + len(ended))
    else:
        outcome = "partly" if (with_provider or ended) and verb != "resume" else "done"
    next_firing = instant(int(following)) if stands == "scheduled" else None
    return ControlResult(intent_id, verb, outcome, stopped, with_provider, ended, next_firing)


def _refused(verb: Verb, stands: str) -> bool:
    """Whether the intent stands otherwise than was asked: what is cancelled is neither paused nor resumed."""
    return verb != "cancel" and stands == "cancelled"


def _outcome(stopped: int, of: int) -> Outcome:
    return "done" if stopped and stopped == of else "partly" if stopped else "too-late"


def _ask(intent_id: str, verb: Verb, by: str, *, occurrence: bool = False) -> Call:
    """The call about one intent's recipients. Raises `UnknownIntent` for what cannot be an id."""
    account, short_id = _parts(intent_id)
    keys, queue = account_keys(account), account_keys(account).queue("send")
    line = [queue.entries, queue.groups, *map(queue.sources, range(len(LANES))), queue.due, queue.spent]
    target, allowed = MOVES[verb]
    header = {**_COMMON, "target": target, "allowed": _spaced(allowed), "ends": _spaced(ENDS), "by": by, "occurrence": occurrence}
    if verb == "resume":
        script, more = _RESUME, [queue.state, queue.bell]
    else:
        script, more = _WITHDRAW, []
        header["held"] = _HELD[verb]
    return Call(script, [*line, *more, keys.events, keys.intent(short_id)], [short_id, json.dumps(header)])


def _change(intent_id: str, verb: Verb, by: str, after: int | None, schedule: Schedule | None) -> Call:
    """The call about when a schedule fires next: after this instant, where it is to be resumed."""
    account, short_id = _parts(intent_id)
    keys, queue = account_keys(account), account_keys(account).queue("send")
    header = {**_COMMON, "by": by} | ({"held": _HELD[verb]} if verb in _HELD else {})
    following = None if schedule is None or after is None else next_firing(schedule, after)
    args: list[Argument] = [short_id, json.dumps(header), *("" if one is None else one for one in (after, following))]
    return Call(_RESCHEDULE, [queue.due, queue.bell, keys.events, keys.intent(short_id)], args)


def _parts(intent_id: str) -> tuple[str, str]:
    parts = split_id(intent_id)
    if parts is None:
        raise UnknownIntent(intent_id)
    return parts


def _spaced(states: Sequence[str]) -> str:
    return f" {' '.join(states)} "
