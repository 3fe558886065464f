"""`tuma forget`: what is known of one number is taken out of records, events and receipts."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tuma_producer.errors import TumaError
from tuma_producer.intents import mask, normalise_number
from tuma_worker.cli.output import NOT_AS_WISHED, Json, complain, count, progress, say, say_json
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach
from tuma_worker.store.forgetting import Forgetting

if TYPE_CHECKING:
    from tuma_worker.store.forgetting import Forgotten


def forget(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A number such as +243990000001.")],
    *,
    account: Annotated[str | None, typer.Option(help="Only this account.", show_default=False)] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Forget a number: in the records of sends that are over with it, their events, dead letters and receipts, of all accounts.

    Where something may still come of it, it is left, and told: cancel that or let it end, and ask again. It stays on suppression
    lists, or it would be called again, but only as a keyed hash; `tuma suppress remove` takes it off.

    Example: tuma forget +243990000001
    """
    number = _number(number)
    with reach() as store:
        store.expect([account] if account else [])
        accounts = [account] if account else store.producer.accounts()
        found = [_forget(Forgetting(store.redis, name, number, secrets.token_hex(16)), who(by)) for name in accounts]
    if json:
        say_json([asdict(one) for one in found])
    else:
        for one in found:
            _tell(one, number)
    if any(one.waits or one.unapplied for one in found):
        raise typer.Exit(NOT_AS_WISHED)


def _number(given: str) -> str:
    try:
        return normalise_number(given)
    except ValueError as error:
        message = f"NUMBER: {error}"
        raise TumaError(message) from None


def _forget(forgetting: Forgetting, by: str) -> Forgotten:
    steps = 0
    with progress(lambda: forgetting.account, forgetting.size(), lambda: steps) as advance:

        def step() -> None:
            nonlocal steps
            steps += 1
            advance()

        return forgetting.forget(step, by=by)


def _tell(found: Forgotten, number: str) -> None:
    if found.unapplied:
        waiting = count(found.unapplied, "receipt")
        complain(
            f"account {found.account}: {waiting} about {mask(number)} to be applied; start a worker if none runs, and ask again"
        )
        return
    taken = ", ".join((count(found.recipients, "recipient"), count(found.events, "event"), count(found.receipts, "receipt")))
    still = "; it stays on the suppression list, unreadable" if found.suppressed else ""
    say(f"account {found.account}: {mask(number)} taken out of {taken}{still}")
    for intent_id in found.waits:
        complain(f"{intent_id}: something may still come of {mask(number)} there; cancel it or let it end, and ask again")
