"""Why an intent stands where it stands, as one page of plain words for whoever is on call. It shows no number and no text."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuma_worker.core.states import RecipientState, in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_producer.results import Attempt, Explanation, Hold, Intent, Look, Recipient

_FOUND = {
    "receipt": "a receipt came",
    "one": "the provider's books have the call",
    "nothing": "the provider's books do not have the call",
    "several": "the provider's books have several calls that may be this one",
    "incomplete": "the provider's books were not complete and did not show the call",
    "unreadable": "the provider's books could not be read",
    "no-books": "no receipt came, and the provider keeps no books",
}
_DECISION = {
    "adopted": "so it was taken",
    "absent": "twice, so it was never taken: sent again",
    "look-again": "to be looked at again",
    "unknown": "nobody knows: ended unknown",
    "resent": "nobody knows: sent again, as the intent asks",
}

# What lifts a hold that does not lift itself, by its kind.
_MEND = {
    "halted": "put the fault right, then: tuma accounts resume {account}",
    "queue-paused": "lifted by: tuma queue resume {account}",
    "priority-paused": "lifted by: tuma queue resume {account} --priority {priority}",
    "source-paused": "lifted by: tuma queue resume {account} --source {source}",
    "intent-paused": "lifted by: tuma resume {id}, or that of its campaign",
    "reserve": "pay in, or lower the account's reserve; then it goes by itself",
    "limit": "goes by itself, as fast as the provider allows",
    "breaker": "goes by itself, when a call succeeds",
    "blocked": "goes by itself",
    "probing": "goes by itself, when that call succeeds",
    "quiet": "goes by itself",
    "later": "goes by itself",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def page(told: Explanation) -> str:
    """The page."""
    parts = [
        [_headline(told.intent), *_about(told)],
        ["Why it waits", *(f"  {line}" for line in _why(told))],
        ["What was tried", *(f"  {line}" for attempt in told.intent.attempts for line in _attempt(attempt, told.intent))],
        ["Where its recipients are", *(f"  {line}" for line in _recipients(told))],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if len(lines) > 1) + "\n"


def facts(told: Explanation) -> dict[str, Any]:
    """The same for programs, with the page."""
    holds = [asdict(hold) for hold in told.holds]
    line = {"in_line": told.in_line, "ahead": told.ahead, "expected": told.expected}
    return {"id": told.intent.id, "at": told.at, "holds": holds, **line, "page": page(told)}


def _headline(intent: Intent) -> str:
    fires_here = intent.schedule is not None and intent.custody is None
    return f"{intent.id}: {intent.state}, {f'fired {intent.fired} times' if fires_here else in_words(intent.counts)}"


def _about(told: Explanation) -> Iterator[str]:
    intent = told.intent
    yield f"  enqueued by {intent.source} as {intent.priority} {_ago(intent.accepted, told.at)}"
    if intent.expires is not None:
        left = _span((intent.expires - told.at).total_seconds())
        late = intent.expires <= told.at
        yield f"  its deadline {'passed' if late else 'is'} at {_time(intent.expires)}" + ("" if late else f", in {left}")
    if intent.parent is not None:
        yield f"  an occurrence of the schedule {intent.parent}"
    if intent.home is not None:
        yield f"  carries recipients of {intent.home}"
    if intent.next_firing is not None:
        yield f"  fires next at {_time(intent.next_firing)}"
    if intent.custody is not None:
        yield f"  the provider keeps its dates, and has it as: {intent.custody.state}"


def _why(told: Explanation) -> Iterator[str]:
    for hold in told.holds:
        yield _hold(hold, told)
    if told.in_line:
        yield f"{_count(told.in_line, 'recipient')} in the line, {told.ahead} of others go before the last of them"
        yield _expected(told)


def _hold(hold: Hold, told: Explanation) -> str:
    since = f", for {_span((told.at - hold.since).total_seconds())}" if hold.since is not None else ""
    by = f" by {hold.by}" if hold.by is not None else ""
    account = told.intent.id.rpartition(".")[0]
    named = {"account": account, "priority": told.intent.priority, "source": told.intent.source, "id": told.intent.id}
    mend = f"; {_MEND[hold.kind].format(**named)}" if hold.kind in _MEND else ""
    return f"{hold.text}{since}{by}{mend}"


def _expected(told: Explanation) -> str:
    if told.expected is None:
        return "nobody can tell when it goes, as long as it is held"
    if told.expected <= told.at:
        return "expected to go now"
    late = told.intent.expires is not None and told.expected >= told.intent.expires
    wait = _span((told.expected - told.at).total_seconds())
    return f"expected to have gone by {_time(told.expected)}, in {wait}" + (": after its deadline" if late else "")


def _attempt(attempt: Attempt, intent: Intent) -> Iterator[str]:
    lasted = f", took {(attempt.ended - attempt.started).total_seconds():.1f} s" if attempt.ended is not None else ""
    code = f", answer {attempt.code}" if attempt.code else ""
    known_as = f", the provider calls it {attempt.provider_id}" if attempt.provider_id else ""
    yield f"{attempt.id} at {_time(attempt.started)}: {attempt.phase}{lasted}{code}{known_as}"
    if attempt.awaited is not None:
        yield f"  no answer came; a receipt was awaited until {_time(attempt.awaited)}"
    for look in attempt.looks:
        yield f"  {looked(look)}"
    for line in _grouped([one for one in intent.recipients if one.attempt == attempt.id]):
        yield f"  {line}"


def looked(look: Look) -> str:
    """One search for what became of a call whose answer never came."""
    provider_id = f" ({look.provider_id})" if look.provider_id else ""
    return f"{_time(look.at)} {_FOUND.get(look.found, look.found)}{provider_id}; {_DECISION.get(look.decision, look.decision)}"


def _recipients(told: Explanation) -> Iterator[str]:
    """Those who are in no attempt's list above."""
    known = {attempt.id for attempt in told.intent.attempts}
    yield from _grouped([one for one in told.intent.recipients if one.attempt not in known])


def _grouped(recipients: list[Recipient]) -> Iterator[str]:
    """How many are in the same state for the same reason, on whose word."""
    counts = Counter((one.state, one.reason, one.evidence) for one in recipients)
    order = {state: place for place, state in enumerate(RecipientState)}
    for (state, reason, evidence), count in sorted(
        counts.items(), key=lambda item: (order.get(RecipientState(item[0][0]), 0), str(item))
    ):
        why = f" ({reason})" if reason else ""
        says = f", says the {evidence}" if evidence in {"handset", "operator", "provider"} else f", {evidence}" if evidence else ""
        yield f"{_count(count, 'recipient')} {state}{why}{says}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ago(at: datetime, now: datetime) -> str:
    return f"at {_time(at)}, {_span((now - at).total_seconds())} ago"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    """So many seconds in the two units that say most."""
    left = max(0, round(seconds))
    if left < _MINUTE:
        return f"{left} s"
    if left < _HOUR:
        return f"{left // _MINUTE} min {left % _MINUTE} s"
    if left < _DAY:
        return f"{left // _HOUR} h {left % _HOUR // _MINUTE} min"
    return f"{left // _DAY} days {left % _DAY // _HOUR} h"
