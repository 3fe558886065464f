"""`tuma send`: one message, numbers from standard input, rows of a CSV file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import servers
from tests.support.producers import configure

from tuma_producer import Producer
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.store import accounts

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis
    from tests.e2e.conftest import Tuma

LIST = ("send", "--account", "lisoloo-main")


def test_a_message_to_two_numbers_is_one_intent_with_all_that_was_asked_for(tuma: Tuma, redis: Redis) -> None:
    ran = tuma(
        *LIST, "--to", "+243990000001", "--to", "00243 99 000-00-02", "--message", "hello", "--sender-id", "KITOKO",
        "--priority", "otp", "--source", "billing", "--expires-in", "60", "--campaign", "greetings", "--json",
    )  # fmt: skip
    assert ran.status == 0
    assert ran.json | {"id": ""} == {"id": "", "recipients": 2, "segments": 1, "dropped": 0, "duplicate": False, "eta": None}
    intent = Producer(redis).get(ran.json["id"])
    assert [one.number for one in intent.recipients] == ["+243990000001", "+243990000002"]
    assert (intent.priority, intent.source, intent.campaign_name) == ("otp", "billing", "greetings")
    assert intent.expires is not None


def test_the_first_send_works_where_no_worker_has_ever_run(tuma: Tuma, redis: Redis) -> None:
    redis.flushall()
    assert tuma("accounts").out == "no account is known yet; start a worker or gateway that is configured with one\n"
    configured = {"provider": "lisoloo", "api_key": "sk_test_Sandbox0000000000000000000000000", "environment": "sandbox"}
    tuma.environment["TUMA_ACCOUNTS"] = json.dumps({"new": configured | {"base_url": "http://127.0.0.1:1"}})
    assert tuma.send("--account", "new").startswith("new.")


def test_the_same_idempotency_key_is_the_same_send(tuma: Tuma) -> None:
    again = (*LIST, "--to", "+243990000001", "--message", "hello", "--idempotency-key", "login-42")
    first, second = tuma(*again), tuma(*again)
    assert first.out.split(":")[0] == second.out.split(":")[0]
    assert second.out.endswith("accepted before under this key\n")
    other = tuma(*LIST, "--to", "+243990000002", "--message", "hello", "--idempotency-key", "login-42")
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert "'login-42' already stands for" in other.err


def test_bad_rows_of_a_csv_file_are_told_by_line_and_the_rest_is_sent(tuma: Tuma, tmp_path: Path, redis: Redis) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "to,message,priority,account\n"
        "+243990000001,first,otp,\n"
        "+243990000x02,secret text,,\n"
        '+243990000003,"two lines,\nand a comma",,\n'
        "\n"
        "+243990000004,,,\n"
        "+243990000005,secret text,sooner,\n"
        "+243990000006,secret, text,otp,,\n"
        '"+243990000007"x,secret text,,\n'
        "+243990000008,last,,nobody\n"
        "+243990000009,last,,\n",
    )
    ran = tuma(*LIST, "--csv", str(path), "--priority", "bulk")
    assert (ran.status, ran.out) == (2, "accepted 3, refused 6\n")
    reasons = dict(line.removeprefix("error: line ").split(": ", 1) for line in ran.err.splitlines())
    assert list(reasons) == ["3", "7", "8", "9", "10", "11"]
    assert "not an international number" in reasons["3"]
    assert reasons["7"].startswith("message: ")
    assert reasons["8"].startswith("priority: ")
    assert reasons["9"].startswith("6 cells under 4 columns")
    assert reasons["10"].startswith("not CSV")
    assert "'nobody' is not configured" in reasons["11"]
    assert "secret" not in ran.err
    assert "99000" not in ran.err
    producer = Producer(redis)
    sent = [producer.get(event.intent or "") for event in producer.outcomes("g", all_sources=True, wait=0.05)]
    assert sorted((one.recipients[0].number, one.priority) for one in sent) == [
        ("+243990000001", "otp"), ("+243990000003", "bulk"), ("+243990000009", "bulk"),
    ]  # fmt: skip


def test_as_json_each_row_has_its_line_and_its_receipt_or_error(tuma: Tuma) -> None:
    ran = tuma(*LIST, "--csv", "-", "--json", "--message", "hello", stdin="to\n+243990000001\nnobody\n+243990000003\n")
    assert ran.status == 2
    assert [sorted(line) for line in ran.jsons] == [
        ["dropped", "duplicate", "eta", "id", "line", "recipients", "segments"], ["error", "line"],
        ["dropped", "duplicate", "eta", "id", "line", "recipients", "segments"],
    ]  # fmt: skip
    assert [line["line"] for line in ran.jsons] == [2, 3, 4]
    assert ran.err == "accepted 2, refused 1\n"


def test_a_spreadsheets_csv_with_a_byte_order_mark_and_semicolons_is_understood(tuma: Tuma) -> None:
    ran = tuma(*LIST, "--csv", "-", stdin='\ufeff"To";Message\r\n+243990000001;déjà, vu\r\n+243990000002;"a;b"\r\n'.encode())
    assert (ran.status, ran.out, ran.err) == (0, "accepted 2, refused 0\n", "")


def test_the_rows_of_a_list_may_give_the_variables_of_a_template(tuma: Tuma, redis: Redis) -> None:
    accounts.register(
        redis, "lisoloo-main", provider="lisoloo", environment="sandbox", queue="{}", templates={"code": "{{shop}}: code {{Code}}"}
    )
    listing = "to,var:Code\n+243990000001,12\n+243990000002,34\n+243990000003,\n"
    ran = tuma(*LIST, "--csv", "-", "--template", "code", "--var", "shop=Kitoko", stdin=listing)
    assert (ran.status, ran.out, ran.err) == (2, "accepted 2, refused 1\n", "error: line 4: variables: must give 'Code'\n")
    texts = {json.loads(redis.hget(key, "body") or "{}")["message"] for key in redis.scan_iter("tuma:{lisoloo-main}:intent:*")}
    assert texts == {"Kitoko: code 12", "Kitoko: code 34"}


def test_standard_input_is_a_number_a_line(tuma: Tuma) -> None:
    ran = tuma(*LIST, "--stdin", "--message", "hello", stdin="+243990000001\r\n\n  +243 99 000 0002 \nnonsense\n")
    assert (ran.status, ran.out) == (2, "accepted 2, refused 1\n")
    assert ran.err.startswith("error: line 4: to: ")


def test_a_list_that_is_sent_again_under_its_key_sends_nothing_twice(tuma: Tuma, redis: Redis) -> None:
    numbers = "".join(f"+24399000{n:04}\n" for n in range(250))
    again = (*LIST, "--stdin", "--message", "hello", "--idempotency-key", "campaign-7", "--json")
    first, second = tuma(*again, stdin=numbers), tuma(*again, stdin=numbers)
    assert [line["id"] for line in first.jsons] == [line["id"] for line in second.jsons]
    assert [line["line"] for line in first.jsons] == list(range(1, 251))
    assert redis.zcard("tuma:{lisoloo-main}:send:entries") == 250


def test_a_list_is_sent_while_it_is_read(tuma: Tuma) -> None:
    running = tuma.start(*LIST, "--csv", "-", "--message", "hello", "--json")
    try:
        running.hear("to\n" + "".join(f"+243990000{n:03}\n" for n in range(100)))
        running.until('"line": 101')  # the list has no end yet
        running.hear("+243990000100\n")
        assert running.ended() == 0
        assert running.said[-1] == "accepted 101, refused 0"
    finally:
        running.kill()


def test_what_was_accepted_before_redis_went_away_is_told(tuma: Tuma) -> None:
    server = servers.start()
    tuma.environment["TUMA_REDIS_URL"] = server.url
    configured = {"provider": "lisoloo", "api_key": "sk_test_Sandbox0000000000000000000000000", "environment": "sandbox"}
    tuma.environment["TUMA_ACCOUNTS"] = json.dumps({"lisoloo-main": configured | {"base_url": "http://127.0.0.1:1"}})
    running = tuma.start(*LIST, "--stdin", "--message", "hello", "--json")
    try:
        running.hear("".join(f"+243990000{n:03}\n" for n in range(100)))
        running.until('"line": 100')
        server.stop()
        running.hear("+243990000100\n")
        assert running.ended() == 2
        assert running.said[-2] == "accepted 100, refused 0"
        assert running.said[-1].startswith(f"error: no usable Redis at 127.0.0.1:{server.port} ")
    finally:
        running.kill()
        server.stop()


def test_a_reader_that_went_away_ends_the_command_quietly(tuma: Tuma) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tuma_worker.cli", "accounts"]
    ran = subprocess.run(command, env={**os.environ, **tuma.environment}, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_who_would_be_late_is_refused_when_asked_for_and_told_when_it_is_expected_otherwise(tuma: Tuma) -> None:
    send = ("send", *LIST[1:], "--to", "+243990000001", "--message", "Hi", "--expires-in", "60", "--refuse-if-late")
    assert ", expected at 20" in tuma(*send).out
    tuma("queue", "pause", "lisoloo-main")
    ran = tuma(*send)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(
        "error: refuse_if_late: nobody can tell when it would go (the queue is paused), and its deadline is 20"
    )
    assert ran.err.count("\n") == 1
    ran = tuma(*send[:-3], "--refuse-if-late")
    assert (ran.status, ran.err) == (2, "error: refuse_if_late: needs a deadline; give expires_in or expires_at\n")


ROUTES = {"everybody": {"+243": ["lisoloo-main", "spare"], "+254": ["lineserve-main"]}}


def by_route(tuma: Tuma, redis: Redis) -> tuple[str, ...]:
    """The beginning of a command that sends by a route which this machine is configured with, to accounts that workers have."""
    tuma.environment["TUMA_ROUTES"] = json.dumps(ROUTES)
    configure(redis, "lineserve-main")
    return ("send", "--route", "everybody", "--message", "hello")


def test_by_a_route_each_account_has_its_intent_and_its_line(tuma: Tuma, redis: Redis) -> None:
    send = (*by_route(tuma, redis), "--to", "+254700000001", "--to", "+243990000001", "--to", "+243990000002")
    ran = tuma(*send)
    assert (ran.status, [line.partition(": ")[2] for line in ran.out.splitlines()]) == (
        0, ["1 recipient, 1 segment each", "2 recipients, 1 segment each"],
    )  # fmt: skip
    as_json = tuma(*send, "--json")
    assert [line["id"].rpartition(".")[0] for line in as_json.jsons] == ["lineserve-main", "lisoloo-main"]
    assert Producer(redis).get(as_json.jsons[1]["id"]).failover == ("spare",)


def test_what_one_account_of_a_route_refuses_is_told_beside_what_the_others_took(tuma: Tuma, redis: Redis) -> None:
    send = (*by_route(tuma, redis), "--expires-in", "60", "--refuse-if-late")
    tuma("queue", "pause", "lineserve-main")
    ran = tuma(*send, "--to", "+254700000001", "--to", "+243990000001")
    assert (ran.status, ran.out.count("\n"), ran.out.startswith("lisoloo-main.")) == (2, 1, True)
    assert ran.err.startswith("error: lineserve-main: refuse_if_late: nobody can tell when it would go (the queue is paused)")
    ran = tuma(*send, "--to", "+33612345678")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: to: entry 0: +336…78 begins with no prefix of route 'everybody' (+243, +254)")


def test_rows_go_by_the_route_but_for_those_that_name_an_account(tuma: Tuma, redis: Redis) -> None:
    listing = "to,account\n+243990000001,\n+254700000001,\n+33612345678,\n+33612345678,lineserve-main\n,\n"
    ran = tuma(*by_route(tuma, redis), "--csv", "-", "--json", stdin=listing)
    assert (ran.status, ran.err) == (2, "accepted 3, refused 2\n")
    accounts = [line["id"].rpartition(".")[0] if "id" in line else line["error"] for line in ran.jsons]
    assert accounts[:2] == ["lisoloo-main", "lineserve-main"]
    assert accounts[2].startswith("to: entry 0: +336…78 begins with no prefix of route 'everybody'")
    assert accounts[3:] == ["lineserve-main", "to: must be a phone number or a list with at least one"]


def test_the_routes_are_among_the_settings(tuma: Tuma, redis: Redis) -> None:
    by_route(tuma, redis)
    assert "routes.everybody.+243 = lisoloo-main, spare\nroutes.everybody.+254 = lineserve-main\n" in tuma("config").out


def test_who_waits_for_a_route_gives_up_only_where_no_other_account_may_carry(tuma: Tuma, redis: Redis) -> None:
    send = (*by_route(tuma, redis), "--wait", "--timeout", "0.1")
    for name in ("lisoloo-main", "lineserve-main"):
        redis.hset(AccountKeys(name).queue("send").state, "halt", json.dumps({"fault": "money", "code": "1302"}))
    carried = tuma(*send, "--to", "+243990000001")
    assert (carried.status, carried.err.startswith("not ended after 0.1 seconds; it goes on")) == (1, True)
    stuck = tuma(*send, "--to", "+243990000001", "--to", "+254700000001")
    assert (stuck.status, stuck.err.splitlines()[0].partition(":")[2]) == (
        2, " account lineserve-main is halted: money (1302); put it right, then: tuma accounts resume lineserve-main",
    )  # fmt: skip
