"""The API under `/v1`: which operations there are, what each may be asked by, and how every one of them is served."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_producer.errors import TumaError
from tuma_worker import metrics
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway import campaigns, dead, events, intents, operating, planning, schedules, subscriptions
from tuma_worker.gateway.desk import Ask
from tuma_worker.gateway.problems import Kind, Problem, problem_of
from tuma_worker.gateway.requests import request_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from tuma_worker.gateway.desk import Desk

    Serve = Callable[[Ask], Awaitable[Response]]

_INTENT = "/v1/intents/{intent_id}"
_SCHEDULE = "/v1/schedules/{intent_id}"
_SUBSCRIPTION = "/v1/subscriptions/{subscription}"
_ACCOUNT = "/v1/accounts/{account}"
_LIMIT = f"{_ACCOUNT}/limits/{{limit}}"
_CAMPAIGNS = f"{_ACCOUNT}/campaigns"
_CAMPAIGN = f"{_CAMPAIGNS}/{{campaign}}"
_QUEUE = "/v1/queues/{queue}"
_NO_CLIENT = 499  # nobody reads it


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for, and the scope that a token needs for it."""

    method: str
    path: str
    scope: Scope
    serve: Serve


OPERATIONS = (
    Operation("POST", "/v1/intents", Scope.SEND, intents.create),
    Operation("GET", "/v1/intents", Scope.READ, intents.list_some),
    Operation("POST", "/v1/intents/batch", Scope.SEND, intents.create_batch),
    Operation("GET", _INTENT, Scope.READ, intents.get),
    Operation("GET", f"{_INTENT}/explain", Scope.READ, intents.explain),
    Operation("POST", f"{_INTENT}/cancel", Scope.CONTROL, intents.cancel),
    Operation("POST", f"{_INTENT}/pause", Scope.CONTROL, intents.pause),
    Operation("POST", f"{_INTENT}/resume", Scope.CONTROL, intents.resume),
    Operation("POST", f"{_INTENT}/redrive", Scope.OPERATE, dead.redrive_intent),
    Operation("POST", f"{_INTENT}/drop", Scope.OPERATE, dead.drop_intent),
    Operation("GET", "/v1/events", Scope.READ, events.follow),
    Operation("POST", "/v1/estimate", Scope.SEND, planning.estimate),
    Operation("POST", "/v1/schedules/preview", Scope.SEND, planning.preview),
    Operation("GET", "/v1/schedules", Scope.READ, schedules.list_some),
    Operation("GET", _SCHEDULE, Scope.READ, schedules.get),
    Operation("PATCH", _SCHEDULE, Scope.CONTROL, schedules.edit),
    Operation("GET", "/v1/accounts", Scope.WATCH, operating.list_accounts),
    Operation("GET", _ACCOUNT, Scope.WATCH, operating.get_account),
    Operation("POST", f"{_ACCOUNT}/resume", Scope.OPERATE, operating.resume_account),
    Operation("PUT", _LIMIT, Scope.OPERATE, operating.set_limit),
    Operation("DELETE", _LIMIT, Scope.OPERATE, operating.unset_limit),
    Operation("GET", f"{_ACCOUNT}/dead", Scope.WATCH, dead.list_dead),
    Operation("POST", f"{_ACCOUNT}/dead/redrive", Scope.OPERATE, dead.redrive_account),
    Operation("POST", f"{_ACCOUNT}/dead/drop", Scope.OPERATE, dead.drop_account),
    Operation("GET", f"{_ACCOUNT}/suppressions", Scope.WATCH, operating.list_suppressions),
    Operation("POST", f"{_ACCOUNT}/suppressions", Scope.OPERATE, operating.suppress),
    Operation("POST", f"{_ACCOUNT}/suppressions/remove", Scope.OPERATE, operating.unsuppress),
    Operation("GET", _CAMPAIGNS, Scope.WATCH, campaigns.list_some),
    Operation("GET", _CAMPAIGN, Scope.WATCH, campaigns.get),
    Operation("POST", f"{_CAMPAIGN}/cancel", Scope.OPERATE, campaigns.cancel),
    Operation("POST", f"{_CAMPAIGN}/pause", Scope.OPERATE, campaigns.pause),
    Operation("POST", f"{_CAMPAIGN}/resume", Scope.OPERATE, campaigns.resume),
    Operation("GET", "/v1/subscriptions", Scope.WATCH, subscriptions.list_all),
    Operation("POST", "/v1/subscriptions", Scope.OPERATE, subscriptions.add),
    Operation("DELETE", _SUBSCRIPTION, Scope.OPERATE, subscriptions.remove),
    Operation("POST", f"{_SUBSCRIPTION}/rotate", Scope.OPERATE, subscriptions.rotate),
    Operation("POST", f"{_SUBSCRIPTION}/enable", Scope.OPERATE, subscriptions.enable),
    Operation("POST", f"{_SUBSCRIPTION}/replay", Scope.OPERATE, subscriptions.replay),
    Operation("GET", "/v1/audit", Scope.WATCH, operating.list_acts),
    Operation("GET", "/v1/queues", Scope.WATCH, operating.list_queues),
    Operation("GET", _QUEUE, Scope.WATCH, operating.get_queue),
    Operation("POST", f"{_QUEUE}/pause", Scope.OPERATE, operating.pause_queue),
    Operation("POST", f"{_QUEUE}/resume", Scope.OPERATE, operating.resume_queue),
)


