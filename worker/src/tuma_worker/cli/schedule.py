"""`tuma schedule`: what a schedule means, before anything is sent by it; which there are; and another meaning for one of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer import At, Every, Firing, InvalidSchedule, TumaError
from tuma_worker.cli.output import NOT_AS_WISHED, Json, complain, count, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach
from tuma_worker.cli.reading import instant_of
from tuma_worker.core.timetables import in_words
from tuma_worker.store.schedule_index import ScheduleIndex, following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_producer import EditResult, Intent
    from tuma_producer.schedules import Schedule

_SHOWN = 100  # schedules in a table for people

app = typer.Typer(no_args_is_help=True)

# How a schedule is described, here and with `tuma send`.
AtTimes = Annotated[list[str] | None, typer.Option("--at", help="A date and time, such as 2026-12-24T18:00 (repeatable).")]
Frequency = Annotated[
    str | None,
    typer.Option("--every", metavar="FREQUENCY", help="daily, weekly, monthly, yearly or seconds.", show_default=False),
]
Interval = Annotated[int | None, typer.Option(help="Every how many of them.", show_default="1")]
Times = Annotated[str | None, typer.Option(help="Times of day, such as 08:00,18:00.", show_default=False)]
Start = Annotated[str | None, typer.Option(help="The day, or date and time, that all is counted from.")]
End = Annotated[str | None, typer.Option(help="The last day, or date and time.", show_default="never")]
EndExclusive = Annotated[bool, typer.Option("--end-exclusive", help="What falls on the end does not fire.")]
Weekdays = Annotated[str | None, typer.Option(help="With weekly: days such as mon,fri.", show_default="that of the start")]
Zone = Annotated[str | None, typer.Option(help="The zone of local times, such as Africa/Kinshasa.", show_default=False)]
GapRule = Annotated[
    str | None, typer.Option(help="A local time that the clock leaves out: forward (the default) or skip.", show_default=False)
]

Misfire = Annotated[
    str | None,
    typer.Option(help="What fires of what nobody fired in time: once (the default), skip or all.", show_default=False),
]


@app.callback()
def schedule() -> None:
    """See when a schedule fires, which there are, or change one."""


@app.command()
def preview(
    *,
    at: AtTimes = None,
    every: Frequency = None,
    interval: Interval = None,
    times: Times = None,
    start: Start = None,
    end: End = None,
    end_exclusive: EndExclusive = False,
    weekdays: Weekdays = None,
    tz: Zone = None,
    gap: GapRule = None,
    after: Annotated[
        str | None, typer.Option(help="Show what comes after this instant, such as 2027-01-01T00:00Z.", show_default="now")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show at most.")] = 10,
    json: Json = False,
) -> None:
    """Show when a schedule fires next. Nothing is stored, and no Redis is needed.

    Example: tuma schedule preview --every weekly --weekdays mon,fri --times 08:00 --start 2026-12-01 --tz Africa/Kinshasa

    Example: tuma schedule preview --at 2026-12-24T18:00 --at 2026-12-31T23:00 --tz Africa/Kinshasa
    """
    described = described_by(interval, times, start, end, weekdays, end_exclusive=end_exclusive)
    chosen = chosen_schedule(at, every, described, given(tz=tz, gap=gap))
    found = list(islice(chosen.firings(datetime.now(UTC) if after is None else instant_of("--after", after)), count))
    if json:
        for firing in found:
            say_json(_as_json(firing))
    elif found:
        screen().print(table(["local", "offset", "UTC", ""], [_as_row(firing) for firing in found]))
    if not found:
        complain(f"{'--at' if at else '--end'}: nothing of it is still to come after that time; choose a later one")
        raise typer.Exit(NOT_AS_WISHED)


@app.command("list")
def list_(
    *,
    account: Annotated[str | None, typer.Option(help="Only this account's.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """List schedules, of each account the one accepted last first: when it fires, how often it has, how it stands.

    With --json a line for each. One that is over is there for a week more. They are paused, resumed and cancelled by their ids.

    Example: tuma schedule list --account lisoloo-main
    """
    with reach() as store:
        store.expect([account] if account else [])
        names = [account] if account else store.producer.accounts()
        found = (one for name in names for one in ScheduleIndex(store.redis, name).all())
        if json:
            for one in found:
                say_json(_outline(one))
            return
        rows = [(one.id, one.state, _told(one), following(one), one.fired, one.source) for one in islice(found, _SHOWN)]
        screen().print(table(["id", "state", "fires", "next (UTC)", "fired", "source"], rows))
        if more := sum(1 for _ in found):
            say(f"and {more} more; --json has them all")


def _outline(one: Intent) -> dict[str, Any]:
    """A schedule without its recipients and occurrences."""
    told = ("id", "state", "source", "priority", "accepted", "next_firing", "fired", "campaign_name")
    when = one.schedule and one.schedule.model_dump(mode="json", exclude_none=True)
    return {name: getattr(one, name) for name in told} | {"schedule": when, "custody": one.custody and asdict(one.custody)}


def _told(one: Intent) -> str | None:
    """When it fires, in words."""
    return in_words(one.schedule) if one.schedule else None


@app.command()
def edit(
    intent_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `tuma send` or `enqueue` returned.")],
    *,
    message: Annotated[str | None, typer.Option(help="Another text.", show_default=False)] = None,
    to: Annotated[list[str] | None, typer.Option(help="Other recipients, in the place of all of them (repeatable).")] = None,
    at: AtTimes = None,
    every: Frequency = None,
    interval: Interval = None,
    times: Times = None,
    start: Start = None,
    end: End = None,
    end_exclusive: EndExclusive = False,
    weekdays: Weekdays = None,
    tz: Zone = None,
    gap: GapRule = None,
    misfire: Misfire = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Change the text, the times or the recipients of a schedule, from its next firing on. What has fired is not touched.

    Example: tuma schedule edit lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e --message "The market opens at nine."

    Example: tuma schedule edit lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e --at 2026-12-24T18:00 --tz Africa/Kinshasa
    """
    described = described_by(interval, times, start, end, weekdays, end_exclusive=end_exclusive)
    both = given(tz=tz, gap=gap, misfire=misfire)
    chosen = chosen_schedule(at, every, described, both) if at or every or described or both else None
    with reach() as store:
        result = store.producer.edit(intent_id, message=message, schedule=chosen, to=to or None, by=who(by))
    if json:
        say_json(asdict(result))
    else:
        say(f"{result.id}: {result.state}, {', '.join(_in_words(result))}")


