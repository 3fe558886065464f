"""What the API writes: JSON, and lines of JSON."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
LINES = "application/x-ndjson"


def encoded(value: object, *, status: int = 200, media_type: str = JSON, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with this value as JSON: dataclasses as objects, instants as RFC 3339, amounts as text."""
    return Response(line_of(value), status, dict(headers or {}), media_type)


def line_of(value: object) -> bytes:
    """A value as one line of JSON, its end included."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case Decimal():
            return f"{value.normalize():f}"  # a number of JSON would be rounded by who reads it
        case BaseModel():
            return value.model_dump(mode="json", exclude_none=True)
        case _ if is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        case _:
            message = f"{type(value).__name__} has no form in JSON"
            raise TypeError(message)
