"""The gateway's API: what a service in any language does with it, who is refused, and how."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support import servers
from tests.support.api import ALL_SCOPES, client_of, new_token, post_lines, problem
from tests.support.dashboard import Visitor
from tests.support.houses import open_house

from tuma_worker.core.budgets import Budget
from tuma_worker.core.tokens import Scope
from tuma_worker.gateway.api import OPERATIONS, Operation
from tuma_worker.store.budgets import Budgets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House

NUMBER = "+243990000001"
SEND = {"account": "main", "to": NUMBER, "message": "hello"}
NOWHERE = "main.019d2a1b3c4d5e6f7a8b9c0d1e"


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A gateway without a worker: what is accepted waits."""
    with open_house(server, {"main": {"provider": "lisoloo"}, "spare": {"provider": "lisoloo"}}) as found:
        yield found


@pytest.fixture(scope="module")
def token(house: House) -> str:
    return new_token(house, "billing", "send", "read", "control", source="billing")


@pytest.fixture(scope="module")
def http(house: House, token: str) -> Iterator[httpx.Client]:
    """A service that may send, read and control what is its own."""
    with client_of(house, token) as found:
        yield found


@pytest.fixture(scope="module")
def operator(house: House) -> Iterator[httpx.Client]:
    """Somebody who may do everything."""
    with client_of(house, new_token(house, "ops", *ALL_SCOPES, source="ops")) as found:
        yield found


# ------------------------------------------------------------------------------------------------------------- one intent


def test_an_intent_is_accepted_seen_paused_resumed_and_cancelled(http: httpx.Client) -> None:
    answer = http.post("/v1/intents", json=SEND | {"metadata": {"invoice": "17"}})
    assert answer.status_code == 201
    receipt = answer.json()
    assert (receipt["recipients"], receipt["segments"], receipt["duplicate"]) == (1, 1, False)
    assert answer.headers["location"] == f"/v1/intents/{receipt['id']}"
    seen = http.get(answer.headers["location"]).json()
    assert (seen["state"], seen["source"], seen["counts"], seen["metadata"]) == (
        "active",
        "billing",
        {"queued": 1},
        {"invoice": "17"},
    )
    for verb, state in (("pause", "paused"), ("resume", "active"), ("cancel", "cancelled")):
        told = http.post(f"{answer.headers['location']}/{verb}")
        assert (told.status_code, told.json()["outcome"], told.json()["stopped"]) == (200, "done", [NUMBER])
        assert http.get(answer.headers["location"]).json()["state"] == state


def test_what_steers_an_intent_is_known_by_its_token(http: httpx.Client, house: House) -> None:
    intent_id = http.post("/v1/intents", json=SEND).json()["id"]
    http.post(f"/v1/intents/{intent_id}/pause")
    paused = house.until(intent_id, "intent.paused")[-1]
    assert paused.data["by"] == "billing"


def test_the_same_key_is_the_same_intent_in_the_header_and_in_the_body(http: httpx.Client) -> None:
    first = http.post("/v1/intents", json=SEND, headers={"Idempotency-Key": "invoice-17"})
    again = http.post("/v1/intents", json=SEND, headers={"Idempotency-Key": '"invoice-17"'})
    third = http.post("/v1/intents", json=SEND | {"idempotency_key": "invoice-17"})
    assert [one.status_code for one in (first, again, third)] == [201, 200, 200]
    assert {one.json()["id"] for one in (first, again, third)} == {first.json()["id"]}
    assert again.json()["duplicate"]


@pytest.mark.parametrize("key", ["", '""'])
def test_a_key_that_nobody_has_set_is_refused_and_makes_no_two_batches_one(http: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key}
    single = http.post("/v1/intents", json=SEND, headers=headers)
    batch = http.post("/v1/intents/batch", content=json.dumps(SEND), headers=headers | {"Content-Type": "application/x-ndjson"})
    assert [problem(one, 422, "invalid")["field"] for one in (single, batch)] == ["idempotency_key"] * 2


