"""The commands that only look: get, explain, outcomes, config."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer import TumaError
from tuma_producer.contract.scheduling import firing_of
from tuma_producer.contract.times import moment
from tuma_producer.intents import mask
from tuma_worker.cli.output import Json, ShowNumbers, say, say_json, screen, table
from tuma_worker.cli.reach import SOURCE, reach
from tuma_worker.cli.reading import seconds
from tuma_worker.core.explain import facts, looked, page
from tuma_worker.core.states import in_words
from tuma_worker.events.places import beginning
from tuma_worker.settings import load_settings, masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_producer import Attempt, Custody, Intent, Recipient
    from tuma_producer.outcomes import Event

_SHOWN = 100  # recipients in a table for people
_SHOWN_OCCURRENCES = 10


def get(
    intent_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `tuma send` or `enqueue` returned.")],
    *,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Show where an intent stands, recipient by recipient.

    Example: tuma get lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        intent = store.producer.get(intent_id)
    if json:
        say_json(_as_json(intent, show_numbers=show_numbers))
    else:
        _draw(intent, show_numbers=show_numbers)


def explain(
    intent_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `tuma send` or `enqueue` returned.")],
    *,
    json: Json = False,
) -> None:
    """Say in plain words why an intent stands where it stands: what holds it, since when, when it will go, what was tried.

    Example: tuma explain lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        told = store.producer.explain(intent_id)
    if json:
        say_json(facts(told))
    else:
        say(page(told).rstrip("\n"))


def _as_json(intent: Intent, *, show_numbers: bool) -> dict[str, Any]:
    whole = asdict(intent)
    if intent.schedule is not None:
        whole["schedule"] = intent.schedule.model_dump(mode="json", exclude_none=True)
    for one in whole["recipients"]:
        one["number"] = _number(one["number"], shown=show_numbers)
    return whole


def _number(number: str, *, shown: bool) -> str:
    return number if shown else mask(number)


def _draw(intent: Intent, *, show_numbers: bool) -> None:
    console = screen()
    fires_here = intent.schedule is not None and intent.custody is None
    say(f"{intent.id}: {intent.state}, {f'fired {intent.fired} times' if fires_here else in_words(intent.counts)}")
    for name, value in _facts(intent):
        say(f"  {name}: {value}")
    if fires_here:
        _draw_occurrences(intent)
        return
    recipients = [
        (_number(one.number, shown=show_numbers), one.state, one.since, one.evidence, one.reason, one.attempt, *_told(intent, one))
        for one in intent.recipients[:_SHOWN]
    ]
    counted = ["delivered", "failed"] if intent.custody else []
    console.print(table(["number", "state", "since (UTC)", "evidence", "reason", "attempt", *counted], recipients))
    if len(intent.recipients) > _SHOWN:
        say(f"and {len(intent.recipients) - _SHOWN} more; --json has them all")
    if intent.attempts:
        attempts = [(one.id, one.phase, one.started, one.ended, one.code, one.provider_id) for one in intent.attempts]
        console.print(table(["attempt", "phase", "started (UTC)", "ended (UTC)", "code", "provider's id"], attempts))
    for attempt in intent.attempts:
        for told in _search(attempt):
            say(told)


def _told(intent: Intent, one: Recipient) -> tuple[int, ...]:
    """Of how many dispatches the end was told, where the provider keeps the dates."""
    return (one.deliveries, one.failures) if intent.custody else ()


def _search(attempt: Attempt) -> Iterator[str]:
    """What was looked for and found where the answer never came."""
    if attempt.awaited:
        yield f"{attempt.id}: no answer came; a receipt was awaited until {attempt.awaited:%H:%M:%S}"
    for look in attempt.looks:
        yield f"{attempt.id}: {looked(look)}"


def _draw_occurrences(schedule: Intent) -> None:
    for occurrence in schedule.occurrences[-_SHOWN_OCCURRENCES:]:
        say(f"  fired at {moment(firing_of(occurrence.rpartition('.')[2])).isoformat()}: {occurrence}")
    if schedule.fired > _SHOWN_OCCURRENCES:
        say(f"  and {schedule.fired - _SHOWN_OCCURRENCES} before; --json has the last hundred")


