"""`tuma provider`: a provider's own operations from the command line, each call within the account's limits."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.houses import key_of
from tests.support.producers import configure
from tests.support.programs import Tuma
from tests.support.sandbox import QUICK, Sandbox

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from tests.support.servers import Server

ACCOUNTS: dict[str, dict[str, Any]] = {"lisoloo-main": {"provider": "lisoloo"}, "lineserve-main": {"provider": "lineserve"}}
PATHS = {"lisoloo": "/lisoloo", "lineserve": "/lineserve/v1"}
NUMBER, MASKED = "+254711000001", "+254…01"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    keys = {own["provider"]: {"keys": {key_of(name): {"label": name}}} for name, own in ACCOUNTS.items()}
    process = Tuma().start("sandbox", "--port", "0", "--config", json.dumps(QUICK | keys))
    running = Sandbox(process.until("listening").split()[-1])
    yield running
    running.close()
    process.kill()


@pytest.fixture
def provider(redis: Redis, server: Server, sandbox: Sandbox) -> Tuma:
    """The command line with both accounts, and a sandbox that has seen nothing yet."""
    del redis
    sandbox._http.delete("/_sandbox/ledger").raise_for_status()
    sandbox.disarm()
    accounts = {
        name: {
            "base_url": sandbox.url + PATHS[own["provider"]],
            "api_key": key_of(name),
            "environment": "sandbox",
            "cold_start": "burst",
            **own,
        }
        for name, own in ACCOUNTS.items()
    }
    return Tuma(TUMA_REDIS_URL=server.url, TUMA_ACCOUNTS=json.dumps(accounts))


def counted(redis: Redis, account: str, bucket: str) -> float:
    """The calls that count in a bucket's minute now: of that, no provider says what others use."""
    used: Any = redis.hgetall(AccountKeys(account).queue(bucket).used)
    return sum(float(value) for name, value in used.items() if name.startswith(b"calls-60s"))


def sent(sandbox: Sandbox, *to: str) -> str:
    """Something in the history of Lineserve."""
    answer = sandbox._http.post(
        "/lineserve/v1/sms/bulk",
        json={"recipients": list(to), "message": "Karibu", "from": "KITOKO"},
        headers={"Authorization": f"Bearer {key_of('lineserve-main')}"},
    )
    return str(answer.raise_for_status().json()["messages"][0]["message_id"])


def test_without_an_operation_it_shows_those_that_the_provider_has(provider: Tuma) -> None:
    ran = provider("provider", "lisoloo-main")
    assert ran.status == 0
    assert "balance" in ran.out
    assert "DELETE /cancel/{id}" in ran.out


def test_the_balance_for_people_and_for_programs(provider: Tuma, redis: Redis) -> None:
    ran = provider("provider", "lisoloo-main", "balance")
    assert ran.status == 0, ran.err
    assert "100000.0" in ran.out
    found = provider("provider", "lisoloo-main", "balance", "--json").json
    assert (found["balance"], found["unit_price"], found["currency"]) == ("100000", "0.02", "USD")
    assert counted(redis, "lisoloo-main", "balance") == 2
    assert counted(redis, "lisoloo-main", "send") == 0


def test_every_call_to_lineserve_counts_where_its_sends_do(provider: Tuma, redis: Redis, sandbox: Sandbox) -> None:
    sent(sandbox, *(f"+2547110{place:05}" for place in range(150)))
    lines = provider("provider", "lineserve-main", "messages", "--json").jsons
    assert len(lines) == 150
    assert counted(redis, "lineserve-main", "send") == 2  # two pages


def test_health_needs_no_permit(provider: Tuma, redis: Redis) -> None:
    assert provider("provider", "lisoloo-main", "health", "--json").json == {"works": True, "status": "ok"}
    assert redis.keys("*lisoloo-main*:used") == []


def test_a_full_bucket_is_waited_for_and_then_used(provider: Tuma, sandbox: Sandbox) -> None:
    accounts = json.loads(provider.environment["TUMA_ACCOUNTS"])
    accounts["lisoloo-main"]["balance_limits"] = ["1 calls/5s"]  # longer than a process takes to start here
    limited = Tuma(**provider.environment | {"TUMA_ACCOUNTS": json.dumps(accounts)})
    assert limited("provider", "lisoloo-main", "balance").status == 0
    ran = limited("provider", "lisoloo-main", "balance")
    assert ran.status == 0
    assert re.match(r"waits [1-5] s: limit", ran.err), ran.err
    assert sandbox.requests("lisoloo", "GET /balance") == {"200": 2}


