"""Dramatiq as its guide shows it: the stock Redis broker, and its window limiter around the call.

The back-off after a refusal is a quarter to two seconds; the default begins at fifteen and leaves more of the limit unused.
"""

from __future__ import annotations

from functools import partial

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import Retry
from dramatiq.rate_limits import WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend
from tests.bench.peers import work

broker = RedisBroker(url=work.URL)
dramatiq.set_broker(broker)
limiter = WindowRateLimiter(RedisBackend(url=work.URL), "provider", limit=work.LIMIT or 1, window=max(1, round(work.WINDOW)))


def _call(to: str, message: str) -> None:
    wait = work.post(to, message)
    if wait is not None:
        reason = "refused"
        raise Retry(reason, delay=round(wait * 1000))


@dramatiq.actor(max_retries=None, min_backoff=250, max_backoff=2000)
def send(to: str, message: str) -> None:
    """One call, within the limit where there is one."""
    work.started()
    if not work.LIMIT:
        _call(to, message)
        return
    with limiter.acquire():
        _call(to, message)


producing = partial(work.blocking, send.send)
