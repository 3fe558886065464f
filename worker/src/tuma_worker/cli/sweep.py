"""`tuma sweep`: look once, by hand, for recipients that nobody owns."""

from __future__ import annotations

from dataclasses import asdict
from time import sleep
from typing import Annotated

import typer

from tuma_producer.errors import TumaError, UnknownAccount
from tuma_worker import bootstrap
from tuma_worker.cli.output import Json, say, say_json
from tuma_worker.cli.reach import reach


def sweep(
    *,
    account: Annotated[str | None, typer.Option(help="Only this account.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Look for recipients whose job is lost, and give them one again. The workers do so by themselves every few minutes.

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
        sweeper = bootstrap.build_sweeper(store.redis, store.settings, only=account, by_hand=True)
        sweeper.run_once()
        sleep(sweeper.every)
        swept = sweeper.run_once()
    if json:
        say_json([asdict(one) for one in swept])
        return
    for one in swept:
        say(f"{one.account}: {one.restored} recipients put back" if one.restored else f"{one.account}: nothing is lost")
