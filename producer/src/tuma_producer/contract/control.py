"""Pausing, resuming and cancelling an intent: what to ask of the scripts, and what their answers say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tuma_producer.contract import custody
from tuma_producer.contract.ids import full_id, home_of, split_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import CARRIED
from tuma_producer.contract.scheduling import next_firing, schedule_in
from tuma_producer.contract.scripts import Argument, ScriptCall, load, token
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import EVENTS_KEPT, LANES, RETENTION_MS
from tuma_producer.errors import UnknownIntent
from tuma_producer.results import ControlResult, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tuma_producer.contract.steps import ActSteps
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


def control(intent_id: str, verb: Verb, by: str) -> ActSteps[ControlResult]:
    """What to ask for this verb, in the name of `by`, step by step. Raises `UnknownIntent`.

    An intent by which another account carries recipients is a part of its home's: what is asked of it is asked of the whole.
    """
    intent_id = home_of(intent_id) or intent_id
    (reply,) = yield [_ask(intent_id, verb, by, act=True)]
    return (yield from _control(intent_id, verb, by, reply, act=True))


def _control(intent_id: str, verb: Verb, by: str, told: Sequence[Any], *, act: bool) -> ActSteps[ControlResult]:
    """What follows from the first answer: only of a send that goes by itself it says all that is here.

    An `act` is told to the audit; what is done as a part of one is not.
    """
    if told[0] == b"schedule":
        return (yield from _control_schedule(intent_id, verb, by, told, act=act))
    if told[0] == b"custody":
        return (yield from _control_custody(intent_id, verb, by, told, act=act))
    (answer,) = yield from _followed([_answer(intent_id, verb, told)], by)
    return answer.result(intent_id)


def cancel_part(intent_id: str, by: str) -> ScriptCall:
    """The call that cancels what waits of an intent that carries another's recipients; one that is not there yet never comes."""
    return _ask(intent_id, "cancel", by, part=True)


def _followed(answers: list[_Answer], by: str) -> ActSteps[list[_Answer]]:
    """The answers, with what is said where other accounts carry recipients in place of that they do.

    Home was asked first: nobody leaves it any more, and who comes back finds how it is held.
    """
    asked = {part: answer.finishes for answer in answers for part in answer.parts}
    told: dict[str, _Answer] = {}
    for some in _chunks(list(asked)):
        replies = yield [_ask(part, asked[part], by, part=True) for part in some]
        told |= {part: _answer(part, asked[part], reply, part=True) for part, reply in zip(some, replies, strict=True)}
    return [answer.with_parts(told) for answer in answers]


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def control_many(intent_ids: Sequence[str], verb: Verb, by: str) -> ActSteps[list[ControlResult]]:
    """The same for many intents, a few at a time. Those that are not there any more are left out."""
    results = []
    for some in _chunks(list(dict.fromkeys(home_of(intent_id) or intent_id for intent_id in intent_ids))):
        replies = yield [_ask(intent_id, verb, by) for intent_id in some]
        for intent_id, reply in zip(some, replies, strict=True):
            with suppress(UnknownIntent):
                results.append((yield from _control(intent_id, verb, by, reply, act=False)))
    return results


def _control_custody(intent_id: str, verb: Verb, by: str, told: Sequence[Any], *, act: bool) -> ActSteps[ControlResult]:
    """What waits for the hand-over is steered as any send; what the provider has, or may have, the provider is asked about."""
    if told[1] == b"handing-over":
        (told,) = yield [_ask(intent_id, verb, by, handing_over=True, act=act)]
        if told[0] != b"custody" and not (here := _answer(intent_id, verb, told)).with_provider:
            return here.result(intent_id)
    (reply,) = yield [custody.asking(intent_id, verb, by, act=act)]
    return custody.answer(intent_id, verb, reply, ENDS)


def _control_schedule(intent_id: str, verb: Verb, by: str, told: Sequence[Any], *, act: bool) -> ActSteps[ControlResult]:
    """First the schedule, so that nothing of it comes into being any more, then the occurrences that it names."""
    after, schedule = (int(told[1]), schedule_in(told[2])) if verb == "resume" else (None, None)
    while True:
        (reply,) = yield [_change(intent_id, verb, by, after, schedule, act=act)]
        if reply[0] != b"again":
            break
        after = int(reply[1])
    stands, following, *children = [part.decode() for part in reply]
    if stands == "unknown-intent":
        raise UnknownIntent(intent_id)
    account = intent_id.rpartition(".")[0]
    replies = []
    for some in _chunks(children):
        replies += yield [_ask(full_id(account, child), verb, by, occurrence=True) for child in some]
    answers = yield from _followed([_answer(intent_id, verb, one) for one in replies if _is_open(one)], by)
    return _add_up(intent_id, verb, stands, following, answers)


