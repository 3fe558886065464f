"""Who is told of events over HTTP, steered over HTTP. A subscription's name here is its account's and its own id."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tuma_producer.contract.callbacks import subscription_of
from tuma_producer.contract.streams import begins_after
from tuma_producer.contract.times import moment
from tuma_producer.errors import TumaError
from tuma_producer.intents import checked_source, web_address
from tuma_worker.events import subscribing
from tuma_worker.events.places import beginning, entry
from tuma_worker.events.replaying import replay as replay_events
from tuma_worker.events.signing import new_secret
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import encoded
from tuma_worker.gateway.problems import Kind, Problem
from tuma_worker.store.feed import Feed
from tuma_worker.store.subscriptions import Key, Subscription, Subscriptions, UnknownSubscriptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_worker.gateway.desk import Ask

_NO_CONTENT = 204


class _New(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    account: str
    url: str | None = None
    source: str | None = None
    start: str = Field(default="now", alias="from")


class _Overlap(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    overlap: float = Field(default=86_400.0, ge=0, le=366 * 86_400.0)


class _Some(BaseModel):
    """What is to be told again: one event, or all from one place on, as far as another."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    event: str | None = None
    since: str | None = Field(default=None, alias="from")
    until: str | None = Field(default=None, alias="to")


async def list_all(ask: Ask) -> Response:
    """Everybody who is told, of one account or of all, without their secrets."""
    given = bodies.parameters(ask.request, "account")
    names = [await ask.known(given["account"])] if "account" in given else await ask.producer.accounts()
    found = [Subscriptions(ask.desk.store, name) for name in names]
    told = await run_in_threadpool(lambda: [_told(one, kept) for one in found for kept in one.all()])
    return encoded({"subscriptions": told})


async def add(ask: Ask) -> Response:
    """Tell somebody from now on, or from an earlier place. The secret is shown this once."""
    given = await bodies.read_as(ask.request, _New)
    found = Subscriptions(ask.desk.store, await ask.known(given.account))
    after = _checked("from", lambda: begins_after(beginning(given.start), given.account))
    url = None if given.url is None else _checked("url", lambda: web_address(str(given.url)))
    source = None if given.source is None else checked_source(given.source)
    one = await run_in_threadpool(_add, ask, found, url, source, after)
    return encoded(one, status=201, headers={"Location": f"/v1/subscriptions/{one['id']}"})


def _add(ask: Ask, found: Subscriptions, url: str | None, source: str | None, after: str) -> dict[str, Any]:
    secret = new_secret()
    its_id = subscription_of(source) if url is None else ask.desk.name()
    one = Subscription(its_id, source, url, (Key(secret),), found.now())
    if not found.add(one, after, by=ask.token.name):
        raise Problem(Kind.EXISTS, f"the account has the subscription {one.id} already; rotate it for a new secret")
    return _told(found, one) | {"secret": secret}


async def remove(ask: Ask) -> Response:
    """Tell somebody nothing more, and forget what they have been told."""
    found, its_id = await _named(ask)
    await _done(lambda: found.remove(its_id, by=ask.token.name))
    return Response(status_code=_NO_CONTENT)


async def rotate(ask: Ask) -> Response:
    """Sign with a new secret, and for a while with the old one beside it."""
    found, its_id = await _named(ask)
    overlap = (await bodies.read_as(ask.request, _Overlap)).overlap
    rotated, secret = await _done(lambda: subscribing.rotate(found, its_id, overlap, by=ask.token.name))
    return encoded(await run_in_threadpool(_told, found, rotated) | {"secret": secret})


async def enable(ask: Ask) -> Response:
    """Tell a subscriber again that was disabled."""
    found, its_id = await _named(ask)
    enabled = await _done(lambda: subscribing.enable(found, its_id, by=ask.token.name))
    return encoded(await run_in_threadpool(_told, found, enabled))


async def replay(ask: Ask) -> Response:
    """Tell a subscriber again what they have been told: one event, or all of some time."""
    found, its_id = await _named(ask)
    given = await bodies.read_as(ask.request, _Some)
    if (given.event is None) == (given.since is None) or (given.event is not None and given.until is not None):
        bodies.refuse("event", "give either an event, or from with or without to")
    first = _checked("from" if given.event is None else "event", lambda: entry(found.account, given.event or given.since or ""))
    last = first if given.event is not None else "+"
    if given.until is not None:
        last = _checked("to", lambda: entry(found.account, str(given.until)))
    done = await _done(lambda: replay_events(found, its_id, first, last, by=ask.token.name))
    return encoded(asdict(done) | {"left": done.left and f"{found.account}/{done.left}"})


# --------------------------------------------------------------------------------------------------------------- for each


async def _named(ask: Ask) -> tuple[Subscriptions, str]:
    """The subscriptions of the account that the path names, and the id of the one that is meant."""
    account, _, its_id = ask.named("subscription").partition(".")
    if account not in await ask.producer.accounts() or not its_id:
        raise Problem(Kind.NO_SUBSCRIPTION, "subscription: there is none of this name; see /v1/subscriptions")
    return Subscriptions(ask.desk.store, account), its_id


async def _done(act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the act comes to
    """Do it in a thread. Raises `Problem` where there is no such subscription."""
    try:
        return await run_in_threadpool(act)
    except UnknownSubscriptionError:
        raise Problem(Kind.NO_SUBSCRIPTION, "subscription: there is none of this name; see /v1/subscriptions") from None


def _checked(field: str, read: Callable[[], str]) -> str:
    """What a field says. Raises `Problem` that names it."""
    try:
        return read()
    except (TumaError, ValueError) as error:
        bodies.refuse(field, str(error).removeprefix("start: "))


def _told(found: Subscriptions, one: Subscription) -> dict[str, Any]:
    feed = Feed(found.redis, found.account, one)
    missed = feed.missed()
    return {
        "id": f"{found.account}.{one.id}", "account": found.account, "source": one.source, "url": one.url,
        "since": moment(one.created), "secrets": len(one.keys), "not_taken": feed.waiting(),
        "missed": missed.tries, "last_missed": moment(missed.since) if missed.tries else None, "disabled": one.disabled,
    }  # fmt: skip
