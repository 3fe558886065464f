"""`tuma accounts`: how the accounts stand, and putting a halted one to work again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_worker.cli.output import Json, say, say_json, screen, table
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.store import accounts as store_accounts

if TYPE_CHECKING:
    from tuma_worker.store.accounts import Standing

COLUMNS = ("account", "provider", "waiting", "later", "in flight", "halted", "since (UTC)")

app = typer.Typer(invoke_without_command=True)


def standings(store: Reach) -> list[Standing]:
    """How each known account stands, by name."""
    return [store_accounts.standing(store.redis, name) for name in store.producer.accounts()]


def as_row(standing: Standing) -> tuple[object, ...]:
    """A standing as cells under `COLUMNS`."""
    counts = (standing.waiting, standing.due_later, standing.in_flight)
    return (standing.account, standing.provider, *counts, standing.halted, _since(standing))


def as_json(standing: Standing) -> dict[str, Any]:
    """A standing for programs."""
    return asdict(standing) | {"in_flight": standing.in_flight, "halted_at": _since(standing)}


def _since(standing: Standing) -> datetime | None:
    return None if standing.halted_at is None else datetime.fromtimestamp(standing.halted_at / 1000, UTC)


@app.callback()
def accounts(context: typer.Context, *, json: Json = False) -> None:
    """Show how the accounts stand: what waits, what is in flight, what is halted and why.

    Waiting and later count recipients; in flight counts calls.

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


@app.command()
def resume(name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")], *, json: Json = False) -> None:
    """Put a halted account to work again, once its fault is put right.

    Example: tuma accounts resume lisoloo-main
    """
    with reach() as store:
        store.expect([name])
        resumed = store_accounts.resume(store.redis, name)
    if json:
        say_json({"account": name, "resumed": resumed})
    else:
        say(f"account {name} is resumed" if resumed else f"account {name} was not halted")
