"""Whatever a user gets wrong is answered by one clear line on stderr and exit status 2."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from tests.support import servers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Tuma

TEXT = "Hidden-in-errors"
NUMBER = "+243990000777"
PASSWORD = "hidden-password"
ACCOUNT = {"provider": "lisoloo", "api_key": "sk_test_Hidden00000000000000000000000000", "environment": "sandbox"}
ONE = ("send", "--account", "lisoloo-main", "--to", NUMBER, "--message", TEXT)
UNKNOWN = "account: 'nobody' is not configured"
LIST = ("send", "--account", "lisoloo-main", "--message", TEXT)

MISTAKES = {
    "unknown account": ((*ONE, "--account", "nobody"), UNKNOWN + " (known: lisoloo-main)"),
    "unknown account for a list": (("send", "--account", "nobody", "--stdin", "--message", TEXT), UNKNOWN),
    "no account": (("send", "--to", NUMBER, "--message", TEXT), "--account is missing, or --route"),
    "account and route": ((*ONE, "--route", "everybody"), "--account cannot go with --route"),
    "failover and route": (
        ("send", "--route", "r", "--failover", "a", "--to", NUMBER, "--message", TEXT), "--failover cannot go with --route",
    ),
    "unknown route": (
        ("send", "--route", "nowhere", "--to", NUMBER, "--message", TEXT), "route: 'nowhere' is not configured (known: none yet",
    ),
    "unknown route for a list": (
        ("send", "--route", "nowhere", "--stdin", "--message", TEXT), "route: 'nowhere' is not configured",
    ),
    "no message": (("send", "--account", "lisoloo-main", "--to", NUMBER), "--message is missing"),
    "message and template": ((*ONE, "--template", "code"), "message: cannot go with a template_id"),
    "a variable without a value": ((*ONE, "--var", "code"), "--var: give each variable once, as NAME=VALUE ('code')"),
    "no such template": (
        ("send", "--account", "lisoloo-main", "--to", NUMBER, "--template", "code"),
        "template_id: 'code' is no template of lisoloo-main (known: none",
    ),
    "an unknown way to substitute": ((*ONE, "--substitute", "all"), "--substitute: must be safe or accents"),
    "an unknown account in a dry run": ((*ONE, "--account", "nobody", "--dry-run"), UNKNOWN),
    "no recipient": (LIST, "give the recipients in one way"),
    "recipients in two ways": ((*ONE, "--stdin"), "give the recipients in one way"),
    "bad number": ((*LIST, "--to", "+24399x000777"), "is not an international number"),
    "empty text": (("send", "--account", "lisoloo-main", "--to", NUMBER, "--message", " "), "message: is empty"),
    "text too long": (("send", "--account", "lisoloo-main", "--to", NUMBER, "--message", "x" * 1601), "1600 characters"),
    "bad priority": ((*ONE, "--priority", "urgent"), "priority: "),
    "deadline in the past": ((*ONE, "--expires-in", "0"), "expires_in: "),
    "no CSV file": ((*LIST, "--csv", "/nonexistent.csv"), "cannot read /nonexistent.csv (No such file or directory)"),
    "a folder for a CSV file": ((*LIST, "--csv", "/"), "cannot read / (Is a directory)"),
    "an empty CSV file": ((*LIST, "--csv", "/dev/null"), "the first line must name the columns"),
    "unknown account's outcomes": (("outcomes", "--group", "g", "--account", "nobody"), UNKNOWN),
    "bad start of outcomes": (("outcomes", "--group", "g", "--from", "yesterday"), "start: 'yesterday' is neither"),
    "bad start of the audit": (("audit", "--since", "yesterday"), "--since: must be a time"),
    "unknown account's audit": (("audit", "--account", "nobody"), UNKNOWN),
    "no queue to pause": (("queue", "pause"), " queue pause: missing argument 'QUEUE'; see: "),
    "no intent to cancel": (("cancel",), "give either an ID, or --account and --campaign"),
    "no intent to get": (("get",), " get: missing argument 'ID'; see: "),
    "no limit to set": (("accounts", "set-limit", "a"), "LIMIT: give one, such as '30/min'"),
    "no limit to unset": (("accounts", "set-limit", "a", "--unset"), "give the limit, or name it with --replaces"),
    "seconds that are no number": ((*ONE, "--expires-in", "nan"), "must be a number of seconds from 0 to"),
    "seconds without end": (("dead", "drop", "--older-than", "inf"), "must be a number of seconds from 0 to"),
    "an unknown option": (("get", "--sideways", "1"), "no such option: --sideways"),
    "an unknown option of tuma itself": (("--sideways",), "no such option: --sideways"),
    "an unknown command": (("quee",), "no such command 'quee'"),
    "too many arguments": (("cancel", "lisoloo-main.1", NUMBER), "unexpected extra argument"),
    "no number where one is wanted": ((*ONE, "--expires-in", "soon"), "invalid value for '--expires-in'"),
    "a token with an unknown scope": (
        ("tokens", "add", "t", "--source", "s", "--scope", "all"),
        "--scope: 'all' is not one of send, read, control, watch, operate",
    ),
    "a token whose rate counts messages": (
        ("tokens", "add", "t", "--source", "s", "--scope", "send", "--rate", "5 messages/s"), "--rate: counts requests",
    ),
    "a token with a rate that cannot be": (
        ("tokens", "add", "t", "--source", "s", "--scope", "send", "--rate", "fast"), "--rate: limit 'fast': expected COUNT",
    ),
    "a token with a name that cannot be": (("tokens", "add", "T", "--source", "s", "--scope", "send"), "NAME: must be 1 to 32 of"),
    "a token of a source that cannot be": (("tokens", "add", "t", "--source", " ", "--scope", "send"), "source: must be 1 to 64"),
    "resuming an unknown account": (("accounts", "resume", "nobody"), UNKNOWN),
    "forgetting what is no number": (("forget", "him"), "NUMBER: "),
    "forgetting at an unknown account": (("forget", NUMBER, "--account", "nobody"), UNKNOWN),
    "worker without accounts": (("worker",), "no account is configured"),
    "sandbox with bad JSON": (("sandbox", "--config", "{"), "--config is not JSON (line 1, column 2)"),
    "sandbox with a missing file": (("sandbox", "--config", "/nonexistent"), "--config: cannot read /nonexistent"),
    "sandbox with an unknown setting": (("sandbox", "--config", '{"speed": 1}'), "unknown speed"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_its_reason_and_exit_status_2(tuma: Tuma, arguments: tuple[str, ...], reason: str) -> None:
    ran = tuma(*arguments, stdin="")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert reason in ran.err
    assert not [hidden for hidden in (TEXT, NUMBER, "000777") if hidden in ran.err]


@pytest.mark.parametrize(
    "arguments",
    [
        ONE,
        ("get", "lisoloo-main.1"),
        ("watch",),
        ("outcomes", "--group", "g"),
        ("accounts",),
        ("worker",),
        ("gateway", "--port", "0"),
    ],
    ids=" ".join,
)
def test_without_redis_every_command_says_so_in_one_line(tuma: Tuma, arguments: tuple[str, ...]) -> None:
    where = f"127.0.0.1:{servers.closed_port()}"
    url = f"redis://:{PASSWORD}@{where}/0"
    ran = tuma(
        *arguments, TUMA_REDIS_URL=url, TUMA_ACCOUNTS=json.dumps({"lisoloo-main": ACCOUNT | {"base_url": "http://127.0.0.1:1"}})
    )
    assert (ran.status, ran.out) == (2, "")
    lines = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert lines == [f"error: no usable Redis at {where} (ConnectionError); is it running, and is TUMA_REDIS_URL right?"]
    assert PASSWORD not in ran.err


def test_each_problem_of_the_settings_is_a_line_of_its_own(tuma: Tuma) -> None:
    ran = tuma(
        "accounts", TUMA_ACCOUNTS=json.dumps({"a": {"provider": "lisoloo"}, "b": {"api_key": "hidden-key"}}), TUMA_GATEWAY_PORT="x"
    )
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 3
    assert all(line.startswith("error: TUMA_") for line in ran.err.splitlines())
    assert "hidden-key" not in ran.err


@pytest.mark.parametrize("arguments", [("worker",), ("gateway", "--port", "0"), ONE], ids=" ".join)
def test_an_account_that_its_provider_cannot_work_with_is_named(tuma: Tuma, arguments: tuple[str, ...]) -> None:
    live = ACCOUNT | {"environment": "production", "base_url": "http://127.0.0.1:1"}
    ran = tuma(*arguments, TUMA_ACCOUNTS=json.dumps({"lisoloo-live": live}))
    assert ran.status == 2
    assert ran.err.startswith("error: account lisoloo-live: ")
    assert ran.err.count("\n") == 1
    assert "Hidden" not in ran.err


@pytest.mark.parametrize("arguments", [("worker",), ("gateway", "--port", "0")], ids=" ".join)
def test_two_accounts_with_one_key_would_each_take_its_limits(tuma: Tuma, arguments: tuple[str, ...]) -> None:
    one = ACCOUNT | {"base_url": "http://127.0.0.1:1"}
    ran = tuma(*arguments, TUMA_ACCOUNTS=json.dumps({"marketing": one, "service": one}))
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("error: account service: api_key: is that of marketing too")


def test_a_queue_that_no_account_has_is_refused_with_the_queues_that_there_are(tuma: Tuma) -> None:
    ran = tuma("worker", "--queues", "sned", TUMA_ACCOUNTS=json.dumps({"a": ACCOUNT | {"base_url": "http://127.0.0.1:1"}}))
    known = "(a.control, a.send, a.status)"
    assert (ran.status, ran.err) == (2, f"error: queue 'sned' is not among those of the configured accounts {known}\n")


@pytest.mark.parametrize("command", ["gateway", "sandbox"])
def test_a_port_that_is_taken_is_named(tuma: Tuma, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = tuma(command, "--port", str(port))
    assert ran.status == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ran.err


@pytest.mark.parametrize("header", ["number,message", "to,massage", "to,to", "message"])
def test_a_csv_file_with_other_columns_is_refused_whole(tuma: Tuma, tmp_path: Path, header: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{header}\n{NUMBER},{TEXT}\n")
    ran = tuma(*LIST, "--csv", str(path))
    assert ran.status == 2
    assert ran.err.startswith(f"error: {path}: the first line must name the columns, each once: to, and any of message, account")
    assert ran.err.count("\n") == 1


def test_a_csv_row_that_is_no_utf8_is_told_by_its_line_and_costs_no_other_row(tuma: Tuma, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(f"to,message\n{NUMBER},before\n{NUMBER},déjà\n{NUMBER},after\n".encode("latin-1"))
    ran = tuma(*LIST, "--csv", str(path))
    assert ran.status == 2
    assert "line 3: is not UTF-8 text" in ran.err
    assert "accepted 2, refused 1" in ran.out + ran.err


def test_an_unknown_intent_is_one_line_and_exit_status_1(tuma: Tuma) -> None:
    for command in ("get", "watch"):
        ran = tuma(command, "lisoloo-main.0000")
        assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "'lisoloo-main.0000' is not known" in ran.err
