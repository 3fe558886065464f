"""What providers send, whatever its bytes are: webhooks are read or refused, responses are answers, in time and within bounds."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.canned import PAYLOADS, TOLD, InventedAccount, call
from tests.contract.mutants import IN_HEADERS, WORSE, examples, mutants, swaps

from tuma_producer.contract.money import micros
from tuma_worker.core.answers import Accepted, AccountFault, Rejected, TryLater, Unknown
from tuma_worker.core.prices import charged
from tuma_worker.providers import PROVIDERS, named
from tuma_worker.providers.base import BadReceipt
from tuma_worker.providers.connections import Connections
from tuma_worker.providers.http import Http, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_747_735_200.0
ANSWERS = (Accepted, AccountFault, Rejected, TryLater, Unknown)


def _body(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload["response"]["body"] if "response" in payload else payload).encode()


RECORDED = {
    name: [(path.name, _body(json.loads(path.read_bytes()))) for path in sorted((PAYLOADS / name).glob("*.json"))]
    for name in PROVIDERS
}


# -------------------------------------------------------------------------------------------------------------------- receipts

WEBHOOKS = {name: [body for path, body in recorded if path.startswith("receipt-")] for name, recorded in RECORDED.items()}


@examples(30)
@given(data=st.data())
def test_a_webhook_is_read_or_refused(provider: str, data: st.DataObject) -> None:
    receipts = named(provider).receipts(InventedAccount("https://provider.example"))
    with suppress(BadReceipt):
        assert len(receipts.read(data.draw(mutants(WEBHOOKS[provider])))) == 1


def parts(value: object) -> int:
    """How many names and values a JSON value has."""
    match value:
        case dict():
            return len(value) + sum(map(parts, value.values()))
        case list():
            return sum(map(parts, value))
        case _:
            return 1


def test_each_name_and_value_has_its_turn(provider: str) -> None:
    for body in (WEBHOOKS[provider][0], BODIES[provider][0], json.dumps(TOLD).encode()):
        assert len(list(swaps(body))) == parts(json.loads(body)) * len(WORSE)


def test_each_value_of_a_webhook_may_be_anything(provider: str) -> None:
    receipts = named(provider).receipts(InventedAccount("https://provider.example"))
    for body in swaps(WEBHOOKS[provider][0]):
        with suppress(BadReceipt):
            assert len(receipts.read(body)) == 1


@examples(30)
@given(text=st.sampled_from(WORSE) | st.binary(max_size=40), body=st.binary(max_size=8))
def test_whoever_sends_a_webhook_is_known_or_not(provider: str, text: bytes, body: bytes) -> None:
    receipts = named(provider).receipts(InventedAccount("https://provider.example"))
    names = ("authorization", "x-lisoloo-signature", "x-lineserve-signature", "x-timestamp")
    headers = dict.fromkeys(names, text.decode("latin-1"))
    assert receipts.authentic(headers, body, NOW) is False
    assert receipts.forged(headers, body, NOW) is True


# ------------------------------------------------------------------------------------------------------------------- responses


def _response(body: bytes, *more: bytes) -> bytes:
    head = [b"HTTP/1.1 201 Created", b"Date: Tue, 20 May 2025 10:00:00 GMT", b"Content-Type: application/json", *more]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def _chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)


BODIES = {name: [body for path, body in recorded if not path.startswith("receipt-")] for name, recorded in RECORDED.items()}
WAITS = (
    b"Retry-After: 30",
    b"Retry-After: Tue, 20 May 2025 10:00:30 GMT",
    b"X-RateLimit-Remaining: 5\r\nX-RateLimit-Reset: 1747735260",
)
RESPONSES = {
    name: [
        *(_response(body, WAITS[place % len(WAITS)]).replace(b"201 Created", status) for place, body in enumerate(bodies)
          for status in (b"201 Created", b"429 Slow")),
        *map(_chunked, bodies),
        _response(gzip.compress(bodies[0]), b"Content-Encoding: gzip"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + _response(bodies[0]),
    ]
    for name, bodies in BODIES.items()
}  # fmt: skip


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[Http]:
    """The way out to a provider that does this on each connection, and reads nothing."""
    there = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Http(1) as http:

        def dial(_host: str, _port: int, seconds: float | None) -> socket.socket:
            here = socket.create_connection(listener.getsockname(), seconds)
            connection, _ = listener.accept()
            there.append(connection)
            answer(connection)
            return here

        http._direct = Connections(1, 60.0, dial)
        yield http
        for connection in there:
            connection.close()


def answer_to(provider: str, reply: bytes) -> object:
    """What the provider's client makes of a call that is answered by these bytes and the end of the connection."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)

    with answering(answer) as http:
        return named(provider).client(InventedAccount("http://provider.example"), http).send(call()).answer


def check(answer: object) -> None:
    """It is an answer, and what the message cost can be reckoned with and written down."""
    assert isinstance(answer, ANSWERS)
    if isinstance(answer, Accepted) and answer.cost is not None:
        charged(answer, recipients=1, segments=1)
        assert abs(int(micros(answer.cost))) < 2**63


@examples(40)
@given(data=st.data())
def test_a_response_is_an_answer_whatever_its_bytes_are(provider: str, data: st.DataObject) -> None:
    check(answer_to(provider, data.draw(mutants(RESPONSES[provider]))))


@pytest.mark.parametrize(
    ("cost", "read"),
    [
        (b"1e22", None),
        (b"9" * 30, None),
        (b"-1e22", None),
        (b"1e-400", Decimal("1e-400")),
        (b"1000000000000", Decimal(10**12)),
    ],
)
def test_a_cost_that_nobody_could_pay_is_none(provider: str, cost: bytes, read: Decimal | None) -> None:
    answer = answer_to(provider, _response(re.sub(rb'(?<="total_cost": )[^,}]+', cost, BODIES[provider][0])))
    check(answer)
    assert isinstance(answer, Accepted)
    assert answer.cost == read


def test_each_value_of_a_response_may_be_anything(provider: str) -> None:
    for body in swaps(BODIES[provider][0]):
        check(answer_to(provider, _response(body)))


def test_each_header_of_a_response_may_be_anything(provider: str) -> None:
    accepted, refused = RESPONSES[provider][0], RESPONSES[provider][3]
    assert b"May" in refused.partition(b"Retry-After")[2], "one that tells a date"
    for reply in itertools.chain(swaps(accepted, IN_HEADERS), swaps(refused, IN_HEADERS)):
        check(answer_to(provider, reply))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (CHUNKED + b"5\r\n01234\r\n0\r\n", b"X-More: of the same\r\n"),
        (CHUNKED + b"5;", b"an=extension;"),
        (CHUNKED, b"1\r\n0\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9999999\r\n\r\n", gzip.compress(b"")),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: of the same\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["trailers", "a chunk's extension", "chunks", "packed nothing", "headers", "words on the way"],
)
def test_a_response_without_end_is_given_up_when_the_call_must_be_over(head: bytes, again: bytes) -> None:
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(head)
            while not over.wait(0.01):
                connection.sendall(again)

    def answer(connection: socket.socket) -> None:
        threading.Thread(target=trickle, args=(connection,), daemon=True).start()

    threading.Timer(3.0, over.set).start()  # a reader that hangs is to fail, not to hang
    began = time.monotonic()
    with answering(answer) as http:
        found = post(http, "http://provider.example/", headers={}, body={}, timeout=0.3)
    over.set()
    assert isinstance(found, Unknown)
    assert time.monotonic() - began < 2
