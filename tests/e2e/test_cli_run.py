"""Sandbox, gateway and worker as the command line starts them: a message's whole way, and how the programs end."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from tests.e2e.conftest import QUICK, Tuma, account

if TYPE_CHECKING:
    from redis import Redis
    from tests.e2e.conftest import House
    from tests.support import servers

TO = ("--to", "+243990000001", "--message", "hello")


def test_a_message_is_followed_until_the_handset_has_it(house: House) -> None:
    ran = house.tuma("send", "--account", "lisoloo-main", *TO, "--to", "+243990000002", "--wait", "--timeout", "30")
    assert (ran.status, ran.err) == (0, "")
    receipt, *changes = ran.out.splitlines()
    intent_id = receipt.split(":")[0]
    assert receipt == f"{intent_id}: 2 recipients, 1 segment each"
    assert changes[-1].endswith(f"{intent_id}: done: delivered 2")
    assert house.tuma("watch", intent_id, "--json").jsons[-1]["counts"] == {"delivered": 2}
    found = house.tuma("get", intent_id, "--json").json
    assert {one["evidence"] for one in found["recipients"]} == {"handset"}
    assert [one["phase"] for one in found["attempts"]] == ["accepted"]


def test_a_list_is_followed_until_all_of_it_has_ended(house: House) -> None:
    numbers = "".join(f"+243990{n:06}\n" for n in range(60))
    ran = house.tuma("send", "--account", "lisoloo-main", "--stdin", "--message", "hi", "--wait", "--timeout", "30", stdin=numbers)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].endswith(" all: 60 of 60 done: delivered 60")


def test_a_wrong_key_shows_as_a_halted_account(house: House) -> None:
    ran = house.tuma("send", "--account", "lisoloo-wrong", *TO, "--wait", "--timeout", "30", "--json")
    assert ran.status == 2
    assert ran.err.startswith("error: account lisoloo-wrong is halted: key (")
    assert ran.err.endswith("); put it right, then: tuma accounts resume lisoloo-wrong\n")
    halted = {one["account"]: one["halted"] is not None for one in house.tuma("accounts", "--json").json}
    assert halted == {"lisoloo-main": False, "lisoloo-wrong": True}


def test_what_does_not_end_in_time_is_told_with_exit_status_1(redis: Redis, server: servers.Server) -> None:
    """No worker runs with this Redis' second database."""
    tuma = Tuma(
        TUMA_REDIS_URL=server.url.removesuffix("/0") + "/1", TUMA_ACCOUNTS=json.dumps({"idle": account("http://127.0.0.1:1")})
    )
    ran = tuma("send", "--account", "idle", *TO, "--wait", "--timeout", "0.1")
    redis.flushall()
    assert ran.status == 1
    assert ran.out.splitlines()[-1].endswith("active: queued 1")
    assert ran.err.startswith("not ended after 0.1 seconds; it goes on")


def test_a_worker_that_is_told_to_end_lets_its_call_end_and_takes_no_other(redis: Redis, server: servers.Server) -> None:
    sandbox = Tuma().start("sandbox", "--port", "0", "--config", json.dumps(QUICK | {"latency_ms": 1500}))
    running = [sandbox]
    try:
        url = sandbox.until("listening").split()[-1]
        slow = account(url)
        tuma = Tuma(
            TUMA_REDIS_URL=server.url.removesuffix("/0") + "/2", TUMA_LOG_FORMAT="json", TUMA_ACCOUNTS=json.dumps({"slow": slow})
        )
        first, second = tuma.send("--account", "slow"), tuma.send("--account", "slow", "--message", "another text")
        worker = tuma.start("worker", "--threads", "1", "--queues", "slow.send")
        running.append(worker)
        watch = tuma.start("watch", first)
        running.append(watch)
        watch.until("sending 1")
        assert worker.end(signal.SIGTERM) == 0
        assert tuma("get", first, "--json").json["counts"] == {"submitted": 1}
        assert tuma("get", second, "--json").json["counts"] == {"queued": 1}
    finally:
        for one in running:
            one.kill()
        redis.flushall()
