"""What is counted, for Prometheus: calls and answers, retries, halts, openings of the breaker.

prometheus_client decides at its import whether it counts for one process or for several, which share a folder then. So the command
that starts the workers names the folder in their environment (`exposed`), before any of them has imported anything.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

CODES = 100  # different codes that one process names; whatever comes after them is counted as `OTHER`
OTHER = "other"

_calls = Counter("tuma_calls", "Calls made to a provider, by what their answer meant.", ["account", "operation", "answer"])
_seconds = Histogram(
    "tuma_call_seconds", "How long a call took.", ["account"], buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
)
_recipients = Histogram(
    "tuma_call_recipients", "Recipients of a call.", ["account"], buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
)
# From an OTP that goes at once to a campaign that waits for the morning; from a phone in the hand to one that comes back tomorrow.
_waited = Histogram(
    "tuma_accept_to_call_seconds", "From acceptance to the first call, for each recipient.", ["account", "priority"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200),
)  # fmt: skip
_told = Histogram(
    "tuma_call_to_receipt_seconds", "From the call to the receipt of the end, for each recipient.", ["account", "priority"],
    buckets=(1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600, 86_400),
)  # fmt: skip
_unrecognised = Counter(
    "tuma_answers_unrecognised", "Answers that the provider's documents do not explain.", ["account", "status", "code"]
)
_retries = Counter("tuma_retries", "Recipients that went back into the line after a call.", ["account"])
_halts = Counter("tuma_account_halts", "Times that an account was halted.", ["account", "fault"])
_openings = Counter("tuma_breaker_openings", "Times that an account's breaker opened.", ["account"])

# Every worker reads the same from Redis: what was read last is true, whoever read it.
_SHARED: Final = "mostrecent"
_backlog = Gauge("tuma_backlog_seconds", "What the allowance needs for what waits.", ["account"], multiprocess_mode=_SHARED)
_slots = Gauge("tuma_useful_slots", "Calls in flight, over all workers, that would help.", ["account"], multiprocess_mode=_SHARED)
_bound = Gauge("tuma_provider_bound", "1 while the limits are what holds.", ["account"], multiprocess_mode=_SHARED)
_jobs_held = Gauge("tuma_jobs_held", "Jobs that wait, by what they wait for.", ["account", "cause"], multiprocess_mode=_SHARED)
_in_flight = Gauge("tuma_calls_in_flight", "Calls that hold a permit.", ["account"], multiprocess_mode=_SHARED)
_oldest = Gauge(
    "tuma_oldest_waiting_seconds", "For how long the oldest could have gone.", ["account", "priority"], multiprocess_mode=_SHARED
)
_dead = Gauge("tuma_dead_letters", "Dead letters that wait for somebody.", ["account"], multiprocess_mode=_SHARED)
_balance = Gauge("tuma_balance", "What is left of an account's money.", ["account", "currency"], multiprocess_mode=_SHARED)
_runway = Gauge("tuma_balance_runway_hours", "For how long it lasts, spent as before.", ["account"], multiprocess_mode=_SHARED)
_short = Gauge("tuma_bulk_held", "1 while bulk waits for the account's reserve.", ["account"], multiprocess_mode=_SHARED)
_used = Gauge("tuma_window_used_ratio", "How full a limit's window is.", ["account", "limit"], multiprocess_mode=_SHARED)
_reads = Gauge("tuma_account_readable", "1 while Redis tells how the account stands.", ["account"], multiprocess_mode=_SHARED)
_held = Gauge("tuma_account_standing", "1 while no call may start.", ["account", "hold"], multiprocess_mode=_SHARED)


# One worker looks after an account's records, and it alone knows: the others have nothing to show, or nothing any more.
_unanswered = Gauge(
    "tuma_recipients_unanswered", "Recipients of calls that ended without an answer.", ["account"], multiprocess_mode="max"
)
_oldest_unanswered = Gauge(
    "tuma_oldest_unanswered_seconds", "For how long the oldest of them has been without.", ["account"], multiprocess_mode="max"
)

_receipts = Counter("tuma_receipts", "Webhooks that came to the gateway, by what became of them.", ["account", "verdict"])
_asked = Counter("tuma_api_requests", "Requests of the gateway's API.", ["operation", "status"])
_applied = Counter("tuma_receipts_applied", "Receipts that were taken in and looked at, by what they were.", ["account", "outcome"])
_pushed = Counter("tuma_pushes", "Events that were to be told over HTTP, by what became of them.", ["account", "outcome"])
_polled = Counter("tuma_calls_polled", "Calls asked about since no receipt told of them in time.", ["account", "outcome"])


class Names:
    """Lets so many different names through, and calls every further one `other`. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = Lock()

    def bounded(self, name: str) -> str:
        """The name, if it was there before or there is room for it."""
        with self._lock:
            if name not in self._known and len(self._known) < self._most:
                self._known.add(name)
            return name if name in self._known else OTHER


_codes = Names(CODES)


_Metric = TypeVar("_Metric", Counter, Histogram)


