"""What the jobs of the Python peers do, and what they read from the environment. Runs in the peers' own environments."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

URL = os.environ["BENCH_URL"]
LIMIT = int(os.environ.get("LIMIT", "0"))  # calls in WINDOW seconds; 0: no limit
WINDOW = float(os.environ.get("WINDOW", "1"))
WORKERS = int(os.environ.get("WORKERS", "1"))  # worker processes that share the limit

_TARGET = os.environ["BENCH_HTTP"] + "/api/v1/lisoloo/sms-api/send"
_STARTS = os.environ.get("BENCH_STARTS")
_NOTES = os.environ.get("BENCH_NOTES")
_WORKER = os.environ.get("BENCH_WORKER", "")
_HEADERS = {"app-key": "sk_test_bench"}
_REFUSED = 429


def started() -> None:
    """Leave a byte where starts are counted: a job has been started, whatever becomes of it."""
    if _STARTS:
        with Path(_STARTS).open("ab", buffering=0) as file:
            file.write(b"x")


def _note(what: str, to: str) -> None:
    """Leave a line where calls are watched, which outlives this process: when (Unix seconds), who, what, to whom."""
    if _NOTES:
        with Path(_NOTES).open("ab", buffering=0) as file:
            file.write(f"{time.time():.6f} {_WORKER} {what} {to}\n".encode())


@cache
def _client() -> httpx.Client:
    """The client of this process."""
    return httpx.Client(timeout=30, headers=_HEADERS, limits=httpx.Limits(max_connections=64))


@cache
def _async_client() -> httpx.AsyncClient:
    """The client of this process's loop."""
    return httpx.AsyncClient(timeout=30, headers=_HEADERS, limits=httpx.Limits(max_connections=64))


def post(to: str, message: str) -> float | None:
    """Make the call. Seconds to wait where the provider refused; None where it accepted."""
    _note("began", to)
    wait = _wait_of(_client().post(_TARGET, json=_body(to, message)))
    _note("done", to)
    return wait


async def post_async(to: str, message: str) -> float | None:
    """Make the call; as `post`."""
    _note("began", to)
    wait = _wait_of(await _async_client().post(_TARGET, json=_body(to, message)))
    _note("done", to)
    return wait


def _body(to: str, message: str) -> dict[str, object]:
    """A send as our own worker makes it."""
    return {"to": [to], "message": message, "sender_id": "BENCH"}


def _wait_of(response: httpx.Response) -> float | None:
    if response.status_code == _REFUSED:
        return float(response.headers["retry-after"])
    response.raise_for_status()
    response.json()
    return None


@asynccontextmanager
async def blocking(enqueue: Callable[[str, str], object]) -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    """The enqueueing of a peer whose API blocks, awaited as the others' is."""

    async def put(to: str, message: str) -> None:
        enqueue(to, message)

    yield put
