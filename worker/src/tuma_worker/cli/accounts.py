"""`tuma accounts`: how the accounts stand, and putting a halted one to work again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tuma_producer.contract.times import moment
from tuma_producer.errors import TumaError
from tuma_producer.intents import normalise_number
from tuma_worker.cli.output import Json, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.core.limits import Limit
from tuma_worker.store import accounts as store_accounts
from tuma_worker.store import bad_numbers
from tuma_worker.store.line import look
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from datetime import datetime

    from tuma_worker.store.accounts import Standing
    from tuma_worker.store.funds import Money

COLUMNS = ("account", "provider", "waiting", "later", "in flight", "money", "halted", "since (UTC)", "goes on")

app = typer.Typer(invoke_without_command=True)


def standings(store: Reach) -> list[Standing]:
    """How each known account stands, by name."""
    return [store_accounts.standing(store.redis, name) for name in store.producer.accounts()]


def as_row(standing: Standing) -> tuple[object, ...]:
    """A standing as cells under `COLUMNS`."""
    counts = (standing.waiting, standing.due_later, standing.in_flight)
    halt = (standing.halted, _time(standing.halted_at), _goes_on(standing))
    return (standing.account, standing.provider, *counts, _money(standing.funds), *halt)


def as_json(standing: Standing) -> dict[str, Any]:
    """A standing for programs."""
    times = {"halted_at": _time(standing.halted_at), "probe_at": _time(standing.probe_at)}
    return asdict(standing) | {"in_flight": standing.in_flight, "funds": standing.funds and _funds(standing.funds)} | times


def _funds(found: Money) -> dict[str, Any]:
    return asdict(found) | {"read_at": _time(found.read_at), "held_at": _time(found.held_at)}


def _money(found: Money | None) -> str | None:
    """What is left and how long that lasts; and, while bulk waits, for what."""
    if found is None:
        return None
    lasts = "" if found.runway is None else f", lasts {found.runway:g} h"
    held = f"; bulk waits, {found.kept:.2f} {found.currency} is kept" if found.held_at is not None else ""
    return f"{found.left:.2f} {found.currency} left{lasts}{held}"


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)


def _goes_on(standing: Standing) -> str | None:
    """What will put the account to work again."""
    at = _time(standing.probe_at)
    if standing.halted is None:
        return standing.breaker
    if standing.operator:
        return "by an operator only" + (f", not before {at:%H:%M:%S}" if at else "")
    return f"when a probe succeeds, the next at {at:%H:%M:%S}" if at else "when the call that tries now succeeds"


@app.callback()
def accounts(context: typer.Context, *, json: Json = False) -> None:
    """Show how the accounts stand: what waits, what is in flight, what is halted and why.

    Waiting and later count recipients; in flight counts calls. Of an account with a reserve, money says what is left and how
    long that lasts.

    Example: tuma accounts
    """
    if context.invoked_subcommand is not None:
        return
    with reach() as store:
        found = standings(store)
    if json:
        say_json([as_json(standing) for standing in found])
    elif found:
        screen().print(table(COLUMNS, [as_row(standing) for standing in found]))
    else:
        say("no account is known yet; start a worker or gateway that is configured with one")


@app.command("set-limit")
def set_limit(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")],
    limit: Annotated[
        str | None,
        typer.Argument(metavar="LIMIT", help="The limit, such as '30/min', '1000/h' or '10000 messages/h'.", show_default=False),
    ] = None,
    *,
    replaces: Annotated[str | None, typer.Option(help="The name of the limit it replaces, as `tuma queue` shows it.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Go back to the configured limit instead.")] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Change a limit of sends while the workers run. Holds from the next claim on, in every worker; calls made before still count.

    A limit is known by what it counts and for how long: '30/min' changes calls-60s. With --unset its name, given as --replaces, is
    enough. The limits of an account's questions and verbs (status, balance, control) are settings alone.

    A text too long for a lowered limit waits until it is raised again, and what is behind it waits too. A limit of a longer window
    than before (--replaces) has forgotten what ended before the old one: it is opened evenly, but its first window may see more
    calls than it allows, by as many as were forgotten.

    Example: tuma accounts set-limit lisoloo-main 30/min
    """
    wanted = _limit(limit, replaces, unset=unset)
    known_as = wanted.name if wanted else str(replaces)
    with reach() as store:
        store.expect([name])
        _check_limit(store, name, known_as, wanted)
        steering = Steering(store.redis, name, "send", who(by))
        if unset:
            state = "as configured" if steering.unset_limit(known_as) else "was not set here"
        else:
            steering.set_limit(cast("Limit", wanted))
            state = str(wanted)
    if json:
        say_json({"account": name, "limit": known_as, "state": state})
    else:
        say(f"account {name}, limit {known_as}: {state}")


def _limit(limit: str | None, replaces: str | None, *, unset: bool) -> Limit | None:
    """The limit that is meant, None where only its name is given. Raises `TumaError`."""
    if limit is None and unset and replaces is None:
        message = "--unset: give the limit, or name it with --replaces"
        raise TumaError(message)
    if limit is None and not unset:
        message = "LIMIT: give one, such as '30/min'"
        raise TumaError(message)
    try:
        return None if limit is None else Limit.parse(limit, name=replaces)
    except ValueError as error:
        raise TumaError(str(error)) from None


def _check_limit(store: Reach, account: str, known_as: str, wanted: Limit | None) -> None:
    known = {window.name: window.unit for window in look(store.redis, account).windows}
    if known_as not in known:
        message = f"limit {known_as!r} is not one of {account} ({', '.join(known)}); name one with --replaces"
        raise TumaError(message)
    if wanted is not None and wanted.counted != known[known_as]:
        message = f"limit {known_as!r} counts {known[known_as]}, not {wanted.counted}; what a limit counts cannot be changed"
        raise TumaError(message)


@app.command()
def resume(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")], *, by: By = None, json: Json = False
) -> None:
    """Put an account to work again that is halted, once its fault is put right, or whose breaker is open.

    Example: tuma accounts resume lisoloo-main
    """
    with reach() as store:
        store.expect([name])
        resumed = Steering(store.redis, name, "send", who(by)).resume_account()
    if json:
        say_json({"account": name, "resumed": resumed})
    else:
        say(f"account {name} is resumed" if resumed else f"account {name} was neither halted nor its breaker open")


@app.command("forget-bad")
def forget_bad(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")],
    number: Annotated[str | None, typer.Argument(help="Only this number; all of them where not given.", show_default=False)] = None,
    *,
    by: By = None,
    json: Json = False,
) -> None:
    """Let numbers be called again that the provider has blamed. Recipients that were refused for it meanwhile stay refused.

    Example: tuma accounts forget-bad lisoloo-main +243990000001
    """
    try:
        wanted = None if number is None else normalise_number(number)
    except ValueError as error:
        message = f"NUMBER: {error}"
        raise TumaError(message) from None
    with reach() as store:
        store.expect([name])
        forgotten = bad_numbers.forget(store.redis, name, wanted, by=who(by))
    if json:
        say_json({"account": name, "forgotten": forgotten})
    else:
        say(f"account {name}: {forgotten} bad numbers forgotten")
