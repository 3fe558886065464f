"""The API for whoever operates: accounts, queues, campaigns, suppression lists, dead letters; and what is asked beforehand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.acts import dead_letter
from tests.redis.driver import Driver, queue_of
from tests.support.api import ALL_SCOPES, client_of, new_token, problem
from tests.support.houses import open_house

from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from tests.support import servers
    from tests.support.houses import House

NUMBER = "+243990000001"
SEND = {"account": "main", "to": NUMBER, "message": "hello"}


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A gateway without a worker: what is accepted waits."""
    settings = {"provider": "lisoloo", "unit_price": "0.021", "currency": "USD", "limits": ["10/min"]}
    with open_house(server, {"main": settings, "idle": {"provider": "lisoloo"}}) as found:
        yield found


@pytest.fixture(scope="module")
def http(house: House) -> Iterator[httpx.Client]:
    with client_of(house, new_token(house, "ops", *ALL_SCOPES, source="ops")) as found:
        yield found


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


# --------------------------------------------------------------------------------------------------------------- beforehand


def test_what_a_send_would_come_to_is_told_without_sending_it(http: httpx.Client) -> None:
    told = http.post(
        "/v1/estimate", json={"sends": [SEND, SEND | {"to": [NUMBER, NUMBER, "+243990000002"], "message": "x" * 200}]}
    ).json()
    assert (told["recipients"], told["dropped"], told["messages"], told["verdict"]) == (3, 1, 5, "goes")
    assert (told["cost"], told["currency"]) == ("0.105", "USD")
    assert http.get("/v1/queues/main.send").json()["waiting"] == []
    assert problem(http.post("/v1/estimate", json={"sends": []}), 422, "invalid")["field"] == "sends"
    assert problem(http.post("/v1/estimate", json={"sends": [SEND | {"to": "x"}]}), 422, "invalid")["field"] == "to"
    assert problem(http.post("/v1/estimate", json={"send": SEND}), 422, "invalid")["field"]


def test_when_a_schedule_fires_is_told_in_its_zone(http: httpx.Client) -> None:
    schedule = {"frequency": "daily", "times": ["08:00"], "start": "2026-12-01", "tz": "Africa/Kinshasa"}
    told = http.post("/v1/schedules/preview", json={"schedule": schedule, "after": "2026-12-24T08:00:00Z", "count": 2}).json()
    assert [one["local"] for one in told["firings"]] == ["2026-12-25T08:00:00.000+01:00", "2026-12-26T08:00:00.000+01:00"]
    past = {"schedule": {"times": ["2020-01-01T00:00:00Z"]}}
    assert http.post("/v1/schedules/preview", json=past).json() == {"firings": []}
    wrong = {"schedule": schedule | {"tz": "Nowhere"}}
    assert problem(http.post("/v1/schedules/preview", json=wrong), 422, "invalid")["field"] == "tz"


# ------------------------------------------------------------------------------------------------------ accounts and queues


def test_an_account_tells_how_it_stands_and_is_resumed(http: httpx.Client, house: House) -> None:
    Steering(house.redis, "idle", "send", "test").halt(Halt(Fault.MONEY, "1501", operator=True, after=0.0))
    assert [one["account"] for one in http.get("/v1/accounts").json()["accounts"]] == ["idle", "main"]
    told = http.get("/v1/accounts/idle").json()
    assert (told["halted"], told["operator"]) == ("money (1501)", True)
    assert told["queues"][0]["queue"] == "idle.send"
    assert http.post("/v1/accounts/idle/resume").json() == {"account": "idle", "resumed": True}
    assert http.post("/v1/accounts/idle/resume").json() == {"account": "idle", "resumed": False}
    assert http.get("/v1/accounts/idle").json()["halted"] is None
    resumed = list(house.producer.outcomes("t", accounts=["idle"], all_sources=True, wait=0.01))[-1]
    assert (resumed.type, resumed.data["by"]) == ("tuma.account.resumed", "ops")


def test_a_queue_tells_who_waits_and_is_paused_by_priority(http: httpx.Client) -> None:
    intent = http.post("/v1/intents", json=SEND | {"priority": "bulk"}).headers["location"]
    queue = http.get("/v1/queues/main.send").json()
    (waiting,) = queue["waiting"]
    assert (waiting["lane"], waiting["source"], waiting["jobs"]) == ("bulk", "ops", 1)
    assert [(one["name"], one["count"]) for one in queue["windows"]] == [("calls-60s", 10)]
    paused = {"queue": "main.send", "scope": "bulk", "paused": True, "changed": True}
    assert http.post("/v1/queues/main.send/pause?priority=bulk").json() == paused
    assert http.get(intent).json()["holds"] == ["its priority is paused"]
    assert "its priority is paused" in http.get(f"{intent}/explain").text
    assert http.post("/v1/queues/main.send/resume", params={"priority": "bulk"}).json() == paused | {"paused": False}
    assert not http.post("/v1/queues/main.send/resume").json()["changed"]
    assert "main.send" in [one["queue"] for one in http.get("/v1/queues").json()["queues"]]


def test_a_limit_is_changed_while_running_and_goes_back(http: httpx.Client) -> None:
    path = "/v1/accounts/main/limits/calls-60s"
    told = http.put(path, json={"limit": "5/min"}).json()
    assert (told["count"], told["seconds"], told["set_by"]) == (5, 60, "ops")
    assert http.get("/v1/accounts/main").json()["queues"][0]["windows"] == [told]
    told = http.delete(path).json()
    assert (told["count"], told["set_by"]) == (10, None)
    assert problem(http.put(path, json={"limit": "often"}), 422, "invalid")["field"] == "limit"
    assert problem(http.put(path, json={"limit": "5 messages/min"}), 422, "invalid")["rule"].startswith("must count calls")
    problem(http.put("/v1/accounts/main/limits/calls-1s", json={"limit": "5/s"}), 404, "no-limit")
    problem(http.delete("/v1/accounts/nobody/limits/calls-1s"), 404, "no-account")


