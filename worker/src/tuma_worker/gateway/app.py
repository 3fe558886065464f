"""The gateway's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuma_producer.contract.connection import FAILURES
from tuma_worker.logs import Event
from tuma_worker.receipts.intake import Verdict

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from starlette.requests import Request

    from tuma_worker.receipts.intake import Intake

_log = structlog.get_logger(__name__)

MAX_BODY = 64 * 1024  # bytes; a receipt of either provider has under two thousand

# Providers retry on 5xx alone, so only what a retry can mend may be answered with one.
_STATUS = {
    Verdict.TAKEN: 200,
    Verdict.UNAUTHENTIC: 401,
    Verdict.UNREADABLE: 400,
    Verdict.UNKNOWN: 404,
    Verdict.EARLY: 503,
}


def build_app(intake: Intake, redis: Redis) -> Starlette:
    """The application that serves `intake`."""

    async def receipt(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _problem(413, f"a receipt has at most {MAX_BODY} bytes")
        try:
            verdict = await _take(intake, request, body)
        except FAILURES as error:
            _log.error(Event.RECEIPT_REFUSED, reason="no usable Redis", error=type(error).__name__)
            return _problem(503, "not now; try again")
        return Response(status_code=200) if verdict is Verdict.TAKEN else _problem(_STATUS[verdict], verdict)

    async def alive(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            await redis.ping()
        except FAILURES:
            return _problem(503, "no usable Redis")
        return JSONResponse({"status": "ready"})

    return Starlette(
        routes=[
            Route("/receipts/{account}", receipt, methods=["POST"]),
            Route("/receipts/{account}/{ticket}", receipt, methods=["POST"]),
            Route("/healthz", alive),
            Route("/readyz", ready),
        ],
    )


async def _take(intake: Intake, request: Request, body: bytes) -> Verdict:
    account, ticket = request.path_params["account"], request.path_params.get("ticket")
    if ticket is None:
        return await intake.by_account(account, request.headers, body)
    return await intake.by_ticket(account, ticket, request.headers, body)


async def _body(request: Request) -> bytes | None:
    """The body, or None where it is longer than a receipt can be. Reads no further than that, whatever the length claims."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status_code=status)
