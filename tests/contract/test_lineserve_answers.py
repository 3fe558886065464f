"""Each of Lineserve's error codes, its partial successes and its headers, over a real connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.canned import KEY, NUMBERS, TEXT, InventedAccount, Tin, call, canned, recorded

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Quota, RecipientAnswer, Rejected, TryLater, Unknown
from tuma_worker.providers import named
from tuma_worker.providers.http import Http
from tuma_worker.providers.lineserve.statuses import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.canned import CannedServer

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.base import Client

FIRST, SECOND, THIRD = NUMBERS
RESET = "1747735200"
DATE = "Tue, 20 May 2025 09:45:00 GMT"  # a quarter of an hour before RESET


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with canned() as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(10) as shared:
        yield shared


@pytest.fixture(scope="module")
def client(server: CannedServer, http: Http) -> Client:
    return named("lineserve").client(InventedAccount(server.url), http)


def refusal(status: int, code: object, details: object = None, headers: dict[str, str] | None = None) -> Tin:
    return Tin(status, {"error": {"code": code, "message": "in words", "details": details}}, headers or {})


CATALOGUE: list[tuple[int, str, Answer]] = [
    (400, "invalid_phone_number", Rejected("invalid_phone_number", suspect_numbers=True)),
    (403, "sender_id_not_approved", Rejected("sender_id_not_approved", suspect_numbers=True)),
    (403, "insufficient_balance", AccountFault("insufficient_balance", Fault.MONEY)),
    (422, "message_too_long", Rejected("message_too_long")),
    (429, "rate_limit_exceeded", TryLater("rate_limit_exceeded", 60, scope="account")),
    (429, "rate_limited", TryLater("rate_limited", 60, scope="account")),
    (404, "invalid_template", Rejected("invalid_template")),
    (400, "invalid_parameter", Rejected("invalid_parameter", suspect_numbers=True)),
]


@pytest.mark.parametrize(("status", "code", "answer"), CATALOGUE)
def test_a_code_of_the_catalogue_gets_its_answer_under_any_status(
    client: Client, server: CannedServer, status: int, code: str, answer: Answer
) -> None:
    for actual in (status, 400):
        server.serve(refusal(actual, code))
        reply = client.send(call())
        assert (reply.answer, reply.recognised, reply.status) == (answer, True, actual)


def test_no_code_of_the_catalogue_is_left_out() -> None:
    assert {code for _, code, _ in CATALOGUE} == set(CODES)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, Rejected("new_rule", suspect_numbers=True)),
        (401, AccountFault("new_rule", Fault.KEY)),
        (403, AccountFault("new_rule", Fault.SUSPENDED)),
        (404, AccountFault("new_rule", Fault.CONFIGURATION)),
        (422, Rejected("new_rule", suspect_numbers=True)),
        (429, TryLater("new_rule", 60, scope="account")),
        (500, Unknown("new_rule")),
        (503, Unknown("new_rule")),
    ],
)
def test_a_code_that_no_table_names_is_read_by_its_status_and_raises_an_alarm(
    client: Client, server: CannedServer, status: int, answer: Answer
) -> None:
    server.serve(refusal(status, "new_rule"))
    reply = client.send(call())
    assert (reply.answer, reply.recognised) == (answer, False)


@pytest.mark.parametrize(
    ("details", "blamed"),
    [
        ({"field": "to", "value": SECOND}, {SECOND}),
        ({"field": "recipients", "value": [FIRST.removeprefix("+"), "00" + THIRD.removeprefix("+")]}, {FIRST, THIRD}),
        ({"parameter": "recipients[1]", "documentation_url": "https://docs.example"}, {SECOND}),
        ({"field": "recipients[9]"}, set()),
        ({"field": "to", "value": "+243990009999"}, set()),
        ({"field": ["to"], "value": {"to": SECOND}}, set()),
        ([{"field": "to"}], set()),
        (None, set()),
    ],
)
def test_an_invalid_number_is_blamed_if_details_name_it_and_else_all_are_suspect(
    client: Client, server: CannedServer, details: object, blamed: set[str]
) -> None:
    server.serve(refusal(400, "invalid_phone_number", details))
    assert client.send(call()).answer == Rejected("invalid_phone_number", frozenset(blamed), suspect_numbers=not blamed)


@pytest.mark.parametrize(
    ("code", "field", "suspect"),
    [
        ("invalid_parameter", "recipients", True),
        ("invalid_parameter", "message", False),
        ("message_too_long", "message", False),
        ("sender_id_not_approved", "from", True),
    ],
)
def test_numbers_are_suspect_only_if_they_may_be_why(
    client: Client, server: CannedServer, code: str, field: str, *, suspect: bool
) -> None:
    server.serve(refusal(400, code, {"field": field}))
    assert client.send(call()).answer == Rejected(code, suspect_numbers=suspect)


def test_a_number_that_is_named_for_its_sender_may_pass_with_another(client: Client, server: CannedServer) -> None:
    server.serve(refusal(403, "sender_id_not_approved", {"field": "to", "value": SECOND}))
    assert client.send(call()).answer == Rejected("sender_id_not_approved", frozenset({SECOND}), lasting=False)


def campaign(messages: object, **more: object) -> Tin:
    return Tin(200, {"campaign_id": "camp_1", "messages": messages} | more)


def item(number: object, status: object = "sent", **more: object) -> dict[str, object]:
    return {"message_id": f"msg_{str(number)[-1]}", "to": number, "status": status} | more


def test_each_number_of_a_campaign_is_matched_by_its_digits_whatever_the_order(client: Client, server: CannedServer) -> None:
    server.serve(campaign([item("00243990000003"), item("243990000001"), item("+243 99 000 0002", "pending"), item("+1"), None, 7]))
    assert client.send(call()).answer == Accepted(
        "camp_1", {number: RecipientAnswer(provider_id=f"msg_{number[-1]}") for number in NUMBERS}
    )


def test_a_number_that_a_campaign_refused_is_told_apart_from_those_it_took(client: Client, server: CannedServer) -> None:
    server.serve(campaign([item(FIRST), item(SECOND, "rejected", error={"code": "blocked"}), item(THIRD, "failed")]))
    answer = client.send(call()).answer
    assert isinstance(answer, Accepted)
    assert answer.recipients == {
        FIRST: RecipientAnswer(provider_id="msg_1"),
        SECOND: RecipientAnswer(accepted=False, provider_id="msg_2", reason="blocked"),
        THIRD: RecipientAnswer(accepted=False, provider_id="msg_3", reason="failed"),
    }


@pytest.mark.parametrize(
    ("total", "taken"),
    [
        (1, False),  # as many as are listed: the others were refused
        (3, True),  # as many as were asked for: the list was cut short
        (2, True),  # neither proves anything
        (None, True),
        (True, True),
    ],
)
def test_a_number_that_is_not_listed_counts_as_refused_only_if_the_total_proves_it(
    client: Client, server: CannedServer, total: object, *, taken: bool
) -> None:
    server.serve(campaign([item(FIRST)], total_messages=total))
    answer = client.send(call()).answer
    assert isinstance(answer, Accepted)
    assert answer.recipients[FIRST].accepted
    assert answer.recipients[SECOND] == answer.recipients[THIRD] == RecipientAnswer(accepted=taken, reason="not-listed")


def test_a_campaign_without_a_list_was_taken_as_a_whole(client: Client, server: CannedServer) -> None:
    server.serve(campaign("none"))
    answer = client.send(call()).answer
    assert isinstance(answer, Accepted)
    assert all(recipient.accepted for recipient in answer.recipients.values())


@pytest.mark.parametrize(
    ("status", "accepted"), [("sent", True), ("pending", True), ("new", True), ("failed", False), ("Rejected", False)]
)
def test_a_single_message_that_is_refused_at_once_is_not_accepted(
    client: Client, server: CannedServer, status: str, *, accepted: bool
) -> None:
    server.serve(Tin(201, {"message_id": "msg_1", "status": status}))
    reason = None if accepted else status
    expected = RecipientAnswer(accepted=accepted, provider_id="msg_1", reason=reason)
    assert client.send(call(NUMBERS[:1])).answer == Accepted("msg_1", {FIRST: expected})


@pytest.mark.parametrize(("numbers", "body"), [(NUMBERS[:1], {"campaign_id": "camp_1"}), (NUMBERS, {"message_id": "msg_1"})])
def test_a_2xx_with_another_id_than_promised_is_unknown(
    client: Client, server: CannedServer, numbers: tuple[str, ...], body: dict[str, str]
) -> None:
    server.serve(Tin(200, body))
    assert client.send(call(numbers)).answer == Unknown("no-id")


def test_one_number_is_a_single_send(client: Client, server: CannedServer) -> None:
    server.serve(recorded("lineserve", "accepted-one").tin)
    client.send(call(NUMBERS[:1]))
    (asked,) = server.asked
    assert asked.path == "/sms/send"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {"to": FIRST, "message": TEXT, "from": "KITOKO"}


def test_several_numbers_are_a_campaign_under_our_reference(client: Client, server: CannedServer) -> None:
    server.serve(recorded("lineserve", "accepted-many").tin)
    client.send(call())
    (asked,) = server.asked
    assert asked.path == "/sms/bulk"
    assert asked.body == {"recipients": list(NUMBERS), "campaign_name": "tuma-000001", "message": TEXT, "from": "KITOKO"}


@pytest.mark.parametrize(("environment", "header"), [("sandbox", "true"), ("production", None)])
def test_only_a_sandbox_account_asks_for_test_mode(server: CannedServer, http: Http, environment: str, header: str | None) -> None:
    account = InventedAccount(server.url, SecretStr("invented"), environment)
    server.serve(recorded("lineserve", "accepted-many").tin)
    named("lineserve").client(account, http).send(call())
    named("lineserve").client(account, http).send(call(NUMBERS[:1]))
    assert [asked.headers.get("x-test-mode") for asked in server.asked] == [header, header]


@pytest.mark.parametrize("tin", [recorded("lineserve", "accepted-many").tin, recorded("lineserve", "rejected").tin])
def test_what_is_left_of_the_hours_limits_comes_with_every_response(client: Client, server: CannedServer, tin: Tin) -> None:
    server.serve(tin)
    assert client.send(call()).quotas == (Quota("calls-3600s", 999, 1747735200.0), Quota("messages-3600s", 9997))


@pytest.mark.parametrize(
    ("headers", "quotas"),
    [
        ({"X-RateLimit-Remaining": "-1"}, (Quota("calls-3600s", 0),)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "900"}, (Quota("calls-3600s", 5),)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "tomorrow"}, (Quota("calls-3600s", 5),)),
        ({"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": RESET, "X-SMS-Remaining": "1e400"}, ()),
        ({}, ()),
    ],
)
def test_a_header_that_cannot_be_read_says_nothing(
    client: Client, server: CannedServer, headers: dict[str, str], quotas: tuple[Quota, ...]
) -> None:
    server.serve(Tin(500, b"", headers))
    assert client.send(call()).quotas == quotas


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": RESET, "Date": DATE}, 900),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": RESET, "Date": DATE, "Retry-After": "5"}, 5),
        ({"X-RateLimit-Remaining": "400", "X-RateLimit-Reset": RESET, "Date": DATE}, 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1747731600", "Date": DATE}, 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": RESET}, 60),
        ({"X-SMS-Remaining": "0"}, 60),
    ],
)
def test_a_rate_limit_waits_for_the_hours_reset_only_if_the_hour_is_used_up(
    client: Client, server: CannedServer, headers: dict[str, str], after: float
) -> None:
    server.serve(refusal(429, "rate_limit_exceeded", None, headers))
    assert client.send(call()).answer == TryLater("rate_limit_exceeded", after, scope="account")


def test_the_base_url_is_the_documented_one_unless_set() -> None:
    account = InventedAccount(None, SecretStr("invented"), "production")
    named("lineserve").check(account)
    with Http(1) as http:
        assert vars(named("lineserve").client(account, http))["_api_url"] == "https://api.lineserve.com/v1"


@pytest.mark.parametrize(("changes", "message"), [({"webhook_secret": SecretStr("")}, "webhook_secret: is empty")])
def test_a_lineserve_account_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named("lineserve").check(InventedAccount("https://provider.example", **changes))