def routes(desk: Desk) -> list[Route]:
    """The operations as routes, one for each path, and the description of all of them."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    # A campaign's name may hold anything, also what parts addresses.
    served = [
        Route(path.replace("{campaign}", "{campaign:path}"), _serving(desk, found), methods=list(found))
        for path, found in by_path.items()
    ]
    return [*served, Route("/v1/openapi.yaml", _described)]


def _serving(desk: Desk, operations: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        operation = operations["GET" if request.method == "HEAD" else request.method]
        status = Kind.OURS.status
        try:
            response = await _answer(desk, operation, request)
            status = response.status_code
        finally:
            metrics.api_asked(f"{operation.method} {operation.path}", status)
        return response

    return serve


async def _answer(desk: Desk, operation: Operation, request: Request) -> Response:
    """What the operation answers, or the problem with it."""
    try:
        token = await desk.access.token(request.headers.get("authorization", ""), operation.scope)
        desk.rates.admit(token)
        return await operation.serve(Ask(request, token, desk))
    except Problem as problem:
        return problem.response(request_id_of(request))
    except TumaError as error:
        return problem_of(error).response(request_id_of(request))
    except REDIS_ERRORS:
        detail = "whether it took effect is not known; repeat it with the same idempotency key"
        return Problem(Kind.NO_STORE, detail).response(request_id_of(request))
    except ClientDisconnect:
        return Response(status_code=_NO_CLIENT)


async def _described(_request: Request) -> Response:
    text = resources.files("tuma_worker.gateway").joinpath("openapi.yaml").read_text(encoding="utf-8")
    return Response(text, media_type="application/yaml")


async def no_operation(request: Request, error: Exception) -> Response:
    """What is answered where there is no such operation: an `HTTPException`."""
    if isinstance(error, HTTPException) and error.status_code == Kind.METHOD.status:
        problem = Problem(Kind.METHOD, "see /v1/openapi.yaml for what this address takes", headers=error.headers)
    else:
        problem = Problem(Kind.NOT_FOUND, "see /v1/openapi.yaml for what there is")
    return problem.response(request_id_of(request))


async def mistake(request: Request, _error: Exception) -> Response:
    """What is answered for a mistake of ours. What was raised goes on from here, into the log."""
    return Problem(Kind.OURS, "the log knows more, under this request_id").response(request_id_of(request))
