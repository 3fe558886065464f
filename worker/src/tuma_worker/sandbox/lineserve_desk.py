"""The endpoints under /messaging of Lineserve's stand-in: from a call to what is kept, and back to an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from tuma_worker.sandbox.calls import Call, Operation, Provider, json_object
from tuma_worker.sandbox.lineserve_analytics import analytics
from tuma_worker.sandbox.lineserve_messaging import Complaint
from tuma_worker.sandbox.lineserve_rules import error

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_worker.sandbox.lineserve_history import History
    from tuma_worker.sandbox.lineserve_messaging import Messaging

_BASE = "/messaging"


@dataclass(frozen=True, slots=True)
class Desk:
    """Whoever answers for what is kept and for what was sent."""

    provider: Provider
    kept: Messaging
    history: History

    def operations(self) -> list[tuple[str, str, Operation]]:
        """Method, path below the base path, and work of every endpoint."""
        kept = self.kept
        return [
            self._listing("/sender-ids", "sender_ids", kept.senders),
            self._making("/sender-ids", kept.register),
            self._listing("/templates", "templates", kept.templates),
            self._making("/templates", kept.create_template),
            self._listing("/contacts/lists", "lists", kept.lists),
            self._making("/contacts/lists", kept.create_list),
            self._one("POST", "/contacts/lists/{list_id}/contacts", self._add_contacts),
            self._listing("/opt-outs", "opt_outs", kept.opt_outs),
            self._making("/opt-outs", kept.opt_out),
            self._making("/webhooks", lambda key, body, _now: kept.subscribe(key, body)),
            self._one("GET", "/analytics/delivery", self._analytics),
        ]

    def _listing(self, path: str, plural: str, found: Callable[[str], list[dict[str, Any]]]) -> tuple[str, str, Operation]:
        return self._one("GET", path, lambda call: JSONResponse({plural: found(call.label)}))

    def _making(self, path: str, make: Callable[[str, dict[str, Any], float], dict[str, Any]]) -> tuple[str, str, Operation]:
        return self._one("POST", path, lambda call: _created(call, make(call.label, _body(call), call.arrived_at)))

    def _one(self, method: str, path: str, work: Callable[[Call], Response]) -> tuple[str, str, Operation]:
        name = f"{method} {_BASE}{path}"
        return method, _BASE + path, Operation(self.provider, name, "requests", _complaining(work), "messaging", method == "POST")

    def _add_contacts(self, call: Call) -> Response:
        list_id = call.request.path_params["list_id"]
        added = self.kept.add_contacts(call.label, list_id, _body(call))
        return error("not_found", "list_id", list_id) if added is None else _created(call, added)

    def _analytics(self, call: Call) -> Response:
        lines, summary = analytics(self.history.all(call.label), call.request.query_params)
        return JSONResponse({"analytics": lines, "summary": summary})


def _complaining(work: Callable[[Call], Response]) -> Callable[[Call], Response]:
    def complaining(call: Call) -> Response:
        try:
            return work(call)
        except Complaint as problem:
            return complaint(problem)

    return complaining


def complaint(problem: Complaint) -> Response:
    """The error object that says what is wrong."""
    return error(problem.code, problem.field, problem.value)


def _body(call: Call) -> dict[str, Any]:
    return json_object(call.body) or {}


def _created(call: Call, made: dict[str, Any]) -> Response:
    return JSONResponse(made, call.world.settings.lineserve.created_status)
