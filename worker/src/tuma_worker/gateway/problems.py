"""What is wrong with a request, as RFC 9457 wants it told. One table says which error is which problem."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from tuma_producer.errors import (
    IdempotencyConflict,
    InvalidSend,
    NotEditable,
    OverBudget,
    StoreUnavailable,
    TumaError,
    UnknownAccount,
    UnknownCampaign,
    UnknownIntent,
    UnknownTemplate,
    WouldBeLate,
)
from tuma_worker.gateway.forms import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:tuma:problem:"


class Kind(Enum):
    """A kind of problem: the end of its type's URI, the status, and what is the same each time."""

    UNREADABLE = ("unreadable", 400, "The body cannot be read")
    NO_TOKEN = ("no-token", 401, "A token is needed that holds")
    NO_SCOPE = ("no-scope", 403, "The token may not do this")
    FOREIGN = ("foreign", 403, "This was asked for from another page")
    WRONG_SOURCE = ("wrong-source", 403, "The token speaks for another source")
    NOT_FOUND = ("not-found", 404, "There is nothing at this address")
    UNKNOWN_INTENT = ("unknown-intent", 404, "There is no such intent")
    UNKNOWN_CAMPAIGN = ("unknown-campaign", 404, "There is no such campaign")
    NO_ACCOUNT = ("no-account", 404, "There is no such account")
    NO_QUEUE = ("no-queue", 404, "There is no such queue")
    NO_LIMIT = ("no-limit", 404, "The account has no such limit")
    NO_SUBSCRIPTION = ("no-subscription", 404, "There is no such subscription")
    NO_SCHEDULE = ("no-schedule", 404, "There is no such schedule")
    METHOD = ("method-not-allowed", 405, "Not with this method")
    LATE = ("would-be-late", 409, "It would go after its deadline")
    NOT_EDITABLE = ("not-editable", 409, "The schedule cannot be changed any more")
    EXISTS = ("exists", 409, "There is one already")
    OVER_BUDGET = ("over-budget", 409, "The source would exceed its budget")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    MEDIA = ("media-type", 415, "The body is of another type than is read here")
    INVALID = ("invalid", 422, "A field breaks a rule")
    UNKNOWN_NAME = ("unknown-name", 422, "A field names what is not configured")
    # 422 for a key that stands for another body is what the IETF's draft on the Idempotency-Key header says.
    KEY_REUSED = ("idempotency-key-reused", 422, "The idempotency key stands for another send")
    TOO_FAST = ("too-fast", 429, "The token asks more often than it may")
    OURS = ("internal", 500, "Something went wrong on our side")
    BUSY = ("busy", 503, "There are too many at once")
    NO_STORE = ("store-unavailable", 503, "Redis cannot be used now")

    def __init__(self, kind: str, status: int, title: str) -> None:
        self.kind = kind
        self.status = status
        self.title = title


_KINDS: dict[type[TumaError], Kind] = {
    InvalidSend: Kind.INVALID,
    UnknownAccount: Kind.UNKNOWN_NAME,
    UnknownTemplate: Kind.UNKNOWN_NAME,
    UnknownIntent: Kind.UNKNOWN_INTENT,
    UnknownCampaign: Kind.UNKNOWN_CAMPAIGN,
    IdempotencyConflict: Kind.KEY_REUSED,
    NotEditable: Kind.NOT_EDITABLE,
    WouldBeLate: Kind.LATE,
    OverBudget: Kind.OVER_BUDGET,
    StoreUnavailable: Kind.NO_STORE,
}
_TOLD: dict[type[TumaError], tuple[str, ...]] = {  # whose members are called as the error calls them
    WouldBeLate: ("expected", "deadline"),
    OverBudget: ("source", "period", "unit", "most", "used", "wanted", "opens"),
}
_HEADERS = {
    Kind.NO_TOKEN: {"WWW-Authenticate": 'Bearer realm="tuma"'},
    Kind.NO_SCOPE: {"WWW-Authenticate": 'Bearer realm="tuma", error="insufficient_scope"'},
    Kind.NO_STORE: {"Retry-After": "1"},
    Kind.BUSY: {"Retry-After": "10"},
}


class Problem(Exception):
    """Ends a request. `more` are further members of what is told, such as the field that is meant."""

    def __init__(self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = {**_HEADERS.get(kind, {}), **(headers or {})}
        self.more = more

    def told(self) -> dict[str, Any]:
        """The problem's members."""
        plain = {"type": _TYPE + self.kind.kind, "title": self.kind.title, "status": self.kind.status, "detail": str(self)}
        return plain | self.more

    def response(self, request_id: str) -> Response:
        """The whole answer; `request_id` is the one under which the log knows of it."""
        told = self.told() | {"request_id": request_id}
        return encoded(told, status=self.kind.status, media_type=MEDIA_TYPE, headers=self.headers)


def problem_of(error: TumaError) -> Problem:
    """One of our errors as a problem. Its text shows no secret, number or message."""
    kind = next((_KINDS[one] for one in type(error).__mro__ if one in _KINDS), Kind.INVALID)
    return Problem(kind, str(error), **_members(error))


def _members(error: TumaError) -> dict[str, Any]:
    match error:
        case InvalidSend():
            return {"field": error.field, "rule": error.rule}
        case UnknownAccount():
            return {"field": "account"}
        case UnknownTemplate():
            return {"field": "template_id"}
        case IdempotencyConflict():
            return {"field": "idempotency_key", "intent": error.intent_id}
        case _:
            return {name: getattr(error, name) for name in _TOLD.get(type(error), ())}
