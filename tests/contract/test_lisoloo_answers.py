"""Each row of Lisoloo's error catalogue, and each shape in which it may come, over a real connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.canned import KEY, NUMBERS, TEXT, InventedAccount, Tin, call, canned, recorded

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Rejected, TryLater, Unknown
from tuma_worker.providers import named
from tuma_worker.providers.http import Http
from tuma_worker.providers.lisoloo.statuses import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.canned import CannedServer

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.base import Client

    Row = tuple[int, object, bool | None, Answer]

FIRST, SECOND, THIRD = NUMBERS


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with canned() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: CannedServer) -> Iterator[Client]:
    with Http(10) as http:
        yield named("lisoloo").client(InventedAccount(server.url), http)


def structured(status: int, code: object, **more: object) -> Tin:
    return Tin(
        status, {"success": False, "status_code": status, "error_code": code, "message": "localised", "details": None} | more
    )


def rejected(code: str, *, suspect: bool = False) -> Rejected:
    return Rejected(code, suspect_numbers=suspect)


def halted(code: str, fault: Fault, *, operator: bool = False) -> AccountFault:
    return AccountFault(code, fault, operator=operator)


# A status, a code, the body's `retryable`, and the answer.
CATALOGUE: list[Row] = [
    (401, "1001", False, halted("1001", Fault.KEY)),
    (401, "1002", False, halted("1002", Fault.KEY)),
    (403, "1003", False, halted("1003", Fault.CONFIGURATION)),
    (403, "1004", False, halted("1004", Fault.SUSPENDED)),
    (403, "1005", False, halted("1005", Fault.KEY)),
    (400, "1101", False, rejected("1101", suspect=True)),
    (400, "1102", False, rejected("1102")),
    (400, "1103", False, rejected("1103")),
    (400, "1104", False, rejected("1104", suspect=True)),
    (400, "1105", False, rejected("1105")),
    (400, "1106", False, rejected("1106")),
    (400, "1107", False, rejected("1107")),
    (400, "1108", False, halted("1108", Fault.CONFIGURATION)),
    (400, "1109", False, rejected("1109")),
    (400, "1110", False, rejected("1110")),
    (400, "1110", True, rejected("1110")),
    (400, "1201", None, rejected("1201")),
    (400, "1201", True, TryLater("1201")),
    (402, "1202", False, halted("1202", Fault.MONEY)),
    (402, "1202", True, halted("1202", Fault.MONEY)),
    (400, "1203", False, rejected("1203", suspect=True)),
    (400, "1204", False, rejected("1204")),
    (400, "1204", True, TryLater("1204")),
    (400, "1205", False, rejected("1205")),
    (400, "1205", True, TryLater("1205")),
    (429, "1301", True, TryLater("1301", 60, scope="account")),
    (429, "1301", None, TryLater("1301", 60, scope="account")),
    (403, "1302", False, halted("1302", Fault.SUSPENDED, operator=True)),
    (429, "1302", False, halted("1302", Fault.SUSPENDED, operator=True)),
    (403, "1303", False, halted("1303", Fault.SUSPENDED)),
    (403, "1304", False, halted("1304", Fault.SUSPENDED)),
    (403, "1305", False, halted("1305", Fault.SUSPENDED)),
    (500, "1401", None, Unknown("1401")),
    (500, "1401", True, Unknown("1401")),
    (503, "1402", None, TryLater("1402", 30)),
    (503, "1402", True, TryLater("1402", 30)),
    (503, "1402", False, rejected("1402")),
    (500, "1403", True, Unknown("1403")),
    (500, "1404", True, Unknown("1404")),
    (500, "1405", True, Unknown("1405")),
    (502, "1501", None, rejected("1501")),
    (502, "1501", True, TryLater("1501")),
    (502, "1502", False, rejected("1502")),
    (502, "1502", True, TryLater("1502")),
    (504, "1503", True, Unknown("1503")),
    (502, "1504", False, Unknown("1504")),
    (502, "1504", True, TryLater("1504")),
    (502, "1505", False, Unknown("1505")),
    (502, "1505", True, TryLater("1505")),
]

UNLISTED: list[Row] = [
    (401, "1099", None, halted("1099", Fault.KEY)),
    (400, "1199", None, rejected("1199")),
    (400, 1299, None, rejected("1299")),
    (400, "1299", True, TryLater("1299")),
    (403, "1399", None, halted("1399", Fault.SUSPENDED)),
    (429, "1399", None, TryLater("1399", 60, scope="account")),
    (500, "1499", True, Unknown("1499")),
    (502, "1599", True, Unknown("1599")),
    (400, "1600", None, rejected("1600", suspect=True)),
    (500, "E_WEIRD", None, Unknown("E_WEIRD")),
]

# Nameless in the provider's documents, and paid for by a message or the whole account.
ALARMING = {"1201", "1204", "1205", "1303", "1304", "1305"}


@pytest.mark.parametrize("row", CATALOGUE, ids=str)
def test_a_code_of_the_catalogue_gets_its_answer(client: Client, server: CannedServer, row: Row) -> None:
    status, code, retryable, answer = row
    server.serve(structured(status, code, retryable=retryable))
    reply = client.send(call())
    assert (reply.answer, reply.recognised, len(server.asked)) == (answer, code not in ALARMING, 1)


def test_no_code_of_the_catalogue_is_left_out() -> None:
    assert {code for _, code, _, _ in CATALOGUE} == set(CODES)


@pytest.mark.parametrize("row", UNLISTED, ids=str)
def test_a_code_that_no_table_names_is_read_by_its_hundred_and_raises_an_alarm(
    client: Client, server: CannedServer, row: Row
) -> None:
    status, code, retryable, answer = row
    server.serve(structured(status, code, retryable=retryable))
    reply = client.send(call())
    assert (reply.answer, reply.recognised) == (answer, False)


def test_a_code_may_be_a_number(client: Client, server: CannedServer) -> None:
    server.serve(structured(402, 1202))
    assert client.send(call()).answer == halted("1202", Fault.MONEY)


@pytest.mark.parametrize(
    ("body", "headers", "after"),
    [
        ({"retry_after": 12}, {}, 12),
        ({"retry_after": 12}, {"Retry-After": "15"}, 15),
        ({"retry_after": "12.5"}, {}, 12.5),
        ({"retry_after": None}, {"Retry-After": "9"}, 9),
        ({"retry_after": "soon"}, {}, 60),
        ({"retry_after": True}, {}, 60),
    ],
)
def test_the_longer_of_both_delays_is_kept(
    client: Client, server: CannedServer, body: dict[str, object], headers: dict[str, str], after: float
) -> None:
    server.serve(Tin(429, {"error_code": "1301"} | body, headers))
    assert client.send(call()).answer == TryLater("1301", after, scope="account")


@pytest.mark.parametrize(
    ("details", "answer"),
    [
        ([{"field": "to[0]", "code": "INVALID_PHONE_NUMBER"}], Rejected("1104", frozenset({FIRST}))),
        ([{"field": "to[2]"}, {"field": "to.0"}], Rejected("1104", frozenset({FIRST, THIRD}))),
        ([{"field": "to[1]"}, {"field": "to"}], Rejected("1104", frozenset({SECOND}))),
        ([{"field": "to[3]"}], rejected("1104", suspect=True)),
        ([{"field": "to"}], rejected("1104", suspect=True)),
        ([{"field": "message"}], rejected("1104", suspect=True)),
        ([{"field": 0}, None, "to[0]", {"field": {"to": 0}}], rejected("1104", suspect=True)),
        ({"to[0]": "bad"}, rejected("1104", suspect=True)),
        (None, rejected("1104", suspect=True)),
    ],
)
def test_1104_blames_whom_details_names_and_suspects_all_where_it_cannot_be_read(
    client: Client, server: CannedServer, details: object, answer: Answer
) -> None:
    server.serve(structured(400, "1104", details=details))
    assert client.send(call()).answer == answer


@pytest.mark.parametrize("code", ["1101", "1110"])
def test_details_name_bad_numbers_under_other_codes_too(client: Client, server: CannedServer, code: str) -> None:
    server.serve(structured(400, code, details=[{"field": "to[1]", "code": "INVALID_PHONE_NUMBER"}]))
    assert client.send(call()).answer == Rejected(code, frozenset({SECOND}))


def test_details_about_the_recipients_as_such_make_them_suspect(client: Client, server: CannedServer) -> None:
    server.serve(structured(400, "1110", details=[{"field": "to"}]))
    assert client.send(call()).answer == rejected("1110", suspect=True)


@pytest.mark.parametrize(
    ("tin", "answer"),
    [
        (Tin(401, {"detail": "Missing or invalid app-key"}), halted("http-401", Fault.KEY)),
        (Tin(403, {"detail": "Not allowed"}), halted("http-403", Fault.SUSPENDED)),
        (Tin(404, {"detail": "Not Found"}), halted("http-404", Fault.CONFIGURATION)),
        (Tin(400, {"detail": "No wallet"}), rejected("http-400", suspect=True)),
        (Tin(422, {"detail": [{"loc": ["body", "to", 1], "msg": "bad", "type": "x"}]}), Rejected("http-422", frozenset({SECOND}))),
        (Tin(422, {"detail": [{"loc": ["body", "message"], "msg": "bad"}]}), rejected("http-422")),
        (Tin(503, {"detail": "busy", "retry_after": 5}), Unknown("http-503")),
    ],
)
def test_the_frameworks_error_shape_is_read_as_well(client: Client, server: CannedServer, tin: Tin, answer: Answer) -> None:
    server.serve(tin)
    assert client.send(call()).answer == answer


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_an_id_is_accepted_and_the_rest_of_the_body_is_optional(
    client: Client, server: CannedServer, status: int
) -> None:
    server.serve(Tin(status, {"data": {"message_id": "msg_1", "news": [1]}}))
    assert client.send(call()).answer == Accepted("msg_1")


@pytest.mark.parametrize(("total", "mismatch"), [(3, ""), (2, "recipient-count"), (4, "recipient-count"), (None, ""), ("3", "")])
def test_a_count_other_than_that_of_the_call_is_said_and_changes_nothing_else(
    client: Client, server: CannedServer, total: object, mismatch: str
) -> None:
    server.serve(Tin(201, {"data": {"message_id": "msg_1", "total_recipients": total}}))
    reply = client.send(call())
    assert (reply.answer, reply.recognised, reply.mismatch) == (Accepted("msg_1"), True, mismatch)


@pytest.mark.parametrize(
    "data", [{}, {"message_id": None}, {"message_id": " "}, {"message_id": {}}, {"message_id": True}, [], None]
)
def test_a_2xx_without_an_id_is_unknown(client: Client, server: CannedServer, data: object) -> None:
    server.serve(Tin(201, {"status_code": 201, "data": data}))
    assert client.send(call()).answer == Unknown("no-id")


def test_the_request_is_the_documented_one(client: Client, server: CannedServer) -> None:
    server.serve(recorded("lisoloo", "accepted-many").tin)
    client.send(call())
    (asked,) = server.asked
    assert asked.path == "/api/v1/lisoloo/sms-api/send"
    assert asked.headers["app-key"] == KEY
    assert asked.body == {"to": list(NUMBERS), "message": TEXT, "sender_id": "KITOKO"}


def test_one_number_is_an_array_too(client: Client, server: CannedServer) -> None:
    server.serve(recorded("lisoloo", "accepted-one").tin)
    client.send(call(NUMBERS[:1]))
    assert server.asked[0].body["to"] == [FIRST]


def test_the_request_id_is_kept_for_the_providers_support(client: Client, server: CannedServer) -> None:
    server.serve(recorded("lisoloo", "rejected").tin, Tin(500, b"", {"X-Request-ID": "req_header"}))
    assert [client.send(call()).request_id for _ in range(2)] == ["req_0123456789abcdef", "req_header"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "production"}, "api_key: an sk_test_ key belongs to the sandbox environment"),
        ({"api_key": SecretStr("sk_live_invented")}, "api_key: an sk_live_ key belongs to the production environment"),
        ({"base_url": None}, "base_url: is missing"),
        ({"base_url": "https://x.example/api/v1/lisoloo/sms-api/"}, "base_url: must end before"),
        ({"webhook_username": None}, "webhook_username and webhook_password: set both or neither"),
    ],
)
def test_a_lisoloo_account_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named("lisoloo").check(InventedAccount(**({"base_url": "https://provider.example"} | changes)))