def test_a_429_blocks_the_bucket_and_is_tried_again_when_that_is_over(provider: Tuma, redis: Redis, sandbox: Sandbox) -> None:
    sandbox.arm("rate_limit", provider="lisoloo", operation="balance", retry_after=2)
    ran = provider("provider", "lisoloo-main", "balance")
    assert (ran.status, ran.err) == (0, "waits 2 s: blocked\n")
    assert sandbox.requests("lisoloo", "GET /balance") == {"429": 1, "200": 1}
    assert redis.hexists(AccountKeys("lisoloo-main").queue("balance").state, "blocked_until")
    assert not redis.exists(AccountKeys("lisoloo-main").queue("send").state)


def test_a_read_that_broke_off_is_tried_again_and_a_write_is_not(provider: Tuma, sandbox: Sandbox) -> None:
    sandbox.arm("reset_after_reading", provider="lineserve", operation="messaging")
    assert provider("provider", "lineserve-main", "templates").status == 0
    sandbox.arm("reset_after_reading", provider="lineserve", operation="messaging")
    ran = provider("provider", "lineserve-main", "create-template", "--name", "greeting", "--content", "Karibu {{name}}")
    assert ran.status == 1
    assert "nobody knows whether it was done" in ran.err
    assert sandbox.requests("lineserve", "POST /messaging/templates") == {"reset": 1}


def test_numbers_and_texts_are_masked_unless_they_are_asked_for(provider: Tuma, sandbox: Sandbox) -> None:
    message_id = sent(sandbox, NUMBER)
    ran = provider("provider", "lineserve-main", "status", message_id)
    assert MASKED in ran.out
    assert NUMBER not in ran.out + ran.err
    assert "Karibu" not in ran.out
    whole = provider("provider", "lineserve-main", "status", message_id, "--show-numbers", "--json").json
    assert (whole["to"], whole["message"]) == (NUMBER, "Karibu")


def test_people_see_a_hundred_lines_and_how_to_see_more(provider: Tuma, sandbox: Sandbox) -> None:
    sent(sandbox, *(f"+2547110{place:05}" for place in range(150)))
    ran = provider("provider", "lineserve-main", "messages")
    assert ran.out.count("KITOKO") == 100
    assert ran.out.endswith("and more; --most 1000 shows more of them, --json all\n")
    assert provider("provider", "lineserve-main", "messages", "--most", "120").out.count("KITOKO") == 120


def test_contacts_go_from_a_file_into_a_list_in_chunks(provider: Tuma, sandbox: Sandbox, tmp_path: Path) -> None:
    made = provider("provider", "lineserve-main", "create-contact-list", "--name", "friends", "--json").json
    file = tmp_path / "friends.csv"
    rows = [f'+2547110{place:05},"Rafiki, {place}"' for place in range(250)]
    file.write_text("\n".join(["Phone,name", *rows]))
    ran = provider("provider", "lineserve-main", "add-contacts", made["list_id"], "--contacts", str(file), "--json")
    assert [line["contacts"] for line in ran.jsons] == [100, 100, 50]
    assert sandbox.requests("lineserve", "POST /messaging/contacts/lists/{list_id}/contacts") == {"201": 3}


