"""Intents over HTTP: accepted one by one or as a stream of lines, looked at, and steered."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from tuma_producer import Producer, Send, TumaError, UnknownIntent
from tuma_producer.contract.wire import LANES
from tuma_worker.core.explain import facts, page
from tuma_worker.core.states import IntentState
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway import bodies
from tuma_worker.gateway.forms import JSON, LINES, encoded, line_of
from tuma_worker.gateway.problems import Kind, Problem, problem_of
from tuma_worker.store.listing import BEGINNING, Filter, Listing
from tuma_worker.store.owners import source_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import datetime

    from tuma_producer import ControlResult, Intent, Receipt
    from tuma_producer.results import Verb
    from tuma_worker.gateway.desk import Ask

KEY = "idempotency-key"
_LISTED, _LISTED_MOST = 50, 200  # intents that one page is to have at least: it has a few more
_FILTERS = ("source", "priority", "state", "since", "until")
LINES_MOST = 100_000  # of a batch: its results are held until it has been read

_AT_ONCE = 500  # lines that are accepted together

Numbered = tuple[int, bytes]


async def create(ask: Ask) -> Response:
    """Accept one intent: 201, or 200 where its idempotency key stands for it already."""
    receipt = await ask.producer.enqueue(read_send(ask, await bodies.read_object(ask.request), _key(ask)))
    status = 200 if receipt.duplicate else 201
    return encoded(receipt, status=status, headers={"Location": f"/v1/intents/{receipt.id}"})


def read_send(ask: Ask, fields: dict[str, Any], key: str | None) -> Send:
    """The send that a body describes, in the name of the token's source. Raises `Problem` and `InvalidSend`."""
    source = ask.token.source
    if fields.get("source") not in (None, source):
        raise Problem(Kind.WRONG_SOURCE, f"source: the token {ask.token.name} speaks for {source}; leave it out", field="source")
    if key is not None and fields.get("idempotency_key") not in (None, key):
        raise Problem(Kind.INVALID, "idempotency_key: is another one than the Idempotency-Key header's", field="idempotency_key")
    return Send(**fields | {"source": source} | ({} if key is None else {"idempotency_key": key}))


def _key(ask: Ask) -> str | None:
    """The `Idempotency-Key` header: a string in quotes, as its draft has it, or without them, as most write it."""
    given = ask.request.headers.get(KEY)
    key = given[1:-1] if given and len(given) > 1 and given[0] == given[-1] == '"' else given
    if key == "":  # as a shell writes a variable that nobody has set: with the numbers of lines it would be everybody's
        bodies.refuse("idempotency_key", "the Idempotency-Key header is empty; leave it out, or give a key")
    return key


async def list_some(ask: Ask) -> Response:
    """Intents of an account, a page at a time, in no order: those of the token's source, or of all for who may watch."""
    given = bodies.parameters(ask.request, "account", *_FILTERS, "limit", "cursor")
    if "account" not in given:
        bodies.refuse("account", "must be given: an account's intents are looked through")
    listing = Listing(ask.desk.store, await ask.known(given["account"]))
    wanted = _filter(ask, given)
    least, place = bodies.number(given, "limit", _LISTED, _LISTED_MOST), bodies.number(given, "cursor", BEGINNING, 2**64 - 1)
    found = await run_in_threadpool(listing.page, wanted, place, least)
    return encoded({"intents": [_outline(one) for one in found.intents], "next": found.following and str(found.following)})


def _filter(ask: Ask, given: Mapping[str, str]) -> Filter:
    own = None if Scope.WATCH in ask.token.rights else ask.token.source
    if own is not None and given.get("source", own) != own:
        raise Problem(Kind.WRONG_SOURCE, f"source: the token {ask.token.name} speaks for {own}; leave it out", field="source")
    for name, known in (("priority", LANES), ("state", tuple(IntentState))):
        if given.get(name, known[0]) not in known:
            bodies.refuse(name, f"must be one of {', '.join(known)}")
    first, last = (bodies.instant(given, name) for name in ("since", "until"))
    return Filter(given.get("source", own), given.get("priority"), given.get("state"), _milliseconds(first), _milliseconds(last))


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _outline(intent: Intent) -> dict[str, Any]:
    """An intent without its recipients and what was tried for them."""
    told = ("id", "state", "source", "priority", "accepted", "expires", "counts", "campaign_name")
    return {name: getattr(intent, name) for name in told}


async def get(ask: Ask) -> Response:
    """Where an intent stands."""
    found = await ask.producer.get(ask.named("intent_id"))
    _expect_visible(ask, found.id, found.source)
    return encoded(found)


async def explain(ask: Ask) -> Response:
    """Why it stands where it stands: a page for people, or the same for programs that ask for JSON."""
    told = await ask.producer.explain(ask.named("intent_id"))
    _expect_visible(ask, told.intent.id, told.intent.source)
    vary = {"Vary": "Accept"}
    if JSON in ask.request.headers.get("accept", ""):
        return encoded(facts(told), headers=vary)
    return PlainTextResponse(page(told), headers=vary)


