"""Lisoloo's error catalogue as a table, and the two shapes in which its documents show errors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import JSONResponse, Response


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: its code in the catalogue, and the fields it names as (path, text, symbol)."""

    code: str
    details: tuple[tuple[str, str, str], ...] = ()
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    message: str
    retryable: bool = False


CATALOGUE = {
    "1001": _Row(401, "Missing or invalid app-key"),
    "1002": _Row(401, "Missing or invalid app-key"),
    "1003": _Row(403, "This app-key is not allowed from this address"),
    "1004": _Row(403, "This app-key is suspended"),
    "1005": _Row(403, "This app-key has expired"),
    "1101": _Row(400, "Invalid recipients"),
    "1102": _Row(400, "Invalid message"),
    "1103": _Row(400, "Invalid sender id"),
    "1104": _Row(400, "Invalid phone number"),
    "1105": _Row(400, "Invalid sending type"),
    "1106": _Row(400, "Invalid scheduled date"),
    "1107": _Row(400, "Invalid recurring schedule"),
    "1108": _Row(400, "Invalid callback URL"),
    "1109": _Row(400, "Missing required field"),
    "1110": _Row(400, "Invalid field format"),
    "1201": _Row(400, "A business rule"),
    "1202": _Row(402, "Insufficient balance"),
    "1203": _Row(400, "Recipient limit exceeded"),
    "1204": _Row(400, "A business rule"),
    "1205": _Row(400, "A business rule"),
    "1301": _Row(429, "Rate limit exceeded", retryable=True),
    "1302": _Row(403, "Suspicious activity: the key is suspended for a while"),
    "1303": _Row(403, "A security rule"),
    "1304": _Row(403, "A security rule"),
    "1305": _Row(403, "A security rule"),
    "1401": _Row(500, "Internal server error"),
    "1402": _Row(503, "Service unavailable", retryable=True),
    "1403": _Row(500, "A system error"),
    "1404": _Row(500, "A system error"),
    "1405": _Row(500, "A system error"),
    "1501": _Row(502, "A carrier error"),
    "1502": _Row(502, "The carrier refused the message"),
    "1503": _Row(504, "The carrier did not answer in time"),
    "1504": _Row(502, "A carrier error"),
    "1505": _Row(502, "A carrier error"),
}
"""Every code of the documented ranges. Those that the documents do not name, and most statuses, are assumed."""


def problem_response(problem: Problem, error_format: str) -> Response:
    """The refusal as `error_format` wants it: `mixed` answers 1001 to 1005 in the `detail` shape, all else structured."""
    row = CATALOGUE[problem.code]
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if error_format == "detail" or (error_format == "mixed" and problem.code < "1100"):
        return detail(row.status, row.message, headers)
    return JSONResponse(_structured(problem, row), row.status, headers)


def detail(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """The web framework's shape."""
    return JSONResponse({"detail": text}, status, headers)


def _structured(problem: Problem, row: _Row) -> dict[str, object]:
    named = [{"field": field, "message": text, "code": symbol} for field, text, symbol in problem.details]
    return {
        "success": False,
        "status_code": row.status,
        "error_code": problem.code,
        "message": row.message,
        "details": named or None,
        "timestamp": datetime.now(UTC).isoformat(),
        "request_id": f"req_{os.urandom(8).hex()}",
        "retryable": row.retryable,
        "retry_after": problem.retry_after,
    }
