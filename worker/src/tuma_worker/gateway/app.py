"""The gateway's application: the receipts' entrance before everything, then the probes, the API and the dashboard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuma_producer.contract.connection import ANSWER_WITHIN, REDIS_ERRORS
from tuma_worker.gateway import api, dashboard
from tuma_worker.gateway.receiver import Receiver
from tuma_worker.gateway.requests import Identified

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tuma_worker.gateway.desk import Desk
    from tuma_worker.receipts.intake import Intake


def build_app(intake: Intake, redis: Redis, desk: Desk) -> ASGIApp:
    """The application that serves `intake` and `desk` and says how it is."""

    async def alive(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await redis.ping()
        except (*REDIS_ERRORS, TimeoutError):
            return JSONResponse({"status": 503, "detail": "no usable Redis"}, status_code=503)
        return JSONResponse({"status": "ready"})

    probes = [Route("/healthz", alive), Route("/readyz", ready)]
    others = Starlette(
        routes=[*probes, *api.routes(desk), *dashboard.routes(desk)],
        exception_handlers={HTTPException: api.no_operation, Exception: api.mistake},
    )
    return Receiver(intake, Identified(others, desk.name))
