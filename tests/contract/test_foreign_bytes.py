"""Whatever strangers send is read or refused, as documented, in time and within bounds.

More of it, and new ones each time: TUMA_TEST_LONG=1 .venv/bin/pytest tests/contract/test_foreign_bytes.py
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.canned import PAYLOADS, InventedAccount, call
from tests.contract.mutants import IN_HEADERS, WORSE, examples, mutants, swaps

from tuma_producer.contract.money import micros
from tuma_producer.errors import TumaError
from tuma_worker.cli import asking, rows
from tuma_worker.core.answers import Accepted, AccountFault, Rejected, TryLater, Unknown
from tuma_worker.core.polling import Overdue, Silent
from tuma_worker.core.prices import charged
from tuma_worker.gateway.bodies import parsed
from tuma_worker.gateway.problems import Problem
from tuma_worker.providers import PROVIDERS, named
from tuma_worker.providers.base import BadReceipt
from tuma_worker.providers.connections import Connections
from tuma_worker.providers.http import Arrived, Http, post
from tuma_worker.providers.operations import NotDone
from tuma_worker.providers.reading import json_object
from tuma_worker.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuma_worker.providers.operations import Exchange
    from tuma_worker.providers.provider import Inquire

NOW = 1_747_735_200.0
ANSWERS = (Accepted, AccountFault, Rejected, TryLater, Unknown)


def _body(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload["response"]["body"] if "response" in payload else payload).encode()


RECORDED = {
    name: [(path.name, _body(json.loads(path.read_bytes()))) for path in sorted((PAYLOADS / name).glob("*.json"))]
    for name in PROVIDERS
}


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---------------------------------------------------------------------------------------------------------------- receipts

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


# --------------------------------------------------------------------------------------------------------------- responses


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


# ------------------------------------------------------------------------------------------------------------------- lists

SHEETS = (
    b'to,message,var:name\n+243990000001,Hello,Ada\n+243990000002,"Two\nlines, and a comma",Bob\n',
    b"\xef\xbb\xbfto;sender_id\r\n+243990000001;KITOKO\r\n",
    b"to\tpriority\n+243990000001\totp\n",
    b"to\n+243990000001\n\n\n",
)  # fmt: skip


def test_a_first_line_that_is_no_csv_is_told_what_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"to," + b"a" * 140_000)
    with pytest.raises(TumaError, match="the first line must name the columns"), rows.sheet(str(path)):
        pass


@examples(30)
@given(text=mutants(SHEETS))
def test_a_list_is_rows_bad_rows_or_one_clear_refusal(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text)
    for reading in (rows.sheet, rows.numbers_of):
        with suppress(TumaError), reading(str(path)) as listing:
            for row in listing.rows:
                assert row.line >= 1
                assert isinstance(row.cells, rows.BadRow) or set(row.cells) <= listing.columns


@pytest.mark.parametrize("first", [b'phone,"name\r', b"phone," + b"a" * 140_000], ids=["a lone quote", "a long one"])
def test_contacts_whose_first_line_is_no_csv_are_told_what_it_should_be(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(first)
    with pytest.raises(ValueError, match="the first line must name the columns"):
        asking._contacts(str(path))


@examples(30)
@given(text=mutants([b"phone,name\n+243990000001,A\n", *SHEETS]))
def test_contacts_are_rows_or_one_clear_refusal(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(text)
    with suppress(ValueError):
        assert all(one["phone"].startswith("+") for one in asking._contacts(str(path)))


# --------------------------------------------------------------------------------------------------------------- questions

_AT = "2025-05-20T10:00:00Z"
_MESSAGE = {
    "message_id": "m1", "to": "+243990000001", "from": "KITOKO", "status": "delivered", "cost": 1.5, "currency": "USD",
    "sent_at": _AT, "message": "Karibu", "delivery_report": {"status": "delivered", "network": "n", "error_code": "1"},
}  # fmt: skip
# All that the answers to any question of either provider are read for.
TOLD = {
    **_MESSAGE,
    "messages": [_MESSAGE],
    "meta": {"total": 1, "pages": 1, "page": 1},
    "campaigns": [{"campaign_id": "c1", "campaign_name": "n", "created_at": _AT, "total_messages": 3}],
    "sender_ids": [{"sender_id": "KITOKO", "status": "approved", "countries": ["CD"], "type": "alphanumeric"}],
    "templates": [{"template_id": "t", "name": "n", "content": "c", "variables": ["a"], "created_at": _AT}],
    "lists": [{"list_id": "l", "name": "n", "count": 1, "contacts": 3}],
    "opt_outs": [{"phone": "+243990000001", "created_at": _AT}],
    "analytics": [{"date": "2025-05-20", "total_messages": 1, "delivered": 1, "delivery_rate": 99.5, "total_cost": 1.2}],
    "summary": {"total_messages": 1, "average_delivery_rate": 99, "total_cost": 1},
    "webhook": {"id": "w", "url": "u", "events": ["sms.sent"], "secret": "s"},
    "data": {
        "message_id": "m1", "status": "delivered", "balance": 10.5, "sms_wallet_balance": 3, "currency": "USD", "unit_price": 0.02,
        "total_recipients": 2, "delivered": 1, "failed": 1, "pending": 0, "created_at": _AT,
    },
}  # fmt: skip
GIVEN: dict[str, Any] = {
    "message_id": "m1", "campaign_id": "c1", "list_id": "l", "to": "+243990000001", "template_id": "t", "variables": {},
    "sender_id": "KITOKO", "kind": "alphanumeric", "countries": ["CD"], "use_case": "x", "business_name": "b", "name": "n",
    "content": "c", "phone": "+243990000001", "url": "https://x.example", "contacts": [{"phone": "+243990000001"}],
}  # fmt: skip
OVERDUE = [
    Overdue("b1", "m1", 1_747_735_200_000, "Karibu", 2, {"+243990000001": Silent("i", "m1"), "+243990000002": Silent("i", "")}, {}),
    Overdue("b2", "m2", 1_747_735_200_000, "Karibu", 1, {"+243990000001": Silent("i", "m1")}, {}),
]


def questions(provider: str) -> Iterator[Callable[[Exchange], object]]:
    """All that is ever asked of the provider."""
    found = named(provider)
    for operation in found.operations:
        given = {one.name: GIVEN[one.name] for one in operation.parameters if one.required or one.name == "variables"}
        yield partial(operation.do, **given)
    if found.ask_balance:
        yield found.ask_balance
    if found.opt_outs:
        yield found.opt_outs.read
    if found.inquire:
        yield partial(_inquire, found.inquire)


def _inquire(inquire: Inquire, exchange: Exchange) -> object:
    return inquire(exchange, OVERDUE)


def _answered(arrived: Arrived) -> Exchange:
    return lambda _: arrived


def test_each_value_of_an_answer_to_a_question_may_be_anything(provider: str) -> None:
    asked = list(questions(provider))
    headers = httpx.Headers({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1747735260"})
    for body in swaps(json.dumps(TOLD).encode()):
        arrived = Arrived(200, headers, json_object(body) or {})
        for ask in asked:
            with suppress(NotDone):
                told = ask(_answered(arrived))
                if isinstance(told, Iterator):
                    list(itertools.islice(told, 5))


# ---------------------------------------------------------------------------------------------------------------- settings

OBJECTS = (
    b'{"a": {"provider": "lisoloo", "api_key": "k", "limits": ["30/min"], "floors": {"otp": 0.1}, "batch_max": 5}}',
    b'{"a": {"provider": "lineserve", "api_key": "k", "quiet": {"hours": "22:00-06:00", "action": "wait"}, "reserve": "5 KES"}}',
    b"[accounts.a]\nprovider = 'lisoloo'\napi_key = 'k'\nlimits = ['30/min']\n[routes.r]\n'*' = ['a']\n",
    b'{"r": {"+243": ["a"], "*": ["b"]}}',
    b"30 calls/60s, 100/h",
    b"https://provider.example",
    b"22:00-06:00",
    b"7",
)
VARIABLES = (
    "TUMA_ACCOUNTS",
    "TUMA_ROUTES",
    "TUMA_ACCOUNTS__A",
    *(
        f"TUMA_ACCOUNTS__A__{field}"
        for field in ("PROVIDER", "API_KEY", "BASE_URL", "LIMITS", "FLOORS", "FLOORS__OTP", "QUIET", "QUIET__HOURS", "RESERVE",
                      "TIMEOUT", "COUNTRIES", "TIMEZONE", "")
    ),
    "TUMA_REDIS_URL",
    "TUMA_PUBLIC_URL",
    "TUMA_PUSH_NETWORKS",
    "TUMA_SWEEP_EVERY",
)  # fmt: skip
COUNTER = itertools.count()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}"], ids=["nested", "a number"])
def test_settings_that_no_reader_can_hold_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for variable in ("TUMA_ACCOUNTS", "TUMA_ROUTES"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, text)
            with pytest.raises(SettingsError, match=rf"^{variable}: is not JSON that can be read"):
                load_settings()
    path = tmp_path / "tuma.toml"
    path.write_text(f"a = {text}", encoding="utf-8")
    monkeypatch.setenv("TUMA_CONFIG_FILE", str(path))
    with pytest.raises(SettingsError, match=r"tuma\.toml: is not TOML"):
        load_settings()


@examples(20)
@given(
    said=st.dictionaries(st.sampled_from(VARIABLES), mutants(OBJECTS), min_size=1, max_size=4), file=st.none() | mutants(OBJECTS)
)
def test_settings_are_taken_or_refused_with_the_place_of_the_mistake(
    tmp_path: Path, said: dict[str, bytes], file: bytes | None
) -> None:
    environ = {name: os.fsdecode(text.replace(b"\x00", b"")[:100_000]) for name, text in said.items()}
    if file is not None:
        path = tmp_path / f"{next(COUNTER)}.toml"
        path.write_bytes(file)
        environ["TUMA_CONFIG_FILE"] = str(path)
    with mock.patch.dict(os.environ, environ):
        try:
            told = repr(load_settings())
        except SettingsError as error:
            told = str(error)
    assert told


# ------------------------------------------------------------------------------------------------------------------ bodies


@examples(30)
@given(text=mutants((b'{"account": "a", "to": ["+243990000001"], "message": "Hello", "expires_in": 30}', *OBJECTS)))
def test_a_body_is_an_object_or_a_problem_that_does_not_repeat_it(text: bytes) -> None:
    try:
        told = str(sorted(parsed(text)))
    except Problem as problem:
        told = str(problem)
    assert "243990000001" not in told.replace(repr("+243990000001"), "")  # a field may have such a name
