"""`tuma queue`: who waits and why, and standing in a queue's way."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import LANES
from tuma_producer.errors import TumaError
from tuma_worker.cli.output import Json, say, say_json, screen, table
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.queue.config import SEND
from tuma_worker.store import line
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from tuma_worker.store.line import Line

app = typer.Typer(invoke_without_command=True)

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="A queue, such as lisoloo-main.send; or an account, for its sends.")]
Priority = Annotated[str | None, typer.Option(help="Only this priority: otp, transactional or bulk.", show_default=False)]
Source = Annotated[str | None, typer.Option(help="Only this source.", show_default=False)]
By = Annotated[str | None, typer.Option(help="Who does this; the user of this shell where not given.", show_default=False)]


@app.callback()
def queue(context: typer.Context, *, json: Json = False) -> None:
    """Show each queue: who waits since when, how full the windows are, what stands in the way, and how long it will take.

    Example: tuma queue
    """
    if context.invoked_subcommand is not None:
        return
    with reach() as store:
        lines = [
            line.look(store.redis, account, operation)
            for account in store.producer.accounts()
            for operation in line.operations(store.redis, account)
        ]
    if json:
        say_json([_as_json(found) for found in lines])
        return
    for found in lines:
        _show(found)
    if not lines:
        say("no account is known yet; start a worker or gateway that is configured with one")


@app.command()
def pause(name: Queue, *, priority: Priority = None, source: Source = None, by: By = None, json: Json = False) -> None:
    """Let no further call start: of a whole queue, or of one priority or source of it. Calls in flight end.

    Example: tuma queue pause lisoloo-main.send --priority bulk
    """
    scope = _scope(priority, source)
    with reach() as store:
        _steering(store, name, by).pause(scope)
    _done(name, scope, "paused", json=json)


@app.command()
def resume(name: Queue, *, priority: Priority = None, source: Source = None, by: By = None, json: Json = False) -> None:
    """Let calls start again.

    Example: tuma queue resume lisoloo-main.send --priority bulk
    """
    scope = _scope(priority, source)
    with reach() as store:
        resumed = _steering(store, name, by).resume(scope)
    _done(name, scope, "resumed" if resumed else "not paused", json=json)


def _done(name: str, scope: Scope, state: str, *, json: bool) -> None:
    if json:
        say_json({"queue": name, "scope": str(scope), "state": state})
    else:
        say(f"{name}, {scope}: {state}")


def _scope(priority: str | None, source: str | None) -> Scope:
    if priority is not None and source is not None:
        message = "give either --priority or --source, not both"
        raise TumaError(message)
    if priority is not None and priority not in LANES:
        message = f"--priority: {priority!r} is not one of {', '.join(LANES)}"
        raise TumaError(message)
    return Scope(priority, source)


def _steering(store: Reach, name: str, by: str | None) -> Steering:
    account, _, operation = name.partition(".")
    store.expect([account])
    known = line.operations(store.redis, account)
    if operation and operation not in known:
        message = f"queue {name!r}: {account} has no such queue, only {', '.join(f'{account}.{one}' for one in known)}"
        raise TumaError(message)
    return Steering(store.redis, account, operation or SEND, who(by))


def who(by: str | None) -> str:
    """In whose name a command steers."""
    return by or getpass.getuser()


def _show(found: Line) -> None:
    console = screen()
    rows = [(one.lane, one.source, one.jobs, one.groups, _age(found.now, one.oldest)) for one in found.waiting]
    title = f"{found.queue}: {found.in_flight} calls in flight, {found.later} jobs later, backlog {found.backlog_seconds:g} s"
    console.print(table(["priority", "source", "jobs", "groups", "oldest"], rows, title=title))
    windows = [(one.name, f"{one.used:g} of {one.count:g}", f"{one.seconds:g} s", one.set_by) for one in found.windows]
    console.print(table(["limit", "used", "window", "set by"], windows))
    if found.next_permit is not None:
        say(f"next permit at {moment(found.next_permit):%H:%M:%S.%f}"[:-3] + " UTC")
    held_by = "the provider's limits hold it, no worker more would help" if found.provider_bound else "no limit is in the way"
    say(f"useful calls in flight: {found.useful_slots}, at {found.busy_seconds:g} s each; {held_by}")
    for hold in found.holds:
        say(f"hold: {hold.text}")
    say("")


def _as_json(found: Line) -> dict[str, Any]:
    return asdict(found) | {"holds": [hold.text for hold in found.holds]}


def _age(now: int, since: int) -> str:
    return f"{max(0, now - since) / 1000:.1f} s"
