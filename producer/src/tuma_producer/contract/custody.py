"""Sends whose dates the provider keeps: what it can keep, how one is written into Redis, and what asking for a verb answers.

The account's profile publishes the provider's terms. Only the server knows the profile and the time, and only a producer can expand
a schedule; so the producer asks for both first, checks by them, and the script that accepts checks that they still hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NoReturn
from zoneinfo import ZoneInfo

from tuma_producer.contract import wire
from tuma_producer.contract.ids import split_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import Argument, ScriptCall, load, token
from tuma_producer.contract.times import milliseconds, moment
from tuma_producer.contract.wire import EVENTS_KEPT, IDEMPOTENCY_MS, LANES, RETENTION_MS, Enqueue
from tuma_producer.countries import code_of
from tuma_producer.errors import InvalidSchedule, InvalidSend, UnknownIntent
from tuma_producer.quiet import Quiet
from tuma_producer.results import ControlResult
from tuma_producer.schedules import WEEKDAYS, At, Every

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.intents import Send
    from tuma_producer.recurrence import Firing
    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule

_HAND_OVER = load("tuma_producer.contract", "hand_over")
_ASK = load("tuma_producer.contract", "ask")

CONTROL = "control"  # the operation whose queue carries verbs to the provider
STATUS = "status"  # and that which carries the questions how something stands

_UNSUPPORTED = "the provider has no such call; what its own dashboard cannot stop goes out. Next time choose custody worker"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account's provider can keep.

    `tz` is the zone that dates are in, `lead` how many ms ahead the first must be; `dates` is the most of an `At`, `dispatches`
    of an `Every`, `recipients` of either. No date may lie in `quiet` hours, which the provider does not know.
    """

    tz: str
    lead: int
    dates: int
    dispatches: int
    recipients: int
    quiet: Quiet | None = None

    @classmethod
    def read(cls, published: str | bytes) -> Terms:
        """The terms as an account's profile has them."""
        told = json.loads(published)
        quiet = told.pop("quiet", None)
        return cls(**told, quiet=quiet and Quiet.from_json(quiet))

    @property
    def published(self) -> str:
        """The terms for an account's profile: one text for the same terms."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(told | {"quiet": self.quiet and self.quiet.as_json()}, sort_keys=True)


# ----------------------------------------------------------------------------------------------------- what can be kept


def owed(send: Send, terms: Terms, now: datetime) -> list[Firing]:
    """The dispatches that the provider will owe. Raises `InvalidSend`, naming field and rule, for what it cannot keep."""
    recipients = len(set(send.to))
    if recipients > terms.recipients:
        _cannot("to", f"has {recipients} numbers; with custody provider at most {terms.recipients}, which one call carries")
    return check(_schedule(send), terms, now, to=send.to, priority=send.priority, ignore_quiet=send.ignore_quiet)


def _check_hours(firings: Sequence[Firing], to: Sequence[str], quiet: Quiet) -> None:
    codes = {code_of(number) for number in to}
    for firing in firings:
        if any(quiet.until_for(code, firing.at) is not None for code in codes):
            when = f"{firing.local:%Y-%m-%d %H:%M}"
            _refuse("times", f"{when} lies in the quiet hours of a recipient; choose another time, or set ignore_quiet")


def _schedule(send: Send) -> Schedule:
    if send.schedule is None:  # Send refuses that
        _cannot("custody", "needs a schedule")
    return send.schedule


def check(
    schedule: Schedule, terms: Terms, now: datetime, *, to: Sequence[str], priority: str, ignore_quiet: bool
) -> list[Firing]:  # fmt: skip
    """As `owed`, of the dates alone: whether the provider can keep them, and they disturb none of these numbers."""
    _check_common(schedule, terms)
    most = terms.dates if isinstance(schedule, At) else terms.dispatches
    if isinstance(schedule, Every):
        _check_every(schedule, terms, now)
    firings = list(islice(schedule.firings(), most + 1))
    field = "times" if isinstance(schedule, At) else "end"
    if len(firings) > most:
        _refuse(field, f"with custody provider at most {most} dispatches fit one send")
    for firing in firings:
        _check_firing(firing, terms)
    if firings[0].at < now + timedelta(milliseconds=terms.lead):
        seconds, when = f"{terms.lead / 1000:g} seconds", f"{firings[0].local:%Y-%m-%d %H:%M}"
        rule = f"with custody provider must lie at least {seconds} ahead, and {when} does not"
        _refuse("times" if isinstance(schedule, At) else "start", rule)
    if terms.quiet is not None and priority in terms.quiet.priorities and not ignore_quiet:
        _check_hours(firings, to, terms.quiet)
    return firings


def _hand_over_by(schedule: Schedule, terms: Terms, first: Firing) -> int:
    """The last Unix ms at which it can be handed over: by what `check` asks, it would be refused from then on."""
    by = milliseconds(first.at) - terms.lead
    if isinstance(schedule, Every):
        by = min(by, milliseconds(datetime.combine(schedule.start, time.min, ZoneInfo(terms.tz))) - 1)
    return by


def _check_common(schedule: Schedule, terms: Terms) -> None:
    for field in ("misfire", "grace"):
        if getattr(schedule, field) != type(schedule).model_fields[field].default:
            _refuse(field, "cannot be chosen with custody provider, who fires by its own rules")
    if schedule.tz is not None and schedule.tz != terms.tz:
        _refuse("tz", f"with custody provider must be the account's zone, {terms.tz}")


def _check_every(every: Every, terms: Terms, now: datetime) -> None:
    if every.frequency == "seconds":
        _refuse("frequency", "with custody provider must be daily, weekly, monthly or yearly")
    if every.end is None:
        _refuse("end", "must be given with custody provider: the provider keeps no endless series")
    for field, given in (("start", every.start), ("end", every.end)):
        if isinstance(given, datetime):
            _refuse(field, "with custody provider must be a day, without a time")
    if every.weekdays is not None and every.weekdays != (WEEKDAYS[every.start.weekday()],):
        _refuse("weekdays", "with custody provider can be none but the weekday of start")
    if every.start <= now.astimezone(ZoneInfo(terms.tz)).date():
        _refuse("start", f"with custody provider must be tomorrow or later in {terms.tz}")


def _check_firing(firing: Firing, terms: Terms) -> None:
    if firing.moved:
        _refuse(
            "gap",
            f"with custody provider must be skip where the clock of {terms.tz} leaves a time out, as on {firing.local:%Y-%m-%d}",
        )
    local = firing.at.astimezone(ZoneInfo(terms.tz))
    if local.second or local.microsecond:
        _refuse("times", "with custody provider must be whole minutes")
    if local.fold:
        _refuse("times", f"with custody provider cannot be the second of two times that are both {local:%Y-%m-%d %H:%M}")


def _refuse(field: str, rule: str) -> NoReturn:
    raise InvalidSchedule(field, rule)


def _cannot(field: str, rule: str) -> NoReturn:
    raise InvalidSend(field, rule)


# ------------------------------------------------------------------------------------------------------ how it is written


def request(send: Send, source: str) -> HandOver:
    """What to write for a send of this source. Pure but for the id; the first answer tells terms and time."""
    entry = wire.entry_of(send, source)
    args: list[Argument] = [
        entry.short_id, entry.source, entry.lane, entry.group, entry.body, entry.digest, IDEMPOTENCY_MS, EVENTS_KEPT, RETENTION_MS,
        entry.campaign, "", "", "", "", "", *entry.numbers,
    ]  # fmt: skip
    keys = [*wire.shared_keys(send.account), account_keys(send.account).schedules, *entry.keys]
    return HandOver(keys, args, send, entry)


@dataclass(frozen=True, slots=True)
class HandOver(Enqueue):
    """One call of the script that accepts a send whose dates the provider keeps."""

    script = _HAND_OVER

    def again(self, reply: Sequence[bytes]) -> Enqueue | None:
        """What to ask by the terms and the time that the script told. Raises `InvalidSend` for what the provider cannot keep."""
        if reply[0] != b"again":
            return None
        if not reply[2]:
            _cannot("custody", "must be worker: the account's provider keeps no schedules")
        terms = Terms.read(reply[2])
        found = owed(self.send, terms, moment(int(reply[1])))
        by = _hand_over_by(_schedule(self.send), terms, found[0])
        told: list[Argument] = [terms.published, by, milliseconds(found[0].at), milliseconds(found[-1].at), len(found)]
        return replace(self, args=[*self.args[:10], *told, *self.args[15:]])


# --------------------------------------------------------------------------------------------------------- asking for a verb


def asking(intent_id: str, verb: Verb, by: str, *, act: bool) -> ScriptCall:
    """The call that asks the provider for a verb about this intent, as an `act` or as a part of one.

    Raises `UnknownIntent` for what cannot be an id.
    """
    parts = split_id(intent_id)
    if parts is None:
        raise UnknownIntent(intent_id)
    account, short_id = parts
    keys, queue = account_keys(account), account_keys(account).queue(CONTROL)
    line = [queue.entries, queue.groups, *map(queue.sources, range(len(LANES))), queue.due, queue.spent, queue.state, queue.bell]
    its = [keys.events, keys.intent(short_id), *line, keys.answer(token()), keys.audit]
    return ScriptCall(_ASK, its, [short_id, verb, by, EVENTS_KEPT, int(act)])


def answer(intent_id: str, verb: Verb, reply: Sequence[bytes], ends: Sequence[str]) -> ControlResult:
    """What the script says, as the caller is told. `ends` are the states that nobody leaves."""
    outcome, custody, *flat = [part.decode() for part in reply]
    if outcome == "unknown-intent":
        raise UnknownIntent(intent_id)
    states = dict(zip(flat[::2], flat[1::2], strict=True))
    open_ = tuple(number for number, state in states.items() if state not in ends)
    cancelled = tuple(number for number, state in states.items() if state == "cancelled") if verb == "cancel" else ()
    holds = open_ if outcome == "done" and verb != "cancel" else cancelled
    return ControlResult(
        intent_id,
        verb,
        "partly" if outcome == "done" and verb == "cancel" and len(cancelled) < len(states) else outcome,  # type: ignore[arg-type] # the script's words
        stopped=holds,
        with_provider=tuple(number for number in open_ if number not in holds),
        ended=tuple(number for number, state in states.items() if state in ends and number not in holds),
        custody=custody,
        advice=_UNSUPPORTED if outcome == "unsupported" else None,
    )
