"""Logs: JSON lines on stderr, or readable ones on a terminal; one pipe for our events and for every library's.

Nothing leaves the pipe before `redact` has seen it, not even the text of an exception that nobody caught.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import structlog
from structlog.stdlib import ProcessorFormatter

from tuma_producer.contract.connection import REDIS_ERRORS

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

_log = structlog.get_logger(__name__)


class Event(StrEnum):
    """What happened, as the `event` of a line. Tests and alerts hold on to these names."""

    DELIVERY_SETTLED = "delivery.settled"
    DELIVERY_DEFERRED = "delivery.deferred"
    DELIVERY_EXPIRED = "delivery.expired"
    DELIVERY_RESOLVED = "delivery.resolved"
    DELIVERY_DEAD = "delivery.dead"
    DELIVERY_STRANDED = "delivery.stranded"
    DELIVERY_UNHEARD = "delivery.unheard"
    DELIVERY_POLLED = "delivery.polled"
    DELIVERY_CARRIED = "delivery.carried"
    DELIVERY_HANDED_BACK = "delivery.handed_back"
    CUSTODY_ABANDONED = "custody.abandoned"
    CUSTODY_ASKED = "custody.asked"
    CUSTODY_CONCLUDED = "custody.concluded"
    SCHEDULE_FIRED = "schedule.fired"
    SCHEDULE_NOT_FIRED = "schedule.not_fired"
    RECEIPTS_NOT_APPLIED = "receipts.not_applied"
    RECEIPT_APPLIED = "receipt.applied"
    RECEIPT_UNMATCHED = "receipt.unmatched"
    INBOUND_RECEIVED = "inbound.received"
    RECEIPT_REFUSED = "receipt.refused"
    ACCOUNT_HALTED = "account.halted"
    BREAKER_OPENED = "account.breaker_opened"
    ACCOUNT_PROBED = "account.probed"
    BULK_HELD = "account.bulk_held"
    BULK_RELEASED = "account.bulk_released"
    BALANCE_UNKNOWN = "balance.unknown"
    GATEWAY_STARTED = "gateway.started"
    GATEWAY_STOPPED = "gateway.stopped"
    EVENTS_INTERRUPTED = "events.interrupted"
    ACCOUNTS_NOT_REGISTERED = "accounts.not_registered"
    SWEEP_FAILED = "sweep.failed"
    POLL_FAILED = "poll.failed"
    MOVE_FAILED = "move.failed"
    GAUGE_FAILED = "gauge.failed"
    PUSH_FAILED = "push.failed"
    PUSH_NOT_TAKEN = "push.not_taken"
    SUBSCRIPTION_DISABLED = "subscription.disabled"
    UPKEEP_FAILED = "upkeep.failed"
    CONSUMERS_BEHIND = "consumers.behind"
    CALL_ABANDONED = "call.abandoned"
    LEASE_LOST = "lease.lost"
    LEASE_NOT_RENEWED = "lease.not_renewed"
    MESSAGE_GONE = "message.gone"
    CRASHED = "process.crashed"


# ----------------------------------------------------------------------------------------------------------- redaction

REDACTED = "[redacted]"
_SECRET_FIELDS = frozenset(
    {
        "api_key",
        "app_key",
        "authorization",
        "message",
        "password",
        "secret",
        "text",
        "to",
        "token",
        "webhook_password",
        "webhook_secret",
    },
)
# E.164 as people and URLs write it: plus (or its escape), country code, 8 to 15 digits in all, together or in groups.
_NUMBER = re.compile(r"(?:\+|%2B)(?P<digits>[1-9](?:\d{7,14}|(?:[ \u00a0-]?\d){7,14}))(?!\d)", re.IGNORECASE)
# The same fields inside a text: a JSON body or a repr that an exception quotes.
_QUOTED_FIELD = rf"(?P<name>\b(?:{'|'.join(sorted(_SECRET_FIELDS)).replace('_', '[_-]')})[\"']?\s*[:=]\s*)"
_QUOTED_TEXT = r"(?P<quote>[\"'])(?:\\.|(?!(?P=quote)).)*(?P=quote)"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(_QUOTED_FIELD + _QUOTED_TEXT, re.IGNORECASE | re.DOTALL), rf"\g<name>{REDACTED}"),
    (re.compile(r"\bsk_(test|live)_[\w-]+"), rf"sk_\1_{REDACTED}"),
    (re.compile(r"\btuma_[\w-]{43}"), f"tuma_{REDACTED}"),
    (re.compile(r"\b(Bearer)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\b(Basic)\s+[\w+/-]{8,}={0,2}"), rf"\1 {REDACTED}"),
    (re.compile(r"(/receipts/)[^\s\"'<>?#]+"), rf"\1{REDACTED}"),
    (re.compile(r"(://)[^\s\"'<>/]*@"), rf"\1{REDACTED}@"),
)


def mask_number(number: str) -> str:
    """Return a phone number as it may be shown: `+243…12`."""
    digits = re.sub(r"\D", "", number)
    return f"+{digits[:3]}…{digits[-2:]}"


# One of these stands in every text that any of the patterns above matches: most texts are done with after one look.
_SUSPECT = re.compile(rf"\+|%2B|://|sk_|tuma_|/receipts/|\b(?:bearer|basic)\s|{_QUOTED_FIELD}", re.IGNORECASE)


def _clean_text(text: str) -> str:
    if text.isalnum() or not _SUSPECT.search(text):  # the first asks less: ids and words are what a line has most of
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return _NUMBER.sub(lambda found: mask_number(found["digits"]), text)


def _clean(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _clean_text(value)
        case Mapping():
            return {_clean_text(str(key)): _clean_field(str(key), inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(item) for item in value]
        case _:
            return _clean_text(repr(value))


def _clean_field(name: str, value: object) -> object:
    return REDACTED if _is_secret(name) and value is not None else _clean(value)


@lru_cache(maxsize=256)  # lines have few names, and foreign ones may have any
def _is_secret(name: str) -> bool:
    return name.lower().replace("-", "_") in _SECRET_FIELDS


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take phone numbers, texts, keys and tokens out of a line, as a structlog processor.

    What stays is plain: strings, numbers, lists and tables; any other object is seen by its `repr`, cleaned.
    """
    return {name: _clean_field(name, value) for name, value in event.items()}


