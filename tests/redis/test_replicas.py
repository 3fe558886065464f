"""Waiting for replicas: what is told to be there is there, whatever becomes of the master."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from tests.support import servers
from tests.support.cluster import until
from tests.support.producers import AnyProducer, Awaited, configure

from tuma_producer import AsyncProducer, At, NotReplicated, Producer, Send, UnknownAccount
from tuma_producer.contract import replication
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import Server

ACCOUNT = "kept"


@pytest.fixture(scope="module")
def pair(redis_server: Server) -> Iterator[tuple[Server, Server]]:
    """A master, and its replica."""
    master = servers.start(redis_server.kind, "--repl-diskless-sync-delay", "0")
    replica = servers.start(redis_server.kind, "--replicaof", f"127.0.0.1 {master.port}")
    with Redis.from_url(master.url) as client:
        configure(client, ACCOUNT)
        until(lambda: _online(client), "the replica follows")
        yield master, replica
    replica.stop()
    master.stop()


def _online(master: Redis) -> bool:
    told: Any = master.info("replication")
    return bool(told["connected_slaves"] == 1 and told["slave0"]["state"] == "online")


@pytest.fixture(params=["sync", "async"])
def producer(request: pytest.FixtureRequest, pair: tuple[Server, Server]) -> Iterator[AnyProducer]:
    with asyncio.Runner() as loop:
        url = pair[0].url
        made: AnyProducer = Producer.from_url(url) if request.param == "sync" else Awaited(AsyncProducer.from_url(url), loop)
        yield made
        made.close()


def a_send(**more: Any) -> Send:  # noqa: ANN401 - the fields of Send
    return Send(account=ACCOUNT, to="+243990000001", message="hello", **more)


def test_what_was_waited_for_is_in_the_replica(pair: tuple[Server, Server], producer: AnyProducer) -> None:
    one = producer.enqueue(a_send(), wait_replicas=1)
    later = producer.enqueue(a_send(schedule=At(times=[datetime.now(UTC) + timedelta(days=1)])), wait_replicas=1)
    with Redis.from_url(pair[1].url) as replica:
        for receipt in (one, later):
            assert replica.exists(AccountKeys(ACCOUNT).intent(receipt.id.rpartition(".")[2]))
    assert producer.get(one.id).counts == {"queued": 1}, "accepted once, though it was asked twice"


def test_many_are_waited_for_together_in_their_order_whatever_else_is_wrong(
    pair: tuple[Server, Server], producer: AnyProducer
) -> None:
    tomorrow = At(times=[datetime.now(UTC) + timedelta(days=1)])
    sends = [a_send(), a_send(schedule=tomorrow), Send(account="nobody", to="+243990000001", message="hello"), *[a_send()] * 150]
    found = list(producer.enqueue_many(sends, wait_replicas=1, return_errors=True))
    assert isinstance(found.pop(2), UnknownAccount)
    with Redis.from_url(pair[1].url) as replica:
        assert all(replica.exists(AccountKeys(ACCOUNT).intent(one.id.rpartition(".")[2])) for one in found)
    assert len({one.id for one in found}) == len(sends) - 1


def test_a_replica_that_is_behind_is_told_and_what_is_accepted_is_not_accepted_again(
    pair: tuple[Server, Server], producer: AnyProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "WITHIN_MS", 100)
    pair[1].process.send_signal(signal.SIGSTOP)
    try:
        send = a_send(idempotency_key=f"one of {type(producer).__name__}")
        with pytest.raises(NotReplicated) as first:
            producer.enqueue(send, wait_replicas=1)
        assert str(first.value).startswith(f"{first.value.intent_id} is accepted, but 0 of 1 replicas have it")
        with pytest.raises(NotReplicated) as second:
            producer.enqueue(send, wait_replicas=1)
    finally:
        pair[1].process.send_signal(signal.SIGCONT)
    monkeypatch.undo()
    repeated = producer.enqueue(send, wait_replicas=1)
    assert repeated.duplicate
    assert {first.value.intent_id, second.value.intent_id} == {repeated.id}
    assert (first.value.have, first.value.wanted) == (0, 1)
