"""A thread that has settled a batch takes the next one of its queue itself, where nobody else would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.brokers import LONG_IDLE, Calls, Messages, make_broker, send_actor, until, working
from tests.redis.driver import Driver, calls, number, queue_of

from tuma_producer.contract.scripts import run_together
from tuma_worker.queue.scripts import Claim, push

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.contract.scripts import ScriptCall
    from tuma_worker.queue.broker import TumaBroker
    from tuma_worker.queue.consumer import Consumer
    from tuma_worker.queue.leases import Held


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(idle=LONG_IDLE))


@pytest.fixture
def broker(driver: Driver, redis_url: str) -> TumaBroker:
    return make_broker(redis_url, driver.queue)


def watched(broker: TumaBroker) -> Calls:
    """The messages that Dramatiq sees."""
    messages = Messages()
    broker.add_middleware(messages)
    return messages.calls


def settle(driver: Driver, held: Held) -> None:
    driver.begin(held.claim)
    held.settled = driver.settle(held.claim, run=held.run) is not None


def slot_is_awaited(broker: TumaBroker, *queues: str) -> None:
    """Return once the consumers of these queues wait for a free thread, and no others do."""
    until(lambda: {id(one) for one in broker._slots._waiting} == {id(broker._consumers.get(name)) for name in queues})


def test_a_busy_queue_is_worked_off_in_one_message(driver: Driver, broker: TumaBroker) -> None:
    messages, seen = watched(broker), Calls()

    def work(held: Held) -> None:
        slot_is_awaited(broker, driver.queue.name)
        settle(driver, held)
        seen.add(held.claim.batch_id)

    send_actor(broker, work)
    driver.enqueue_singles(5)
    with working(broker, threads=1):
        batches = seen.wait(5)
        assert messages.wait(1) == [("send", None)]
    assert len(set(batches)) == 5
    assert not driver.in_flight()
    assert not broker._leases._held


def taken_and_settled(driver: Driver, consumer: Consumer) -> str:
    """The id of a batch that a thread has worked off."""
    found = consumer._claim()
    assert isinstance(found, Claim)
    settle(driver, consumer._leases.get(found.batch_id))
    return found.batch_id


def test_a_thread_takes_the_next_one_while_the_consumer_is_busy_itself(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer:
        driver.enqueue_singles(2)
        batch_id = taken_and_settled(driver, consumer)
        assert consumer.follow(batch_id)
        assert broker.held(batch_id).claim.batch_id != batch_id


def test_a_thread_does_not_ask_where_the_consumer_has_just_heard_that_nothing_may_move(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer, ThreadPoolExecutor(1) as pool:
        driver.enqueue_singles(1)
        found = consumer._claim()
        assert isinstance(found, Claim)
        driver.redis.delete(driver.queue.keys.bell)  # rung for what is taken by now
        resting = pool.submit(next, consumer)
        until(lambda: consumer._seat.listening)
        asked = scripts_run(driver.redis)
        settle(driver, consumer._leases.get(found.batch_id))
        assert not consumer.follow(found.batch_id)
        assert scripts_run(driver.redis) == asked + 2  # it was begun, and settled
        driver.enqueue_singles(1)
        resting.result()


def test_a_follower_that_nobody_follows_lapses(driver: Driver, broker: TumaBroker) -> None:
    """Its lease is kept from the moment on when a thread goes on with it, and not before."""
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer:
        driver.enqueue_singles(2)
        held = broker.held(taken_and_settled(driver, consumer))
        assert held.follower is not None
        assert set(broker._leases._held) == {held.claim.batch_id}


def test_a_thread_that_is_to_stop_puts_the_follower_back(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer:
        driver.enqueue_singles(2)
        batch_id = taken_and_settled(driver, consumer)
        assert driver.in_flight()
        consumer._seat.stopping.set()  # between the settlement and the next batch
        assert not consumer.follow(batch_id)
        assert not driver.in_flight()
        assert len(driver.waiting()) == 1


def test_what_failed_behind_a_settlement_is_no_death_of_the_follower(driver: Driver, broker: TumaBroker) -> None:
    messages = watched(broker)

    def work(held: Held) -> None:
        slot_is_awaited(broker, driver.queue.name)
        settle(driver, held)
        broker._consumers[driver.queue.name]._seat.stopping.set()  # what is put back stays there
        message = "nobody foresaw this"
        raise RuntimeError(message)

    send_actor(broker, work)
    driver.enqueue_singles(2)
    with working(broker, threads=1):
        messages.wait(1)
        until(lambda: not driver.in_flight())
    assert len(driver.waiting()) == 1


def test_a_lost_reply_leaves_neither_the_settlement_nor_the_next_batch_behind(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer:
        driver.enqueue_singles(2)
        found = consumer._claim()
        assert isinstance(found, Claim)
        held = consumer._leases.get(found.batch_id)
        driver.begin(found)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("tuma_worker.queue.consumer.run_together", run_and_lose_the_reply)
            with pytest.raises(ConnectionError):
                driver.settle(found, run=held.run)
        assert driver.settle(found, run=held.run) is not None
        assert held.follower is not None
        assert driver.in_flight() == [held.follower.claim.jobs[0].subject], "asked for again, not taken a second time"
        assert not driver.waiting()


def test_a_thread_that_began_under_a_consumer_before_stops_with_the_worker(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as before:
        driver.enqueue_singles(3)
        found = before._claim()
        assert isinstance(found, Claim)
        before.close()  # its connection was lost, and here is the next one
        with closing(broker.consume(driver.queue.name, timeout=100)) as consumer:
            consumer._resting.set()
            broker.stop_claiming()
            settle(driver, broker.held(found.batch_id))
            assert not consumer.follow(found.batch_id)
    assert len(driver.waiting()) == 2


def test_a_consumer_that_listens_is_told_of_what_a_thread_hands_to_it(driver: Driver, broker: TumaBroker) -> None:
    with closing(broker), closing(broker.consume(driver.queue.name, timeout=100)) as consumer, ThreadPoolExecutor(1) as pool:
        driver.enqueue_singles(1)
        found = consumer._claim()
        assert isinstance(found, Claim)
        driver.begin(found)
        push(driver.redis, driver.queue, "resolve.0.1.x", "x")
        held = broker.held(found.batch_id)
        held.settled = driver.settle(found, run=held.run) is not None
        driver.redis.delete(driver.queue.keys.bell)  # rung for what is taken by now
        listening = pool.submit(consumer._listen, LONG_IDLE)
        until(lambda: consumer._seat.listening)
        assert not consumer.follow(found.batch_id)
        listening.result(timeout=LONG_IDLE / 2)
        message = next(consumer)
    assert message is not None
    assert message.actor_name == "resolve"


def run_and_lose_the_reply(redis: Redis, asked: list[ScriptCall]) -> list[Any]:
    run_together(redis, asked)
    message = "the reply was lost"
    raise ConnectionError(message)


def scripts_run(redis: Redis) -> int:
    """How many scripts the server has run."""
    counted: Any = redis.info("commandstats")
    return sum(int(counted.get(f"cmdstat_{command}", {}).get("calls", 0)) for command in ("evalsha", "eval"))


def test_another_queue_gets_its_turn(redis: Redis, redis_url: str) -> None:
    one, other = queue_of(idle=LONG_IDLE), queue_of(account="lineserve-main", idle=LONG_IDLE)
    drivers = {one.name: Driver(redis, one), other.name: Driver(redis, other)}
    broker = make_broker(redis_url, one, other)
    messages, seen = watched(broker), Calls()

    def work(held: Held) -> None:
        if len(seen.found) == 0:
            slot_is_awaited(broker, one.name, other.name)
        settle(drivers[held.queue.name], held)
        seen.add(held.queue.name)

    send_actor(broker, work)
    for driver in drivers.values():
        driver.enqueue_singles(2)
    with working(broker, threads=1):
        seen.wait(1)
        messages.wait(1)
        seen.wait(4)


def test_work_of_another_kind_is_handed_to_a_thread_of_its_own(driver: Driver, broker: TumaBroker) -> None:
    messages, seen = watched(broker), Calls()

    def work(held: Held) -> None:
        if not seen.found:
            push(driver.redis, driver.queue, "resolve.0.1.x", "x")
        slot_is_awaited(broker, driver.queue.name)
        if held.claim.actor == "send":
            settle(driver, held)
        seen.add(held.claim.actor)

    send_actor(broker, work)
    send_actor(broker, work, name="resolve")
    driver.enqueue_singles(2)
    with working(broker, threads=1):
        assert seen.wait(3) == ["send", "resolve", "send"]
        assert [name for name, _ in messages.wait(2)[:2]] == ["send", "resolve"]
        until(lambda: not driver.in_flight())


def test_what_was_handed_over_goes_back_when_the_worker_stops(redis: Redis, redis_url: str) -> None:
    limit = calls(5, 60)
    driver = Driver(redis, queue_of(limit))
    broker = make_broker(redis_url, driver.queue)
    driver.enqueue(number(0))
    consumer = broker.consume(driver.queue.name, timeout=100)
    found = consumer._claim()
    assert isinstance(found, Claim)
    consumer._seat.handed.append(found)
    consumer._seat.stopping.set()
    assert next(consumer) is None
    assert not driver.in_flight()
    assert driver.used(limit) == 0
    assert len(driver.waiting()) == 1
    consumer.close()
    broker.close()


def test_a_batch_that_followed_and_whose_work_raised_waits_for_its_lease(redis: Redis, redis_url: str) -> None:
    driver = Driver(redis, queue_of(idle=0.2, lease=0.5))
    broker = make_broker(redis_url, driver.queue)
    messages, seen = watched(broker), Calls()

    def work(held: Held) -> None:
        seen.add(held.claim.jobs[0].subject)
        if len(seen.found) == 2:
            message = "nobody foresaw this"
            raise RuntimeError(message)
        if len(seen.found) == 1:
            slot_is_awaited(broker, driver.queue.name)
        settle(driver, held)

    send_actor(broker, work)
    driver.enqueue_singles(2)
    with working(broker, threads=1):
        subjects = seen.wait(3)
        _, raised = messages.wait(1)[0]
    assert subjects[1] == subjects[2]
    assert isinstance(raised, RuntimeError), "it was the first message's thread that had taken the second batch"


def test_a_worker_that_stops_takes_nothing_more_in_the_same_message(driver: Driver, broker: TumaBroker) -> None:
    seen = Calls()

    def work(held: Held) -> None:
        slot_is_awaited(broker, driver.queue.name)
        broker.stop_claiming()
        settle(driver, held)
        seen.add(held)

    send_actor(broker, work)
    driver.enqueue_singles(3)
    with working(broker, threads=1):
        seen.wait(1)
    assert len(seen.found) == 1
    assert len(driver.waiting()) == 2
