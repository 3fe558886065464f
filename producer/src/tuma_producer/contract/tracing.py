"""The trace that a send is part of, where OpenTelemetry is installed and in use; where it is not, none of this does anything."""

from __future__ import annotations

from contextlib import contextmanager
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


def current() -> str:
    """The `traceparent` of the span that this code runs in; empty where there is none, or none that anybody keeps."""
    if trace is None:
        return ""
    context = trace.get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


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
