"""What can be asked beforehand: what sends would come to, and when a schedule fires. Nothing is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from tuma_producer.schedules import read_schedule
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import encoded
from tuma_worker.gateway.intents import read_send

if TYPE_CHECKING:
    from starlette.responses import Response

    from tuma_worker.gateway.desk import Ask

_SENDS_MOST = 1000
_FIRINGS_MOST = 1000


class _Sends(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sends: list[dict[str, Any]] = Field(min_length=1, max_length=_SENDS_MOST)


class _Preview(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    schedule: dict[str, Any]
    after: AwareDatetime | None = None
    count: int = Field(default=10, ge=1, le=_FIRINGS_MOST)


async def estimate(ask: Ask) -> Response:
    """What these sends would come to together if they were enqueued now."""
    given = await bodies.read_as(ask.request, _Sends)
    sends = [read_send(ask, fields, None) for fields in given.sends]
    return encoded(await ask.producer.estimate(*sends))


async def preview(ask: Ask) -> Response:
    """When a schedule fires next, as far as `count` goes."""
    given = await bodies.read_as(ask.request, _Preview)
    after = given.after or datetime.fromtimestamp(ask.desk.clock(), UTC)
    schedule = read_schedule(given.schedule)
    # In a thread: it may be a while to the first of them.
    found = await run_in_threadpool(lambda: list(islice(schedule.firings(after), given.count)))
    return encoded({"firings": found})