def test_a_secret_comes_from_a_file(provider: Tuma, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("invented\n")
    ran = provider("provider", "lineserve-main", "subscribe", "--url", "https://tuma.example/r", "--secret", str(file), "--json")
    assert ran.status == 0, ran.err
    assert "invented" not in ran.out
    assert len(ran.json["events"]) == 5


def test_a_template_is_sent_with_what_stands_in_its_places(provider: Tuma, redis: Redis, sandbox: Sandbox) -> None:
    made = provider(
        "provider", "lineserve-main", "create-template", "--name", "code", "--content", "{{who}}: {{code}}", "--json"
    ).json
    where = ["--to", NUMBER, "--template-id", made["template_id"], "--sender", "KITOKO", "--variables", "who=Zawadi", "code=a=b"]
    ran = provider("provider", "lineserve-main", "send-template", *where)
    assert ran.status == 0, ran.err
    assert sandbox.calls("lineserve-main")[0]["message"] == "Zawadi: a=b"
    used: Any = redis.hgetall(AccountKeys("lineserve-main").queue("send").used)
    assert used[b"messages-3600s|1"] == b"24"  # as many segments as it may be


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["nobody", "balance"], 2, "account: 'nobody' is not configured"),
        (["lisoloo-main", "fly"], 2, "invalid choice: 'fly'"),
        (["lisoloo-main", "status"], 2, "the following arguments are required: MESSAGE_ID"),
        (["lisoloo-main", "status", "unheard-of"], 1, "GET /status: http-404: the provider does not know it"),
        (["lisoloo-main", "status", "../balance"], 2, "message_id: is no id of the provider's"),
        (["lineserve-main", "messages", "--to", "12"], 2, "argument --to: … is not an international number"),
        (["lineserve-main", "messages", "--since", "soon"], 2, "argument --since: must be a time such as 2026-12-01T08:00Z"),
        (["lineserve-main", "messages", "--status", "gone"], 2, "argument --status: invalid choice: 'gone'"),
        (["lineserve-main", "analytics", "--since", "2026-13-01"], 2, "argument --since: must be a day such as 2026-11-28"),
        (["lineserve-main", "messages", "--most", "0"], 2, "argument --most: must be a whole number from 1 up"),
        (["lineserve-main", "add-contacts", "list_1", "--contacts", "/nowhere.csv"], 2, "cannot read /nowhere.csv"),
        (["lineserve-main", "send-template", "--to", NUMBER, "--template-id", "t", "--variables", "x"], 2, "must be NAME=VALUE"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_to_mend(provider: Tuma, arguments: list[str], status: int, told: str) -> None:
    ran = provider("provider", *arguments)
    assert (ran.status, ran.out) == (status, "")
    assert told in ran.err
    assert ran.err.count("\n") == 1
    assert NUMBER not in ran.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the first line must name the columns"),
        ("phone,fax\n", "the first line must name the columns"),
        ("phone\n", "holds no contact"),
        ("phone,name\n+254711000001,Zawadi,Kitoko\n", "line 2: has more cells than columns"),
        ("phone\n+254711000001\n0711\n", "line 3: … is not an international number"),
        ('phone,name\n+254711000001,"open\n', "unexpected end of data"),
    ],
)
def test_a_file_of_contacts_is_read_to_its_end_before_any_is_added(
    provider: Tuma, sandbox: Sandbox, tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "friends.csv"
    file.write_text(content)
    ran = provider("provider", "lineserve-main", "add-contacts", "list_1", "--contacts", str(file))
    assert ran.status == 2
    assert told in ran.err
    assert sandbox.books()["requests"] == {}


def test_help_is_the_commands_own(provider: Tuma) -> None:
    for arguments, told in ([], "ACCOUNT [OPERATION]"), (["lineserve-main", "messages", "--help"], "--since TIME"):
        ran = provider("provider", *arguments)
        assert ran.status == 0
        assert told in ran.out


# ------------------------------------------------------------------------------------------------------------------ opt-outs


def test_one_list_of_who_opted_out_is_kept_on_both_sides(provider: Tuma, redis: Redis) -> None:
    configure(redis, "lineserve-main")
    ours, theirs, both = "+254711000011", "+254711000012", "+254711000013"
    for number in (theirs, both):
        assert provider("provider", "lineserve-main", "add-opt-out", "--phone", number).status == 0
    assert provider("suppress", "add", "lineserve-main", ours, both).status == 0
    before = counted(redis, "lineserve-main", "send")
    assert provider("suppress", "sync", "lineserve-main", "--json").json == {"account": "lineserve-main", "taken": 1, "told": 1}
    assert counted(redis, "lineserve-main", "send") - before == 2, "a page and a number"
    listed = provider("suppress", "list", "lineserve-main", "--show-numbers").out
    assert all(number in listed for number in (ours, theirs, both))
    assert "0 numbers taken over, 0 numbers told" in provider("suppress", "sync", "lineserve-main").out


@pytest.mark.parametrize(
    ("account", "status", "said"),
    [("lisoloo-main", 2, "lisoloo keeps no list of who opted out"), ("nobody", 2, "nobody")],
)
def test_where_there_is_nothing_to_be_the_same_as_that_is_said(provider: Tuma, account: str, status: int, said: str) -> None:
    found = provider("suppress", "sync", account)
    assert (found.status, said in found.err) == (status, True), found