def test_a_key_does_not_stand_for_another_send(http: httpx.Client) -> None:
    first = http.post("/v1/intents", json=SEND, headers={"Idempotency-Key": "invoice-18"}).json()
    other = http.post("/v1/intents", json=SEND | {"message": "goodbye"}, headers={"Idempotency-Key": "invoice-18"})
    assert problem(other, 422, "idempotency-key-reused")["intent"] == first["id"]
    two = http.post("/v1/intents", json=SEND | {"idempotency_key": "a"}, headers={"Idempotency-Key": "b"})
    assert problem(two, 422, "invalid")["field"] == "idempotency_key"


def test_what_would_exceed_a_budget_is_a_problem_that_says_when_to_come_again(http: httpx.Client, house: House) -> None:
    budgets = Budgets(house.redis, SEND["account"])
    budgets.set("billing", Budget.parse("0 recipients/day", None), by="test")
    told = problem(http.post("/v1/intents", json=SEND), 409, "over-budget")
    budgets.remove("billing", "day", by="test")
    assert (told["source"], told["period"], told["unit"], told["most"], told["used"], told["wanted"]) == (
        "billing", "day", "recipients", "0", "0", "1",
    )  # fmt: skip
    assert datetime.fromisoformat(told["opens"]) > datetime.now(UTC)


def test_a_page_says_why_it_waits_and_both_front_ends_show_the_same(http: httpx.Client, house: House) -> None:
    path = http.post("/v1/intents", json=SEND).headers["location"]
    http.post(f"{path}/pause")
    page = http.get(f"{path}/explain")
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Why it waits\n  the intent is paused, for " in page.text
    assert NUMBER not in page.text
    told = http.get(f"{path}/explain", headers={"Accept": "application/json"}).json()
    assert [hold["kind"] for hold in told["holds"]] == ["intent-paused"]
    http.post(f"{path}/cancel")  # so that no time of waiting is in it, which goes on
    shown, page = house.tuma("explain", path.rpartition("/")[2]).out, http.get(f"{path}/explain")
    assert [_timeless(line) for line in shown.splitlines()] == [_timeless(line) for line in page.text.splitlines()]
    assert "1 recipient cancelled" in shown


def _timeless(line: str) -> str:
    return re.sub(r"\d+ s ago", "", line)


# -------------------------------------------------------------------------------------------------------- what is refused


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a bad number": ({"to": "+24399x"}, "invalid", "to"),
    "a number that ends in half a character": ({"to": "https://\ud83d"}, "invalid", "to"),
    "no text": ({"message": ""}, "invalid", "message"),
    "an unknown field": ({"speed": 1}, "invalid", "speed"),
    "an unknown field that is half a character": ({"\ud83d": 1}, "invalid", "the name of a field"),
    "a field that Python would take for its own": ({"self": 1}, "invalid", "self"),
    "a key that is no text": ({"idempotency_key": ["a"]}, "invalid", "idempotency_key"),
    "a deadline that is no number": ({"expires_in": float("nan")}, "invalid", "expires_in"),
    "half a character": ({"message": "\ud83d"}, "invalid", "message"),
    "an unknown account": ({"account": "nobody"}, "unknown-name", "account"),
    "an unknown template": ({"message": None, "template_id": "code"}, "unknown-name", "template_id"),
    "an unknown schedule": ({"schedule": {"frequency": "sometimes"}}, "invalid", "schedule"),
}


