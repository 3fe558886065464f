"""`tuma receipts`: what the provider told, as it came, for as long as that is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from tuma_producer.contract.ids import split_id
from tuma_producer.contract.times import moment
from tuma_producer.intents import mask
from tuma_worker.cli.output import Json, ShowNumbers, redacted, say, say_json
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.store.inbox import UNMATCHED, kept, parked

if TYPE_CHECKING:
    from tuma_worker.store.inbox import Raw


# As a provider may write a number too: without the plus by which it is known elsewhere.
_DIGITS = re.compile(r"(?<![\w+.-])[1-9]\d{7,14}(?![\w.])")


def receipts(
    target: Annotated[
        str, typer.Argument(metavar="ID", help="An intent's id; or an account, for receipts about no call that is known.")
    ],
    *,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Show the receipts about an intent as the provider sent them, for as long as they are kept (`raw_receipts_for`).

    Example: tuma receipts lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        told = _of_intent(store, target) if split_id(target) else _of_no_call(store, target)
    for about, raw in told:
        body = raw.body.decode(errors="backslashreplace")
        facts = {
            "about": about,
            "at": moment(raw.at).isoformat(timespec="milliseconds"),
            "body": body if show_numbers else _masked(body),
        }
        if json:
            say_json(facts)
        else:
            say(" ".join(facts.values()))


def _of_intent(store: Reach, intent_id: str) -> list[tuple[str, Raw]]:
    account = intent_id.rpartition(".")[0]
    attempts = [one.id for one in store.producer.get(intent_id).attempts]
    return [(attempt, raw) for attempt in attempts for raw in kept(store.redis, account, attempt)]


def _of_no_call(store: Reach, account: str) -> list[tuple[str, Raw]]:
    store.expect([account])
    unmatched = [(UNMATCHED, raw) for raw in kept(store.redis, account, UNMATCHED)]
    return unmatched + [("parked", raw) for raw in parked(store.redis, account)]


def _masked(body: str) -> str:
    return _DIGITS.sub(lambda found: mask(f"+{found[0]}"), redacted(body))
