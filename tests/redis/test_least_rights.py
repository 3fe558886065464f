"""The user that docs/redis.md advises may do all that Tuma does, and nothing that an operator would regret."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.exceptions import NoPermissionError
from tests.redis.acts import ACTS, dead_letter
from tests.redis.brokers import blocked
from tests.redis.driver import Driver, queue_of
from tests.support.producers import AnyProducer, Awaited

from tuma_producer import AsyncProducer, NotReplicated, Producer, Send
from tuma_producer.contract import replication
from tuma_producer.contract.connection import connect, connect_async, connect_to_wait
from tuma_worker.bootstrap.parts import build_tokens
from tuma_worker.core import tokens
from tuma_worker.queue.bell import Bell
from tuma_worker.store import accounts, sessions
from tuma_worker.store.dead import Leaving
from tuma_worker.store.following import BEGINNING, Follower
from tuma_worker.store.line import look
from tuma_worker.store.steering import Scope, Steering
from tuma_worker.store.tail import Tail
from tuma_worker.store.tokens import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from tests.support.servers import Server


DOC = Path(__file__).parents[2] / "docs" / "redis.md"
PASSWORD = "invented-for-this-test"


@pytest.fixture
def url(redis: Redis, redis_server: Server) -> Iterator[str]:
    """The server's address for the advised user."""
    line = re.search(r"^ACL SETUSER tuma (.*)$", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    cast("Any", redis).execute_command("ACL", "SETUSER", "tuma", *line[1].replace("PASSWORD", PASSWORD).split())
    yield f"redis://tuma:{PASSWORD}@127.0.0.1:{redis_server.port}/0"
    redis.acl_deluser("tuma")


@pytest.fixture
def limited(url: str) -> Iterator[Redis]:
    with connect(url) as client:
        yield client


@pytest.mark.parametrize("name", ACTS)
def test_the_advised_user_may_run_every_script(limited: Redis, name: str) -> None:
    ACTS[name](Driver(limited, queue_of()))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_advised_user_may_be_a_producer(limited: Redis, url: str, kind: str) -> None:
    Driver(limited, queue_of())
    with asyncio.Runner() as loop:
        producer: AnyProducer = Producer.from_url(url) if kind == "sync" else Awaited(AsyncProducer.from_url(url), loop)
        receipts = list(producer.enqueue_many([Send(account="lisoloo-main", to="+243990000001", message="hello")]))
        assert producer.get(receipts[0].id).counts == {"queued": 1}
        assert [event.intent for event in producer.outcomes("group", wait=0.01)] == [receipts[0].id]
        producer.close()


def test_the_advised_user_may_wait_for_replicas(limited: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(limited, queue_of())
    monkeypatch.setattr(replication, "WITHIN_MS", 1)
    with pytest.raises(NotReplicated):
        Producer(limited).enqueue(Send(account="lisoloo-main", to="+243990000001", message="hello"), wait_replicas=1)


def test_the_advised_user_may_explain_keep_tokens_and_sessions_and_follow_events(limited: Redis, url: str) -> None:
    intent = Driver(limited, queue_of()).enqueue()
    assert Producer(limited).explain(f"lisoloo-main.{intent}").in_line == 1
    kept = build_tokens(limited)
    token = kept.add("billing", "billing", [tokens.Scope.SEND], by="test")
    assert token is not None

    async def follow() -> tuple[tokens.Token | None, int]:
        redis = connect_async(url)
        follower = Follower(redis, {"lisoloo-main": BEGINNING})
        await sessions.begin(redis, "a-session", tokens.digest(token))
        shown = await sessions.token_of(redis, "a-session")
        await sessions.end(redis, "a-session")
        found = await find(redis, shown or ""), len(await follower.read(0.01))
        await redis.aclose()
        return found

    with asyncio.Runner() as loop:
        found, events = loop.run(follow())
    assert found is not None
    assert (found.name, events) == ("billing", 1)
    assert kept.rotate("billing", 0, by="test") is not None
    assert kept.remove("billing", by="test")


def test_the_advised_user_may_wait_and_be_woken(limited: Redis, url: str, redis: Redis) -> None:
    bell = Bell(connect_to_wait(url, 60.0), "tuma:{lisoloo-main}:send:bell", limited)

    def wake() -> None:
        blocked(redis)
        bell.unblock()

    waker = threading.Thread(target=wake)
    waker.start()
    began = time.monotonic()
    assert not bell.wait(60.0)
    assert time.monotonic() - began < 30
    waker.join()
    bell.close()


def test_the_advised_user_may_operate(limited: Redis) -> None:
    Driver(limited, queue_of()).enqueue()
    steering = Steering(limited, "lisoloo-main", "send", "test")
    steering.pause(Scope())
    assert [hold.kind for hold in look(limited, "lisoloo-main").holds] == ["queue-paused"]
    assert steering.resume(Scope())
    assert accounts.standing(limited, "lisoloo-main").waiting == 1
    assert not Steering(limited, "lisoloo-main", "send", "test").lift_halt()
    Tail(limited, ["lisoloo-main"]).read(["lisoloo-main"])
    letters, intent = dead_letter(Driver(limited, queue_of(account="dead")))
    assert letters.counts() == {"rejected": 1}
    letters.drop(intent, [one.number for one in letters.of_intent(intent)], Leaving("test", "all"))
    assert letters.size() == 0


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("SHUTDOWN",), ("GET", "another-teams-key"), ("MONITOR",)]
)
def test_the_advised_user_may_not_do_harm(limited: Redis, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        cast("Any", limited).execute_command(*command)
