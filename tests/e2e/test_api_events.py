"""Outcomes over HTTP as they happen: whose are told, and that nothing is missed by who comes back; and how fast a token may ask."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.support import servers
from tests.support.api import client_of, new_token, post_lines, problem, reading
from tests.support.cluster import until
from tests.support.houses import open_house

from tuma_worker.store import accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from tests.support.houses import House

NUMBER = "+243990000001"
SEND = {"account": "main", "to": NUMBER, "message": "hello"}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A gateway without a worker: what is accepted waits."""
    with open_house(server, {"main": {"provider": "lisoloo"}, "other": {"provider": "lisoloo"}}) as found:
        yield found


@pytest.fixture
def http(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A service of its own for each test: what others have sent does not concern it."""
    name = f"t{abs(hash(request.node.name)) % 10**9}"
    with client_of(house, new_token(house, name, "send", "read", "control", source=name)) as found:
        yield found


def test_a_reader_is_told_what_becomes_of_its_own_and_of_nobody_elses(http: httpx.Client, house: House) -> None:
    with reading(http) as events:
        house.send("main", NUMBER)
        intent_id = http.post("/v1/intents", json=SEND).json()["id"]
        http.post(f"/v1/intents/{intent_id}/cancel")
        found = [next(events)[1] for _ in range(4)]
    assert [one["type"] for one in found] == [
        "tuma.intent.accepted", "tuma.intent.cancelled", "tuma.recipient.cancelled", "tuma.intent.done",
    ]  # fmt: skip
    assert {one["subject"] for one in found} == {intent_id}
    assert found[2]["data"]["recipient"] == NUMBER


def test_who_comes_back_with_the_last_id_misses_nothing_and_sees_nothing_twice(http: httpx.Client) -> None:
    ids = [http.post("/v1/intents", json=SEND | {"account": account}).json()["id"] for account in ("main", "other")]
    with reading(http, **{"from": "beginning"}) as events:
        first = [next(events) for _ in ids]
    assert {told["subject"] for _, told in first} == set(ids)
    later = [http.post("/v1/intents", json=SEND | {"account": account}).json()["id"] for account in ("other", "main")]
    with reading(http, last=first[-1][0]) as events:
        again = [next(events)[1] for _ in later]
    assert {told["subject"] for told in again} == set(later)
    with reading(http, last=first[0][0], account="main") as events:
        assert next(events)[1]["subject"] in {ids[0], later[1]}


def test_the_first_event_of_an_intent_has_the_trace_of_the_request(http: httpx.Client) -> None:
    traced = f"00-{'7' * 32}-{'a' * 16}-01"
    schedule = {"schedule": {"times": ["2999-01-01T08:00:00Z"]}}
    with reading(http) as events:
        for more in ({}, schedule):
            intent_id = http.post("/v1/intents", json=SEND | more, headers={"traceparent": traced}).json()["id"]
            told = next(events)[1]
            assert (told["subject"], told["traceparent"]) == (intent_id, traced)
        post_lines(http, [SEND], traceparent=traced)
        assert next(events)[1]["traceparent"] == traced
        http.post("/v1/intents", json=SEND | {"message": "x" * 600, "metadata": {"traceparent": traced}})
        assert "traceparent" not in next(events)[1]


def test_an_account_that_is_configured_later_is_followed_from_its_first_event(http: httpx.Client, house: House) -> None:
    with reading(http) as events:
        accounts.register(house.redis, "later", provider="lisoloo", environment="sandbox", queue="{}")
        intent_id = http.post("/v1/intents", json=SEND | {"account": "later"}).json()["id"]
        assert next(events)[1]["subject"] == intent_id


def test_what_a_reader_cannot_mean_is_refused(http: httpx.Client) -> None:
    problem(http.get("/v1/events", headers={"Last-Event-ID": "17"}), 422, "invalid")
    problem(http.get("/v1/events?from=yesterday"), 422, "invalid")
    problem(http.get("/v1/events?account=nobody"), 404, "no-account")


def test_who_asks_for_the_head_alone_does_not_wait_for_the_end(http: httpx.Client) -> None:
    assert http.head("/v1/events").headers["content-type"] == "text/event-stream; charset=utf-8"


def test_a_reader_goes_when_its_token_does(house: House) -> None:
    with client_of(house, new_token(house, "brief", "read", expires_in="2")) as http, reading(http) as events:
        assert list(events) == []


def test_a_reader_that_has_gone_leaves_nothing_behind(http: httpx.Client, house: House) -> None:
    def waiting() -> list[str]:
        return [one["id"] for one in house.redis.client_list() if one["cmd"] == "xread" and "b" in one["flags"]]

    until(lambda: not waiting(), "nobody reads any more")  # of those before
    with reading(http):
        until(waiting, "the gateway reads for it")
    until(lambda: not waiting(), "the gateway reads for nobody")


def test_a_gateway_that_is_told_to_end_lets_its_readers_go(http: httpx.Client, house: House) -> None:
    port = servers.closed_port()
    gateway = house.start("gateway", "--port", str(port))
    gateway.until("gateway.started")
    http.base_url = f"http://127.0.0.1:{port}"
    with reading(http) as events:
        gateway.process.send_signal(signal.SIGTERM)
        assert list(events) == []
    assert gateway.ended() == 0
    gateway.until("gateway.stopped")


def test_a_token_asks_no_oftener_than_it_may(house: House) -> None:
    with client_of(house, new_token(house, "slow", "read", rate="2/h")) as http:
        assert [http.get("/v1/intents/main.1").status_code for _ in range(2)] == [404, 404]
        answer = http.get("/v1/intents/main.1")
        told = problem(answer, 429, "too-fast")
        assert told["detail"] == "the token slow may ask 2/h; come again later"
        assert 1700 <= int(answer.headers["retry-after"]) <= 1800


def test_a_batch_is_slowed_down_to_what_its_token_may_ask(house: House) -> None:
    with client_of(house, new_token(house, "paced", "send", rate="400/s")) as http:
        began = time.monotonic()
        found = post_lines(http, [SEND | {"message": f"paced {place}"} for place in range(700)])
        assert time.monotonic() - began >= (700 - 400) / 400
        assert len({one["id"] for one in found}) == 700
