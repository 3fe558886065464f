"""The sandbox's routes: both providers, and what only tests and operators use under /_sandbox."""

from __future__ import annotations

import json
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuma_worker.sandbox import inbound, lisoloo, settings
from tuma_worker.sandbox.faults import FaultError
from tuma_worker.sandbox.inbound import InboundError
from tuma_worker.sandbox.lineserve import LineserveStandIn
from tuma_worker.sandbox.lineserve_rules import error
from tuma_worker.sandbox.lisoloo import LisolooStandIn
from tuma_worker.sandbox.lisoloo_errors import detail
from tuma_worker.sandbox.scenarios import SCENARIOS, UnknownScenario, named
from tuma_worker.sandbox.settings import SettingsError
from tuma_worker.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tuma_worker.sandbox.calls import Operation

LISOLOO_PATH = "/lisoloo/api/v1/lisoloo/sms-api"
LINESERVE_PATH = "/lineserve/v1"
_FAR = 10 * 366 * 86_400  # seconds


def create_app(settings: settings.Settings, cut: Callable[[tuple[str, int]], None]) -> Starlette:
    """Both providers as one application. `cut` closes the connection of a client address without an answer."""
    world = World(settings)
    lisoloo_, lineserve = LisolooStandIn(world), LineserveStandIn(world)
    control = _Control(world, lisoloo_, lineserve)
    app = Starlette(
        routes=[
            *_openapi("lisoloo", LISOLOO_PATH),
            *_openapi("lineserve", LINESERVE_PATH),
            *_routes(LISOLOO_PATH, lisoloo_.operations()),
            Route(f"{LISOLOO_PATH}/health", _health),
            *_routes(LINESERVE_PATH, lineserve.operations()),
            *control.routes(),
        ],
        exception_handlers={404: _unknown, 405: _unknown},
    )
    app.state.world = world
    app.state.cut = cut
    return app


def _routes(base: str, operations: list[tuple[str, str, Operation]]) -> list[Route]:
    return [Route(base + path, _endpoint(operation), methods=[method]) for method, path, operation in operations]


def _openapi(provider: str, base: str) -> list[Route]:
    """The description of a provider's API, where that provider would have it and at an address that is easy to remember."""
    text = resources.files("tuma_worker.sandbox").joinpath("openapi", f"{provider}.yaml").read_text(encoding="utf-8")

    async def openapi(_request: Request) -> Response:
        return Response(text, media_type="application/yaml")

    return [Route(f"{base}/openapi.yaml", openapi), Route(f"/{provider}/openapi.yaml", openapi)]


def _endpoint(operation: Operation) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        return await operation(request)

    return endpoint


async def _unknown(request: Request, problem: Exception) -> Response:
    """A path or method that is not imitated, in the words of whose it would be."""
    status = problem.status_code if isinstance(problem, HTTPException) else 404
    provider = request.url.path.split("/")[1]
    if provider in {"lisoloo", "lineserve"}:
        request.app.state.world.ledger.request(provider, "not imitated", str(status))
    return error("not_found", status=status) if provider == "lineserve" else detail(status, HTTPStatus(status).phrase)


async def _health(request: Request) -> Response:
    request.app.state.world.ledger.request("lisoloo", "GET /health", "200")
    return lisoloo.health()


