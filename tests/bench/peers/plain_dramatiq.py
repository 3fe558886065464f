"""Stock Dramatiq with one actor that makes our worker's POST with httpx, and nothing around it: no limiter, record or event."""

from __future__ import annotations

import os
import sys
from functools import cache

import dramatiq
import httpx
from dramatiq.brokers.redis import RedisBroker

TEXT = "Your parcel is ready at the counter of the main post office until Friday evening."

broker = RedisBroker(url=os.environ["BENCH_URL"])
dramatiq.set_broker(broker)


@cache
def _client() -> httpx.Client:
    return httpx.Client(timeout=30, limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))


@dramatiq.actor(max_retries=0)
def send(number: str) -> None:
    """One call."""
    body = {"to": [number], "message": TEXT, "sender_id": "BENCH"}
    response = _client().post(
        os.environ["BENCH_HTTP"] + "/api/v1/lisoloo/sms-api/send", json=body, headers={"app-key": "sk_test_bench"}
    )
    response.raise_for_status()
    response.json()


def fill(count: int) -> None:
    """Put so many jobs in the queue."""
    for place in range(count):
        send.send(f"+24399{place:07d}")


if __name__ == "__main__":
    fill(int(sys.argv[1]))
