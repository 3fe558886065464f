"""The least that any queue on Redis can be: a blocking pop and the same POST that our worker makes.

It knows no limits, no records and no retries.

Run as a program: `python -m tests.bench.support.bare REDIS_URL PROVIDER_URL`. A job is its own key.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr
from redis import Redis

from tuma_worker.core.answers import Accepted
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.lisoloo.client import LisolooClient
from tuma_worker.providers.lisoloo.settings import LisolooSettings

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = "bare"


def _caller(provider_url: str) -> Callable[[str], None]:
    settings = LisolooSettings(provider_url, SecretStr("sk_test_bench"), "sandbox", 30.0, "BENCH")
    client = LisolooClient(settings, Http(max_connections=64))

    def call(key: str) -> None:
        reply = client.send(Call(numbers=["+243990000001"], message=key, sender_id="BENCH", reference=key, callback_url=None))
        if not isinstance(reply.answer, Accepted):
            message = f"the provider said {type(reply.answer).__name__}"
            raise TypeError(message)

    return call


def main() -> None:
    """Pop and call until ended."""
    redis = Redis.from_url(sys.argv[1], socket_timeout=None)
    call = _caller(sys.argv[2])
    redis.ping()
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    while True:
        _, key = cast("tuple[bytes, bytes]", redis.blpop([QUEUE], timeout=0))
        call(key.decode())


if __name__ == "__main__":
    main()
