"""The trace that a send is part of: that of the span around it, where OpenTelemetry is installed and in use; or what is carried."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_producer.intents import Send

try:
    trace: Any = import_module("opentelemetry.trace")
except ImportError:  # an extra: tuma-producer[otel]
    trace = None

FIELD = "traceparent"  # of an intent's body, in the form that W3C gave it
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][13579bdf]")  # of a sampled one

_carried: ContextVar[str] = ContextVar("traceparent", default="")


def current() -> str:
    """The `traceparent` of the span that this code runs in; empty where there is none, or none that anybody keeps."""
    context = None if trace is None else trace.get_current_span().get_span_context()
    if context is None or not context.is_valid:
        return _carried.get()
    if not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


@contextmanager
def carrying(parent: str) -> Iterator[None]:
    """Let what is enqueued inside be part of the trace of this `traceparent`, in a process that keeps no spans itself."""
    token = _carried.set(parent if _FORM.fullmatch(parent) else "")
    try:
        yield
    finally:
        _carried.reset(token)


@contextmanager
def enqueueing(send: Send) -> Iterator[None]:
    """A span around the acceptance of a send, where this process has been set up to keep spans."""
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield
        return
    attributes = {"tuma.account": send.account, "tuma.priority": send.priority}
    with trace.get_tracer("tuma_producer").start_as_current_span(
        "tuma.enqueue", kind=trace.SpanKind.PRODUCER, attributes=attributes
    ):
        yield