def _in_words(result: EditResult) -> Iterator[str]:
    yield count(result.recipients, "recipient")
    yield f"{count(result.segments, 'segment')} each"
    if result.next_firing:
        yield f"fires next at {result.next_firing.isoformat()}"


def given(**options: object) -> dict[str, Any]:
    """Those of the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def described_by(
    interval: int | None, times: str | None, start: str | None, end: str | None, weekdays: str | None, *, end_exclusive: bool
) -> dict[str, Any]:
    """The fields of `Every` that were given, but for its frequency."""
    return given(
        interval=interval,
        times=_listed(times),
        start=start,
        end=end,
        end_inclusive=False if end_exclusive else None,
        weekdays=_listed(weekdays),
    )


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [entry.strip() for entry in text.split(",")]


def chosen_schedule(at: list[str] | None, every: str | None, described: dict[str, Any], both: dict[str, Any]) -> Schedule:
    """The schedule that was described; `both` are the fields that either kind has. Raises `TumaError`."""
    if bool(at) == bool(every):
        message = "give either --at (as often as needed) or --every"
        raise TumaError(message)
    if every:
        return Every(frequency=every, **described, **both)
    for name in described:
        option = "end-exclusive" if name == "end_inclusive" else name
        message = f"--{option} goes with --every, not with --at"
        raise TumaError(message)
    try:
        return At(at, **both)
    except InvalidSchedule as error:
        raise InvalidSchedule("--at" if error.field == "times" else error.field, error.rule) from None


def _as_json(firing: Firing) -> dict[str, Any]:
    return {"at": firing.at, "local": firing.local.isoformat(), "offset": _offset(firing), "moved": firing.moved}


def _as_row(firing: Firing) -> tuple[object, ...]:
    note = "the time asked for does not exist on that day" if firing.moved else None
    return firing.local.strftime("%a %Y-%m-%d %H:%M:%S"), _offset(firing), firing.at, note


def _offset(firing: Firing) -> str:
    return firing.local.isoformat()[len(firing.local.replace(tzinfo=None).isoformat()) :]
