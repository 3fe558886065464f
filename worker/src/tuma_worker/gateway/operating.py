"""What belongs to no source: accounts, queues, suppression lists, the audit. For whoever operates."""

from __future__ import annotations

from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import LANES
from tuma_producer.intents import checked_source
from tuma_worker.core.limits import Limit
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import LINES, encoded, line_of
from tuma_worker.gateway.problems import Kind, Problem
from tuma_worker.queue.config import SEND
from tuma_worker.store import accounts, audit, line
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from datetime import datetime

    from starlette.responses import Response

    from tuma_worker.gateway.desk import Ask
    from tuma_worker.store.accounts import Standing
    from tuma_worker.store.funds import Money
    from tuma_worker.store.line import Line, Window


# ---------------------------------------------------------------------------------------------------------------- accounts


async def list_accounts(ask: Ask) -> Response:
    """How every account stands."""
    names = await ask.producer.accounts()
    found = await run_in_threadpool(lambda: [accounts.standing(ask.desk.store, name) for name in names])
    return encoded({"accounts": [_standing(one) for one in found]})


async def get_account(ask: Ask) -> Response:
    """How an account stands, with its queues, whose windows are its limits."""
    name = await ask.account()
    found = await run_in_threadpool(accounts.standing, ask.desk.store, name)
    return encoded(_standing(found) | {"queues": await run_in_threadpool(_lines, ask, name)})


async def resume_account(ask: Ask) -> Response:
    """Put an account to work again that is halted or whose breaker is open."""
    name = await ask.account()
    resumed = await run_in_threadpool(steering(ask, name, SEND).resume_account)
    return encoded({"account": name, "resumed": resumed})


