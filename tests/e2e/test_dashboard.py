"""The dashboard by HTTP: who gets in, what may be seen and done by which token, and by whom it is said to be done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.redis.acts import dead_letter
from tests.redis.driver import Driver, queue_of
from tests.support.api import ALL_SCOPES, new_token
from tests.support.dashboard import Visitor
from tests.support.houses import open_house

from tuma_producer import At, Every
from tuma_producer.contract.keys import session
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.core.tokens import Scope, digest
from tuma_worker.gateway.dashboard.front import ACTIONS, PAGES
from tuma_worker.gateway.dashboard.sessions import COOKIE
from tuma_worker.store.dead import DeadLetters, Leaving
from tuma_worker.store.steering import Steering, pauses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House

    from tuma_worker.gateway.dashboard.front import Action

QUEUE = {"queue": "main.send"}
PATHS = [one.path for one in PAGES]


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A gateway without a worker: what is accepted waits."""
    with open_house(server, {"main": {"provider": "lisoloo", "limits": ["10/min"]}, "idle": {"provider": "lisoloo"}}) as found:
        yield found


@pytest.fixture(scope="module")
def token(house: House) -> str:
    return new_token(house, "asha", *ALL_SCOPES, source="ops")


@pytest.fixture
def asha(house: House, token: str) -> Iterator[Visitor]:
    """Somebody who may do everything, and has logged in."""
    visitor = Visitor(house)
    with visitor.http:
        assert visitor.log_in(token).status_code == 303
        visitor.see("/")
        yield visitor


@pytest.fixture
def stranger(house: House) -> Iterator[Visitor]:
    visitor = Visitor(house)
    with visitor.http:
        yield visitor


@pytest.fixture(scope="module")
def reading(house: House) -> str:
    """A token that sees what belongs to `billing`, and no more."""
    return new_token(house, "reader", "read", source="billing")


@pytest.fixture
def reader(house: House, reading: str) -> Iterator[Visitor]:
    visitor = Visitor(house)
    with visitor.http:
        assert visitor.log_in(reading).status_code == 303
        yield visitor


# ---------------------------------------------------------------------------------------------------------- who gets in


