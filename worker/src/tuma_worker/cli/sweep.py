"""`tuma sweep`: look once, by hand, for recipients that nobody owns."""

from __future__ import annotations

from dataclasses import asdict, replace
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from tuma_producer.errors import TumaError, UnknownAccount
from tuma_worker.bootstrap import parts
from tuma_worker.cli.output import Json, say, say_json
from tuma_worker.cli.reach import reach

if TYPE_CHECKING:
    from tuma_worker.dispatch.sweeping import Swept


def sweep(
    *,
    account: Annotated[str | None, typer.Option(help="Only this account.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Look for recipients whose job is lost, and give them one again; end those of which no receipt came in time.

    The workers do so by themselves every few minutes.

    Takes as long as a lease: what is missing must be missing at both of two looks.

    Example: tuma sweep --account lisoloo-main
    """
    with reach() as store:
        configured = tuple(store.settings.accounts)
        if account is not None and account not in configured:
            raise UnknownAccount(account, configured)
        if not configured:
            message = "TUMA_ACCOUNTS: no account is configured here; set one"
            raise TumaError(message)
        sweeper = parts.build_sweeper(store.redis, store.settings, only=account, by_hand=True)
        first = sweeper.run_once()
        sleep(sweeper.every)
        swept = [_both(*looks) for looks in zip(first, sweeper.run_once(), strict=True)]
    if json:
        say_json([asdict(one) for one in swept])
        return
    for one in swept:
        say(f"{one.account}: {_came_to(one)}")


def _both(first: Swept, second: Swept) -> Swept:
    return replace(second, ended=first.ended + second.ended)


def _came_to(swept: Swept) -> str:
    found = [f"{swept.restored} recipients put back"] if swept.restored else []
    found += [f"{swept.ended} ended as unknown"] if swept.ended else []
    return ", ".join(found) or "nothing is lost"