def _facts(intent: Intent) -> Iterator[tuple[str, object]]:
    yield "source", f"{intent.source} ({intent.priority})"
    yield "accepted", intent.accepted.isoformat(timespec="seconds")
    if intent.expires:
        yield "expires", intent.expires.isoformat(timespec="seconds")
    if intent.failover:
        yield "failover", ", ".join(intent.failover)
    if intent.home:
        yield "carries recipients of", intent.home
    if intent.parent:
        yield "occurrence of", intent.parent
    if intent.custody:
        yield "at the provider", _custody_in_words(intent.custody)
    if intent.next_firing:
        yield "fires next", intent.next_firing.isoformat()
    if intent.campaign_name:
        yield "campaign", intent.campaign_name
    if intent.ignore_quiet:
        yield "quiet hours", "ignored"
    yield from sorted(intent.metadata.items())
    for hold in intent.holds:
        yield "waits", hold


def _custody_in_words(custody: Custody) -> str:
    dispatches = f"{custody.dispatches} dispatch{'' if custody.dispatches == 1 else 'es'}"
    between = f"from {custody.first.isoformat(timespec='minutes')} to {custody.last.isoformat(timespec='minutes')}"
    asked = f"; {custody.asked} {custody.outcome}" if custody.asked else ""
    return f"{custody.state}, {dispatches} {between}{asked}"


def outcomes(
    *,
    group: Annotated[str, typer.Option(help="Consumers of one group share the events; each event is told to a group once.")],
    account: Annotated[list[str] | None, typer.Option(help="Only this account's events (repeatable).")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source's events.", show_default=False)] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="beginning|now|EVENT|TIME", help="Where a new group begins: TIME as 2026-12-01T08:00Z.")
    ] = "beginning",
    wait: Annotated[
        float | None, typer.Option(parser=seconds, help="End after so many seconds without an event.", show_default="never")
    ] = None,
    show_numbers: ShowNumbers = False,
    json: Annotated[bool, typer.Option("--json/--lines", help="One CloudEvent in JSON a line, or lines for people.")] = True,
) -> None:
    """Tell what became of messages, event by event.

    An event counts as told once it is written; where the reader goes away it is told again.

    Example: tuma outcomes --group billing --wait 5
    """
    with reach(source or SOURCE) as store:
        store.expect(account or [])
        if not store.producer.accounts():
            message = "no account is known yet; start a worker or gateway, or send something"
            raise TumaError(message)
        events = store.producer.outcomes(group, accounts=account, all_sources=source is None, start=beginning(start), wait=wait)
        for event in events:
            if json:
                say_json(_cloudevent(event, show_numbers=show_numbers))
            else:
                say(_line(event, show_numbers=show_numbers))


def _cloudevent(event: Event, *, show_numbers: bool) -> dict[str, Any]:
    whole = event.as_cloudevent()
    about = "from" if event.type.startswith("tuma.inbound.") else "recipient"  # elsewhere `from` is an account
    if about in whole["data"]:
        whole["data"][about] = _number(whole["data"][about], shown=show_numbers)
    return whole


def _line(event: Event, *, show_numbers: bool) -> str:
    number = _number(event.recipient, shown=show_numbers) if event.recipient else None
    told = (
        event.time.isoformat(timespec="seconds"),
        event.type,
        event.intent or event.account,
        number,
        event.evidence,
        event.reason,
    )
    return " ".join(part for part in told if part)


def config(*, json: Json = False) -> None:
    """Print the settings, as they were understood; of secrets only the length.

    Example: tuma config --json
    """
    settings = masked(load_settings())
    if json:
        say_json(settings)
        return
    for name, value in _flat(settings, ()):
        say(f"{name} = {value}")


def _flat(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name in value:
            yield from _flat(value[name], (*path, str(name)))
    elif isinstance(value, list):
        yield ".".join(path), ", ".join(map(str, value))
    else:
        yield ".".join(path), "-" if value is None or value == {} else str(value)
