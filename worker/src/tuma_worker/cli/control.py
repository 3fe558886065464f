"""`tuma cancel`, `tuma pause`, `tuma resume`: steering a single intent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.intents import mask
from tuma_worker.cli.output import NOT_AS_WISHED, Json, ShowNumbers, say, say_json
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach

if TYPE_CHECKING:
    from tuma_producer import ControlResult

IntentId = Annotated[str, typer.Argument(metavar="ID", help="The id that `tuma send` or `enqueue` returned.")]

_STOPPED = {"cancel": "cancelled", "pause": "paused", "resume": "in the line"}


def cancel(intent_id: IntentId, *, by: By = None, show_numbers: ShowNumbers = False, json: Json = False) -> None:
    """Withdraw what of an intent has not been handed to the provider. Exit status 1 where that is not all of it.

    Example: tuma cancel lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        result = store.producer.cancel(intent_id, by=who(by))
    _tell(result, show_numbers=show_numbers, json=json)


def pause(intent_id: IntentId, *, by: By = None, show_numbers: ShowNumbers = False, json: Json = False) -> None:
    """Hold back what of an intent has not been handed to the provider, until `tuma resume`.

    Example: tuma pause lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        result = store.producer.pause(intent_id, by=who(by))
    _tell(result, show_numbers=show_numbers, json=json)


def resume(intent_id: IntentId, *, by: By = None, show_numbers: ShowNumbers = False, json: Json = False) -> None:
    """Put a paused intent back into the line.

    Example: tuma resume lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        result = store.producer.resume(intent_id, by=who(by))
    _tell(result, show_numbers=show_numbers, json=json)


def _tell(result: ControlResult, *, show_numbers: bool, json: bool) -> None:
    if json:
        say_json(_as_json(result, show_numbers=show_numbers))
    elif result.outcome == "refused":
        say(f"{result.id}: {result.verb} refused: it is cancelled")
    else:
        say(f"{result.id}: {result.verb} {result.outcome}: {_in_words(result)}".removesuffix(": "))
    if result.outcome != "done":
        raise typer.Exit(NOT_AS_WISHED)


def _in_words(result: ControlResult) -> str:
    counts = {
        _STOPPED[result.verb]: len(result.stopped),
        "with the provider": len(result.with_provider),
        "ended before": len(result.ended),
    }
    facts = [f"{count} {what}" for what, count in counts.items() if count]
    facts += [f"fires next at {result.next_firing.isoformat()}"] if result.next_firing else []
    return ", ".join(facts)


def _as_json(result: ControlResult, *, show_numbers: bool) -> dict[str, Any]:
    whole = asdict(result)
    for name in ("stopped", "with_provider", "ended"):
        whole[name] = [number if show_numbers else mask(number) for number in whole[name]]
    return whole
