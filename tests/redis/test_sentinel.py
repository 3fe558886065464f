"""All of Tuma on a master that Sentinels watch, and that dies in the middle of the work."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

import pytest
from redis import Redis
from tests.support import servers
from tests.support.cluster import SERVICE, until
from tests.support.cluster import watched as started_watched
from tests.support.houses import open_house
from tests.support.producers import configure

from tuma_producer import AsyncProducer, Producer, Send, StoreUnavailable
from tuma_producer.contract.connection import connect, server_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Watched
    from tests.support.houses import House
    from tests.support.servers import Server

ACCOUNT = "watched"
LIMIT, WINDOW = 8, 1.0  # calls, seconds
BEFORE, DURING = 32, 12  # sends that wait when the master dies; sends that are handed in while it is away


@pytest.fixture(scope="module")
def watched(redis_server: Server) -> Iterator[Watched]:
    del redis_server  # but each leg has Sentinels of its own: the master of the one before is dead
    with started_watched() as found:
        yield found


@pytest.fixture(scope="module")
def house(watched: Watched) -> Iterator[House]:
    limits = {"provider": "lisoloo", "limits": [f"{LIMIT} calls/{WINDOW:g}s"], "batch_max": 1}
    with open_house(watched, {ACCOUNT: limits}, config={"latency_ms": 100}) as found:
        workers = [found.start("worker", "--threads", "4") for _ in range(2)]
        for worker in workers:
            worker.until("ready for action")
        yield found


@pytest.mark.parametrize("service", [SERVICE, "nobody-knows-this"], ids=["no Sentinel", "no such service"])
def test_where_no_sentinel_knows_the_master_it_is_said_in_one_line_without_the_password(watched: Watched, service: str) -> None:
    known = service != SERVICE
    place = f"127.0.0.1:{watched.sentinels[0] if known else servers.closed_port()}"
    url = f"redis+sentinel://tuma:hunter2@{place}/{service}"
    with pytest.raises(StoreUnavailable) as caught:
        Producer.from_url(url).accounts()
    with pytest.raises(StoreUnavailable) as caught_async:
        asyncio.run(_accounts(url))
    for said in (str(caught.value), str(caught_async.value)):
        assert said.startswith(f"no usable Redis at {service} (Sentinels: {place}) (MasterNotFoundError)")
        assert "hunter2" not in said


async def _accounts(url: str) -> tuple[str, ...]:
    producer = AsyncProducer.from_url(url)
    try:
        return await producer.accounts()
    finally:
        await producer.close()


def test_a_sentinel_that_is_away_is_no_trouble(watched: Watched) -> None:
    with connect(f"redis+sentinel://127.0.0.1:{servers.closed_port()},127.0.0.1:{watched.sentinels[0]}/{SERVICE}/3") as redis:
        assert redis.ping()
        assert redis.client_info()["db"] == 3
        assert server_of(redis).startswith(SERVICE)


def test_a_master_without_enough_replicas_refuses_and_that_is_told_like_its_absence(watched: Watched) -> None:
    with connect(watched.url) as redis, Redis.from_url(watched.master.url) as master:
        configure(redis, "guarded")
        master.config_set("min-replicas-to-write", 2)
        try:
            with pytest.raises(StoreUnavailable, match="no usable Redis"):
                Producer(redis).enqueue(Send(account="guarded", to="+243990000001", message="hello"))
        finally:
            master.config_set("min-replicas-to-write", 0)
        Producer(redis).enqueue(Send(account="guarded", to="+243990000001", message="hello"))


def send(n: int) -> Send:
    """The n-th send, with a text and a key of its own: to repeat it is harmless."""
    return Send(account=ACCOUNT, to=f"+24399{n:07}", message=f"Invoice {n}", idempotency_key=f"invoice-{n}")


class Service(threading.Thread):
    """Another team's service: hands in one send after the other, and each again until it is accepted or it is told to end."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._producer = Producer.from_url(url, source="test")
        self._ended = threading.Event()
        self.accepted: list[str] = []
        self.refusals = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        for n in range(BEFORE, BEFORE + DURING):
            while len(self.accepted) == n - BEFORE and not self._ended.is_set():
                self._hand_in(n)
        self._producer.close()

    def _hand_in(self, n: int) -> None:
        try:
            self.accepted.append(self._producer.enqueue(send(n)).id)
        except StoreUnavailable:
            self.refusals += 1


def test_a_master_that_dies_in_the_middle_costs_no_message_no_second_copy_and_no_limit(house: House, watched: Watched) -> None:
    sent = [receipt.id for receipt in house.producer.enqueue_many(map(send, range(BEFORE)))]
    house.sandbox.until_calls(ACCOUNT, LIMIT + 2)
    watched.kill_master()
    assert len(house.sandbox.calls(ACCOUNT)) < BEFORE
    with Service(watched.url) as service:
        until(watched.promoted, "a new master")
        service.join(30)
        assert not service.is_alive()
    assert service.refusals > 0  # it was handed in while there was no master
    assert ACCOUNT in house.producer.accounts()
    house.all_done([*sent, *service.accepted])
    assert house.copies(ACCOUNT) == {(f"Invoice {n}", f"+24399{n:07}"): 1 for n in range(BEFORE + DURING)}
    assert ACCOUNT in asyncio.run(_accounts(watched.url))
    arrivals = sorted(call["arrived_at"] for call in house.sandbox.calls(ACCOUNT))
    assert all(later - earlier >= WINDOW for earlier, later in zip(arrivals, arrivals[LIMIT:], strict=False))
