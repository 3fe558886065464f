"""`tuma campaigns`: which campaigns there are, and how far one has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.contract.times import moment
from tuma_producer.errors import UnknownCampaign
from tuma_worker.cli.output import Json, count, progress, say, say_json, screen, table
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.core.states import in_words
from tuma_worker.store.campaigns import Campaigns, Tally

if TYPE_CHECKING:
    from tuma_worker.store.campaigns import CampaignStanding, Progress

_LISTED = 100  # of each account
_AT_ONCE = 5000  # intents counted between two steps of the bar

app = typer.Typer(invoke_without_command=True)


@app.callback()
def campaigns(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(help="Only this account's.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """List campaigns, of each account the hundred under whose name something arrived last. `show` counts one.

    Example: tuma campaigns --account lisoloo-main
    """
    if context.invoked_subcommand is not None:
        return
    with reach() as store:
        store.expect([account] if account else [])
        names = [account] if account else store.producer.accounts()
        found = {name: Campaigns(store.redis, name).latest(_LISTED) for name in names}
    if json:
        say_json([_outline(name, one) for name, (latest, _) in found.items() for one in latest])
        return
    rows = [(name, one.name, moment(one.at), _held(one)) for name, (latest, _) in found.items() for one in latest]
    screen().print(table(["account", "campaign", "last arrival (UTC)", "held"], rows))
    if more := sum(size - len(latest) for latest, size in found.values()):
        say(f"and {more} earlier ones")


def _outline(account: str, one: CampaignStanding) -> dict[str, Any]:
    about = {"account": account, "campaign": one.name, "last_arrival": moment(one.at)}
    return about | {"paused_by": one.paused, "cancelling_by": one.cancelling}


def _held(one: CampaignStanding) -> str | None:
    if one.cancelling is not None:
        return f"being cancelled by {one.cancelling}"
    return None if one.paused is None else f"paused by {one.paused}"


@app.command()
def show(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account that it was sent through.")],
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its name.")],
    *,
    json: Json = False,
) -> None:
    """Count how far a campaign has come: how many of its recipients are in which state.

    Example: tuma campaigns show lisoloo-main spring
    """
    with reach() as store:
        store.expect([account])
        found = Campaigns(store.redis, account).named(campaign)
        if found is None:
            raise UnknownCampaign(account, campaign)
        counted = _counted(store, account, campaign)
    if json:
        whole = {"intents": counted.intents, "schedules": counted.schedules, "counted": counted.counted, "counts": counted.states}
        say_json(_outline(account, found) | whole)
        return
    held = f", {_held(found)}" if _held(found) else ""
    say(f"{campaign}: {count(counted.intents, 'intent')}{held}: {in_words(counted.states)}")
    if counted.schedules:
        say(f"  {count(counted.schedules, 'schedule')} among them, whose occurrences are not counted here")


def _counted(store: Reach, account: str, campaign: str) -> Progress:
    """All of it, but for what arrives while it is counted."""
    tally, before = Tally(account, campaign), -1
    found = tally.read(store.redis, _AT_ONCE)
    with progress(lambda: campaign, found.intents, lambda: found.counted) as advance:
        while before < found.counted < found.intents:
            advance()
            before, found = found.counted, tally.read(store.redis, _AT_ONCE)
    return found
