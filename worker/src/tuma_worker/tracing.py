"""Spans of what becomes of a send, sent over OTLP: each where its event is written, from times that are known by then.

They are children of the span in which the send was enqueued, whose place is kept in its record: one trace from there to the end.
Without `TUMA_OTLP_ENDPOINT` nothing of OpenTelemetry is loaded here, and nobody is asked for anything.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tuma_producer.contract.tracing import carrying
from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_NS = 1_000_000_000
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


class Kind(StrEnum):
    """What a span is, in OpenTelemetry's words."""

    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"
    PRODUCER = "PRODUCER"
    SERVER = "SERVER"


@dataclass
class _Kept:
    """Where spans go; None: nowhere."""

    provider: TracerProvider | None = None


_kept = _Kept()


def check(endpoint: str | None) -> None:
    """Raise `TumaError` where spans are to go somewhere and OpenTelemetry is not installed."""
    if endpoint is not None and not _is_installed():
        message = "TUMA_OTLP_ENDPOINT: OpenTelemetry is not installed; install tuma-worker[otel], or leave the setting out"
        raise TumaError(message)


def _is_installed() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def configure(endpoint: str | None, service: str) -> None:
    """Send this process's spans to the collector at this address, in the name of a service. Raises `TumaError` as `check` does."""
    check(endpoint)
    if endpoint is None:
        return
    from opentelemetry import trace  # noqa: PLC0415 - an extra, and loaded only where it is wanted
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    _kept.provider = TracerProvider(resource=Resource.create({"service.name": service}))
    _kept.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(_kept.provider)  # for the producer that the gateway uses


def on() -> bool:
    """Whether anybody wants to know."""
    return _kept.provider is not None


def span(name: str, parent: str, kind: Kind, began: float, ended: float | None = None, **attributes: str | int | None) -> None:
    """Tell of something that took from `began` to `ended` (Unix seconds; None: now), as part of the trace of this `traceparent`."""
    if _kept.provider is None:
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - as above

    known = {f"tuma.{about}": value for about, value in attributes.items() if value is not None}
    tracer = _kept.provider.get_tracer("tuma_worker")
    one = tracer.start_span(name, _context(parent), SpanKind[kind], attributes=known, start_time=round(began * _NS))
    one.end(None if ended is None else round(max(began, ended) * _NS))


@contextmanager
def continuing(parent: str) -> Iterator[None]:
    """Let what is done inside be part of the trace of this `traceparent`; of none where it is empty."""
    if _kept.provider is None or not parent:
        with carrying(parent):
            yield
        return
    from opentelemetry import context  # noqa: PLC0415 - as above

    token = context.attach(_context(parent))
    try:
        yield
    finally:
        context.detach(token)


def _context(parent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - as above

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def flush() -> None:
    """Send what has not been sent yet: this process is about to end."""
    if _kept.provider is not None:
        _kept.provider.shutdown()
