"""RQ with its stock queue. It has no limiter."""

from __future__ import annotations

from functools import partial

from redis import Redis
from rq import Queue  # type: ignore[import-not-found] # only in the peers' environment
from tests.bench.peers import work

queue = Queue(connection=Redis.from_url(work.URL))


def send(to: str, message: str) -> None:
    """One call."""
    work.started()
    work.post(to, message)


def put_many(jobs: list[tuple[str, str]]) -> None:
    """Enqueue them by RQ's call for many."""
    queue.enqueue_many([Queue.prepare_data(send, job) for job in jobs])


producing = partial(work.blocking, partial(queue.enqueue, send))
