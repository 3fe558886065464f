"""Bodies of requests, read no further than they may be long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuma_worker.gateway.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

JSON_MOST = 1024 * 1024  # bytes; ten thousand recipients with their texts have under half of that
LINES_MOST = 64 * 1024 * 1024  # bytes of a batch


async def read_object(request: Request) -> dict[str, Any]:
    """The body, which must be one JSON object. Raises `Problem`."""
    expect_type(request, "application/json")
    body = bytearray()
    async for piece in _pieces(request, JSON_MOST):
        body += piece
    return parsed(bytes(body))


def parsed(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises `Problem`, which does not repeat the text."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise Problem(Kind.UNREADABLE, f"the body is not JSON (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise Problem(
            Kind.UNREADABLE, "the body is not JSON that can be read: not UTF-8, nested too deeply, or a number too long"
        ) from None
    if not isinstance(found, dict):
        raise Problem(Kind.UNREADABLE, "the body must be a JSON object")
    return found


async def read_lines(request: Request) -> AsyncIterator[bytes]:
    """The body's lines as they come. Raises `Problem` where one or all of them are too long."""
    rest = b""
    async for piece in _pieces(request, LINES_MOST):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield _checked(line)
        _checked(rest)
    yield rest


def _checked(line: bytes) -> bytes:
    if len(line) > JSON_MOST:
        raise Problem(Kind.TOO_LARGE, f"a line has at most {JSON_MOST} bytes")
    return line


def expect_type(request: Request, media_type: str) -> None:
    """Raise `Problem` where the request says that its body is of another type, or of none."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise Problem(Kind.MEDIA, f"send the body as {media_type}", headers={"Accept": media_type})


async def _pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    read = 0
    async for piece in request.stream():
        read += len(piece)
        if read > most:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> Problem:
    return Problem(Kind.TOO_LARGE, f"the body has at most {most} bytes")
