"""The gateway's routes beside the receipts'."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuma_producer.contract.connection import ANSWER_WITHIN, FAILURES
from tuma_worker.gateway.receiver import Receiver

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tuma_worker.receipts.intake import Intake


def build_app(intake: Intake, redis: Redis) -> ASGIApp:
    """The application that serves `intake` and says how it is."""

    async def alive(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await redis.ping()
        except (*FAILURES, TimeoutError):
            return JSONResponse({"status": 503, "detail": "no usable Redis"}, status_code=503)
        return JSONResponse({"status": "ready"})

    return Receiver(intake, Starlette(routes=[Route("/healthz", alive), Route("/readyz", ready)]))
