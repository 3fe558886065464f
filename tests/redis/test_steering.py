"""Pausing, resuming and limits of a queue: told once, and answered truly also where a reply is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from tests.redis.driver import Driver, calls, queue_of
from tests.support.proxy import LossyProxy

from tuma_producer.contract.connection import connect
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.gauging import Gauger
from tuma_worker.store.steering import Scope, Steering, pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from tests.support.servers import Server

LIMIT = calls(10, 60)


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(LIMIT))


@pytest.fixture
def lossy(redis_server: Server) -> Iterator[LossyProxy]:
    with LossyProxy(redis_server.port) as proxy:
        yield proxy


def steering_of(redis: Redis, by: str = "amani") -> Steering:
    return Steering(redis, queue_of().account, "send", by)


def told(driver: Driver) -> list[tuple[str, str, str]]:
    return [(event["e"], event["w"], event["by"]) for event in driver.events()]


PUT: dict[str, Callable[[Steering], object]] = {
    "resumed": lambda steering: steering.pause(Scope(lane="bulk")),
    "halt lifted": lambda steering: steering.halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0)),
    "limit unset": lambda steering: steering.set_limit(LIMIT),
}
TAKEN_AWAY: dict[str, Callable[[Steering], bool]] = {
    "resumed": lambda steering: steering.resume(Scope(lane="bulk")),
    "halt lifted": lambda steering: steering.lift_halt(),
    "limit unset": lambda steering: steering.unset_limit(LIMIT.name),
}


@pytest.mark.parametrize("what", PUT)
def test_what_was_taken_away_is_said_so_although_the_first_reply_was_lost(driver: Driver, lossy: LossyProxy, what: str) -> None:
    PUT[what](steering_of(driver.redis))
    with connect(lossy.url) as redis:
        steering = steering_of(redis)
        redis.ping()
        lossy.lose(b":1\r\n")
        assert TAKEN_AWAY[what](steering)
        assert lossy.lost == 1
        assert len(told(driver)) == 2, "it is told once"
        assert not TAKEN_AWAY[what](steering), "asked anew, there is nothing"
    assert len(told(driver)) == 2


def test_a_pause_whose_reply_was_lost_is_told_once(driver: Driver, lossy: LossyProxy) -> None:
    with connect(lossy.url) as redis:
        redis.ping()
        lossy.lose(b":1\r\n")
        steering_of(redis).pause(Scope())
    assert lossy.lost == 1
    assert told(driver) == [("paused", "everything", "amani")]


def test_a_pause_that_is_renewed_says_who_did_it_last_and_one_resumption_ends_it(driver: Driver) -> None:
    for name in ("amani", "baraka"):
        steering_of(driver.redis, name).pause(Scope())
    assert steering_of(driver.redis).resume(Scope())
    assert [(event, by) for event, _, by in told(driver)] == [("paused", "amani"), ("paused", "baraka"), ("resumed", "amani")]


def test_what_is_paused_is_told_with_who_did_it_and_since_when(driver: Driver) -> None:
    account, began = driver.queue.account, driver.server_ms()
    for scope, by in ((Scope(source="a:b c"), "asha"), (Scope(), "juma ali"), (Scope(lane="bulk"), "asha")):
        Steering(driver.redis, account, "send", by).pause(scope)
    found = pauses(driver.redis, account, "send")
    assert [(str(one.scope), one.by) for one in found] == [("everything", "juma ali"), ("bulk", "asha"), ("a:b c", "asha")]
    assert all(began <= one.since <= driver.server_ms() for one in found)
    assert pauses(driver.redis, account, "control") == []


def test_the_gauge_shows_by_which_holds_an_account_stands_still(driver: Driver) -> None:
    def shown() -> set[str]:
        Gauger(driver.redis, [driver.queue], dict, shows=True).run_once()
        account = driver.queue.account
        holds = ("halted", "paused", "breaker")
        return {one for one in holds if REGISTRY.get_sample_value("tuma_account_standing", {"account": account, "hold": one})}

    steering = steering_of(driver.redis)
    steering.pause(Scope(lane="bulk"))
    assert shown() == set(), "other lanes go"
    steering.pause(Scope())
    assert shown() == {"paused"}
    steering.halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    steering.resume(Scope())
    assert shown() == {"halted"}
    steering.lift_halt()
    driver.redis.hset(driver.queue.keys.state, "breaker", f"{driver.server_ms()} 5000 5 x http-500")
    assert shown() == {"breaker"}