class _Limit(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: str


async def set_limit(ask: Ask) -> Response:
    """Change a limit while the workers run, from the next claim on."""
    account, window = await ask.account(), await _window(ask)
    given = await bodies.read_as(ask.request, _Limit)
    try:
        limit = Limit.parse(given.limit, name=window.name)
    except ValueError as error:
        bodies.refuse("limit", str(error))
    if limit.counted != window.unit:
        bodies.refuse("limit", f"must count {window.unit}; what a limit counts cannot be changed")
    await run_in_threadpool(steering(ask, account, SEND).set_limit, limit)
    return encoded(await _window(ask))


async def unset_limit(ask: Ask) -> Response:
    """Go back to the limit as it is configured."""
    account, window = await ask.account(), await _window(ask)
    await run_in_threadpool(steering(ask, account, SEND).unset_limit, window.name)
    return encoded(await _window(ask))


async def _window(ask: Ask) -> Window:
    """The limit that the path names, as it stands. Raises `Problem`."""
    found = await run_in_threadpool(line.look, ask.desk.store, await ask.account())
    names = {window.name: window for window in found.windows}
    if ask.named("limit") not in names:
        raise Problem(Kind.NO_LIMIT, f"limit: there are {', '.join(names) or 'none'}", field="limit")
    return names[ask.named("limit")]


def _standing(found: Standing) -> dict[str, Any]:
    times = {"halted_at": _instant(found.halted_at), "probe_at": _instant(found.probe_at)}
    return _members(found) | {"in_flight": found.in_flight, "funds": found.funds and _funds(found.funds)} | times


def _funds(found: Money) -> dict[str, Any]:
    return _members(found) | {"read_at": _instant(found.read_at), "held_at": _instant(found.held_at)}


# ------------------------------------------------------------------------------------------------------------------ queues


async def list_queues(ask: Ask) -> Response:
    """Every queue: who waits since when, how full the windows are, and what stands in the way."""
    names = await ask.producer.accounts()
    return encoded({"queues": await run_in_threadpool(lambda: [one for name in names for one in _lines(ask, name)])})


async def get_queue(ask: Ask) -> Response:
    """One queue."""
    account, operation = await queue_named(ask, ask.named("queue"))
    return encoded(_line(await run_in_threadpool(line.look, ask.desk.store, account, operation)))


async def pause_queue(ask: Ask) -> Response:
    """Let no further call start: of all of it, or of one priority or source."""
    scope = scope_of(bodies.parameters(ask.request, "priority", "source"))
    account, operation = await queue_named(ask, ask.named("queue"))
    await run_in_threadpool(steering(ask, account, operation).pause, scope)
    return encoded({"queue": f"{account}.{operation}", "scope": str(scope), "paused": True, "changed": True})


async def resume_queue(ask: Ask) -> Response:
    """Let calls start again."""
    scope = scope_of(bodies.parameters(ask.request, "priority", "source"))
    account, operation = await queue_named(ask, ask.named("queue"))
    changed = await run_in_threadpool(steering(ask, account, operation).resume, scope)
    return encoded({"queue": f"{account}.{operation}", "scope": str(scope), "paused": False, "changed": changed})


async def queue_named(ask: Ask, name: str) -> tuple[str, str]:
    """The account and the operation of the queue of this name. Raises `Problem`."""
    account, _, operation = name.partition(".")
    known = await run_in_threadpool(line.operations, ask.desk.store, await ask.known(account))
    if operation not in known:
        names = ", ".join(f"{account}.{one}" for one in known)
        raise Problem(Kind.NO_QUEUE, f"queue: there are {names}", field="queue")
    return account, operation


def scope_of(given: Mapping[str, str]) -> Scope:
    """What a pause is to cover: all, or what `priority` or `source` names. Raises `Problem`."""
    if len(given) > 1:
        bodies.refuse("source", "cannot go with priority; give one of them")
    if given.get("priority", LANES[0]) not in LANES:
        bodies.refuse("priority", f"must be one of {', '.join(LANES)}")
    return Scope(given.get("priority"), checked_source(given["source"]) if "source" in given else None)


def _lines(ask: Ask, account: str) -> list[dict[str, Any]]:
    return [_line(line.look(ask.desk.store, account, one)) for one in line.operations(ask.desk.store, account)]


def _line(found: Line) -> dict[str, Any]:
    waiting = [_members(one) | {"oldest": _instant(one.oldest)} for one in found.waiting]
    times = {"now": _instant(found.now), "next_permit": _instant(found.next_permit)}
    return _members(found) | {"waiting": waiting, "holds": [hold.text for hold in found.holds]} | times


# -------------------------------------------------------------------------------------------------------- suppression lists


class _Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    numbers: list[str]


async def list_suppressions(ask: Ask) -> Response:
    """Whom the account must not call, a line for each, as many as there are."""
    account = await ask.account()
    return StreamingResponse(_suppressions(ask, account), media_type=LINES)


async def _suppressions(ask: Ask, account: str) -> AsyncIterator[bytes]:
    async for one in ask.producer.suppressions(account):
        yield line_of(one)


# Numbers stand in bodies: an address is written into logs on its way.
async def suppress(ask: Ask) -> Response:
    """Put numbers on the list."""
    account = await ask.account()
    given = await bodies.read_as(ask.request, _Numbers)
    return encoded({"account": account, "added": await ask.producer.suppress(account, given.numbers, by=ask.token.name)})


async def unsuppress(ask: Ask) -> Response:
    """Take numbers off the list."""
    account = await ask.account()
    given = await bodies.read_as(ask.request, _Numbers)
    return encoded({"account": account, "removed": await ask.producer.unsuppress(account, given.numbers, by=ask.token.name)})


# ------------------------------------------------------------------------------------------------------------------- audit

_ACTS_AT_ONCE = 500  # in one piece of an answer


async def list_acts(ask: Ask) -> Response:
    """Who steered what, a line for each, oldest first."""
    given = bodies.parameters(ask.request, "account", "since")
    names = [await ask.known(given["account"])] if "account" in given else [*await ask.producer.accounts(), None]
    found = audit.acts(ask.desk.store, names, bodies.instant(given, "since"))
    return StreamingResponse(_written(found), media_type=LINES)


def _written(found: Iterator[audit.Act]) -> Iterator[bytes]:
    while page := list(islice(found, _ACTS_AT_ONCE)):
        yield b"".join(map(line_of, page))


# --------------------------------------------------------------------------------------------------------------------------


def steering(ask: Ask, account: str, operation: str) -> Steering:
    """The steering of a queue, in the name of the token."""
    return Steering(ask.desk.store, account, operation, ask.token.name)


def _members(found: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: getattr(found, field.name) for field in fields(found)}


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)
