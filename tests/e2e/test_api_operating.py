"""The API for whoever operates: accounts, queues, campaigns, suppression lists, dead letters; and what is asked beforehand."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.acts import dead_letter
from tests.redis.driver import Driver, queue_of
from tests.support.api import ALL_SCOPES, client_of, new_token, problem
from tests.support.houses import open_house

from tuma_producer import Send
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.store import listing, records
from tuma_worker.store.feed import MISSED, Feed, Trouble
from tuma_worker.store.listing import Filter, Listing
from tuma_worker.store.steering import Steering
from tuma_worker.store.subscriptions import Subscriptions

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


def test_an_open_breaker_is_closed_by_whoever_resumes_the_account(http: httpx.Client, house: House) -> None:
    state = AccountKeys("idle").queue("send").state
    soon = round(time.time() * 1000) + 4000
    house.redis.hset(state, mapping={"breaker": f"{soon - 5000} 5000 5 x read-timeout", "blocked_until": soon, "strikes": 1})
    assert http.get("/v1/accounts/idle").json()["breaker"].startswith("breaker: open since")
    assert http.post("/v1/accounts/idle/resume").json() == {"account": "idle", "resumed": True}
    assert http.get("/v1/accounts/idle").json()["breaker"] is None
    assert not house.redis.hexists(state, "blocked_until")
    *_, last = lines(http.get("/v1/audit?account=idle"))
    assert (last["action"], last["before"]) == ("breaker-closed", "breaker open: 5 x read-timeout")
    house.redis.hset(state, mapping={"breaker": f"{soon - 5000} 5000 5 x read-timeout", "blocked_until": soon + 600_000})
    assert http.post("/v1/accounts/idle/resume").json()["resumed"]
    assert house.redis.hget(state, "blocked_until") == b"%d" % (soon + 600_000)  # the provider's own wish
    house.redis.hdel(state, "blocked_until")


def test_who_may_watch_sees_what_an_operator_sees_and_steers_nothing(http: httpx.Client, house: House) -> None:
    intent = http.post("/v1/intents", json=SEND).headers["location"]
    with client_of(house, new_token(house, "watcher", "watch", "read", "control", source="watching")) as watcher:
        for path in ("/v1/accounts", "/v1/queues", "/v1/audit", "/v1/subscriptions", "/v1/accounts/main/dead", intent):
            assert watcher.get(path).status_code == 200
        assert watcher.get("/v1/intents?account=main").json()["intents"]
        for path in ("/v1/queues/main.send/pause", "/v1/accounts/main/resume", "/v1/accounts/main/dead/drop", "/v1/subscriptions"):
            problem(watcher.post(path, json={}), 403, "no-scope")
        problem(watcher.post(f"{intent}/cancel"), 404, "unknown-intent")
    http.post(f"{intent}/cancel")


# ------------------------------------------------------------------------------------------------------ intents, schedules


def test_intents_are_found_by_what_they_have_and_page_by_page(http: httpx.Client, house: House) -> None:
    def found(client: httpx.Client, **filters: Any) -> set[str]:  # noqa: ANN401 - parameters of a query
        ids: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.get("/v1/intents", params={"account": "main", **filters, **cursor}).json()
            ids += [one["id"] for one in page["intents"]]
            if page["next"] is None:
                return set(ids)
            cursor = {"cursor": page["next"]}

    made = [
        http.post("/v1/intents", json=SEND | {"priority": priority, "campaign_name": "found"}).json()["id"]
        for priority in ("bulk", "bulk", "otp")
    ]
    http.post(f"/v1/intents/{made[0]}/cancel")
    assert set(made) <= found(http) == found(http, limit=0)
    assert found(http, source="ops", priority="bulk") & set(made) == set(made[:2])
    assert found(http, state="cancelled") & set(made) == {made[0]}
    at = http.get(f"/v1/intents/{made[2]}").json()["accepted"]
    assert made[2] in found(http, since=at, until=at)
    assert found(http, since="2999-01-01T00:00Z") == found(http, source="nobody") == set()
    (outline,) = [one for one in http.get("/v1/intents?account=main&limit=200").json()["intents"] if one["id"] == made[0]]
    assert (outline["state"], outline["counts"], outline["campaign_name"]) == ("cancelled", {"cancelled": 1}, "found")
    assert NUMBER not in str(outline)
    with client_of(house, new_token(house, "shop", "read", source="shop")) as shop:
        assert found(shop) == set()
        problem(shop.get("/v1/intents?account=main&source=ops"), 403, "wrong-source")
    for query, field in (("", "account"), ("account=main&state=lost", "state"), ("account=main&priority=urgent", "priority"),
                         ("account=main&since=yesterday", "since"), ("account=main&limit=201", "limit"),
                         ("account=main&cursor=-1", "cursor"), ("account=main&limit=²", "limit")):  # fmt: skip
        assert problem(http.get(f"/v1/intents?{query}"), 422, "invalid")["field"] == field
    problem(http.get("/v1/intents?account=nobody"), 404, "no-account")
    for intent in made:
        http.post(f"/v1/intents/{intent}/cancel")


def test_a_listing_looks_at_so_much_at_once_and_says_where_to_go_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        house.send("idle", NUMBER)
    monkeypatch.setattr(records, "PAGE", 1)
    monkeypatch.setattr(listing, "PAGE", 1)
    monkeypatch.setattr(listing, "LOOKED_AT", 2)
    looked, place, pages = Listing(house.redis, "idle"), listing.BEGINNING, 0
    met: set[str] = set()
    while True:
        page = looked.page(Filter(), place, 100)
        met |= {one.id for one in page.intents}
        pages += 1
        if page.following is None:
            break
        place = page.following
    assert (len(met), pages > 1) == (3, True)


def test_schedules_are_listed_looked_at_and_changed(http: httpx.Client, house: House) -> None:
    schedule = {"times": ["2998-01-01T08:00:00Z"]}
    made = [http.post("/v1/intents", json=SEND | {"schedule": schedule}).json()["id"] for _ in range(3)]
    first = http.get("/v1/schedules?account=main&limit=2").json()
    rest = http.get("/v1/schedules", params={"account": "main", "limit": 2, "cursor": first["next"]}).json()
    assert [one["id"] for one in (*first["schedules"], *rest["schedules"])] == made[::-1]
    assert rest["next"] is None
    assert (first["schedules"][0]["state"], first["schedules"][0]["next_firing"]) == ("scheduled", "2998-01-01T08:00:00.000+00:00")
    path = f"/v1/schedules/{made[0]}"
    edited = http.patch(
        path, json={"message": "other", "to": [NUMBER, "+243990000002"], "schedule": {"times": ["2999-01-01T08:00:00Z"]}}
    )
    assert (edited.json()["recipients"], edited.json()["next_firing"]) == (2, "2999-01-01T08:00:00.000+00:00")
    assert http.get(path).json()["next_firing"] == "2999-01-01T08:00:00.000+00:00"
    *_, act = lines(http.get("/v1/audit?account=main"))
    assert (act["action"], act["name"], act["by"], act["after"].endswith("new: message schedule to")) == (
        "edited",
        made[0],
        "ops",
        True,
    )
    assert problem(http.patch(path, json={"message": ""}), 422, "invalid")["field"] == "message"
    assert problem(http.patch(path, json={}), 422, "invalid")["field"] == "message"
    assert problem(http.patch(path, json={"schedule": {"times": ["2020-01-01T00:00:00Z"]}}), 422, "invalid")["field"] == "schedule"
    for intent in made:
        http.post(f"/v1/intents/{intent}/cancel")
    problem(http.patch(path, json={"message": "again"}), 409, "not-editable")
    problem(http.get("/v1/schedules/main.1"), 404, "unknown-intent")
    problem(http.get(http.post("/v1/intents", json=SEND).headers["location"].replace("intents", "schedules")), 404, "no-schedule")
    assert problem(http.get("/v1/schedules"), 422, "invalid")["field"] == "account"
    assert problem(http.get("/v1/schedules?account=main&cursor=x"), 422, "invalid")["field"] == "cursor"
    assert problem(http.get("/v1/schedules?account=main&limit=0"), 422, "invalid")["field"] == "limit"
    with client_of(house, new_token(house, "mall", "read", "control", source="mall")) as mall:
        assert mall.get("/v1/schedules?account=main").json()["schedules"] == []
        problem(mall.get(path), 404, "no-schedule")
        problem(mall.patch(path, json={"message": "mine"}), 404, "unknown-intent")


# ----------------------------------------------------------------------------------------------------------- subscriptions


def test_subscriptions_are_steered_as_by_the_command_line(http: httpx.Client, house: House) -> None:
    body = {"account": "idle", "url": "https://shop.example.com/sms", "source": "shop", "from": "beginning"}
    made = http.post("/v1/subscriptions", json=body)
    one = made.json()
    path = made.headers["location"]
    assert (made.status_code, path, one["secret"][:6]) == (201, f"/v1/subscriptions/{one['id']}", "whsec_")
    (listed,) = http.get("/v1/subscriptions?account=idle").json()["subscriptions"]
    assert listed | {"secret": one["secret"]} == one
    assert [row["id"] for row in house.tuma("subscriptions", "list", "idle", "--json").json] == [one["id"].removeprefix("idle.")]
    rotated = http.post(f"{path}/rotate", json={"overlap": 60}).json()
    assert (rotated["secrets"], rotated["secret"] != one["secret"]) == (2, True)
    house.producer.enqueue(Send(account="idle", to=NUMBER, message="hello", source="shop"))
    again = http.post(f"{path}/replay", json={"from": "2026-01-01T00:00Z"}).json()
    assert (again["events"] > 0, again["left"]) == (True, None)
    assert http.post(f"{path}/replay", json={"from": "2026-01-01", "to": "2026-01-02"}).json()["events"] == 0
    feed = Feed(house.redis, "idle", Subscriptions(house.redis, "idle").named(one["id"].removeprefix("idle.")))
    feed.note({MISSED: Trouble(2, 1_790_000_000_000)})
    (listed,) = http.get("/v1/subscriptions?account=idle").json()["subscriptions"]
    assert (listed["missed"], datetime.fromisoformat(listed["last_missed"]).timestamp()) == (2, 1_790_000_000)
    enabled = http.post(f"{path}/enable").json()
    assert (enabled["disabled"], enabled["missed"], enabled["last_missed"]) == (None, 0, None)
    assert problem(http.post(f"{path}/replay", json={}), 422, "invalid")["field"] == "event"
    assert problem(http.post(f"{path}/replay", json={"event": "main/1-0"}), 422, "invalid")["field"] == "event"
    assert problem(http.post(f"{path}/replay", json={"from": "idle/1-0", "to": "noon"}), 422, "invalid")["field"] == "to"
    assert http.delete(path).status_code == 204
    for gone in (
        http.delete(path),
        http.post(f"{path}/rotate", json={}),
        http.post(f"{path}/enable"),
        http.delete("/v1/subscriptions/x"),
    ):
        problem(gone, 404, "no-subscription")
    callbacks = {"account": "idle"}
    assert http.post("/v1/subscriptions", json=callbacks).json()["id"] == "idle.callbacks"
    problem(http.post("/v1/subscriptions", json=callbacks), 409, "exists")
    assert http.delete("/v1/subscriptions/idle.callbacks").status_code == 204
    for wrong, field in (({"url": "ftp://x"}, "url"), ({"source": "a b"}, "source"), ({"from": "noon"}, "from")):
        assert problem(http.post("/v1/subscriptions", json=callbacks | wrong), 422, "invalid")["field"] == field
    problem(http.post("/v1/subscriptions", json={"account": "nobody"}), 404, "no-account")
    acts = [one["action"] for one in lines(http.get("/v1/audit?account=idle")) if one["kind"] == "subscription"]
    assert acts == ["added", "rotated", "replayed", "removed", "added", "removed"]


# --------------------------------------------------------------------------------------------- campaigns, suppression lists


@pytest.mark.parametrize("name", ["spring", "spring/2026 ü"])
def test_a_campaign_is_steered_as_a_whole(http: httpx.Client, name: str) -> None:
    for place in range(2):
        http.post("/v1/intents", json=SEND | {"to": f"+24399000000{place}", "campaign_name": name})
    path = f"/v1/accounts/main/campaigns/{name.replace('/', '%2F')}"
    told = http.get(path).json()
    assert (told["campaign"], told["intents"], told["counted"], told["counts"]) == (name, 2, 2, {"queued": 2})
    for verb in ("pause", "resume", "cancel"):
        told = http.post(f"{path}/{verb}").json()
        assert (told["campaign"], told["outcome"], told["intents"], told["stopped"]) == (name, "done", 2, 2)
        standing = http.get(path).json()
        assert (standing["paused_by"], standing["cancelling_by"]) == ("ops" if verb == "pause" else None, None)
    assert http.get(path).json()["counts"] == {"cancelled": 2}
    listed = http.get("/v1/accounts/main/campaigns?limit=1").json()
    assert (len(listed["campaigns"]), listed["size"] >= 1) == (1, True)
    assert name in [one["campaign"] for one in http.get("/v1/accounts/main/campaigns").json()["campaigns"]]
    problem(http.post("/v1/accounts/main/campaigns/winter/pause"), 404, "unknown-campaign")
    problem(http.get("/v1/accounts/main/campaigns/winter"), 404, "unknown-campaign")


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


def test_dead_letters_are_dropped_of_an_intent_or_of_an_account(http: httpx.Client, house: House) -> None:
    driver = Driver(house.redis, queue_of(account="dropped"))
    first, second, third = (dead_letter(driver, f"+24399000000{place}")[1] for place in (1, 2, 3))
    assert problem(http.post("/v1/accounts/dropped/dead/drop", json={}), 422, "invalid")["field"] == "all"
    for nobody in ({"classes": ["unknown"]}, {"older_than": 1e308}):
        assert http.post("/v1/accounts/dropped/dead/drop", json=nobody).json() == {"dropped": 0, "classes": {}}
    assert http.post(f"/v1/intents/dropped.{second}/drop").json() == {"dropped": 1, "classes": {"rejected": 1}}
    assert http.post(f"/v1/intents/dropped.{second}/drop").json()["dropped"] == 0
    assert {one["id"] for one in lines(http.get("/v1/accounts/dropped/dead"))} == {f"dropped.{first}", f"dropped.{third}"}
    assert http.post("/v1/accounts/dropped/dead/drop", json={"all": True}).json() == {"dropped": 2, "classes": {"rejected": 2}}
    acts = [(one["action"], one["name"], one["before"], one["after"]) for one in lines(http.get("/v1/audit?account=dropped"))]
    assert acts == [
        ("dropped", f"dropped.{second}", "letters: 3", "letters: 2"),
        ("dropped", "all", "letters: 2", "letters: 1"),
    ]
    problem(http.post("/v1/intents/dropped.1/drop"), 404, "unknown-intent")