def test_who_has_not_logged_in_is_asked_to_and_comes_back_to_where_they_were(stranger: Visitor, token: str) -> None:
    for path in PATHS:
        answer = stranger.http.get(path, params={"id": "a&b"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}%3Fid%3Da%2526b")
        assert stranger.http.get(f"/live{path}").status_code == 401
    for action in ACTIONS:
        assert stranger.do(action.path, **QUEUE).headers["location"] == "/login"
    assert 'name="next" value="/dead?class=a"' in stranger.http.get("/login", params={"next": "/dead?class=a"}).text
    assert stranger.log_in(token, next="/dead?class=a").headers["location"] == "/dead?class=a"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example"])
def test_a_login_leads_nowhere_else(stranger: Visitor, token: str, elsewhere: str) -> None:
    location = stranger.log_in(token, next=elsewhere).headers["location"]
    assert re.fullmatch(r"/[^/\\\t][^\\\t]*", location), location


def test_a_token_that_does_not_hold_or_sees_nothing_lets_nobody_in(stranger: Visitor, house: House) -> None:
    for refused in ("", "tuma_nonsense", new_token(house, "sender", "send")):
        answer = stranger.log_in(refused)
        assert (answer.status_code, "does not hold" in answer.text, len(answer.cookies)) == (401, True, 0)


def test_the_browser_keeps_a_secret_that_no_script_and_no_other_site_gets_at(stranger: Visitor, house: House, token: str) -> None:
    answer = stranger.log_in(token)
    kept = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(kept.split("; "))
    assert token not in kept
    secret = stranger.http.cookies[COOKIE]
    assert secret not in stranger.see("/")
    assert house.redis.get(session(digest(secret))) == digest(token).encode()
    assert 0 < house.redis.ttl(session(digest(secret))) <= 12 * 3600


def test_who_logs_out_is_out_wherever_the_secret_has_gone(asha: Visitor, stranger: Visitor) -> None:
    stranger.http.cookies.set(COOKIE, asha.http.cookies[COOKIE])
    stranger.see("/")
    assert asha.do("/logout").headers["location"] == "/login"
    assert COOKIE not in asha.http.cookies
    assert stranger.http.get("/").headers["location"].startswith("/login")


def test_a_session_ends_with_its_token(stranger: Visitor, house: House) -> None:
    stranger.log_in(new_token(house, "leaver", "operate", "read", expires_in="2"))
    with stranger.http.stream("GET", "/live/") as answer:
        assert any(line == "event: end" for line in answer.iter_lines())
    assert stranger.http.get("/").headers["location"].startswith("/login")


# ------------------------------------------------------------------------------------------------------ what may be done


def test_no_page_holds_a_script_or_a_style_of_its_own(asha: Visitor) -> None:
    for path in [*PATHS, "/login", "/nothing-here"]:
        answer = asha.http.get(path)
        if path == "/nothing-here":
            assert answer.headers["content-type"] == "application/problem+json"
            continue
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", answer.text), path
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
            found = asha.http.get(address)
            assert (found.status_code, "immutable" in found.headers["cache-control"]) == (200, True)
    assert asha.http.get("/static/..%2Ffront.py").status_code == 404


@pytest.mark.parametrize("action", ACTIONS, ids=lambda one: one.path)
def test_another_sites_form_does_nothing(asha: Visitor, action: Action, house: House) -> None:
    for headers, proof in (({}, ""), ({}, "0" * 64), ({"Sec-Fetch-Site": "cross-site"}, asha.proof)):
        answer = asha.http.post(action.path, data={"proof": proof, **QUEUE}, headers=headers)
        assert (answer.status_code, "from another page" in answer.text) == (403, True)
    assert asha.http.post(action.path, json={"proof": asha.proof}).status_code == 415
    assert pauses(house.redis, "main", "send") == []


def test_what_a_token_may_not_do_is_neither_shown_nor_done(reader: Visitor) -> None:
    assert reader.http.get("/").headers["location"] == "/schedules"
    page = reader.see("/schedules")
    for one in PAGES:
        allowed = one.scope is Scope.READ
        assert (f'href="{one.path}"' in page.partition("</nav>")[0].partition("<nav")[2]) == (allowed and one.named)
        if one.path != "/":
            assert reader.http.get(one.path).status_code == (200 if allowed else 403)
        if not allowed:
            assert reader.http.get(f"/live{one.path}").status_code == 403
    for action in ACTIONS:
        answer = reader.do(action.path, **QUEUE)
        assert (answer.status_code, f"has not the scope {action.scope}" in answer.text) == (403, True)


def test_a_queue_is_paused_and_resumed_by_who_has_logged_in(asha: Visitor, house: House) -> None:
    house.send("main", "+243990000001", priority="bulk")
    assert asha.done("/queues/pause", **QUEUE, priority="bulk") == "main, priority bulk, is paused. Calls in flight end."
    (paused,) = pauses(house.redis, "main", "send")
    assert (str(paused.scope), paused.by) == ("bulk", "asha")
    page = asha.see("/")
    assert re.search(r"Priority bulk is paused</b>\s+by asha", page)
    assert 'class="notice"' not in page  # it is said once
    assert asha.done("/queues/resume", **QUEUE, priority="bulk", source="") == "main, priority bulk, is resumed."
    assert asha.done("/queues/resume", **QUEUE) == "main was not paused."
    events = [one for one in house.producer.outcomes("t", accounts=["main"], all_sources=True, wait=0.01) if one.intent is None]
    assert [(one.type, one.data["by"]) for one in events] == [("tuma.account.paused", "asha"), ("tuma.account.resumed", "asha")]


def test_a_halted_account_says_why_and_is_resumed(asha: Visitor, house: House) -> None:
    Steering(house.redis, "idle", "send", "test").halt(Halt(Fault.MONEY, "1501", operator=True, after=0.0))
    page = asha.see("/")
    assert "Halted: money (1501)" in page
    assert asha.done("/accounts/resume", account="idle") == "idle is resumed."
    assert "Halted" not in asha.see("/")


def test_what_is_wrong_is_said_on_a_page_of_its_own(asha: Visitor) -> None:
    for path, fields, status, words in (
        ("/accounts/resume", {"account": "nobody"}, 404, "is not configured"),
        ("/queues/pause", {**QUEUE, "priority": "urgent"}, 422, "must be one of otp"),
        ("/intents/pause", {"id": "main.1"}, 404, "no such intent"),
        ("/dead/redrive", {"account": "main", "class": "odd"}, 422, "must be one of exhausted"),
        ("/dead/redrive", {"account": "main", "class": "unknown", "expires_in": "soon"}, 422, "a number of seconds"),
    ):
        answer = asha.do(path, **fields)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text


# -------------------------------------------------------------------------------------------------------- what is seen


def test_a_page_follows_what_happens_and_is_the_same_for_all(asha: Visitor) -> None:
    with asha.watch() as pages:
        first = next(pages)
        assert asha.proof not in first
        assert "paused" not in first
        asha.do("/queues/pause", **QUEUE)
        assert any("Paused</b>" in page for page in pages)
    asha.do("/queues/resume", **QUEUE)


def test_the_windows_show_who_waits_in_which_lane(asha: Visitor, house: House) -> None:
    house.send("main", "+243990000001", "+243990000002", priority="otp")
    page = asha.see("/")
    assert "10 calls per minute" in page
    assert re.search(r'<span class="lane otp">otp</span></td><td>test</td><td class="figure">2</td>', page)


def test_an_intent_is_found_by_its_id_explained_and_steered(asha: Visitor, house: House) -> None:
    intent_id = house.send("main", "+243990000003")
    path = f"/intents?id={intent_id}"
    assert "Why it waits" in asha.see(path)
    assert asha.done("/intents/pause", on=path, id=intent_id) == "pause: done (1 paused)."
    assert "the intent is paused" in asha.see(path)
    assert asha.done("/intents/resume", on=path, id=intent_id) == "resume: done (1 in the line again)."
    assert asha.done("/intents/cancel", on=path, id=intent_id) == "cancel: done (1 cancelled)."
    assert house.until(intent_id, "intent.cancelled")[-1].data["by"] == "asha"
    assert "/intents/cancel" not in asha.see(path)
    assert "+243990000003" not in asha.see(path)
    assert "There is no such intent" in asha.see("/intents?id=%3Cscript%3Ealert(1)%3C/script%3E")


def test_another_sources_intent_is_not_there_for_who_only_reads(reader: Visitor, house: House) -> None:
    theirs = house.send("main", "+243990000004")
    assert "There is no such intent" in reader.see(f"/intents?id={theirs}")
    own = house.send("main", "+243990000005", source="billing")
    page = reader.see(f"/intents?id={own}")
    assert "Why it waits" in page
    assert "/intents/cancel" not in page


def test_dead_letters_are_shown_by_intent_and_sent_again(asha: Visitor, house: House) -> None:
    letters, one = dead_letter(Driver(house.redis, queue_of(account="dead")))
    _, other = dead_letter(Driver(house.redis, queue_of(account="dead")), "+243990000007")
    page = asha.see("/dead")
    assert f"dead.{one}" in page
    assert "2 dead letters" in page
    assert "+243990000007" not in page
    assert asha.done("/dead/redrive", on="/dead", id=f"dead.{one}") == "1 recipient sent again, as 1 intent."
    told = asha.done("/dead/redrive", on="/dead", account="dead", **{"class": "rejected"}, through="main", sender_id="KITOKO")
    assert told == "1 recipient sent again, as 1 intent."
    assert letters.size() == 0
    redriven = [
        one for one in house.producer.outcomes("d", accounts=["dead"], all_sources=True, wait=0.01) if "redriven" in one.type
    ]
    assert {one.data["by"] for one in redriven} == {"asha"}
    assert redriven[-1].data["redriven_as"].startswith("main.")
    assert f"dead.{other}" not in asha.see("/dead")
    assert DeadLetters(house.redis, "dead").size() == 0


def test_dead_letters_are_dropped_by_intent(asha: Visitor, house: House) -> None:
    letters, one = dead_letter(Driver(house.redis, queue_of(account="buried")), "+243990000007")
    asha.see("/dead")
    assert asha.done("/dead/drop", on="/dead", id=f"buried.{one}") == "1 dead letter dropped."
    assert letters.size() == 0
    assert asha.do("/dead/drop", id="buried.1").status_code == 404


def test_who_may_watch_sees_every_page_and_no_button(house: House) -> None:
    house.send("main", "+243990000007", campaign_name="watched")
    letters, intent = dead_letter(Driver(house.redis, queue_of(account="watched")), "+243990000007")
    watcher = Visitor(house)
    with watcher.http:
        watcher.log_in(new_token(house, "watcher", "watch", "read", "control", source="watching"))
        for page in PATHS:
            shown = watcher.see(f"{page}?id=watched.{intent}")
            assert re.findall(r'method="post" action="([^"]+)"', shown) == ["/logout"]
            with watcher.watch(page.removeprefix("/")) as pages:
                assert 'method="post"' not in next(pages)
        for action in ACTIONS:
            assert watcher.do(action.path, id=f"watched.{intent}").status_code == (403 if action.scope is Scope.OPERATE else 404)
    letters.drop(intent, ["+243990000007"], Leaving("test", "all"))


def test_a_campaign_shows_how_far_it_has_come_and_is_steered(asha: Visitor, house: House) -> None:
    name = "spring <b>&"
    for place in range(3):
        house.send("main", f"+24399000010{place}", f"+24399000011{place}", campaign_name=name)
    assert re.search(
        r"<h2>spring &lt;b&gt;&amp;</h2>.*<b>0</b> of 6 recipients ended.*3 intents\.", asha.see("/campaigns"), re.DOTALL
    )
    fields = {"account": "main", "campaign": name}
    assert asha.done("/campaigns/pause", on="/campaigns", **fields) == "spring &lt;b&gt;&amp;: pause: done (6 paused)."
    assert "Paused</b> by asha" in asha.see("/campaigns")
    assert asha.done("/campaigns/resume", on="/campaigns", **fields).endswith("resume: done (6 in the line again).")
    assert asha.done("/campaigns/cancel", on="/campaigns", **fields).endswith("cancel: done (6 cancelled).")
    assert re.search(r"<b>6</b> of 6 recipients ended.*6 withdrawn", asha.see("/campaigns"), re.DOTALL)
    assert asha.do("/campaigns/pause", account="main", campaign="winter").status_code == 404


def test_schedules_are_listed_and_steered_by_whom_they_concern(asha: Visitor, reader: Visitor, house: House) -> None:
    daily = Every(frequency="daily", times=["08:00"], start="2030-01-01", tz="Africa/Kinshasa")
    theirs = house.send("main", "+243990000001", schedule=daily)
    own = house.send("main", "+243990000001", schedule=At(times=["2030-12-24T18:00Z"]), source="billing")
    page = asha.see("/schedules")
    assert re.search(rf"{theirs}.*every day at 08:00 \(Africa/Kinshasa\).*2030-01-01 07:00:00 UTC", page, re.DOTALL)
    assert page.index(theirs) < page.index(own)  # by what fires first
    assert "+243990000001" not in page
    assert asha.done("/intents/pause", on="/schedules", id=theirs) == "pause: done."
    assert asha.done("/intents/resume", on="/schedules", id=theirs) == "resume: done."
    assert asha.done("/intents/cancel", on="/schedules", id=theirs) == "cancel: done."
    assert "1 schedule that is over" in asha.see("/schedules")
    page = reader.see("/schedules")
    assert (own in page, theirs in page, "/intents/pause" in page) == (True, False, False)
