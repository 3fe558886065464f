"""Why the jobs of a queue do not move, in words. Read from the queue's state, which the claim script keeps."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from tuma_producer.contract.money import funds_left
from tuma_producer.contract.times import moment, moment_in
from tuma_producer.contract.wire import LANES
from tuma_producer.countries import code_of
from tuma_producer.results import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuma_producer.quiet import Quiet

_BULK = LANES.index("bulk")

# The kinds of holds that do not end by themselves: somebody lifts them.
STOPS = frozenset({"halted", "queue-paused", "priority-paused", "source-paused", "reserve"})


def holds(state: Mapping[str, str], *, lane: int, source: str, now_ms: int) -> tuple[Hold, ...]:
    """What holds a job of this lane and source back now, the weightiest first. Empty where nothing does."""
    found = [
        *_stops(state, lane, source),
        _breaker(state) or _until(state, "blocked_until", now_ms, "blocked", "the provider asked for no calls"),
        Hold("probing", "one probe call is on its way after a block") if state.get("probing", "next") != "next" else None,
        _limit(state, lane, now_ms),
    ]
    return tuple(hold for hold in found if hold is not None)


def stopped(state: Mapping[str, str], *, lane: int, source: str) -> str | None:
    """What holds a job of this lane and source until somebody lifts it, in words; None where nothing does."""
    return next((hold.text for hold in _stops(state, lane, source) if hold is not None), None)


def _stops(state: Mapping[str, str], lane: int, source: str) -> tuple[Hold | None, ...]:
    return (
        _halt(state),
        _pause(state, "paused", "queue-paused", "the queue is paused"),
        _pause(state, f"paused:lane:{lane}", "priority-paused", "its priority is paused"),
        _pause(state, f"paused:source:{source}", "source-paused", "its source is paused"),
        _short(state) if lane == _BULK else None,
    )


def _short(state: Mapping[str, str]) -> Hold | None:
    found = funds_left(state)
    if found is None or "short" not in state:
        return None
    since = moment_in(state["short"])
    text = (
        f"bulk waits: {found.left:.2f} {found.currency} is left, of which {found.kept:.2f} {found.currency} is kept for the others"
    )
    return Hold("reserve", text, since)


def _pause(state: Mapping[str, str], field: str, kind: str, text: str) -> Hold | None:
    if field not in state:
        return None
    _, since, by = (*state[field].split(" ", 2), "", "")[:3]
    return Hold(kind, text, moment_in(since), by=by or None)


def quiet_hours(quiet: Quiet, numbers: Iterable[str], now_ms: int) -> Hold | None:
    """For which of these numbers it is quiet now, and until when; None where for none."""
    now = moment(now_ms)
    counts = Counter(map(code_of, numbers))
    ends = {end: count for code, count in counts.items() if (end := quiet.until_for(code, now)) is not None}
    if not ends:
        return None
    what = "end" if quiet.action == "expire" else "wait"
    text = f"quiet hours until {min(ends).isoformat(timespec='seconds')}: {sum(ends.values())} recipients {what}"
    return Hold("quiet", text, until=min(ends))


def breaker(state: Mapping[str, str]) -> str | None:
    """Since when and why the breaker is open, and when one call tries, in words; None where it is closed."""
    found = _breaker(state)
    return None if found is None else found.text


def _breaker(state: Mapping[str, str]) -> Hold | None:
    if "breaker" not in state:
        return None
    since, _opens, why = state["breaker"].split(" ", 2)
    blocked = str(int(float(state["blocked_until"]))) if "blocked_until" in state else ""
    tries = f"at {_time(int(blocked))}" if blocked else "now"
    text = f"breaker: open since {_time(int(since))}, after {why}, one call tries {tries}"
    return Hold("breaker", text, moment_in(since), moment_in(blocked))


def _halt(state: Mapping[str, str]) -> Hold | None:
    if "halt" not in state:
        return None
    halt = json.loads(state["halt"])
    since = _time(int(state["halted_at"])) if "halted_at" in state else "an unknown time"
    goes_on = "; only an operator may resume it" if halt.get("operator") else "; one call tries" if "half_open" in state else ""
    text = f"the account is halted: {halt['fault']} ({halt['code']}) since {since}{goes_on}"
    return Hold("halted", text, moment_in(state.get("halted_at", "")))


def _until(state: Mapping[str, str], field: str, now_ms: int, kind: str, why: str) -> Hold | None:
    until = int(float(state.get(field, 0)))
    return Hold(kind, f"{why} until {_time(until)}", until=moment(until)) if until > now_ms else None


def _limit(state: Mapping[str, str], lane: int, now_ms: int) -> Hold | None:
    if lane < int(state.get("silent_from", 3)):
        return None
    return _until(state, "silent_until", now_ms, "limit", "the limit is used up")


def _time(milliseconds: int) -> str:
    return moment(milliseconds).isoformat(timespec="seconds")
