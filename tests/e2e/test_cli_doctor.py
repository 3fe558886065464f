"""`tuma doctor`: on a house in order, and on one where each thing that it looks at is out of order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.support import servers
from tests.support.houses import open_house
from tests.support.programs import Tuma

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.support.houses import House
    from tests.support.programs import Ran

DOC = Path(__file__).parents[2] / "docs" / "redis.md"
NOBODY = "invented-for-this-test"
KEPT = ("--appendonly", "yes", "--appendfsync", "everysec")


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    started = servers.start(None, *KEPT)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A worker that follows one of two accounts, and a gateway."""
    with open_house(server, {"served": {"provider": "lisoloo"}, "unserved": {"provider": "lineserve"}}) as found:
        found.worker("served")
        yield found


def marks(ran: Ran) -> dict[str, str]:
    return {one["about"]: one["mark"] for one in ran.json["findings"]}


def test_a_house_in_order_has_a_tick_at_everything_but_the_account_that_no_worker_follows(house: House) -> None:
    ran = house.tuma("doctor", "--json")
    assert ran.status == 1
    assert marks(ran) == {
        "server": "fine",
        "persistence": "fine",
        "memory": "fine",
        "clock": "fine",
        "rights": "fine",
        "account served": "fine",
        "workers of served": "fine",
        "account unserved": "fine",
        "workers of unserved": "wrong",
        "receipts": "fine",
    }
    assert not ran.json["ok"]
    house.worker("unserved", threads=1)
    well = house.tuma("doctor")
    assert well.status == 0
    assert {line[0] for line in well.out.splitlines()} == {"✓"}


def test_what_is_set_wrongly_at_the_server_is_said_with_its_mend(house: House, redis: Redis) -> None:
    for name, value in (("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")):
        redis.config_set(name, value)
    ran = house.tuma("doctor", TUMA_PUBLIC_URL=f"http://127.0.0.1:{servers.closed_port()}")
    for name, value in (("appendonly", "yes"), ("maxmemory-policy", "noeviction")):
        redis.config_set(name, value)
    assert ran.status == 1
    crosses = [line.split(":")[0] for line in ran.out.splitlines() if line.startswith("✗")]
    assert [word for word in crosses if "workers" not in word] == ["✗ persistence", "✗ memory", "✗ receipts"]
    assert "  mend: set maxmemory-policy noeviction" in ran.out


def test_the_advised_user_sees_what_it_may_and_misses_what_it_lacks(house: House, redis: Redis, server: servers.Server) -> None:
    advised = re.search(r"^ACL SETUSER tuma (.*)$", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert advised is not None
    rights = advised[1].replace("PASSWORD", NOBODY).split()
    user = {"TUMA_REDIS_URL": f"redis://tuma:{NOBODY}@127.0.0.1:{server.port}/0"}

    def seen(*more: str) -> dict[str, str]:
        cast("Any", redis).execute_command("ACL", "SETUSER", "tuma", "reset", *rights, *more)
        ran = house.tuma("doctor", "--json", **user)
        assert NOBODY not in ran.out
        return {about: mark for about, mark in marks(ran).items() if about in {"persistence", "memory", "rights"}}

    assert seen() == {"persistence": "unseen", "memory": "unseen", "rights": "fine"}
    assert seen("-xreadgroup")["rights"] == "wrong"
    assert seen("-script|load")["rights"] == "wrong"
    redis.acl_deluser("tuma")


def test_a_redis_that_is_away_is_the_one_cross_and_its_password_is_not_shown() -> None:
    ran = Tuma(TUMA_REDIS_URL=f"redis://:{NOBODY}@127.0.0.1:{servers.closed_port()}/0")("doctor", "--json")
    assert (ran.status, [one["mark"] for one in ran.json["findings"]]) == (1, ["wrong"])
    assert NOBODY not in ran.out