def _is_open(reply: Sequence[bytes]) -> bool:
    """Whether an occurrence had something left to steer: one that ended, or was forgotten since, had not."""
    return reply[0] not in {b"ended", b"unknown-intent"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a script says of one intent: how it stands, and where each of its recipients does."""

    verb: Verb
    stands: str
    states: Mapping[str, str]

    @property
    def stopped(self) -> tuple[str, ...]:
        return self._numbers(lambda state: state == self._target)

    @property
    def with_provider(self) -> tuple[str, ...]:
        return self._numbers(lambda state: state not in {self._target, *ENDS})

    @property
    def ended(self) -> tuple[str, ...]:
        return self._numbers(lambda state: state in ENDS and state != self._target)

    @property
    def parts(self) -> list[str]:
        """The intents by which other accounts carry recipients of it."""
        carried = [state.removeprefix(CARRIED) for state in self.states.values() if state.startswith(CARRIED)]
        return list(dict.fromkeys(carried))

    @property
    def finishes(self) -> Verb:
        """What is to be asked of those: where the whole is cancelled, whatever it was asked for, that is finished."""
        return "cancel" if _refused(self.verb, self.stands) else self.verb

    def with_parts(self, told: Mapping[str, _Answer]) -> _Answer:
        """The same, with what the parts say. Who is withdrawn there, or never came there, comes home and is as the whole is."""
        return replace(self, states={number: self._at(number, state, told) for number, state in self.states.items()})

    def result(self, intent_id: str) -> ControlResult:
        of = len(self.states)
        outcome = "refused" if _refused(self.verb, self.stands) else _outcome(len(self.stopped), of)
        return ControlResult(intent_id, self.verb, outcome, self.stopped, self.with_provider, self.ended)

    def _at(self, number: str, state: str, told: Mapping[str, _Answer]) -> str:
        part = told.get(state.removeprefix(CARRIED))
        if part is None:
            return state
        there = part.states.get(number, "cancelled")
        return MOVES[self.finishes][0] if there == "cancelled" else there

    @property
    def _target(self) -> str:
        return MOVES[self.verb][0]

    def _numbers(self, wanted: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(number for number, state in self.states.items() if wanted(state))


def _answer(intent_id: str, verb: Verb, reply: Sequence[bytes], *, part: bool = False) -> _Answer:
    stands, *flat = [word.decode() for word in reply]
    if stands == "unknown-intent" and not part:
        raise UnknownIntent(intent_id)
    return _Answer(verb, stands, dict(zip(flat[::2], flat[1::2], strict=True)))


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
    next_firing = moment(int(following)) if stands == "scheduled" else None
    return ControlResult(intent_id, verb, outcome, stopped, with_provider, ended, next_firing)


def _refused(verb: Verb, stands: str) -> bool:
    """Whether the intent stands otherwise than was asked: what is cancelled is neither paused nor resumed."""
    return verb != "cancel" and stands == "cancelled"


def _outcome(stopped: int, of: int) -> Outcome:
    return "done" if stopped and stopped == of else "partly" if stopped else "too-late"


def _ask(
    intent_id: str,
    verb: Verb,
    by: str,
    *,
    occurrence: bool = False,
    part: bool = False,
    handing_over: bool = False,
    act: bool = False,
) -> ScriptCall:
    """The call about one intent's recipients. Raises `UnknownIntent` for what cannot be an id."""
    account, short_id = _parts(intent_id)
    keys, queue = account_keys(account), account_keys(account).queue("send")
    line = [queue.entries, queue.groups, *map(queue.sources, range(len(LANES))), queue.due, queue.spent]
    target, allowed = MOVES[verb]
    header = {
        **_COMMON, "target": target, "allowed": _spaced(allowed), "ends": _spaced(ENDS), "by": by,
        "occurrence": occurrence, "part": part, "handing_over": handing_over, "act": act,
    }  # fmt: skip
    if verb == "resume":
        script, more = _RESUME, [queue.state, queue.bell]
    else:
        script, more = _WITHDRAW, []
        header["held"] = _HELD[verb]
    about = [keys.events, keys.intent(short_id), keys.answer(token()), keys.audit]
    return ScriptCall(script, [*line, *more, *about], [short_id, json.dumps(header)])


def _change(intent_id: str, verb: Verb, by: str, after: int | None, schedule: Schedule | None, *, act: bool) -> ScriptCall:
    """The call about when a schedule fires next: after this instant, where it is to be resumed."""
    account, short_id = _parts(intent_id)
    keys, queue = account_keys(account), account_keys(account).queue("send")
    header = {**_COMMON, "by": by, "act": act} | ({"held": _HELD[verb]} if verb in _HELD else {})
    following = None if schedule is None or after is None else next_firing(schedule, after)
    args: list[Argument] = [short_id, json.dumps(header), *("" if one is None else one for one in (after, following))]
    return ScriptCall(
        _RESCHEDULE, [queue.due, queue.bell, keys.events, keys.intent(short_id), keys.answer(token()), keys.audit], args
    )


def _parts(intent_id: str) -> tuple[str, str]:
    parts = split_id(intent_id)
    if parts is None:
        raise UnknownIntent(intent_id)
    return parts


def _spaced(states: Sequence[str]) -> str:
    return f" {' '.join(states)} "
