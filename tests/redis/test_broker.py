"""The broker under a real `dramatiq.Worker`: our claims and ordinary actors run, an idle worker is quiet, and Redis may go."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import dramatiq
import dramatiq.worker
import pytest
from dramatiq.errors import ConnectionClosed, QueueNotFound
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.redis.driver import Driver, calls, number, numbers, queue_of
from tests.support import servers

from tuma_producer.contract.connection import connect
from tuma_worker.queue.broker import TumaBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis
    from tests.support.servers import Server

    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.queue.leases import Held

PATIENCE = 8.0  # seconds after which a signal that must come is missed
LONG_IDLE = 30.0  # longer than any test: whoever wakes was woken


@dataclass
class Calls:
    """What an actor of the test was called with, for others to wait for."""

    found: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, one: Any) -> None:  # noqa: ANN401 - whatever the actor has to say
        with self._changed:
            self.found.append(one)
            self._changed.notify_all()

    def wait(self, count: int = 1, patience: float = PATIENCE) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.found) >= count, patience), f"{len(self.found)} of {count} calls came"
            return list(self.found)


def make_broker(url: str, *queues: QueueConfig, name: str = "worker-1") -> TumaBroker:
    def connect_blocking() -> Redis:
        return connect(url, socket_timeout=None, single_connection_client=True, retry=Retry(NoBackoff(), 0))

    return TumaBroker(connect(url), queues, connect=connect_blocking, clock=time.monotonic, worker=name)


@contextlib.contextmanager
def working(broker: TumaBroker, threads: int = 4) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=threads)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()
        broker._redis.close()


def send_actor(broker: TumaBroker, work: Callable[[Held], object], name: str = "send") -> None:
    """Declare the actor that our claims name."""

    def actor(batch_id: str) -> None:
        work(broker.held(batch_id))

    dramatiq.actor(broker=broker, queue_name=min(broker.get_declared_queues()), actor_name=name, max_retries=0)(actor)


def blocked(redis: Redis, count: int = 1) -> None:
    """Return once so many consumers wait on their bells."""
    deadline = time.monotonic() + PATIENCE
    while cast("dict[str, int]", redis.info("clients"))["blocked_clients"] < count:
        assert time.monotonic() < deadline, f"no {count} consumers came to rest"
        threading.Event().wait(0.01)


def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once something is so that nobody signals."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        threading.Event().wait(0.01)


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
        seen.wait(1, patience=LONG_IDLE / 6)


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
                assert seen.wait(2, patience=4) == [busy.account, other.account]
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
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        until(next(iter(broker._consumers.values()))._resting.is_set)
        later = driver.enqueue(number(1))
        assert driver.state_of(intent, number(0)) == "queued"
        go_on.set()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
    assert driver.state_of(intent, number(0)) == "submitted"
    assert driver.waiting() == [f"{later}:{number(1)}"]


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
        assert time.monotonic() - began < LONG_IDLE / 12


# ------------------------------------------------------------------------------------------------------------- Redis comes and goes


@dataclass
class Restartable:
    """A server that forgets nothing, on a port of its own."""

    kind: str
    directory: Path
    port: int
    server: Server

    @classmethod
    def start(cls, kind: str, directory: Path) -> Restartable:
        port = servers.closed_port()
        return cls(kind, directory, port, cls._server(kind, directory, port))

    @staticmethod
    def _server(kind: str, directory: Path, port: int) -> Server:
        return servers.start(kind, "--appendonly", "yes", "--appendfsync", "always", port=port, directory=directory)

    def come_back(self) -> None:
        self.server = self._server(self.kind, self.directory, self.port)


@pytest.fixture
def lasting(redis_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restartable]:
    """A server to restart, and a Dramatiq that tries again sooner than it does by itself."""
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.2)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.2)
    started = Restartable.start(redis_server.kind, tmp_path)
    yield started
    started.server.stop()


class Doorbell:
    """Stands on a dead server's port and counts who tries to come in."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.rung = 0
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                self.rung += 1
                visitor.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def test_a_restart_while_idle_is_survived_without_a_busy_loop(lasting: Restartable) -> None:
    with connect(lasting.server.url) as redis:
        driver = Driver(redis, queue_of(idle=1.0))
        broker = make_broker(lasting.server.url, driver.queue)
        seen = Calls()
        send_actor(broker, seen.add)
        with working(broker):
            blocked(redis)
            lasting.server.stop()
            door = Doorbell(lasting.port)
            threading.Event().wait(2.0)  # what is counted is how often it tries in this time
            door.close()
            assert 1 <= door.rung <= 30
            lasting.come_back()
            driver.enqueue()
            seen.wait(1)
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE, "a consumer of before held the stop up"


def test_a_restart_while_a_call_is_in_flight_is_survived_and_the_batch_is_let_go_of_once(lasting: Restartable) -> None:
    with connect(lasting.server.url) as redis:
        driver = Driver(redis, queue_of(idle=LONG_IDLE, lease=30))
        broker = make_broker(lasting.server.url, driver.queue)
        seen, answered = Calls(), threading.Event()

        def work(held: Held) -> None:
            seen.add(held.claim)
            assert answered.wait(PATIENCE)

        send_actor(broker, work)
        driver.enqueue_singles(1)
        with working(broker, threads=2):
            seen.wait(1)
            lasting.server.stop()
            answered.set()  # the actor returns while there is no Redis to tell it to
            lasting.come_back()
            until(lambda: not driver.in_flight())
            driver.enqueue(number(7))
            assert len(seen.wait(2)) == 2
        assert not driver.waiting()


# ------------------------------------------------------------------------------------------------------------------ lost replies


class Muffler:
    """Stands between a client and the server; while `muffled`, requests go through and replies are lost with their connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.muffled = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, origin: socket.socket, target: socket.socket, replies: bool) -> None:  # noqa: FBT001 - a thread's argument
        with contextlib.suppress(OSError):
            while data := origin.recv(65536):
                if replies and self.muffled:
                    break
                target.sendall(data)
        for end in (origin, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()


def test_a_claim_whose_reply_was_lost_with_the_connection_is_asked_for_again_and_not_left_to_its_lease(
    redis: Redis, redis_server: Server
) -> None:
    driver = Driver(redis, queue_of(calls(5, 60), lease=600, batch_max=2))
    driver.enqueue(*numbers(4))
    between = Muffler(redis_server.port)
    url = f"redis://127.0.0.1:{between.port}/0"
    client = connect(url, retry=Retry(NoBackoff(), 0), health_check_interval=0)
    client.ping()
    broker = TumaBroker(client, [driver.queue], connect=lambda: connect(url), clock=time.monotonic, worker="w")
    consumer = broker.consume(driver.queue.name, timeout=100)
    between.muffled = True
    with pytest.raises(ConnectionClosed):
        next(consumer)
    until(driver.in_flight)
    taken = driver.in_flight()
    consumer.close()
    between.muffled = False
    consumer = broker.consume(driver.queue.name, timeout=100)
    message = next(consumer)
    assert message is not None
    assert [job.subject for job in broker.held(message.args[0]).claim.jobs] == taken
    assert len(driver.in_flight()) == 2
    consumer.close()
    broker.close()
    client.close()
    between.close()
