"""`tuma budgets`: what each source may use in a day or a month."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.contract.budgets import PERIODS
from tuma_producer.errors import TumaError
from tuma_producer.intents import checked_source
from tuma_worker.cli.output import Json, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach
from tuma_worker.core.budgets import Budget
from tuma_worker.store.budgets import Budgets

if TYPE_CHECKING:
    from tuma_worker.store.budgets import Kept

app = typer.Typer(no_args_is_help=True, help="What each source may use of an account in a day or a month.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The service that enqueues.")]


@app.command("set")
def set_(
    account: Account,
    source: Source,
    budget: Annotated[str, typer.Argument(metavar="BUDGET", help="Such as '1000 recipients/day' or '200 USD/month'.")],
    *,
    by: By = None,
    json: Json = False,
) -> None:
    """Let a source use at the most so much: recipients, messages (segments times recipients), or messages at the account's price.

    What would exceed it is refused when it is enqueued. Days and months are those of the account's zone.

    Example: tuma budgets set lisoloo-main billing '50000 messages/month'
    """
    with reach() as store:
        store.expect([account])
        budgets = Budgets(store.redis, account)
        try:
            wanted = Budget.parse(budget, budgets.price())
        except ValueError as error:
            message = f"BUDGET: {error}"
            raise TumaError(message) from None
        budgets.set(checked_source(source), wanted, by=who(by))
    if json:
        say_json({"account": account, "source": source, "budget": str(wanted)})
    else:
        say(f"{account}, {source}: {wanted}")


@app.command("list")
def list_(account: Account, *, json: Json = False) -> None:
    """Show the budgets of an account, and what was used of each in the period that its last send was in.

    Example: tuma budgets list lisoloo-main
    """
    with reach() as store:
        store.expect([account])
        found = Budgets(store.redis, account).all()
    if json:
        say_json([_as_json(one) for one in found])
    elif found:
        rows = [(one.source, one.budget, f"{one.used.normalize():f}", _since(one)) for one in found]
        screen().print(table(["source", "budget", "used", "in the period from"], rows))
    else:
        say(f"{account} has no budgets: every source may use what it wants")


@app.command()
def remove(
    account: Account,
    source: Source,
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="day or month.")],
    *,
    by: By = None,
    json: Json = False,
) -> None:
    """Take a budget away: the source may use what it wants.

    Example: tuma budgets remove lisoloo-main billing month
    """
    wanted = next((one for one in PERIODS if one == period), None)
    if wanted is None:
        message = f"PERIOD: {period!r} is not one of {', '.join(PERIODS)}"
        raise TumaError(message)
    with reach() as store:
        store.expect([account])
        removed = Budgets(store.redis, account).remove(source, wanted, by=who(by))
    if json:
        say_json({"account": account, "source": source, "period": period, "removed": removed})
    else:
        say(f"{account}, {source}: {'removed' if removed else 'there was none'}")


def _as_json(one: Kept) -> dict[str, Any]:
    budget = one.budget
    told = {"source": one.source, "period": budget.period, "most": budget.most, "unit": budget.unit, "price": budget.price}
    return told | {"used": one.used, "since": _since(one)}


def _since(one: Kept) -> str | None:
    return None if one.since is None else (date(1970, 1, 1) + timedelta(days=one.since)).isoformat()
