"""Campaigns over HTTP: which there are, how far one has come, and steering all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_producer.contract.times import moment
from tuma_producer.errors import UnknownCampaign
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import encoded
from tuma_worker.store.campaigns import Campaigns, Tally

if TYPE_CHECKING:
    from starlette.responses import Response

    from tuma_producer.results import Verb
    from tuma_worker.gateway.desk import Ask
    from tuma_worker.store.campaigns import CampaignStanding

_LISTED, _LISTED_MOST = 50, 200
_COUNTED_MOST = 20_000  # intents of a campaign that one look counts: receipts come to this process too


async def list_some(ask: Ask) -> Response:
    """The campaigns of an account under whose name something arrived last, the last one first; and how many there are in all."""
    most = bodies.number(bodies.parameters(ask.request, "limit"), "limit", _LISTED, _LISTED_MOST, least=1)
    latest, size = await run_in_threadpool(Campaigns(ask.desk.store, await ask.account()).latest, most)
    return encoded({"campaigns": [_outline(one) for one in latest], "size": size})


async def get(ask: Ask) -> Response:
    """How far one has come: how many of its recipients are in which state."""
    account, name = await ask.account(), ask.named("campaign")
    found = await run_in_threadpool(Campaigns(ask.desk.store, account).named, name)
    if found is None:
        raise UnknownCampaign(account, name)
    progress = await run_in_threadpool(Tally(account, name).read, ask.desk.store, _COUNTED_MOST)
    counts = {"intents": progress.intents, "schedules": progress.schedules, "counted": progress.counted, "counts": progress.states}
    return encoded(_outline(found) | counts)


def _outline(found: CampaignStanding) -> dict[str, Any]:
    return {
        "campaign": found.name, "last_arrival": moment(found.at), "paused_by": found.paused, "cancelling_by": found.cancelling,
    }  # fmt: skip


async def cancel(ask: Ask) -> Response:
    """Withdraw what was not handed over of all of a campaign."""
    return await _steer(ask, "cancel")


async def pause(ask: Ask) -> Response:
    """Hold back all of a campaign, and what arrives under its name."""
    return await _steer(ask, "pause")


async def resume(ask: Ask) -> Response:
    """Put all that is paused of a campaign back into the line."""
    return await _steer(ask, "resume")


async def _steer(ask: Ask, verb: Verb) -> Response:
    account = await ask.account()
    result = await getattr(ask.producer, f"{verb}_campaign")(account, ask.named("campaign"), by=ask.token.name)
    return encoded(result, status=202 if result.outcome == "requested" else 200)