@pytest.mark.parametrize(("change", "kind", "field"), REFUSED.values(), ids=REFUSED)
def test_a_send_that_breaks_a_rule_is_refused_by_its_field(
    http: httpx.Client, change: dict[str, Any], kind: str, field: str
) -> None:
    fields = {name: value for name, value in (SEND | change).items() if value is not None}
    body = json.dumps(fields).encode()
    told = problem(http.post("/v1/intents", content=body, headers={"Content-Type": "application/json"}), 422, kind)
    assert told["field"] == field
    assert told["detail"].startswith(field)
    assert NUMBER not in told["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"[]", b"null", b"[" * 100_000, b"\xff", b"1" * 10_000], ids=lambda body: repr(body[:8])
)
def test_a_body_that_is_no_object_is_refused(http: httpx.Client, body: bytes) -> None:
    problem(http.post("/v1/intents", content=body, headers={"Content-Type": "application/json"}), 400, "unreadable")


def test_a_body_of_another_type_is_refused_and_the_right_one_named(http: httpx.Client) -> None:
    answer = http.post("/v1/intents", data=SEND)
    problem(answer, 415, "media-type")
    assert answer.headers["accept"] == "application/json"
    problem(http.post("/v1/intents/batch", json=SEND), 415, "media-type")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(http: httpx.Client, *, declared: bool) -> None:
    body = b" " * (1024 * 1024 + 1)
    content = body if declared else iter([body])
    headers = {"Authorization": http.headers["authorization"], "Content-Type": "application/json"}
    problem(httpx.post(f"{http.base_url}/v1/intents", content=content, headers=headers), 413, "too-large")


def test_what_is_not_there_and_what_is_not_done_there_are_problems_too(http: httpx.Client) -> None:
    problem(http.get("/v1/nothing"), 404, "not-found")
    problem(http.get("/nothing"), 404, "not-found")
    answer = http.delete("/v1/intents")
    problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"HEAD", "GET", "POST"}
    problem(http.get(f"/v1/intents/{NOWHERE}"), 404, "unknown-intent")
    problem(http.get("/v1/intents/no-id"), 404, "unknown-intent")
    problem(http.post(f"/v1/intents/{NOWHERE}/cancel"), 404, "unknown-intent")


