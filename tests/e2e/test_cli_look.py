"""The commands that only look: get, watch, outcomes, accounts, config; and help and version."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import AccountKeys
from tuma_worker import __version__
from tuma_worker.core.limits import Limit
from tuma_worker.queue.config import QueueConfig
from tuma_worker.store import accounts

if TYPE_CHECKING:
    from redis import Redis
    from tests.e2e.conftest import Tuma

NUMBER, MASKED = "+243990000001", "+243…01"
COMMANDS = ["worker", "gateway", "sandbox", "send", "get", "explain", "receipts", "watch", "outcomes", "config", "accounts"]


def halt(redis: Redis, account: str) -> None:
    """As a worker does when the provider refuses the key."""
    state = AccountKeys(account).queue("send").state
    redis.hset(state, mapping={"halt": json.dumps({"fault": "key", "code": "1301"}), "halted_at": "1795356653594"})


def test_get_shows_state_counts_holds_and_recipients_with_their_numbers_masked(tuma: Tuma, redis: Redis) -> None:
    intent_id = tuma.send("--account", "lisoloo-main", "--campaign", "[greetings]")
    halt(redis, "lisoloo-main")
    ran = tuma("get", intent_id)
    assert ran.status == 0
    assert ran.out.startswith(f"{intent_id}: active, queued 1\n  source: cli (transactional)\n  accepted: 20")
    assert "campaign: [greetings]" in ran.out
    assert "waits: the account is halted: key (1301) since 2026-11-22T14:10:53+00:00" in ran.out
    assert MASKED in ran.out
    assert NUMBER not in ran.out
    assert NUMBER in tuma("get", intent_id, "--show-numbers").out


def test_get_as_json_masks_numbers_too_unless_they_are_asked_for(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main")
    found = tuma("get", intent_id, "--json").json
    assert (found["id"], found["state"], found["counts"]) == (intent_id, "active", {"queued": 1})
    assert [one["number"] for one in found["recipients"]] == [MASKED]
    assert [one["number"] for one in tuma("get", intent_id, "--json", "--show-numbers").json["recipients"]] == [NUMBER]


def test_get_draws_the_first_hundred_recipients_and_counts_the_rest(tuma: Tuma) -> None:
    numbers = [word for n in range(2, 104) for word in ("--to", f"+2439900{n:05}")]
    intent_id = tuma.send("--account", "lisoloo-main", *numbers)
    ran = tuma("get", intent_id)
    assert ran.out.count("+243…") == 100
    assert "and 3 more; --json has them all" in ran.out
    assert len(tuma("get", intent_id, "--json").json["recipients"]) == 103


def test_outcomes_mask_the_number_of_whoever_wrote_unless_it_is_asked_for(tuma: Tuma, redis: Redis) -> None:
    redis.xadd(AccountKeys("lisoloo-main").events, {"e": "received", "from": NUMBER, "to": "12345", "text": "Hi", "stop": ""})
    ask = ("outcomes", "--wait", "0", "--group")
    assert tuma(*ask, "a").json["data"]["from"] == MASKED
    assert NUMBER not in tuma(*ask, "b", "--lines").out
    assert tuma(*ask, "c", "--show-numbers").json["data"]["from"] == NUMBER


def test_outcomes_are_cloudevents_a_line_each_told_to_a_group_once(tuma: Tuma) -> None:
    intent_id = tuma.send("--account", "lisoloo-main", "--source", "billing")
    first = tuma("outcomes", "--group", "g", "--wait", "0.05")
    assert [(line["type"], line["subject"], line["specversion"]) for line in first.jsons] == [
        ("tuma.intent.accepted", intent_id, "1.0")
    ]
    assert tuma("outcomes", "--group", "g", "--wait", "0.05").out == ""
    assert tuma("outcomes", "--group", "other", "--wait", "0.05", "--source", "shop").out == ""
    assert tuma("outcomes", "--group", "new", "--wait", "0.05", "--from", "now").out == ""
    lines = tuma("outcomes", "--group", "people", "--wait", "0.05", "--lines", "--account", "lisoloo-main").out
    assert lines.endswith(f" tuma.intent.accepted {intent_id}\n")


def test_outcomes_mask_numbers_unless_they_are_asked_for(tuma: Tuma, redis: Redis) -> None:
    event: dict[Any, Any] = {"e": "delivered", "i": "1", "s": "billing", "q": "2", "r": NUMBER, "v": "handset"}
    redis.xadd(AccountKeys("lisoloo-main").events, event)
    for group, style, options in (("a", MASKED, ()), ("b", NUMBER, ("--show-numbers",))):
        assert tuma("outcomes", "--group", group, "--wait", "0.05", *options).json["data"]["recipient"] == style
        assert f" {style} handset" in tuma("outcomes", "--group", f"{group}-lines", "--wait", "0.05", "--lines", *options).out


def test_outcomes_end_at_once_where_no_account_is_known(tuma: Tuma, redis: Redis) -> None:
    redis.flushall()
    ran = tuma("outcomes", "--group", "g")
    assert (ran.status, ran.err) == (2, "error: no account is known yet; start a worker or gateway, or send something\n")


def test_accounts_show_what_waits_and_what_is_halted_and_resume_lifts_the_halt(tuma: Tuma, redis: Redis) -> None:
    tuma.send("--account", "lisoloo-main")
    halt(redis, "lisoloo-main")
    redis.zadd(AccountKeys("lisoloo-main").queue("send").due, {accounts.probe_job(permit=False): 1795356713594})
    expected = {
        "account": "lisoloo-main", "provider": "lisoloo", "waiting": 1, "due_later": 1, "in_flight": 0, "holders": [],
        "halted": "key (1301)", "halted_at": "2026-11-22T14:10:53.594+00:00", "operator": False,
        "probe_at": "2026-11-22T14:11:53.594+00:00", "breaker": None, "funds": None,
    }  # fmt: skip
    assert tuma("accounts", "--json").json == [expected]
    header, row = tuma("accounts").out.splitlines()
    assert header.split()[:2] == ["account", "provider"]
    assert row.split()[:9] == ["lisoloo-main", "lisoloo", "1", "1", "0", "key", "(1301)", "2026-11-22", "14:10:53"]
    assert row.endswith("when a probe succeeds, the next at 14:11:53")
    assert tuma("accounts", "resume", "lisoloo-main").out == "account lisoloo-main is resumed\n"
    assert tuma("accounts", "--json").json == [expected | {"halted": None, "halted_at": None, "probe_at": None}]
    assert tuma("accounts", "resume", "lisoloo-main").out == "account lisoloo-main was neither halted nor its breaker open\n"
    assert tuma("accounts", "resume", "lisoloo-main", "--json").json == {"account": "lisoloo-main", "resumed": False}


def test_watching_all_accounts_writes_a_line_for_each_change_until_ctrl_c(tuma: Tuma) -> None:
    running = tuma.start("watch")
    try:
        running.until("lisoloo-main: waiting 0, later 0, in flight 0; since the start: nothing")
        tuma.send("--account", "lisoloo-main")
        running.until("lisoloo-main: waiting 1, later 0, in flight 0; since the start: nothing")
        assert running.end(signal.SIGINT) == 130
        assert len(running.said) == 2
    finally:
        running.kill()


def test_config_is_sorted_and_shows_no_secret(tuma: Tuma) -> None:
    configured = {"lisoloo-main": {"provider": "lisoloo", "api_key": "sk_test_hidden", "webhook_secret": "also-hidden"}}
    given = {"TUMA_ACCOUNTS": json.dumps(configured), "TUMA_REDIS_URL": "redis://me:hidden@127.0.0.1:6379/0"}
    ran = tuma("config", **given)
    assert ran.status == 0
    names = [line.split(" = ")[0] for line in ran.out.splitlines()]
    assert names == sorted(names)
    assert "accounts.lisoloo-main.api_key = •••• (14 chars)\n" in ran.out
    assert "redis_url = redis://••••@127.0.0.1:6379/0\n" in ran.out
    shown = tuma("config", "--json", **given)
    assert shown.json["accounts"]["lisoloo-main"]["webhook_secret"] == "•••• (11 chars)"
    assert "hidden" not in ran.out + shown.out


def test_the_version_is_the_distributions(tuma: Tuma) -> None:
    assert tuma("--version").out == f"tuma {__version__}\n"


def test_help_lists_the_commands_in_the_order_of_use(tuma: Tuma) -> None:
    lines = [line.strip("│ ").split() for line in tuma("--help").out.splitlines()]
    assert [words[0] for words in lines if words and words[0] in COMMANDS] == COMMANDS


def test_forgetting_bad_numbers_says_how_many_and_mistakes_in_one_line(tuma: Tuma, redis: Redis) -> None:
    redis.zadd(AccountKeys("lisoloo-main").bad_numbers, {NUMBER: 1e15, "+243990000002": 1e15})
    assert tuma("accounts", "forget-bad", "lisoloo-main", "+243 990 000 001", "--json").json["forgotten"] == 1
    assert tuma("accounts", "forget-bad", "lisoloo-main").out == "account lisoloo-main: 1 bad numbers forgotten\n"
    wrong = tuma("accounts", "forget-bad", "lisoloo-main", "12")
    assert (wrong.status, wrong.err.startswith("error: NUMBER: ")) == (2, True)
    assert tuma("sweep", "--account", "nobody").status == 2


def test_a_limit_is_not_replaced_by_one_that_counts_something_else(tuma: Tuma, redis: Redis) -> None:
    queue = QueueConfig("lisoloo-main", "send", (Limit.parse("60/min"),))
    accounts.register(redis, "lisoloo-main", provider="lisoloo", environment="sandbox", queue=queue.for_claim)
    ran = tuma("accounts", "set-limit", "lisoloo-main", "100 messages/h", "--replaces", "calls-60s")
    assert (ran.status, ran.err) == (
        2,
        "error: limit 'calls-60s' counts calls, not messages; what a limit counts cannot be changed\n",
    )
    assert tuma("accounts", "set-limit", "lisoloo-main", "30/h", "--replaces", "calls-60s").status == 0
    assert (redis.hget(queue.keys.state, "limit:calls-60s") or b"").split()[:2] == [b"30", b"3600000"]


def test_a_limit_is_unset_by_its_name_and_it_is_said_where_it_was_not_set(tuma: Tuma, redis: Redis) -> None:
    queue = QueueConfig("lisoloo-main", "send", (Limit.parse("60/min"),))
    accounts.register(redis, "lisoloo-main", provider="lisoloo", environment="sandbox", queue=queue.for_claim)
    assert tuma("accounts", "set-limit", "lisoloo-main", "30/min").status == 0
    unset = ("accounts", "set-limit", "lisoloo-main", "--unset")
    assert tuma(*unset, "--replaces", "calls-60s").out == "account lisoloo-main, limit calls-60s: as configured\n"
    assert not redis.hexists(queue.keys.state, "limit:calls-60s")
    assert tuma(*unset, "30/min").out == "account lisoloo-main, limit calls-60s: was not set here\n"


def test_each_queue_of_an_account_is_shown_and_may_be_paused_and_another_is_refused_by_its_name(tuma: Tuma, redis: Redis) -> None:
    control = QueueConfig("lisoloo-main", "control", (Limit.parse("30/min"),))
    accounts.register(
        redis, "lisoloo-main", provider="lisoloo", environment="sandbox", queue="{}", others={"control": control.for_claim}
    )
    assert [found["queue"] for found in tuma("queue", "--json").json] == ["lisoloo-main.send", "lisoloo-main.control"]
    assert tuma("queue", "pause", "lisoloo-main.control").out == "lisoloo-main.control, everything: paused\n"
    assert redis.hexists(control.keys.state, "paused")
    ran = tuma("queue", "pause", "lisoloo-main.cancel")
    assert (ran.status, ran.err) == (
        2,
        "error: queue 'lisoloo-main.cancel': lisoloo-main has no such queue, only lisoloo-main.send, lisoloo-main.control\n",
    )
