"""Schedules that a provider keeps: what it can keep, and what follows from its answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuma_producer import At, Every, InvalidSchedule, InvalidSend, Send
from tuma_producer.contract.custody import Terms, owed
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.custody import Conclusion, Custody, Result, Shown, Told, conclude, together

if TYPE_CHECKING:
    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TERMS = Terms(tz="Africa/Kinshasa", lead=120_000, dates=20, dispatches=1000, recipients=1000)
PARIS = Terms(tz="Europe/Paris", lead=0, dates=20, dispatches=1000, recipients=1000)
EVERY: dict[str, Any] = {
    "frequency": "daily",
    "times": ["08:00"],
    "start": "2026-12-01",
    "end": "2026-12-24",
    "tz": "Africa/Kinshasa",
}


def send(schedule: Schedule | None, **more: Any) -> Send:  # noqa: ANN401 - fields of Send
    return Send(**{"account": "main", "to": "+243990000001", "message": "x", "schedule": schedule, "custody": "provider", **more})


def at(*times: str, **more: Any) -> At:  # noqa: ANN401 - fields of At
    return At(times=list(times), **more)


GOOD: dict[str, tuple[Schedule, Terms, int]] = {
    "an instant": (at("2026-11-25T12:02Z"), TERMS, 1),
    "local times of the zone": (at("2026-12-24T18:00", "2026-12-31T23:00", tz="Africa/Kinshasa"), TERMS, 2),
    "twenty": (At(times=[NOW + timedelta(days=day) for day in range(1, 21)]), TERMS, 20),
    "every day": (Every(**EVERY), TERMS, 24),
    "the weekday of the start": (Every(**EVERY | {"frequency": "weekly", "weekdays": ["tue"]}), TERMS, 4),
    "a gap that is skipped": (
        Every(frequency="daily", times=["02:30"], start="2027-03-27", end="2027-03-29", tz="Europe/Paris", gap="skip"), PARIS, 2,
    ),
    "the first of two times": (at("2027-10-31T02:30", tz="Europe/Paris"), PARIS, 1),
}  # fmt: skip


@pytest.mark.parametrize(("schedule", "terms", "count"), GOOD.values(), ids=GOOD)
def test_what_the_provider_can_keep_is_owed(schedule: Schedule, terms: Terms, count: int) -> None:
    assert [firing.at for firing in owed(send(schedule), terms, NOW)] == [firing.at for firing in schedule.firings()]
    assert len(owed(send(schedule), terms, NOW)) == count


BAD: dict[str, tuple[Schedule, Terms, str, str]] = {
    "past": (at("2026-11-25T11:00Z", "2026-12-25T11:00Z"), TERMS, "times", "at least 120 seconds ahead"),
    "too soon": (at("2026-11-25T12:01Z"), TERMS, "times", "at least 120 seconds ahead"),
    "too many dates": (At(times=[NOW + timedelta(days=day) for day in range(1, 22)]), TERMS, "times", "at most 20"),
    "seconds": (at("2026-12-01T08:00:30Z"), TERMS, "times", "whole minutes"),
    "another zone": (at("2026-12-24T18:00", tz="Europe/Paris"), TERMS, "tz", "Africa/Kinshasa"),
    "a time of day with seconds": (Every(**EVERY | {"times": ["08:00:30"]}), TERMS, "times", "whole minutes"),
    "another zone again and again": (Every(**EVERY | {"tz": "Africa/Nairobi"}), TERMS, "tz", "Africa/Kinshasa"),
    "no end": (Every(**{name: value for name, value in EVERY.items() if name != "end"}), TERMS, "end", "must be given"),
    "every so many seconds": (
        Every(frequency="seconds", interval=60, start="2026-12-01T08:00Z"),
        TERMS,
        "frequency",
        "must be daily",
    ),
    "other weekdays": (Every(**EVERY | {"frequency": "weekly", "weekdays": ["mon", "tue"]}), TERMS, "weekdays", "weekday of start"),
    "from an instant": (Every(**EVERY | {"start": "2026-12-01T08:00"}), TERMS, "start", "must be a day"),
    "to an instant": (Every(**EVERY | {"end": "2026-12-24T08:00"}), TERMS, "end", "must be a day"),
    "from today": (Every(**EVERY | {"start": "2026-11-25"}), TERMS, "start", "tomorrow or later"),
    "too many": (Every(**EVERY | {"end": "2036-12-24"}), TERMS, "end", "at most 1000"),
    "a gap": (at("2027-03-28T02:30", tz="Europe/Paris"), PARIS, "gap", "must be skip"),
    "the second of two times": (at("2027-10-31T01:30Z"), PARIS, "times", "second of two"),
    "a misfire rule": (at("2026-12-25T11:00Z", misfire="all"), TERMS, "misfire", "cannot be chosen"),
    "grace": (at("2026-12-25T11:00Z", grace=5), TERMS, "grace", "cannot be chosen"),
}


@pytest.mark.parametrize(("schedule", "terms", "field", "rule"), BAD.values(), ids=BAD)
def test_what_it_cannot_keep_is_refused_with_field_and_rule(schedule: Schedule, terms: Terms, field: str, rule: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        owed(send(schedule), terms, NOW)
    assert (refused.value.field, rule in refused.value.rule) == (field, True), refused.value


def test_no_date_may_lie_in_the_quiet_hours_of_a_recipient() -> None:
    terms = replace(TERMS, quiet=Quiet(Hours.parse("21:00-07:00")))
    nairobi = ["+243990000001", "+254700000001"]  # where it is two hours later than in Kinshasa
    evening = at("2026-12-24T12:00Z", "2026-12-24T18:30Z")
    assert len(owed(send(evening), terms, NOW)) == 2, "transactional is not among the quiet priorities"
    assert len(owed(send(evening, priority="bulk", ignore_quiet=True), terms, NOW)) == 2
    assert len(owed(send(at("2026-12-24T17:30Z"), priority="bulk", to=nairobi), terms, NOW)) == 1
    with pytest.raises(InvalidSchedule, match="times: 2026-12-24 18:30 lies in the quiet hours of a recipient"):
        owed(send(evening, priority="bulk", to=nairobi), terms, NOW)
    assert Terms.read(terms.published) == terms


def test_one_call_carries_all_recipients() -> None:
    to = [f"+24399{index:07}" for index in range(1001)]
    with pytest.raises(InvalidSend, match="to: has 1001 numbers; with custody provider at most 1000"):
        owed(send(at("2026-12-25T11:00Z"), to=to), TERMS, NOW)


@pytest.mark.parametrize(
    ("more", "field"),
    [({"schedule": None}, "custody"), ({"expires_in": 60}, "expires_in"), ({"on_unknown": "resend"}, "on_unknown"),
     ({"cancel_within": 5}, "cancel_within"), ({"custody": "carrier"}, "custody"), ({"failover": ["spare"]}, "failover"),
     ({"eta": True}, "eta"), ({"refuse_if_late": True}, "refuse_if_late")],
)  # fmt: skip
def test_what_cannot_go_with_custody_provider_is_refused_where_it_is_made(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSend) as refused:
        send(**{"schedule": at("2026-12-25T11:00Z"), **more})
    assert refused.value.field == field


def test_terms_are_published_as_one_text() -> None:
    assert Terms.read(TERMS.published) == TERMS


# What follows from answers.

DONE, UNKNOWN = Result.DONE, Result.UNKNOWN
VERDICTS: list[tuple[Verb, Told, Shown, Custody, Result]] = [
    ("pause", Told.DONE, Shown.PAUSED, Custody.PAUSED, DONE),
    ("pause", Told.DONE, Shown.WAITING, Custody.PAUSED, DONE),
    ("pause", Told.DONE, Shown.UNTOLD, Custody.PAUSED, DONE),
    ("cancel", Told.DONE, Shown.WAITING, Custody.CANCELLED, DONE),
    ("cancel", Told.DONE, Shown.GONE, Custody.CANCELLED, DONE),
    ("resume", Told.DONE, Shown.WAITING, Custody.HANDED_OVER, DONE),
    ("resume", Told.DONE, Shown.PAUSED, Custody.UNKNOWN, UNKNOWN),  # it contradicts itself
    ("cancel", Told.DONE, Shown.PAUSED, Custody.UNKNOWN, UNKNOWN),
    ("pause", Told.UNKNOWN, Shown.PAUSED, Custody.PAUSED, DONE),
    ("cancel", Told.UNKNOWN, Shown.CANCELLED, Custody.CANCELLED, DONE),
    ("cancel", Told.REFUSED, Shown.CANCELLED, Custody.CANCELLED, DONE),  # it was cancelled already
    ("pause", Told.REFUSED, Shown.CANCELLED, Custody.CANCELLED, Result.REFUSED),
    ("pause", Told.UNKNOWN, Shown.WAITING, Custody.UNKNOWN, UNKNOWN),
    ("cancel", Told.UNKNOWN, Shown.UNTOLD, Custody.UNKNOWN, UNKNOWN),
    ("cancel", Told.UNKNOWN, Shown.ENDED, Custody.UNKNOWN, UNKNOWN),
    ("resume", Told.UNKNOWN, Shown.WAITING, Custody.UNKNOWN, UNKNOWN),  # what is paused may be shown as waiting
    ("cancel", Told.REFUSED, Shown.ENDED, Custody.HANDED_OVER, Result.TOO_LATE),
    ("cancel", Told.REFUSED, Shown.WAITING, Custody.UNKNOWN, UNKNOWN),
    ("pause", Told.UNSUPPORTED, Shown.WAITING, Custody.HANDED_OVER, Result.UNSUPPORTED),
    ("pause", Told.UNSUPPORTED, Shown.UNTOLD, Custody.HANDED_OVER, Result.UNSUPPORTED),
    ("pause", Told.UNSUPPORTED, Shown.GONE, Custody.UNKNOWN, UNKNOWN),  # it may not know the message rather than the verb
]


@pytest.mark.parametrize(("verb", "told", "shown", "custody", "result"), VERDICTS)
def test_answer_and_look_are_judged_together(verb: Verb, told: Told, shown: Shown, custody: Custody, result: Result) -> None:
    assert conclude(verb, told, shown, stood=Custody.HANDED_OVER, shows_pauses=False) == Conclusion(custody, result)


def test_a_provider_that_showed_a_pause_shows_its_end() -> None:
    found = conclude("resume", Told.UNKNOWN, Shown.WAITING, stood=Custody.PAUSED, shows_pauses=True)
    assert found == Conclusion(Custody.HANDED_OVER, DONE)


def test_calls_that_fare_differently_are_unknown_together() -> None:
    paused, unsupported = Conclusion(Custody.PAUSED, DONE), Conclusion(Custody.HANDED_OVER, Result.UNSUPPORTED)
    assert together([paused, paused]) == paused
    assert together([paused, unsupported]) == Conclusion(Custody.UNKNOWN, UNKNOWN)