def test_a_request_keeps_the_name_that_its_sender_gave_it(http: httpx.Client) -> None:
    assert http.get("/v1/nothing", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    names = {http.get("/v1/nothing", headers={"X-Request-Id": name}).headers["x-request-id"] for name in ("", "a b", "x" * 65)}
    assert len(names) == 3
    assert all(len(name) == 16 for name in names)


# ---------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_nobody_gets_in_without_a_token_that_has_the_scope(
    house: House, others: dict[Scope, httpx.Client], operation: Operation
) -> None:
    path = re.sub(r"\{\w+\}", "any", operation.path)
    answer = httpx.request(operation.method, house.gateway_url + path)
    problem(answer, 401, "no-token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tuma"'
    wrong = httpx.request(operation.method, house.gateway_url + path, headers={"Authorization": "Bearer tuma_wrong"})
    problem(wrong, 401, "no-token")
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    refused = others[operation.scope].request(operation.method, path)
    assert problem(refused, 403, "no-scope")["scope"] == operation.scope


@pytest.fixture(scope="module")
def others(house: House) -> Iterator[dict[Scope, httpx.Client]]:
    """For each scope, somebody who has all the others, but for those that include it."""
    without = {scope: {scope, "operate"} if scope == "watch" else {scope} for scope in Scope}
    found = {
        scope: client_of(house, new_token(house, f"all-but-{scope}", *(one for one in Scope if one not in without[scope])))
        for scope in Scope
    }
    yield found
    for http in found.values():
        http.close()


def test_another_sources_intent_is_not_there_unless_one_operates(http: httpx.Client, operator: httpx.Client, house: House) -> None:
    intent_id = house.send("main", NUMBER)
    problem(http.get(f"/v1/intents/{intent_id}"), 404, "unknown-intent")
    problem(http.post(f"/v1/intents/{intent_id}/cancel"), 404, "unknown-intent")
    assert operator.get(f"/v1/intents/{intent_id}").json()["source"] == "test"
    assert operator.post(f"/v1/intents/{intent_id}/cancel").json()["outcome"] == "done"


def test_a_token_speaks_for_its_own_source_alone(http: httpx.Client) -> None:
    for source in ("payroll", ["billing"], 7):
        problem(http.post("/v1/intents", json=SEND | {"source": source}), 403, "wrong-source")
    assert http.post("/v1/intents", json=SEND | {"source": "billing"}).status_code == 201


def test_a_rotated_token_gives_way_and_a_removed_one_is_refused(house: House) -> None:
    old = new_token(house, "short-lived", "read")
    new = house.tuma("tokens", "rotate", "short-lived", "--overlap", "60").out.strip()
    assert old != new
    for token in (old, new):
        with client_of(house, token) as http:
            problem(http.get(f"/v1/intents/{NOWHERE}"), 404, "unknown-intent")
    last = house.tuma("tokens", "rotate", "short-lived", "--overlap", "0").out.strip()
    assert house.tuma("tokens", "remove", "short-lived").status == 0
    with client_of(house, last) as http:  # never seen by the gateway, so it asks
        problem(http.get(f"/v1/intents/{NOWHERE}"), 401, "no-token")


def test_a_token_is_kept_by_nothing_that_could_be_used(house: House, token: str) -> None:
    kept = house.redis.hgetall("tuma:tokens")
    assert len(kept) > 0
    assert token.removeprefix("tuma_") not in repr(kept)
    assert not house.lines(token)


# --------------------------------------------------------------------------------------------------------------- batches


def test_a_batch_is_answered_line_by_line_in_its_order(http: httpx.Client) -> None:
    lines = [SEND | {"message": f"text {place}"} for place in range(250)]
    found = post_lines(http, [*lines[:3], SEND | {"to": "nobody"}, "", "{", *lines[3:]])
    assert [one["line"] for one in found] == [1, 2, 3, 4, *range(6, 254)]
    assert [one["line"] for one in found if "problem" in one] == [4, 6]
    assert found[3]["problem"]["field"] == "to"
    assert found[4]["problem"]["type"] == "urn:tuma:problem:unreadable"
    ids = [one["id"] for one in found if "id" in one]
    assert len(set(ids)) == 250
    assert http.get(f"/v1/intents/{ids[-1]}").json()["counts"] == {"queued": 1}


def test_a_batch_with_a_key_may_be_repeated_whole(http: httpx.Client) -> None:
    lines = [SEND | {"message": f"once {place}"} for place in range(3)] + [SEND | {"idempotency_key": "own"}]
    first, again = (post_lines(http, lines, Idempotency_Key="batch-7") for _ in range(2))
    assert [one["id"] for one in first] == [one["id"] for one in again]
    assert [one["duplicate"] for one in first + again] == [False] * 4 + [True] * 4


def test_a_batch_that_is_too_long_says_from_which_line_on_nothing_was_accepted(http: httpx.Client) -> None:
    found = post_lines(http, [*[SEND] * 70, "x" * (1024 * 1024 + 1), SEND])
    assert [one["line"] for one in found] == [*range(1, 72)]
    assert all("id" in one for one in found[:-1])
    assert (found[-1]["stopped"], found[-1]["problem"]["status"]) == (True, 413)
    body = b"x" * (1024 * 1024 + 1)
    answer = http.post("/v1/intents/batch", content=body, headers={"Content-Type": "application/x-ndjson"})
    problem(answer, 413, "too-large")


# -------------------------------------------------------------------------------------------------------- without a Redis


def test_without_a_redis_every_answer_is_to_come_again() -> None:
    server = servers.start()
    with open_house(server, {"main": {"provider": "lisoloo"}}) as house:
        token = new_token(house, "billing", *ALL_SCOPES)
        with client_of(house, token) as http:
            intent_id = http.post("/v1/intents", json=SEND).json()["id"]
            visitor = Visitor(house)
            visitor.log_in(token)
            with visitor.watch() as pages:
                assert "main" in next(pages)
                server.stop()
                assert any("Redis cannot be used now" in page for page in pages)  # the page says so, and goes on
            answer = visitor.http.get("/")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            visitor.http.close()
            for path in (f"/v1/intents/{intent_id}", "/v1/queues/main.send"):
                answer = http.get(path)
                problem(answer, 503, "store-unavailable")
                assert answer.headers["retry-after"] == "1"
            problem(http.post("/v1/intents", json=SEND), 503, "store-unavailable")
            lines = {"Content-Type": "application/x-ndjson"}
            problem(http.post("/v1/intents/batch", content=json.dumps(SEND), headers=lines), 503, "store-unavailable")
