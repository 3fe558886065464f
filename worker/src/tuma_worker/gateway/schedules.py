"""Schedules over HTTP: listed, looked at, and changed. They are intents, and are paused, resumed and cancelled as those."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from tuma_producer.schedules import read_schedule
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import encoded
from tuma_worker.gateway.intents import expect_steerable
from tuma_worker.gateway.problems import Kind, Problem
from tuma_worker.store.schedule_index import NOW, Place, ScheduleIndex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from tuma_producer import Intent
    from tuma_worker.gateway.desk import Ask

_PAGE, _MOST = 50, 200  # schedules on a page
_PLACE = re.compile(r"(\d{1,15})-([\w~-]{1,120})")


class _Changes(BaseModel):
    """What is to be different from its next firing on."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    message: str | None = None
    to: str | list[str] | None = Field(default=None)
    schedule: dict[str, Any] | None = None


async def list_some(ask: Ask) -> Response:
    """The schedules of an account, the last one first, a page at a time: of the token's source, or of all for who may watch."""
    given = bodies.parameters(ask.request, "account", "limit", "cursor")
    if "account" not in given:
        bodies.refuse("account", "must be given")
    index = ScheduleIndex(ask.desk.store, await ask.known(given["account"]))
    most = bodies.number(given, "limit", _PAGE, _MOST, least=1)
    found, following = await run_in_threadpool(index.page, _place(given), most)
    told = [_outline(one) for one in found if ask.token.may_see(one.source)]
    return encoded({"schedules": told, "next": following and f"{following.at}-{following.short_id}"})


def _place(given: Mapping[str, str]) -> Place:
    if "cursor" not in given:
        return NOW
    found = _PLACE.fullmatch(given["cursor"])
    if found is None:
        bodies.refuse("cursor", "must be the next of another page")
    return Place(int(found[1]), found[2])


def _outline(one: Intent) -> dict[str, Any]:
    """A schedule without its recipients and occurrences."""
    told = ("id", "state", "source", "priority", "accepted", "schedule", "next_firing", "fired", "custody", "campaign_name")
    return {name: getattr(one, name) for name in told}


async def get(ask: Ask) -> Response:
    """One schedule, with its occurrences."""
    found = await ask.producer.get(ask.named("intent_id"))
    if found.schedule is None or not ask.token.may_see(found.source):
        raise Problem(Kind.NO_SCHEDULE, "schedule: there is none of this id; see /v1/schedules")
    return encoded(found)


async def edit(ask: Ask) -> Response:
    """Change the text, the times or the recipients of a schedule, from its next firing on."""
    intent_id = ask.named("intent_id")
    given = await bodies.read_as(ask.request, _Changes)
    await expect_steerable(ask, intent_id)
    schedule = None if given.schedule is None else read_schedule(given.schedule)
    edited = await ask.producer.edit(intent_id, message=given.message, to=given.to, schedule=schedule, by=ask.token.name)
    return encoded(edited)
