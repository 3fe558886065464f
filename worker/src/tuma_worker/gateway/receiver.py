"""The receipts' own entrance: plain ASGI, in front of everything else that the gateway serves.

Receipts come by the ten thousand, and a framework's routing, request and response cost nearly as much as all that is done about one
(docs/decisions/receipts-need-no-framework.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from tuma_producer.contract.connection import REDIS_ERRORS
from tuma_worker.core.checkup import GATEWAY_SAYS
from tuma_worker.logs import Event
from tuma_worker.receipts.intake import Reception, Webhook

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tuma_worker.receipts.intake import Intake

_log = structlog.get_logger(__name__)

PREFIX = "/receipts/"
MAX_BODY = 64 * 1024  # bytes; a receipt of either provider has under two thousand

# Providers retry on 5xx alone, so only what a retry can mend may be answered with one.
_ANSWERS: dict[Reception, tuple[int, str]] = {
    Reception.TAKEN: (200, ""),
    Reception.UNREADABLE: (400, "unreadable"),
    Reception.UNAUTHENTIC: (401, "unauthentic"),
    Reception.FORBIDDEN: (403, "not from this address"),
    Reception.UNKNOWN: (404, "unknown"),
    Reception.TOO_LARGE: (413, f"a receipt has at most {MAX_BODY} bytes"),
    Reception.BUSY: (503, "too many at once; try again"),
    Reception.NO_STORE: (503, "not now; try again"),
}
_METHOD_NOT_ALLOWED = (405, GATEWAY_SAYS)
_EXTRA = {405: (b"allow", b"POST"), 503: (b"retry-after", b"1")}  # the header that goes with a status


def _answer(status: int, detail: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both messages of an answer, made once."""
    body = json.dumps({"status": status, "detail": detail}).encode() if detail else b""
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    if extra := _EXTRA.get(status):
        headers.append(extra)
    start = {"type": "http.response.start", "status": status, "headers": headers if body else headers[:1]}
    return start, {"type": "http.response.body", "body": body}


_RESPONSES = {reception: _answer(*told) for reception, told in _ANSWERS.items()}
_NO_POST = _answer(*_METHOD_NOT_ALLOWED)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes `POST /receipts/<account>` and `POST /receipts/<account>/<ticket>`; everything else is `others`'."""

    intake: Intake
    others: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.others(scope, receive, send)
            return
        start, body = _NO_POST if scope["method"] != "POST" else _RESPONSES[await self._take(scope, receive)]
        await send(start)
        await send(body)

    async def _take(self, scope: Scope, receive: Receive) -> Reception:
        account, _, ticket = scope["path"].removeprefix(PREFIX).partition("/")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(headers, receive)
        if body is None:
            reception = Reception.TOO_LARGE
        else:
            webhook = Webhook(account, ticket or None, (scope["client"] or ("",))[0], headers, body)
            reception = await self._receive(webhook)
        self.intake.count(account, reception)
        return reception

    async def _receive(self, webhook: Webhook) -> Reception:
        try:
            return await self.intake.take(webhook)
        except (*REDIS_ERRORS, TimeoutError) as error:
            _log.error(Event.RECEIPT_REFUSED, reason="no usable Redis", error=type(error).__name__)
            return Reception.NO_STORE


async def _body(headers: dict[str, str], receive: Receive) -> bytes | None:
    """The body, or None where it is longer than a receipt can be. Reads no further than that, whatever the length claims."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        return None
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)
