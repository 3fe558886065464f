"""Bodies of requests, read no further than they may be long."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from tuma_producer.findings import first_finding
from tuma_worker.gateway.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

Model = TypeVar("Model", bound=BaseModel)

FORM_MOST = 16 * 1024  # bytes; ours are short
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


async def read_form(request: Request) -> dict[str, str]:
    """The body as a browser sends a form. Raises `Problem`."""
    expect_type(request, "application/x-www-form-urlencoded")
    body = bytearray()
    async for piece in _pieces(request, FORM_MOST):
        body += piece
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise Problem(Kind.UNREADABLE, "the body is no form that can be read") from None


async def read_as(request: Request, model: type[Model]) -> Model:
    """The body as this model has it. Raises `Problem` that names the field which breaks a rule."""
    fields = await read_object(request)
    try:
        return model(**fields)
    except ValidationError as error:
        raise _broken(*first_finding(error)) from None


def refuse(field: str, rule: str) -> NoReturn:
    """Raise `Problem` for a field, or a parameter, that breaks a rule."""
    raise _broken(field, rule)


def _broken(field: str, rule: str) -> Problem:
    return Problem(Kind.INVALID, f"{field}: {rule}", field=field, rule=rule)


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The query's parameters. Raises `Problem` for one that is not known, or is there twice: it was meant to change something."""
    given = request.query_params.multi_items()
    for name in dict(given):
        if name not in known:
            refuse(name, f"is no parameter; there are: {', '.join(known)}")
    if len(given) > len(dict(given)):
        refuse(given[-1][0], "must be given once")
    return dict(given)


def number(given: Mapping[str, str], name: str, default: int, most: int, *, least: int = 0) -> int:
    """The whole number that this parameter names. Raises `Problem`."""
    told = given.get(name, str(default))
    if not (told.isascii() and told.isdigit() and len(told) <= len(str(most)) and least <= int(told) <= most):
        refuse(name, f"must be a whole number from {least} to {most}")
    return int(told)


def instant(given: Mapping[str, str], name: str) -> datetime | None:
    """The instant that this parameter names, if it is given. Raises `Problem`."""
    if name not in given:
        return None
    try:
        moment = datetime.fromisoformat(given[name])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        refuse(name, "must be a time with its zone, such as 2026-12-01T08:00Z")
    return moment


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
