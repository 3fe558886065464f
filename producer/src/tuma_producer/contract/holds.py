"""Why the jobs of a queue do not move, in words. Read from the queue's state, which the claim script keeps."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuma_producer.countries import code_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuma_producer.quiet import Quiet


def holds(state: Mapping[str, str], *, lane: int, source: str, now_ms: int) -> tuple[str, ...]:
    """What holds a job of this lane and source back now, the weightiest first. Empty where nothing does."""
    found = [
        *_stops(state, lane, source),
        breaker(state) or _until(state, "blocked_until", now_ms, "the provider asked for no calls"),
        "one probe call is on its way after a block" if state.get("probing", "next") != "next" else None,
        _limit(state, lane, now_ms),
    ]
    return tuple(hold for hold in found if hold is not None)


def stopped(state: Mapping[str, str], *, lane: int, source: str) -> str | None:
    """What holds a job of this lane and source until somebody lifts it; None where nothing does."""
    return next((hold for hold in _stops(state, lane, source) if hold is not None), None)


def _stops(state: Mapping[str, str], lane: int, source: str) -> tuple[str | None, ...]:
    return (
        _halt(state),
        "the queue is paused" if "paused" in state else None,
        "its priority is paused" if f"paused:lane:{lane}" in state else None,
        "its source is paused" if f"paused:source:{source}" in state else None,
    )


def quiet_hours(quiet: Quiet, numbers: Iterable[str], now_ms: int) -> str | None:
    """For which of these numbers it is quiet now, and until when; None where for none."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    counts = Counter(map(code_of, numbers))
    ends = {end: count for code, count in counts.items() if (end := quiet.until_for(code, now)) is not None}
    if not ends:
        return None
    what = "end" if quiet.action == "expire" else "wait"
    return f"quiet hours until {min(ends).isoformat(timespec='seconds')}: {sum(ends.values())} recipients {what}"


def breaker(state: Mapping[str, str]) -> str | None:
    """Since when and why the breaker is open, and when one call tries; None where it is closed."""
    if "breaker" not in state:
        return None
    since, _opens, why = state["breaker"].split(" ", 2)
    tries = f"at {_time(int(float(state['blocked_until'])))}" if "blocked_until" in state else "now"
    return f"breaker: open since {_time(int(since))}, after {why}, one call tries {tries}"


def _halt(state: Mapping[str, str]) -> str | None:
    if "halt" not in state:
        return None
    halt = json.loads(state["halt"])
    since = _time(int(state["halted_at"])) if "halted_at" in state else "an unknown time"
    goes_on = "; only an operator may resume it" if halt.get("operator") else "; one call tries" if "half_open" in state else ""
    return f"the account is halted: {halt['fault']} ({halt['code']}) since {since}{goes_on}"


def _until(state: Mapping[str, str], field: str, now_ms: int, why: str) -> str | None:
    until = int(float(state.get(field, 0)))
    return f"{why} until {_time(until)}" if until > now_ms else None


def _limit(state: Mapping[str, str], lane: int, now_ms: int) -> str | None:
    if lane < int(state.get("silent_from", 3)):
        return None
    return _until(state, "silent_until", now_ms, "the limit is used up")


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