async def cancel(ask: Ask) -> Response:
    """Withdraw what was not handed over."""
    return await _steer(ask, "cancel")


async def pause(ask: Ask) -> Response:
    """Hold back what was not handed over."""
    return await _steer(ask, "pause")


async def resume(ask: Ask) -> Response:
    """Put a paused intent back into the line."""
    return await _steer(ask, "resume")


async def _steer(ask: Ask, verb: Verb) -> Response:
    result = await steered(ask, ask.named("intent_id"), verb)
    return encoded(result, status=202 if result.outcome == "requested" else 200)


async def steered(ask: Ask, intent_id: str, verb: Verb) -> ControlResult:
    """What a verb comes to, in the name of the token. Raises `UnknownIntent`, also where it is none of the token's business."""
    await expect_steerable(ask, intent_id)
    result: ControlResult = await getattr(ask.producer, verb)(intent_id, by=ask.token.name)
    return result


async def expect_steerable(ask: Ask, intent_id: str) -> None:
    """Raise `UnknownIntent` where there is none, or it is none of the token's to do something about."""
    source = await source_of(ask.desk.redis, intent_id)
    if source is None or not ask.token.may_steer(source):
        raise UnknownIntent(intent_id)


def _expect_visible(ask: Ask, intent_id: str, source: str) -> None:
    if not ask.token.may_see(source):
        raise UnknownIntent(intent_id)


# ------------------------------------------------------------------------------------------------------------ as lines


async def create_batch(ask: Ask) -> Response:
    """Accept many intents, one a line, while the lines come in. Answered are as many lines, in their order.

    They are held back until the body has been read: whoever does not read before all is written, as most do, would wait for ever.
    """
    bodies.expect_type(ask.request, LINES)
    key = _key(ask)
    told = bytearray()
    number = 0
    try:
        async with aclosing(_chunks(ask)) as chunks:
            async for chunk in chunks:
                await asyncio.sleep(ask.desk.rates.pace(ask.token, len(chunk)))
                for (number, _), result in zip(chunk, await run_in_threadpool(_accepted, ask, key, chunk), strict=True):
                    told += line_of({"line": number} | result)
    except (Problem, TumaError) as error:
        problem = error if isinstance(error, Problem) else problem_of(error)
        if not told:
            raise problem from None
        # What was accepted stands, so the answer is about that; of the lines after it nothing is known.
        told += line_of({"line": number + 1, "problem": problem.told(), "stopped": True})
    return Response(bytes(told), media_type=LINES)


async def _chunks(ask: Ask) -> AsyncGenerator[list[Numbered], None]:
    """The lines that hold something, with their numbers, as many as are accepted together."""
    chunk: list[Numbered] = []
    try:
        async for numbered in _numbered(ask):
            chunk.append(numbered)
            if len(chunk) == _AT_ONCE:
                yield chunk
                chunk = []
    except Problem:
        if chunk:
            yield chunk  # what came before it is in order
        raise
    if chunk:
        yield chunk


async def _numbered(ask: Ask) -> AsyncGenerator[Numbered, None]:
    number = 0
    async for line in bodies.read_lines(ask.request):
        number += 1
        if number > LINES_MOST:
            raise Problem(Kind.TOO_LARGE, f"a batch has at most {LINES_MOST} lines")
        if line.strip():
            yield number, line


def _accepted(ask: Ask, key: str | None, chunk: list[Numbered]) -> list[dict[str, Any]]:
    """What became of each line: its receipt's members, or its problem.

    For a thread: on an event loop the same takes half as much CPU again, and there nobody else is served meanwhile.
    """
    read = [_read_line(ask, key, *line) for line in chunk]
    sends = [one for one in read if isinstance(one, Send)]
    receipts = Producer(ask.desk.store, source=ask.token.source).enqueue_many(sends, return_errors=True)
    return [_told(next(receipts) if isinstance(one, Send) else one) for one in read]


def _read_line(ask: Ask, key: str | None, number: int, line: bytes) -> Send | Problem:
    try:
        fields = bodies.parsed(line)
        own = key is None or fields.get("idempotency_key") is not None
        return read_send(ask, fields, None if own else f"{key}/{number}")
    except TumaError as error:
        return problem_of(error)
    except Problem as problem:
        return problem


def _told(result: Receipt | TumaError | Problem) -> dict[str, Any]:
    match result:
        case Problem():
            return {"problem": result.told()}
        case TumaError():
            return {"problem": problem_of(result).told()}
        case _:
            return {
                "id": result.id,
                "recipients": result.recipients,
                "segments": result.segments,
                "dropped": result.dropped,
                "duplicate": result.duplicate,
                "eta": result.eta,
            }
