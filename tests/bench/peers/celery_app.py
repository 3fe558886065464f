"""Celery as its guide shows it: `rate_limit` on the task, and a retry after a refusal.

The limit holds for one worker process and knows nothing of the others, so that it is divided by their number. A task is
acknowledged before it runs; with BENCH_LATE after it, and a lost worker's tasks go back.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from celery import Celery  # type: ignore[import-not-found] # only in the peers' environment
from tests.bench.peers import work

app = Celery("bench", broker=work.URL)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
if os.environ.get("BENCH_LATE"):
    app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)

_A_MINUTE = f"{work.LIMIT * 60 / work.WINDOW / work.WORKERS:g}/m" if work.LIMIT else None


@app.task(name="send", bind=True, max_retries=None, rate_limit=_A_MINUTE)  # type: ignore[untyped-decorator] # as above
def send(self: Any, to: str, message: str) -> None:  # noqa: ANN401 - Celery's task, which has no types here
    """One call, put back where it is refused."""
    work.started()
    wait = work.post(to, message)
    if wait is not None:
        raise self.retry(countdown=wait)


producing = partial(work.blocking, send.delay)
