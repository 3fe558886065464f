"""What the jobs of the Python peers do, and what they read from the environment. Runs in the peers' own environment."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import httpx

URL = os.environ["BENCH_URL"]
STARTS = Path(os.environ["BENCH_STARTS"])
LIMIT = int(os.environ.get("LIMIT", "0"))  # calls in WINDOW seconds; 0: no limit
WINDOW = float(os.environ.get("WINDOW", "1"))

_TARGET = os.environ["BENCH_HTTP"] + "/send"
_REFUSED = 429


def started() -> None:
    """Leave a byte: a job has been started, whatever becomes of it."""
    with STARTS.open("ab", buffering=0) as file:
        file.write(b"x")


def body(key: str) -> dict[str, object]:
    """A send as our own worker makes it."""
    return {"to": ["+243990000001"], "message": key, "sender_id": "BENCH"}


@cache
def client() -> httpx.Client:
    """The client of this process."""
    return httpx.Client(timeout=30, limits=httpx.Limits(max_connections=64))


@cache
def async_client() -> httpx.AsyncClient:
    """The client of this process's loop."""
    return httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=64))


def wait_of(response: httpx.Response) -> float | None:
    """Seconds to wait where the provider refused; None where it accepted."""
    if response.status_code == _REFUSED:
        return float(response.headers["retry-after"])
    response.raise_for_status()
    return None


def post(key: str) -> float | None:
    """Make the call; see `wait_of`."""
    return wait_of(client().post(_TARGET, json=body(key)))


async def post_async(key: str) -> float | None:
    """Make the call; see `wait_of`."""
    return wait_of(await async_client().post(_TARGET, json=body(key)))