class _Control:
    """The endpoints under /_sandbox."""

    def __init__(self, world: World, lisoloo_: LisolooStandIn, lineserve: LineserveStandIn) -> None:
        self._world = world
        self._stand_ins = (lisoloo_, lineserve)

    def routes(self) -> list[Route]:
        """Ledger, settings, faults and the clock."""
        return [
            Route("/_sandbox/ledger", self.ledger, methods=["GET"]),
            Route("/_sandbox/ledger", self.clear, methods=["DELETE"]),
            Route("/_sandbox/config", self.config, methods=["GET"]),
            Route("/_sandbox/config", self.change, methods=["POST"]),
            Route("/_sandbox/config", self.reset, methods=["DELETE"]),
            Route("/_sandbox/faults", self.faults, methods=["GET"]),
            Route("/_sandbox/faults", self.arm, methods=["POST"]),
            Route("/_sandbox/faults", self.disarm, methods=["DELETE"]),
            Route("/_sandbox/scenarios", self.scenarios, methods=["GET"]),
            Route("/_sandbox/scenarios", self.play, methods=["POST"]),
            Route("/_sandbox/clock", self.advance, methods=["POST"]),
            Route("/_sandbox/inbound", self.write, methods=["POST"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """The counts; `?detail=1` adds every accepted call."""
        counts = self._world.ledger.as_json(detail=request.query_params.get("detail", "") in {"1", "true"})
        return JSONResponse({**counts, "webhooks": self._world.office.tally.as_json()})

    async def clear(self, _request: Request) -> Response:
        """Forget calls, messages, windows, spending and waiting webhooks."""
        self._world.clear()
        for stand_in in self._stand_ins:
            stand_in.clear()
        return Response(status_code=204)

    async def advance(self, request: Request) -> Response:
        """Put the clock of schedules forward by `advance` seconds; answers what it shows then."""
        try:
            seconds = float(json.loads(await request.body())["advance"])
        except (ValueError, TypeError, KeyError):
            return JSONResponse({"error": 'expected {"advance": seconds}'}, 400)
        if not 0 <= seconds < _FAR:
            return JSONResponse({"error": "advance: a number of seconds from 0 to ten years"}, 400)
        self._world.clock.advance(seconds)
        return JSONResponse({"now": self._world.clock.now()})

    async def config(self, _request: Request) -> Response:
        """The settings of this moment."""
        return JSONResponse(settings.as_json(self._world.settings))

    async def change(self, request: Request) -> Response:
        """Merge a JSON object into the settings."""
        try:
            self._world.change(json.loads(await request.body()))
        except (SettingsError, json.JSONDecodeError) as problem:
            return JSONResponse({"error": str(problem)}, 400)
        return await self.config(request)

    async def reset(self, _request: Request) -> Response:
        """Back to the settings of the start."""
        self._world.reset()
        return Response(status_code=204)

    async def faults(self, _request: Request) -> Response:
        """What is armed."""
        return JSONResponse(self._world.faults.as_json())

    async def arm(self, request: Request) -> Response:
        """Arm one fault or a list of them."""
        try:
            self._world.faults.arm(json.loads(await request.body()))
        except (FaultError, json.JSONDecodeError) as problem:
            return JSONResponse({"error": str(problem)}, 400)
        return JSONResponse(self._world.faults.as_json(), 201)

    async def scenarios(self, _request: Request) -> Response:
        """Those there are."""
        return JSONResponse({name: scenario.summary for name, scenario in SCENARIOS.items()})

    async def play(self, request: Request) -> Response:
        """Change settings and arm faults as a scenario says: `name`, and perhaps `provider` and `count` of the fault."""
        try:
            wanted = json.loads(await request.body())
            scenario = named(wanted.get("name") if isinstance(wanted, dict) else None)
            if scenario.fault is not None:
                more = {name: wanted[name] for name in ("provider", "count") if name in wanted}
                self._world.faults.arm({**scenario.fault, **more})
            self._world.change(scenario.settings)
        except (UnknownScenario, FaultError, json.JSONDecodeError) as problem:
            return JSONResponse({"error": str(problem)}, 400)
        return JSONResponse({"name": wanted["name"], "summary": scenario.summary}, 201)

    async def write(self, request: Request) -> Response:
        """Let somebody write a message: it is told as the provider's webhooks are; answers how many are on their way."""
        try:
            provider, written = inbound.read(json.loads(await request.body()))
        except (InboundError, json.JSONDecodeError) as problem:
            return JSONResponse({"error": str(problem)}, 400)
        (stand_in,) = (one for one in self._stand_ins if one.name == provider)
        webhooks = stand_in.inbound_events(written) if stand_in.settings.inbound_event else []
        if not webhooks:
            return JSONResponse({"error": f"{provider} tells nobody: set its inbound_event, and a webhook that wants it"}, 400)
        for webhook in webhooks:
            self._world.office.post(webhook)
        return JSONResponse({"webhooks": len(webhooks)}, 201)

    async def disarm(self, _request: Request) -> Response:
        """Disarm all."""
        self._world.faults.clear()
        return Response(status_code=204)
