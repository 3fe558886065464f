"""The road of one provider call, the same for both: arrival, key, limits, armed faults, the stand-in's work, the answer."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tuma_worker.sandbox.faults import Cut, Fault, garbled
from tuma_worker.sandbox.ledger import Entry
from tuma_worker.sandbox.life import NORMAL, Manner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from tuma_worker.sandbox.life import Batch, Life
    from tuma_worker.sandbox.settings import Key, Limit
    from tuma_worker.sandbox.world import World

_REFUSED_FROM = 400


class Refused(Exception):
    """The stand-in's answer to a call that it does not accept."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(slots=True)
class Call:
    """One call on its way: who called, when it arrived (epoch seconds), what it said, how its receipts shall come."""

    world: World
    request: Request
    arrived_at: float
    key: Key | None = None
    body: object = None
    manner: Manner = NORMAL
    batch: Batch | None = None

    @property
    def label(self) -> str:
        """The ledger's name of the key (empty before it is known)."""
        return self.key.label if self.key else ""


class Provider(Protocol):
    """What the road asks of a stand-in."""

    name: str
    life: Life

    def authenticate(self, call: Call) -> Key:
        """The key of the call. Raises Refused."""

    def limits(self, world: World, bucket: str) -> tuple[Sequence[Limit], str, bool]:
        """The limits of a bucket, the kind of their windows, and whether refused calls count."""

    def limited(self, call: Call, retry_after: int) -> Response:
        """The answer to a call beyond a limit."""

    def in_time(self, call: Call) -> None:
        """A call that was within its limits."""

    def numbers(self, body: object) -> Sequence[str]:
        """The recipients that a body names, for faults that wait for a number."""

    def malformed(self) -> Response:
        """The answer to a body that is not JSON."""

    def trouble(self, kind: str, code: str = "") -> Response:
        """The answer with this code, or that belongs to an armed refusal (or `refuse_500` after acceptance)."""

    def headers(self, call: Call) -> Mapping[str, str]:
        """Headers of every authenticated answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint: its name in the ledger, the bucket it counts in, whether it has a body, and the work."""

    provider: Provider
    name: str
    bucket: str
    work: Callable[[Call], Response]
    fault_name: str = ""
    has_body: bool = False

    async def __call__(self, request: Request) -> Response:
        """Answer one call."""
        world: World = request.app.state.world
        call = Call(world, request, time.time())
        try:
            response = await self._answer(call)
        except Refused as refused:
            response = refused.response
        self._sign(call, response)
        await asyncio.sleep(world.settings.latency_ms / 1000)
        return response

    async def _answer(self, call: Call) -> Response:
        call.key = self.provider.authenticate(call)
        self._count(call)
        if call.world.faults.early(self.provider.name, self._fault_name):
            return Cut()
        call.body = await self._read(call.request)
        return await self._work(call)

    def _count(self, call: Call) -> None:
        """Count the call in its windows the moment it arrives."""
        limits, kind, count_refused = self.provider.limits(call.world, self.bucket)
        verdict = call.world.windows[self.provider.name].hit(
            call.label,
            self.bucket,
            limits,
            kind=kind,
            now=call.arrived_at,
            count_refused=count_refused,
        )
        if not verdict.allowed:
            call.world.ledger.violation()
            raise Refused(self.provider.limited(call, verdict.retry_after))
        self.provider.in_time(call)

    async def _read(self, request: Request) -> object:
        if not self.has_body:
            return None
        try:
            return _parsed(await request.body())
        except (ValueError, RecursionError) as error:
            raise Refused(self.provider.malformed()) from error

    async def _work(self, call: Call) -> Response:
        faults, name, numbers = call.world.faults, self.provider.name, self.provider.numbers(call.body)
        refusal = faults.refusal(name, self._fault_name, numbers)
        if refusal:
            return self._refusal(call, refusal)
        fault = faults.later(name, self._fault_name, numbers)
        call.manner = fault.manner if fault else NORMAL
        response = self.work(call)
        if fault is None or response.status_code >= _REFUSED_FROM:
            return response
        faults.spend(fault)
        return await self._spoil(call, fault, response)

    def _refusal(self, call: Call, fault: Fault) -> Response:
        if fault.kind == "reset_after_reading":
            return Cut()
        if fault.kind == "rate_limit":
            return self.provider.limited(call, fault.retry_after)
        return self.provider.trouble(fault.kind, fault.code)

    async def _spoil(self, call: Call, fault: Fault, response: Response) -> Response:
        """The send was accepted; now its answer suffers."""
        if fault.manner.receipts == "before_answer" and call.batch is not None:
            await _settled(call.batch, fault.seconds)
        if fault.kind == "accept_then_hang":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "accept_then_500":
            return self.provider.trouble("refuse_500")
        return garbled(fault, response)

    def _sign(self, call: Call, response: Response) -> None:
        if call.key is not None:
            response.headers.update(self.provider.headers(call))
        status = "reset" if isinstance(response, Cut) else str(response.status_code)
        call.world.ledger.request(self.provider.name, self.name, status)

    @property
    def _fault_name(self) -> str:
        return self.fault_name or self.name


def _parsed(body: bytes) -> object:
    """The JSON of a body. What could not be written into an answer again is none: NaN, infinities, halves of a surrogate pair."""
    parsed: object = json.loads(body, parse_constant=_no_json)
    if b"\\u" in body:
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


def _no_json(name: str) -> None:
    raise ValueError(name)


def accept(provider: Provider, call: Call, batch: Batch, *, run: bool = True) -> None:
    """Write an accepted send down and begin its life; without `run` only tell that it was taken."""
    batch.manner = call.manner
    if call.manner.loses_one:
        batch.recipients[-1].fate = "lost"
    call.batch = batch
    call.world.ledger.accepted(Entry(provider.name, call.arrived_at, batch))
    if run:
        provider.life.start(batch, call.world.settings, time.time())
    else:
        provider.life.announce(batch, call.world.settings)


def json_object(body: object) -> dict[str, object] | None:
    """The body, when it is an object."""
    return body if isinstance(body, dict) else None


async def _settled(batch: Batch, seconds: float) -> None:
    try:
        await asyncio.wait_for(batch.settled.wait(), seconds)
    except TimeoutError:
        return