@lru_cache(maxsize=4096)  # finding the child by its labels costs more than counting
def _child(metric: _Metric, *labels: str) -> _Metric:
    return metric.labels(*labels)


def called(account: str, operation: str, answer: str) -> None:
    """Count a call; `answer` is the word of the log for what it meant."""
    _child(_calls, account, operation, answer).inc()


def took(account: str, seconds: float, recipients: int) -> None:
    """Count how long a send's call took, and how many it was for."""
    _seconds.labels(account).observe(seconds)
    _recipients.labels(account).observe(recipients)


def waited(account: str, priority: str, seconds: Iterable[float]) -> None:
    """Count for how long recipients waited for their first call."""
    child = _child(_waited, account, priority)
    for one in seconds:
        child.observe(one)


def told(account: str, priority: str, seconds: Iterable[float]) -> None:
    """Count how long after the call receipts told of recipients' ends."""
    child = _child(_told, account, priority)
    for one in seconds:
        child.observe(one)


def unrecognised(account: str, status: int | None, code: str) -> None:
    """Count an answer that no table explains. `code` is a symbol that is safe to show, empty where there is none."""
    _child(_unrecognised, account, str(status or "none"), _codes.bounded(code or "none")).inc()


def retried(account: str, recipients: int) -> None:
    """Count recipients that go back into the line."""
    _child(_retries, account).inc(recipients)


def polled(account: str, *, told: bool) -> None:
    """Count a call that the provider was asked about, by whether that told anything new."""
    _child(_polled, account, "told" if told else "nothing-new").inc()


def halted(account: str, fault: str) -> None:
    """Count a halt."""
    _child(_halts, account, fault).inc()


def breaker_opened(account: str) -> None:
    """Count an opening of the breaker."""
    _child(_openings, account).inc()


def queue_seen(account: str, *, backlog: float, useful_slots: int, provider_bound: bool, in_flight: int) -> None:
    """Show how an account's sends stand, over all workers."""
    _backlog.labels(account).set(backlog)
    _slots.labels(account).set(useful_slots)
    _bound.labels(account).set(provider_bound)
    _in_flight.labels(account).set(in_flight)


def unanswered_seen(account: str, recipients: int, oldest: float) -> None:
    """Show how many recipients are in calls of which nobody knows the end, and for how many seconds the oldest has been."""
    _unanswered.labels(account).set(recipients)
    _oldest_unanswered.labels(account).set(oldest)


def funds_seen(account: str, left: float, currency: str, runway: float, *, short: bool) -> None:
    """Show what is left of an account's money, for how many hours that lasts, and whether bulk waits for the reserve."""
    _balance.labels(account, currency).set(left)
    _runway.labels(account).set(runway)
    _short.labels(account).set(short)


def readable(account: str, *, reads: bool) -> None:
    """Show whether what else is shown of an account is as fresh as it should be."""
    _reads.labels(account).set(reads)


def dead_seen(account: str, letters: int) -> None:
    """Show how many dead letters wait for somebody."""
    _dead.labels(account).set(letters)


def held_seen(account: str, cause: str, jobs: int) -> None:
    """Show how many jobs are held by a cause."""
    _jobs_held.labels(account, cause).set(jobs)


def lane_seen(account: str, priority: str, oldest: float) -> None:
    """Show for how many seconds the oldest of a priority could have gone."""
    _oldest.labels(account, priority).set(oldest)


def window_seen(account: str, limit: str, used: float) -> None:
    """Show which share of a limit counts now."""
    _used.labels(account, limit).set(used)


def standing_seen(account: str, hold: str, *, stands: bool) -> None:
    """Show whether an account stands still by this kind of hold: `halted`, `paused` or `breaker`."""
    _held.labels(account, hold).set(stands)


def receipt_came(account: str, verdict: str) -> None:
    """Count a webhook. `account` is one that is configured, or `OTHER`."""
    _child(_receipts, account, verdict).inc()


def api_asked(operation: str, status: int) -> None:
    """Count a request of the API. `operation` is one of those that there are, with its path as it is described."""
    _child(_asked, operation, str(status)).inc()


def receipts_applied(account: str, outcome: str, count: int) -> None:
    """Count receipts that were looked at."""
    _child(_applied, account, outcome).inc(count)


def pushed(account: str, outcome: str, count: int) -> None:
    """Count events that subscribers were to be told."""
    _child(_pushed, account, outcome).inc(count)


def exposed(host: str, port: int) -> dict[str, str]:
    """The environment in which Dramatiq's processes count together and show the sums at this address.

    Empties the folder that they share; what stood there was counted by processes that have ended. Raises `OSError` where the
    address cannot be listened on, because somebody else does or because it is not this machine's.
    """
    check_free(host, port)
    folder = Path(tempfile.gettempdir()) / f"tuma-metrics-{os.getuid()}-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return {
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "dramatiq_prom_db": str(folder),
        "dramatiq_prom_host": host,
        "dramatiq_prom_port": str(port),
    }


def check_free(host: str, port: int) -> None:
    """Raise `OSError` where this address cannot be listened on."""
    with socket.socket() as probe:  # as Dramatiq's server will: IPv4, and no matter what has only just been closed
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