def test_who_did_what_is_told_and_only_to_whoever_operates(http: httpx.Client, house: House) -> None:
    http.post("/v1/queues/idle.send/pause?priority=bulk")
    *_, last = told = lines(http.get("/v1/audit?account=idle"))
    assert [last[name] for name in ("account", "by", "action", "name")] == ["idle", "ops", "paused", "idle.send bulk"]
    assert (last["before"], last["after"]) == (None, "paused")
    assert last in lines(http.get("/v1/audit", params={"account": "idle", "since": last["at"]}))
    assert all(one in lines(http.get("/v1/audit")) for one in told)
    assert lines(http.get("/v1/audit?since=2999-01-01T00:00Z")) == []
    for wrong in ("yesterday", "2026-12-01T08:00"):
        assert problem(http.get(f"/v1/audit?since={wrong}"), 422, "invalid")["field"] == "since"
    problem(http.get("/v1/audit?account=nobody"), 404, "no-account")
    with client_of(house, new_token(house, "reader", "read", "control", "send")) as reader:
        problem(reader.get("/v1/audit"), 403, "no-scope")
    http.post("/v1/queues/idle.send/resume?priority=bulk")


def test_what_is_not_understood_pauses_nothing(http: httpx.Client) -> None:
    for query, field in (("prioritty=bulk", "prioritty"), ("priority=urgent", "priority"), ("priority=otp&source=a", "source"),
                         ("source=a&source=b", "source"), ("source=%20", "source")):  # fmt: skip
        assert problem(http.post(f"/v1/queues/main.send/pause?{query}"), 422, "invalid")["field"] == field
    problem(http.post("/v1/queues/main.nothing/pause"), 404, "no-queue")
    problem(http.post("/v1/queues/nobody.send/pause"), 404, "no-account")
    problem(http.get("/v1/accounts/nobody"), 404, "no-account")
    assert http.get("/v1/queues/main.send").json()["holds"] == []


# --------------------------------------------------------------------------------------------- campaigns, suppression lists


@pytest.mark.parametrize("name", ["spring", "spring/2026 ü"])
def test_a_campaign_is_steered_as_a_whole(http: httpx.Client, name: str) -> None:
    for place in range(2):
        http.post("/v1/intents", json=SEND | {"to": f"+24399000000{place}", "campaign_name": name})
    path = f"/v1/accounts/main/campaigns/{name.replace('/', '%2F')}"
    for verb in ("pause", "resume", "cancel"):
        told = http.post(f"{path}/{verb}").json()
        assert (told["campaign"], told["outcome"], told["intents"], told["stopped"]) == (name, "done", 2, 2)
    problem(http.post("/v1/accounts/main/campaigns/winter/pause"), 404, "unknown-campaign")


def test_numbers_are_put_on_the_suppression_list_and_taken_off(http: httpx.Client) -> None:
    path = "/v1/accounts/idle/suppressions"
    assert http.post(path, json={"numbers": [NUMBER, "+243 990 000 002"]}).json() == {"account": "idle", "added": 2}
    assert {one["number"] for one in lines(http.get(path))} == {NUMBER, "+243990000002"}
    assert http.post(f"{path}/remove", json={"numbers": [NUMBER]}).json() == {"account": "idle", "removed": 1}
    assert [one["number"] for one in lines(http.get(path))] == ["+243990000002"]
    told = problem(http.post(path, json={"numbers": ["+24399x"]}), 422, "invalid")
    assert (told["field"], "24399x" in told["detail"]) == ("numbers", False)
    problem(http.post("/v1/accounts/nobody/suppressions", json={"numbers": [NUMBER]}), 404, "no-account")


# ------------------------------------------------------------------------------------------------------------ dead letters


def test_dead_letters_are_listed_and_sent_again_once(http: httpx.Client, house: House) -> None:
    _, short_id = dead_letter(Driver(house.redis, queue_of(account="dead")))
    (letter,) = lines(http.get("/v1/accounts/dead/dead"))
    assert (letter["id"], letter["class"]) == (f"dead.{short_id}", "rejected")
    assert lines(http.get("/v1/accounts/dead/dead?class=unknown")) == []
    problem(http.get("/v1/accounts/dead/dead?class=odd"), 422, "invalid")
    assert problem(http.post("/v1/accounts/dead/dead/redrive", json={}), 422, "invalid")["field"] == "all"
    assert (
        problem(http.post("/v1/accounts/dead/dead/redrive", json={"all": True, "classes": ["rejected"]}), 422, "invalid")["field"]
        == "all"
    )
    assert http.post("/v1/accounts/dead/dead/redrive", json={"classes": ["exhausted"]}).json()["redriven"] == 0
    told = http.post(f"/v1/intents/dead.{short_id}/redrive", json={"account": "main", "sender_id": "KITOKO"}).json()
    assert (told["redriven"], told["skipped"]) == (1, {})
    assert http.get(f"/v1/intents/{told['intents'][0]}").json()["counts"] == {"queued": 1}
    assert http.post("/v1/accounts/dead/dead/redrive", json={"all": True}).json() == {"redriven": 0, "intents": [], "skipped": {}}
    problem(http.post("/v1/intents/dead.1/redrive", json={}), 404, "unknown-intent")
    problem(http.post(f"/v1/intents/dead.{short_id}/redrive", json={"account": "nobody"}), 404, "no-account")
