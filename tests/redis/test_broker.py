"""The broker under a real `dramatiq.Worker`: our claims and ordinary actors run, an idle worker is quiet, and it stops in order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import dramatiq
import pytest
from dramatiq.errors import QueueNotFound
from structlog.testing import capture_logs
from tests.redis.brokers import LONG_IDLE, PATIENCE, Calls, blocked, make_broker, send_actor, until, working
from tests.redis.driver import Driver, calls, number, numbers, queue_of

from tuma_producer.contract.connection import connect_for_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.queue.broker import TumaBroker
    from tuma_worker.queue.leases import Held


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(idle=LONG_IDLE, batch_max=3))


@pytest.fixture
def broker(driver: Driver, redis_url: str) -> TumaBroker:
    return make_broker(redis_url, driver.queue)


def sent(driver: Driver, intent: str) -> Callable[[], bool]:
    return lambda: driver.state_of(intent, number(0)) == "submitted"


# ------------------------------------------------------------------------------------------------------------------------ work


def test_a_claimed_batch_runs_its_actor_with_four_threads(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()
    together = threading.Barrier(4)

    def work(held: Held) -> None:
        together.wait(PATIENCE)
        driver.begin(held.claim)
        held.settled = driver.settle(held.claim) is not None
        seen.add(held.claim)

    send_actor(broker, work)
    driver.enqueue(*numbers(12))
    with working(broker, threads=4):
        batches = seen.wait(4)
    assert sorted(len(batch.jobs) for batch in batches) == [3, 3, 3, 3]
    assert not driver.in_flight()


def test_a_batch_whose_actor_did_not_settle_it_is_let_go_of_with_its_permit(redis: Redis, redis_url: str) -> None:
    limit = calls(1, 60)
    driver = Driver(redis, queue_of(limit, idle=LONG_IDLE))
    broker = make_broker(redis_url, driver.queue)
    seen = Calls()
    send_actor(broker, seen.add)
    driver.enqueue_singles(2)
    with working(broker, threads=1):
        seen.wait(2)
    assert driver.used(limit) == 0
    assert not driver.in_flight()


def test_a_batch_whose_actor_raised_waits_for_its_lease_as_if_the_process_had_died(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(idle=0.2, lease=0.5))
    broker = make_broker(redis_url, driver.queue)
    seen = Calls()

    def work(held: Held) -> None:
        seen.add(held.claim)
        if len(seen.found) == 1:
            driver.begin(held.claim)
            message = "nobody foresaw this"
            raise LookupError(message)

    send_actor(broker, work)
    send_actor(broker, lambda held: seen.add(held.claim), name="resolve")
    driver.enqueue()
    with working(broker, threads=1):
        first, second = seen.wait(2)
    assert second.actor == "resolve"
    assert second.jobs[0].subject == first.batch_id


def test_an_ordinary_actor_runs_at_once_and_after_a_delay(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()

    @dramatiq.actor(broker=broker, queue_name=driver.queue.name)
    def note(what: str) -> None:
        seen.add((what, driver.server_ms()))

    asked_at = driver.server_ms()
    note.send_with_options(args=("later",), delay=400)
    note.send("now")
    with working(broker):
        (first, _), (second, came_at) = seen.wait(2)
    assert (first, second) == ("now", "later")
    assert came_at >= asked_at + 400
    assert driver.redis.hlen(driver.queue.keys.messages) == 0


def test_an_ordinary_actor_that_fails_is_retried_by_dramatiq(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()

    @dramatiq.actor(broker=broker, queue_name=driver.queue.name, max_retries=5, min_backoff=10, max_backoff=20)
    def stumble() -> None:
        seen.add("tried")
        if len(seen.found) < 3:
            message = "not yet"
            raise RuntimeError(message)

    stumble.send()
    with working(broker):
        seen.wait(3)
    assert len(seen.found) == 3
    assert driver.redis.hlen(driver.queue.keys.messages) == 0
    assert not driver.in_flight()


def test_a_message_that_is_gone_costs_neither_a_thread_nor_the_others(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()

    @dramatiq.actor(broker=broker, queue_name=driver.queue.name)
    def note(what: str) -> None:
        seen.add(what)

    note.send("gone")
    driver.redis.delete(driver.queue.keys.messages)
    note.send("there")
    with working(broker, threads=1):
        assert seen.wait(1) == ["there"]
        until(lambda: not driver.in_flight())


def test_a_queue_that_is_not_configured_is_refused(broker: TumaBroker) -> None:
    with pytest.raises(QueueNotFound):
        broker.declare_queue("nobody.send")
    broker.close()


# ---------------------------------------------------------------------------------------------------------------------- at rest


def test_an_arrival_wakes_an_idle_worker(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()
    send_actor(broker, seen.add)
    with working(broker):
        blocked(driver.redis)
        driver.enqueue()
        seen.wait(1, patience=LONG_IDLE / 2)


def test_an_idle_worker_asks_at_most_twice_a_second(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(idle=1.0))
    broker = make_broker(redis_url, driver.queue)
    send_actor(broker, lambda _: None)

    def asked() -> int:
        stats = cast("dict[str, dict[str, int]]", redis.info("commandstats"))
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "blpop", "ping"))

    with working(broker):
        blocked(redis)
        before, began = asked(), driver.server_ms()
        threading.Event().wait(3.0)  # what is measured is this time
        count, took = asked() - before, (driver.server_ms() - began) / 1000
    assert count <= 2 * took + 1


def test_an_arrival_does_not_wait_for_a_process_that_has_no_free_thread(redis: Redis, redis_url: str) -> None:
    busy, other = queue_of(idle=LONG_IDLE), queue_of(account="lineserve-main", idle=LONG_IDLE)
    first, second = Driver(redis, busy), Driver(redis, other)
    hold, seen = threading.Event(), Calls()
    both, alone = make_broker(redis_url, busy, other, name="both"), make_broker(redis_url, other, name="alone")

    def work(held: Held) -> None:
        seen.add(held.queue.account)
        if held.queue is busy:
            hold.wait(PATIENCE)

    send_actor(both, work)
    send_actor(alone, work)
    with working(both, threads=1):
        blocked(redis, 2)
        with working(alone, threads=1):
            blocked(redis, 3)
            first.enqueue()
            seen.wait(1)
            second.enqueue()
            try:
                assert seen.wait(2) == [busy.account, other.account]
            finally:
                hold.set()


# -------------------------------------------------------------------------------------------------------------------- stopping


def test_what_no_thread_has_started_on_goes_back_to_its_place_with_its_permit(redis: Redis, redis_url: str) -> None:
    limit = calls(5, 60)
    driver = Driver(redis, queue_of(limit, batch_max=3))
    broker = make_broker(redis_url, driver.queue)
    intent = driver.enqueue(*numbers(3))
    consumer = broker.consume(driver.queue.name, timeout=100)
    message = next(consumer)
    assert message is not None
    assert driver.used(limit) == 1
    consumer.requeue([message])
    assert driver.waiting() == [f"{intent}:{recipient}" for recipient in numbers(3)]
    assert driver.used(limit) == 0
    consumer.close()
    broker.close()


def test_a_worker_that_stops_waits_for_what_has_started_and_claims_nothing_more(driver: Driver, broker: TumaBroker) -> None:
    seen, go_on = Calls(), threading.Event()

    def work(held: Held) -> None:
        seen.add(held)
        go_on.wait(PATIENCE)
        driver.begin(held.claim)
        held.settled = driver.settle(held.claim) is not None

    send_actor(broker, work)
    intent = driver.enqueue(number(0))
    with working(broker, threads=2) as worker:
        seen.wait(1)
        blocked(driver.redis)
        stopping = threading.Thread(target=worker.stop, daemon=True)
        stopping.start()
        until(next(iter(broker._consumers.values()))._resting.is_set)
        later = driver.enqueue(number(1))
        assert driver.state_of(intent, number(0)) == "queued"
        go_on.set()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
    assert driver.state_of(intent, number(0)) == "submitted"
    assert driver.waiting() == [f"{later}:{number(1)}"]


def test_what_a_worker_that_stops_does_not_wait_for_is_told_with_the_place_of_what_is_missing(
    driver: Driver, broker: TumaBroker
) -> None:
    seen, go_on = Calls(), threading.Event()

    def work(held: Held) -> None:
        seen.add(held.claim)
        go_on.wait(PATIENCE)

    send_actor(broker, work)
    driver.enqueue(*numbers(2))
    with working(broker, threads=2) as worker:
        (claim,) = seen.wait(1)
        with capture_logs() as told:
            worker.stop(timeout=100)
        go_on.set()
    lines = [line for line in told if line["event"] == "call.abandoned"]
    assert lines == [
        {
            "event": "call.abandoned", "log_level": "error",
            "queue": driver.queue.name, "batch": claim.batch_id, "actor": "send", "jobs": 2,
        }
    ]  # fmt: skip


@pytest.mark.parametrize("reconnected", [False, True], ids=["", "after its connection was cut"])
def test_an_idle_worker_stops_at_once(driver: Driver, broker: TumaBroker, *, reconnected: bool) -> None:
    send_actor(broker, lambda _: None)
    with working(broker) as worker:
        blocked(driver.redis)
        if reconnected:
            waiting = [client for client in cast("Any", driver.redis.client_list()) if client["cmd"] == "blpop"]
            driver.redis.client_kill_filter(_id=waiting[0]["id"])
            until(
                lambda: (
                    [client["id"] for client in cast("Any", driver.redis.client_list()) if client["cmd"] == "blpop"]
                    != [waiting[0]["id"]]
                )
            )
            blocked(driver.redis)
        began = time.monotonic()
        worker.stop()
        assert time.monotonic() - began < LONG_IDLE / 2


def test_each_of_very_many_threads_keeps_a_connection(redis_url: str) -> None:
    threads = 120  # redis-py's own limit is 100, and a worker has a thread for each of its accounts
    all_there = threading.Barrier(threads)

    def ping(client: Redis) -> bool:
        pong = bool(client.ping())
        all_there.wait(PATIENCE)  # what a thread has kept is free again when it ends
        return pong

    with connect_for_threads(redis_url) as client, ThreadPoolExecutor(threads) as pool:
        assert all(pool.map(ping, [client] * threads))
