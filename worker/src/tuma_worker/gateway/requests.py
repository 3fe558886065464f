"""Every request has an id: the caller's own, or a new one. It is in the answer, and in the log's lines about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker import tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = b"x-request-id"
_TRACE = b"traceparent"
_FIT = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Identified:
    """Names the requests of `app`; `name` makes a new name each time."""

    app: ASGIApp
    name: Callable[[], str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _given(scope) or self.name()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request=request_id),
            tracing.continuing(_header(scope, _TRACE).decode("latin-1")),
        ):
            await self.app(scope, receive, send_named)


def _given(scope: Scope) -> str | None:
    found = _header(scope, _HEADER)
    return found.decode() if _FIT.fullmatch(found) else None


def _header(scope: Scope, wanted: bytes) -> bytes:
    found: bytes = next((value for name, value in scope["headers"] if name == wanted), b"")
    return found


def request_id_of(request: Request) -> str:
    """The request's id."""
    return str(request.state.request_id)
