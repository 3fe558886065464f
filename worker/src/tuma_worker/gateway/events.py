"""Outcomes as server-sent events: each a CloudEvent, and with it an id from which a reader that comes back goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog
from starlette.responses import Response, StreamingResponse

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.contract.streams import is_part
from tuma_producer.errors import StoreUnavailable
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import line_of
from tuma_worker.gateway.problems import Kind, Problem
from tuma_worker.logs import Event
from tuma_worker.store.following import BEGINNING, Follower, end_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tuma_producer import Event as Outcome
    from tuma_worker.gateway.desk import Ask

_log = structlog.get_logger(__name__)

READERS_MOST = 200  # of one gateway: each holds a connection to Redis
_WAIT = 2.0  # seconds of one read: so long may a reader that has gone, or a gateway that is to end, go unnoticed
_PLACES = re.compile(r"[a-z0-9-]{1,32}=\d{1,19}-\d{1,19}(?:,[a-z0-9-]{1,32}=\d{1,19}-\d{1,19})*")
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def follow(ask: Ask) -> Response:
    """The events of the token's source, of all sources for who may watch, as they come; of all accounts or of one.

    A reader that shows the last id it saw goes on behind it, else it begins now, or with the oldest that is kept.
    """
    given = bodies.parameters(ask.request, "account", "from")
    if given.get("from", "now") not in {"now", "beginning"}:
        bodies.refuse("from", "must be now or beginning")
    chosen = await ask.known(given["account"]) if "account" in given else None
    names = [chosen] if chosen else await ask.producer.accounts()
    follower = Follower(ask.desk.redis, await _places(ask, names, given.get("from", "now")))
    if ask.desk.readers.count >= READERS_MOST:
        raise Problem(Kind.BUSY, f"this gateway has {READERS_MOST} readers of events already")
    if ask.request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPE, headers=_HEADERS)  # the other one has no end
    return StreamingResponse(_told(ask, follower, every=chosen is None), media_type=_MEDIA_TYPE, headers=_HEADERS)


async def _places(ask: Ask, names: Sequence[str], start: str) -> dict[str, str]:
    seen = _seen(ask.request.headers.get("last-event-id", ""))
    if start == "beginning":
        return {name: seen.get(name, BEGINNING) for name in names}
    # An account that is new since then is read from its first event.
    return {name: seen.get(name) or (BEGINNING if seen else await end_of(ask.desk.redis, name)) for name in names}


def _seen(last_event_id: str) -> dict[str, str]:
    if not last_event_id:
        return {}
    if not _PLACES.fullmatch(last_event_id):
        bodies.refuse("Last-Event-ID", "must be the id of an event that was read here")
    return dict(part.split("=") for part in last_event_id.split(","))


async def _told(ask: Ask, follower: Follower, *, every: bool) -> AsyncIterator[bytes]:
    readers = ask.desk.readers
    readers.count += 1
    try:
        yield b": tuma\n\n"
        while not readers.ending.is_set() and await _may_go_on(ask):
            if every:
                follower.meet(await ask.producer.accounts())
            shown = dict(follower.places)
            for event in await follower.read(_WAIT):
                shown[event.account] = event.id.partition("/")[2]
                if _concerns(ask, event):
                    yield _as_sent(event, shown)
            yield f"id: {_place(follower.places)}\n\n".encode()  # also without news: so a reader that has gone is noticed
    except (*REDIS_ERRORS, StoreUnavailable) as error:
        _log.warning(Event.EVENTS_INTERRUPTED, error=type(error).__name__)  # the reader comes back
    finally:
        readers.count -= 1


async def _may_go_on(ask: Ask) -> bool:
    """Whether the token still holds; a reader may stay for days."""
    try:
        await ask.desk.access.token(ask.request.headers["authorization"], Scope.READ)
    except (Problem, StoreUnavailable):
        return False
    return True


def _concerns(ask: Ask, event: Outcome) -> bool:
    """Whether it is any of the token's business. What happens to an account is everybody's."""
    return (event.source is None or ask.token.may_see(event.source)) and not is_part(event)


def _as_sent(event: Outcome, places: Mapping[str, str]) -> bytes:
    return f"event: {event.type}\nid: {_place(places)}\ndata: ".encode() + line_of(event.as_cloudevent()) + b"\n"


def _place(places: Mapping[str, str]) -> str:
    return ",".join(f"{name}={last}" for name, last in sorted(places.items()))
