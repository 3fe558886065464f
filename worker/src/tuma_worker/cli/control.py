"""`tuma cancel`, `tuma pause`, `tuma resume`: steering a single intent, or all of a campaign."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer import CampaignResult, TumaError
from tuma_producer.intents import mask
from tuma_worker.cli.output import NOT_AS_WISHED, Json, ShowNumbers, count, progress, say, say_json
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import Reach, reach

if TYPE_CHECKING:
    from tuma_producer import ControlResult
    from tuma_producer.results import Verb

IntentId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The id that `tuma send` or `enqueue` returned.", show_default=False)
]
Account = Annotated[str | None, typer.Option(help="With --campaign: the account that it was sent through.", show_default=False)]
Campaign = Annotated[str | None, typer.Option(help="All intents of this campaign instead of one.", show_default=False)]

_STOPPED = {"cancel": "cancelled", "pause": "paused", "resume": "in the line"}


def cancel(
    intent_id: IntentId = None,
    *,
    account: Account = None,
    campaign: Campaign = None,
    by: By = None,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Withdraw what of an intent, or of all of a campaign, was not handed to the provider. Exit status 1: that is not all of it.

    Example: tuma cancel lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e

    Example: tuma cancel --account lisoloo-main --campaign spring
    """
    _steer("cancel", _chosen(intent_id, account, campaign), by, show_numbers=show_numbers, json=json)


def pause(
    intent_id: IntentId = None,
    *,
    account: Account = None,
    campaign: Campaign = None,
    by: By = None,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Hold back what of an intent has not been handed to the provider, until `tuma resume`.

    Of a campaign also what arrives under its name while it is paused.

    Example: tuma pause lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e

    Example: tuma pause --account lisoloo-main --campaign spring
    """
    _steer("pause", _chosen(intent_id, account, campaign), by, show_numbers=show_numbers, json=json)


def resume(
    intent_id: IntentId = None,
    *,
    account: Account = None,
    campaign: Campaign = None,
    by: By = None,
    show_numbers: ShowNumbers = False,
    json: Json = False,
) -> None:
    """Put a paused intent, or all of a campaign, back into the line.

    Example: tuma resume lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e

    Example: tuma resume --account lisoloo-main --campaign spring
    """
    _steer("resume", _chosen(intent_id, account, campaign), by, show_numbers=show_numbers, json=json)


def _chosen(intent_id: str | None, account: str | None, campaign: str | None) -> str | tuple[str, str]:
    """An intent, or a campaign of an account."""
    if intent_id is not None and account is None and campaign is None:
        return intent_id
    if intent_id is None and account is not None and campaign is not None:
        return account, campaign
    message = "give either an ID, or --account and --campaign"
    raise TumaError(message)


def _steer(verb: Verb, chosen: str | tuple[str, str], by: str | None, *, show_numbers: bool, json: bool) -> None:
    with reach() as store:
        if isinstance(chosen, str):
            result = getattr(store.producer, verb)(chosen, by=who(by))
        else:
            result = _steer_campaign(store, verb, chosen, who(by))
    if isinstance(result, CampaignResult):
        _tell_of_campaign(result, json=json)
    else:
        _tell(result, show_numbers=show_numbers, json=json)
    if result.outcome not in {"done", "requested"}:
        raise typer.Exit(NOT_AS_WISHED)


def _steer_campaign(store: Reach, verb: Verb, chosen: tuple[str, str], by: str) -> CampaignResult:
    so_far = 0
    with progress(lambda: f"{verb}: {count(so_far, 'intent')}", None, lambda: so_far) as advance:

        def told(intents: int) -> None:
            nonlocal so_far
            so_far = intents
            advance()

        result: CampaignResult = getattr(store.producer, f"{verb}_campaign")(*chosen, by=by, progress=told)
    return result


def _tell_of_campaign(result: CampaignResult, *, json: bool) -> None:
    if json:
        say_json(asdict(result))
    else:
        facts = [count(result.intents, "intent"), *_counted(result.verb, result.stopped, result.with_provider, result.ended)]
        facts += [f"the provider is being asked about {count(result.requested, 'schedule')}"] if result.requested else []
        say(f"{result.campaign}: {result.verb} {result.outcome}: {', '.join(facts)}")


def _tell(result: ControlResult, *, show_numbers: bool, json: bool) -> None:
    if json:
        say_json(_as_json(result, show_numbers=show_numbers))
    elif result.outcome == "refused":
        why = "to be cancelled" if result.custody == "cancelling" else "cancelled"
        say(f"{result.id}: {result.verb} refused: it is {why}")
    else:
        say(f"{result.id}: {result.verb} {result.outcome}: {_in_words(result)}".removesuffix(": "))
        if result.advice:
            say(result.advice)


def _in_words(result: ControlResult) -> str:
    facts = _counted(result.verb, len(result.stopped), len(result.with_provider), len(result.ended))
    facts += [f"fires next at {result.next_firing.isoformat()}"] if result.next_firing else []
    facts += [f"{result.custody} at the provider"] if result.custody else []
    return ", ".join(facts)


def _counted(verb: Verb, stopped: int, with_provider: int, ended: int) -> list[str]:
    counts = {_STOPPED[verb]: stopped, "with the provider": with_provider, "ended before": ended}
    return [f"{number} {what}" for what, number in counts.items() if number]


def _as_json(result: ControlResult, *, show_numbers: bool) -> dict[str, Any]:
    whole = asdict(result)
    for name in ("stopped", "with_provider", "ended"):
        whole[name] = [number if show_numbers else mask(number) for number in whole[name]]
    return whole
