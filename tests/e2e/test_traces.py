"""A send is one trace, from whoever asked for it to the subscriber who was told of it, as an OTLP collector sees it."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from tests.support.api import client_of, new_token
from tests.support.cluster import until
from tests.support.houses import open_house
from tests.support.subscriber import open_subscriber

from tuma_producer import Send
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.records import BODY_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.support.houses import House
    from tests.support.servers import Server

NUMBERS = ["+243990000001", "+243990000002"]
SECRET_TEXT = "nobody but you should read this"


@dataclass
class Collector:
    """What processes have told, by trace."""

    url: str
    spans: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    bodies: list[bytes] = field(default_factory=list)

    def names(self, trace: str) -> set[str]:
        return {span.name for span in list(self.spans.get(trace, []))}

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.trace_id.hex()].append(span)


@contextmanager
def open_collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            made.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with open_collector() as found:
        yield found


@pytest.fixture(scope="module")
def house(server: Server, collector: Collector) -> Iterator[House]:
    with open_house(
        server, {"main": {"provider": "lisoloo"}},
        TUMA_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="50", TUMA_PUSH_NETWORKS="127.0.0.0/8",
    ) as found:  # fmt: skip
        yield found


def a_trace() -> tuple[str, str]:
    """Its id, and the `traceparent` of a span in it."""
    trace = secrets.token_hex(16)
    return trace, f"00-{trace}-{secrets.token_hex(8)}-01"


def test_one_trace_leads_from_the_request_to_the_subscriber_and_names_nobody(house: House, collector: Collector) -> None:
    trace, parent = a_trace()
    with open_subscriber() as subscriber:
        house.tuma("subscriptions", "add", "main", subscriber.url, "--source", "test")
        house.worker(threads=2)
        with client_of(house, new_token(house, "traced", "send")) as http:
            asked = {"account": "main", "to": NUMBERS, "message": SECRET_TEXT}
            intent = http.post("/v1/intents", json=asked, headers={"traceparent": parent}).json()["id"]
        house.done(intent)
        wanted = {"tuma.enqueue", "tuma.claim", "tuma.call", "tuma.receipt", "tuma.event"}
        until(lambda: collector.names(trace) == wanted, "all of its spans have come")
    spans = {span.name: span for span in collector.spans[trace]}
    enqueued = spans["tuma.enqueue"]
    assert enqueued.parent_span_id.hex() == parent.split("-")[2]
    assert {span.parent_span_id for name, span in spans.items() if name != "tuma.enqueue"} == {enqueued.span_id}
    order = [spans[name].start_time_unix_nano for name in ("tuma.enqueue", "tuma.claim", "tuma.call", "tuma.receipt")]
    assert order == sorted(order)
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in spans.values())
    (status,) = [about.value.int_value for about in spans["tuma.call"].attributes if about.key == "tuma.status"]
    assert status == 201
    everything = b"".join(collector.bodies)
    assert not [told for told in (*NUMBERS, SECRET_TEXT) if told.encode() in everything]


def test_what_is_part_of_no_trace_tells_nobody(house: House, collector: Collector) -> None:
    before = len(collector.spans)
    house.done(house.send("main", NUMBERS[0]))
    trace, _ = a_trace()
    with within(trace):
        house.send("main", NUMBERS[1])
    until(lambda: collector.names(trace) >= {"tuma.claim", "tuma.call", "tuma.receipt"}, "what came after it has been told")
    assert len(collector.spans) == before + 1


# -------------------------------------------------------------------------------------------------------- the producer's side


def record(redis: Redis, intent_id: str) -> bytes:
    account, _, short_id = intent_id.rpartition(".")
    fields: Any = redis.hgetall(AccountKeys(account).intent(short_id))
    return b"".join(fields[name.encode()] for name in BODY_FIELDS if name.encode() in fields)


@contextmanager
def within(trace: str, *, sampled: bool = True) -> Iterator[None]:
    """Inside, this code runs in a span of a trace."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    with use_span(NonRecordingSpan(SpanContext(int(trace, 16), 1, is_remote=False, trace_flags=flags))):
        yield


def test_a_send_is_kept_with_the_span_in_which_it_was_enqueued_and_its_key_stands_for_it_in_any_trace(house: House) -> None:
    def enqueue(key: str) -> tuple[str, bool]:
        receipt = house.producer.enqueue(
            Send(account="main", to=NUMBERS[0], message="hello", cancel_within=3600, idempotency_key=key)
        )
        return receipt.id, receipt.duplicate

    (first, _), (second, _) = a_trace(), a_trace()
    with within(first):
        intent, _ = enqueue("one")
    assert f'"traceparent":"00-{first}-0000000000000001-01"'.encode() in record(house.redis, intent)
    with within(second):
        assert enqueue("one") == (intent, True)
    with within(second, sampled=False):
        unkept, _ = enqueue("another")
    assert b"traceparent" not in record(house.redis, unkept)
    assert house.producer.cancel(intent).outcome == house.producer.cancel(unkept).outcome == "done"
