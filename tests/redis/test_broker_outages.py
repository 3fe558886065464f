"""The broker while Redis comes and goes, and where a reply is lost."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import dramatiq.worker
import pytest
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.retry import Retry
from tests.redis.brokers import LONG_IDLE, PATIENCE, Calls, blocked, make_broker, send_actor, until, working
from tests.redis.driver import Driver, calls, number, numbers, queue_of
from tests.support import servers

from tuma_producer.contract.connection import ANSWER_WITHIN, connect, connect_to_wait
from tuma_worker.dispatch.gauging import ProbeAnswers
from tuma_worker.queue.broker import HEARTBEAT, TumaBroker
from tuma_worker.queue.config import QueueConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from tests.support.servers import Server

    from tuma_worker.queue.leases import Held


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
    driver.refused()  # the server knows the script: what is lost is the reply to it, and not that it is unknown
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


# --------------------------------------------------------------------------------------------------------- Redis is a black hole


# Of either kind: this is about our side.
@pytest.fixture
def hole() -> Iterator[Server]:
    """A server that is stopped whenever it is to swallow everything."""
    started = servers.start()
    yield started
    started.stop()


HASTE = 20  # so many times as fast does this process's clock go, and so many times as impatient are its connections


def test_a_worker_whose_redis_swallows_everything_stays_alive_for_longer_than_a_heartbeat_and_is_not_ready(
    hole: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 3 / HASTE)
    queue = queue_of(idle=QueueConfig.idle / HASTE)
    url, within = hole.url, ANSWER_WITHIN / HASTE
    impatient = {"socket_timeout": within, "socket_connect_timeout": within}
    once: Any = {**impatient, "retry": Retry(NoBackoff(), 0)}
    broker = TumaBroker(
        connect(url, **impatient),
        [queue],
        connect=lambda: connect(url, **{**once, "socket_timeout": queue.idle + within}),
        clock=lambda: time.monotonic() * HASTE,
        worker="w1",
    )
    with connect(url, **once) as redis, working(broker):
        probed = ProbeAnswers(redis, frozenset({queue.account}), broker.vitals)
        until(lambda: probed.ready("")[0] == 200)
        hole.process.send_signal(signal.SIGSTOP)
        try:
            over = time.monotonic() + 1.3 * HEARTBEAT / HASTE
            while time.monotonic() < over:
                assert probed.alive("") == (200, {"status": "ok"})
                assert probed.ready("")[0] == 503
        finally:
            hole.process.send_signal(signal.SIGCONT)
        until(lambda: probed.ready("")[0] == 200)


def test_a_worker_that_can_make_no_consumer_since_its_cluster_is_away_stays_alive(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.05)
    tried, away, ahead = Calls(), threading.Event(), [0.0]

    def connect_unless_away() -> Redis:
        tried.add(None)
        if away.is_set():
            raise Unreachable
        return connect_to_wait(redis_url, LONG_IDLE)

    queue = queue_of(idle=LONG_IDLE)
    broker = TumaBroker(redis, [queue], connect=connect_unless_away, clock=lambda: time.monotonic() + ahead[0], worker="w1")
    with working(broker):
        blocked(redis)
        away.set()
        ahead[0] = HEARTBEAT + 1
        redis.client_kill_filter(_id=next(one["id"] for one in cast("Any", redis.client_list()) if one["cmd"] == "blpop"))
        tried.wait(3)
        assert broker.vitals().ailing == ()
        away.clear()
        blocked(redis)