# --------------------------------------------------------------------------------------------------------------- pipes


class _Stderr(logging.Handler):
    """Standard error, whichever that is when a line is written: dramatiq's command line puts a pipe in its place.

    logging's own report of a line that cannot be formatted would show the line's arguments; ours shows where it stands.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - whatever an argument's own __str__ or a bad format raises
            line = f'{{"event": "log.unformattable", "level": "error", "logger": "{record.name}:{record.lineno}"}}'
        _write(line)


class _Line:
    """Where our own events end: what structlog calls a logger. `name` is the module's."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write(self, line: str) -> None:
        """Write one rendered event."""
        _write(line)

    debug = info = warning = error = critical = write


def _write(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # standard error itself may be closed or full: nowhere to say so
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def configure(level: str = "info", style: Literal["auto", "json", "console"] = "auto") -> None:
    """Send all logging of this process to stderr, from `level` up; `auto` is `console` on a terminal and `json` elsewhere.

    May be called again; it replaces what was there, also what dramatiq's and uvicorn's command lines have set up.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    handler = _Stderr()
    described: list[Processor] = [*_described(), structlog.stdlib.PositionalArgumentsFormatter()]
    rendered: list[Processor] = [ProcessorFormatter.remove_processors_meta, *_rendered(console=console)]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=described, processors=rendered))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    _let_through_the_root()
    structlog.configure(
        # Our own events do not go through logging, which would cost more than all the rest of their way.
        processors=[*_described(), *_rendered(console=console)],
        logger_factory=_Line,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,  # a logger used before `configure` must follow it
    )
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash


def _described() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendered(*, console: bool) -> list[Processor]:
    # After `redact` all is plain; and to make an encoder for each line takes as long as to use it.
    encode = json.JSONEncoder(ensure_ascii=False).encode
    renderer: Processor = structlog.processors.JSONRenderer(serializer=lambda event, **_: encode(event))
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    # The exception becomes text before it is redacted; a renderer that formats it itself would show it whole.
    return [structlog.processors.format_exc_info, redact, renderer]


def _let_through_the_root() -> None:
    """Take away handlers that libraries hung on their own loggers, which would write beside the pipe, and quieten httpx.

    httpx writes a line for each request; the attempt has one of its own.
    """
    for name in ("dramatiq", "uvicorn", "uvicorn.access", "uvicorn.error"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _log.critical(Event.CRASHED, exc_info=(kind, error, trace))


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None and not isinstance(crash.exc_value, SystemExit):
        _log.critical(Event.CRASHED, thread=getattr(crash.thread, "name", None), exc_info=crash.exc_value)


def complain(error: Exception, failed: Event, **where: str) -> None:
    """Log as `failed` what went wrong: what Redis said by its kind alone, a mistake of ours whole."""
    if isinstance(error, REDIS_ERRORS):
        _log.warning(failed, **where, error=type(error).__name__)
    else:
        _log.error(failed, **where, exc_info=error)
