"""What must hold of every provider in the registry. A new one is tested here before it has a test of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.contract.canned import KEY, NUMBERS, PASSWORD, SECRET, TEXT, InventedAccount, Tin, call, canned, recorded

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Rejected, TryLater, Unknown
from tuma_worker.providers import named
from tuma_worker.providers.http import Http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.canned import CannedServer

    from tuma_worker.core.answers import Reply
    from tuma_worker.core.limits import Limit
    from tuma_worker.providers.base import Client, Receipts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with canned() as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(10) as client:
        yield client


@pytest.fixture
def client(provider: str, server: CannedServer, http: Http) -> Client:
    return named(provider).client(InventedAccount(server.url), http)


@pytest.fixture
def receipts(provider: str, server: CannedServer) -> Receipts:
    return named(provider).receipts(InventedAccount(server.url))


def exchange(client: Client, server: CannedServer, provider: str, name: str) -> tuple[Reply, dict[str, Any]]:
    exchanged = recorded(provider, name)
    server.serve(exchanged.tin)
    reply = client.send(call(exchanged.numbers))
    assert len(server.asked) == 1
    assert reply.status == exchanged.tin.status
    return reply, {"numbers": exchanged.numbers, "expect": exchanged.expect}


@pytest.mark.parametrize("name", ["accepted-one", "accepted-many"])
def test_a_success_is_accepted_with_its_id_its_cost_and_nobody_left_out(
    client: Client, server: CannedServer, provider: str, name: str
) -> None:
    reply, told = exchange(client, server, provider, name)
    answer, expect = reply.answer, told["expect"]
    assert isinstance(answer, Accepted)
    assert (answer.provider_id, answer.cost, answer.currency) == (
        expect["provider_id"],
        Decimal(expect["cost"]),
        expect["currency"],
    )
    assert set(answer.recipients) <= set(told["numbers"])
    assert all(recipient.accepted for recipient in answer.recipients.values())
    assert reply.recognised


def test_the_request_carries_the_text_the_sender_the_callback_and_every_number(
    client: Client, server: CannedServer, provider: str
) -> None:
    server.serve(recorded(provider, "accepted-many").tin)
    text = "Ça va? 👍🏾 “Karibu”"
    client.send(call(message=text, callback_url="https://tuma.example/r/token"))
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["user-agent"].startswith("tuma/")
    assert {text, "KITOKO", "https://tuma.example/r/token"} <= {value for value in asked.body.values() if isinstance(value, str)}
    assert list(NUMBERS) in asked.body.values()


def test_the_accounts_sender_is_used_where_the_call_names_none(provider: str, server: CannedServer, http: Http) -> None:
    server.serve(recorded(provider, "accepted-many").tin)
    named(provider).client(InventedAccount(server.url, sender_id="MBOKA"), http).send(call(sender_id=None))
    assert "MBOKA" in server.asked[0].body.values()


def test_a_text_that_is_not_valid_unicode_does_not_raise(client: Client, server: CannedServer, provider: str) -> None:
    server.serve(recorded(provider, "rejected").tin)
    assert isinstance(client.send(call(message="half an emoji \ud83d")).answer, Rejected)


def test_a_refusal_for_good_blames_the_call(client: Client, server: CannedServer, provider: str) -> None:
    reply, told = exchange(client, server, provider, "rejected")
    assert reply.answer == Rejected(told["expect"]["code"])


def test_a_bad_number_that_is_named_is_blamed_alone(client: Client, server: CannedServer, provider: str) -> None:
    reply, told = exchange(client, server, provider, "bad-number")
    assert reply.answer == Rejected(told["expect"]["code"], frozenset(told["expect"]["numbers"]))


def test_a_bad_number_that_is_not_named_makes_all_of_them_suspect(client: Client, server: CannedServer, provider: str) -> None:
    reply, told = exchange(client, server, provider, "bad-number-unnamed")
    assert reply.answer == Rejected(told["expect"]["code"], suspect_numbers=True)


def test_a_bad_number_needs_no_name_where_there_is_only_one(client: Client, server: CannedServer, provider: str) -> None:
    exchanged = recorded(provider, "bad-number-unnamed")
    server.serve(exchanged.tin)
    assert client.send(call(NUMBERS[:1])).answer == Rejected(exchanged.expect["code"], frozenset(NUMBERS[:1]))


@pytest.mark.parametrize("name", ["rate-limited", "rate-limited-without-hint"])
def test_a_rate_limit_makes_the_whole_account_wait_as_long_as_told(
    client: Client, server: CannedServer, provider: str, name: str
) -> None:
    reply, told = exchange(client, server, provider, name)
    assert reply.answer == TryLater(told["expect"]["code"], told["expect"]["after"], scope="account", left=True)


@pytest.mark.parametrize(("name", "fault"), [("no-money", Fault.MONEY), ("bad-key", Fault.KEY)])
def test_a_fault_of_the_account_is_not_the_messages_fault(
    client: Client, server: CannedServer, provider: str, name: str, fault: Fault
) -> None:
    reply, told = exchange(client, server, provider, name)
    assert reply.answer == AccountFault(told["expect"]["code"], fault)


@pytest.mark.parametrize("name", ["server-error", "no-id"])
def test_an_answer_that_proves_nothing_is_unknown(client: Client, server: CannedServer, provider: str, name: str) -> None:
    reply, told = exchange(client, server, provider, name)
    assert reply.answer == Unknown(told["expect"]["code"])


@pytest.mark.parametrize(
    ("tin", "answer", "recognised"),
    [
        (Tin(200, b"<html>welcome</html>"), Unknown("no-id"), True),
        (Tin(201, []), Unknown("no-id"), True),
        (Tin(200, b"[" * 100_000), Unknown("no-id"), True),
        (Tin(204, b""), Unknown("no-id"), True),
        (Tin(302, b"", {"Location": "/elsewhere"}), AccountFault("http-302", Fault.CONFIGURATION), False),
        (Tin(307, b"", {"Location": "/elsewhere"}), AccountFault("http-307", Fault.CONFIGURATION), False),
        (Tin(403, b"<html>forbidden</html>"), AccountFault("http-403", Fault.SUSPENDED), True),
        (Tin(418, b"teapot"), Rejected("http-418"), False),
        (Tin(429, b"slow down", {"Retry-After": "7"}), TryLater("http-429", 7, scope="account"), True),
        (Tin(502, b"<html>bad gateway</html>"), Unknown("http-502"), True),
        (Tin(503, b"<html>busy</html>", {"Retry-After": "7"}), Unknown("http-503"), True),
        (Tin(599, b""), Unknown("http-599"), False),
        (Tin(500, b'{"error_code": "+243990000001", "error": {"code": "+243990000001"}}'), Unknown("http-500"), True),
    ],
)
def test_a_response_without_a_readable_code_is_read_by_its_status(
    client: Client, server: CannedServer, tin: Tin, answer: object, *, recognised: bool
) -> None:
    server.serve(tin)
    reply = client.send(call())
    assert (reply.answer, reply.recognised, len(server.asked)) == (answer, recognised, 1)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": "9999999"}, 86_400),
        ({"Retry-After": "Tue, 20 May 2025 10:00:30 GMT", "Date": "Tue, 20 May 2025 10:00:00 GMT"}, 30),
        ({"Retry-After": "Tue, 20 May 2025 09:00:00 GMT", "Date": "Tue, 20 May 2025 10:00:00 GMT"}, 0),
        ({"Retry-After": "Tue, 20 May 2025 10:00:30 GMT"}, 60),
        ({"Retry-After": "-5"}, 60),
        ({"Retry-After": "NaN"}, 60),
        ({"Retry-After": "soon"}, 60),
        ({}, 60),
    ],
)
def test_retry_after_is_honoured_in_seconds_and_as_a_date(
    client: Client, server: CannedServer, headers: dict[str, str], after: float
) -> None:
    server.serve(Tin(429, b"", headers))
    assert client.send(call()).answer == TryLater("http-429", after, scope="account")


@given(status=st.sampled_from([200, 201, 400, 403, 404, 422, 429, 500, 503]), inner=JSON, outer=JSON)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_response_makes_a_client_raise(client: Client, server: CannedServer, status: int, inner: object, outer: object) -> None:
    names = (
        "error",
        "error_code",
        "details",
        "detail",
        "retry_after",
        "retryable",
        "data",
        "messages",
        "message_id",
        "campaign_id",
    )
    for body in (outer, dict.fromkeys(names, inner), {"error": dict.fromkeys(("code", "details"), inner), "data": outer}):
        server.serve(Tin(status, body))
        assert client.send(call()).status == status


def test_threads_may_share_a_client(client: Client, server: CannedServer, provider: str) -> None:
    server.serve(recorded(provider, "accepted-many").tin)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: client.send(call()), range(40)))
    assert all(isinstance(reply.answer, Accepted) for reply in replies)
    assert len(server.asked) == 40


def test_no_part_shows_a_secret(provider: str, server: CannedServer, client: Client, receipts: Receipts) -> None:
    shown = repr((client, receipts, vars(client), vars(receipts), named(provider)))
    server.serve(Tin(500, b""))
    shown += repr(client.send(call()))
    assert not [secret for secret in (KEY, PASSWORD, SECRET, TEXT, NUMBERS[0]) if secret in shown]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"api_key": SecretStr("")}, "api_key"),
        ({"api_key": SecretStr(f"{KEY}\n")}, "api_key"),
        ({"api_key": SecretStr("clé")}, "api_key"),
        ({"base_url": "not a url"}, "base_url"),
        ({"base_url": "ftp://provider.example"}, "base_url"),
        ({"base_url": f"https://user:{PASSWORD}@provider.example"}, "base_url"),
        ({"base_url": "https://provider.example:99999"}, "base_url"),
        ({"base_url": "http://provider.example", "environment": "production", "api_key": SecretStr("invented")}, "base_url"),
    ],
)
def test_an_account_that_cannot_work_is_refused_in_one_line_that_names_the_setting(
    provider: str, server: CannedServer, http: Http, changes: dict[str, Any], about: str
) -> None:
    account = InventedAccount(**({"base_url": server.url} | changes))
    for use in (named(provider).check, named(provider).receipts, lambda account: named(provider).client(account, http)):
        with pytest.raises(ValueError, match=about) as caught:
            use(account)
        message = str(caught.value)
        assert "\n" not in message
        assert KEY not in message
        assert PASSWORD not in message


def test_a_key_may_travel_unencrypted_on_this_machine_only(provider: str) -> None:
    for url in ("http://127.0.0.1:8080", "http://localhost:8080", "https://provider.example"):
        named(provider).check(InventedAccount(url, SecretStr("invented"), "production"))


def test_an_unknown_provider_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown provider 'pigeon': known are lineserve, lisoloo"):
        named("pigeon")


def test_the_registry_knows_each_provider_by_its_own_name_and_its_limits(provider: str) -> None:
    found = named(provider)
    assert found.name == provider
    assert found.defaults.batch_max >= 1
    assert found.defaults.limits
    for limit in found.defaults.limits:
        again: Limit = type(limit).parse(f"{limit.count:g} {limit.counted}/{limit.window:g}s")
        assert again == limit, "an account's own limits must meet the provider's under the same names"


def test_quotas_speak_of_limits_that_exist(client: Client, server: CannedServer, provider: str) -> None:
    reply, _ = exchange(client, server, provider, "accepted-many")
    assert {quota.limit for quota in reply.quotas} <= {limit.name for limit in named(provider).defaults.limits}


def test_the_invented_account_has_what_a_provider_may_ask_for() -> None:
    assert {entry.name for entry in fields(InventedAccount)} == {
        "base_url",
        "api_key",
        "environment",
        "sender_id",
        "timezone",
        "timeout",
        "webhook_username",
        "webhook_password",
        "webhook_secret",
        "webhook_password_old",
        "webhook_secret_old",
        "webhook_timestamp_header",
        "inbound_event",
    }
