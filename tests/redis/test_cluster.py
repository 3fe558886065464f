"""All of Tuma on a real cluster: three nodes, and accounts on each of them."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis import Redis
from tests.redis.acts import ACTS, scripts
from tests.redis.driver import Driver, queue_of
from tests.support import servers
from tests.support.api import client_of, new_token, post_lines, reading
from tests.support.cluster import cluster as started_cluster
from tests.support.cluster import until
from tests.support.dashboard import Visitor
from tests.support.houses import open_house
from tests.support.producers import AnyProducer, Awaited, configure

from tuma_producer import (
    AsyncProducer,
    At,
    NotReplicated,
    Producer,
    Send,
    StoreUnavailable,
    TumaError,
    UnknownAccount,
    UnknownIntent,
)
from tuma_producer.contract import replication
from tuma_producer.contract.connection import connect, connect_to_wait, server_for
from tuma_producer.contract.keys import AccountKeys
from tuma_producer.contract.scripts import load
from tuma_producer.contract.streams import TURN, turns
from tuma_worker.core.checkup import Mark
from tuma_worker.dispatch.examining import Examiner
from tuma_worker.queue.broker import TumaBroker
from tuma_worker.store import accounts as store_accounts
from tuma_worker.store import routes as store_routes
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Cluster
    from tests.support.houses import House

NODES = range(3)
PATIENCE = 10.0  # seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[Redis]:
    with connect(cluster.url) as client:
        yield client


@pytest.fixture(scope="module")
def spread(cluster: Cluster, store: Redis) -> list[str]:
    """Three accounts, each on a node of its own."""
    names = [cluster.account_on(node, "spread") for node in NODES]
    configure(store, *names)
    return names


@pytest.fixture(scope="module")
def replica(cluster: Cluster) -> Iterator[Redis]:
    """A server outside the cluster that follows its first node."""
    following = servers.start(None, "--replicaof", "127.0.0.1", str(cluster.nodes[0].port))
    with Redis.from_url(following.url) as client:
        until(lambda: cast("Any", client.info("replication"))["master_link_status"] == "up", "a replica in step")
        yield client
    following.stop()


@pytest.fixture(params=["sync", "async"])
def producer(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[AnyProducer]:
    with asyncio.Runner() as loop:
        is_sync = request.param == "sync"
        made: AnyProducer = Producer.from_url(cluster.url) if is_sync else Awaited(AsyncProducer.from_url(cluster.url), loop)
        yield made
        made.close()


def sends(accounts: list[str], count: int) -> Iterator[Send]:
    """So many sends, to one account after the other."""
    for n in range(count):
        yield Send(account=accounts[n % len(accounts)], to=f"+24399{n:07}", message="The shop opens at 8")


# ----------------------------------------------------------------------------------------------------------- the producers


def test_many_sends_to_accounts_on_all_nodes_are_accepted_in_order_though_a_node_forgets_the_scripts(
    cluster: Cluster, producer: AnyProducer, spread: list[str]
) -> None:
    taken = []
    for n, receipt in enumerate(producer.enqueue_many(sends(spread, 250))):
        if n in {50, 120}:
            cluster.forget_scripts(n % len(NODES))
        taken.append(receipt.id)
    assert [intent_id.rpartition(".")[0] for intent_id in taken] == [send.account for send in sends(spread, 250)]
    assert len(set(taken)) == 250
    assert producer.get(taken[-1]).counts == {"queued": 1}


def test_replicas_are_waited_for_on_the_node_of_each_account(
    cluster: Cluster, producer: AnyProducer, spread: list[str], replica: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = producer.enqueue(next(sends(spread[:1], 1)), wait_replicas=1)
    many = list(producer.enqueue_many(sends(spread[:1], 60), wait_replicas=1))
    assert all(replica.exists(AccountKeys(spread[0]).intent(one.id.rpartition(".")[2])) for one in (receipt, *many))
    assert cluster.home_of(spread[0]) == 0

    monkeypatch.setattr(replication, "WITHIN_MS", 500)
    found = list(producer.enqueue_many(sends(spread[:2], 4), wait_replicas=1, return_errors=True))
    assert [isinstance(one, NotReplicated) for one in found] == [False, True, False, True]
    assert producer.get(found[1].intent_id).counts == {"queued": 1}, "accepted, though the other node has no replica"
    with pytest.raises(NotReplicated):
        list(producer.enqueue_many(sends(spread[:2], 4), wait_replicas=1))


def test_what_is_unknown_on_a_cluster_is_refused_in_the_same_words(producer: AnyProducer, spread: list[str]) -> None:
    with pytest.raises(UnknownAccount, match=spread[0]):
        producer.enqueue(Send(account="nobody", to="+243990000001", message="hello"))
    with pytest.raises(UnknownIntent):
        producer.get(f"{spread[1]}.{'0' * 26}")


def test_a_route_leads_to_accounts_on_all_nodes(producer: AnyProducer, store: Redis, spread: list[str]) -> None:
    store_routes.register(store, {"spread": {f"+24{n}": [name] for n, name in enumerate(spread)}})
    to = [f"+24{n}990000001" for n in NODES]
    receipts = producer.enqueue_many(producer.route("spread", to=to, message="hello"))
    assert [receipt.id.rpartition(".")[0] for receipt in receipts] == spread


def test_the_events_of_accounts_on_all_nodes_come_once_each(producer: AnyProducer, spread: list[str]) -> None:
    sent = {receipt.id for receipt in producer.enqueue_many(sends(spread, 30))}
    group = secrets.token_hex(4)
    told = Counter(event.intent for event in producer.outcomes(group, accounts=spread, wait=0.3))
    del told[None]  # what others have told of the accounts themselves
    assert sent <= told.keys()
    assert set(told.values()) == {1}
    assert list(producer.outcomes(group, accounts=spread, wait=0.01)) == []


@pytest.mark.parametrize("node", NODES)
def test_an_event_is_heard_of_wherever_it_happens_by_a_reader_that_waits_for_all(
    cluster: Cluster, producer: AnyProducer, store: Redis, spread: list[str], node: int
) -> None:
    before = blocked_anywhere(cluster)
    happened = threading.Event()

    def happen() -> None:
        until(lambda: blocked_anywhere(cluster) > before, "a reader that waits")
        store.xadd(AccountKeys(spread[node]).events, {"e": "resumed", "w": "test"})
        happened.set()

    events = producer.outcomes(secrets.token_hex(4), accounts=spread, start="now", wait=PATIENCE)
    threading.Thread(target=happen, daemon=True).start()
    assert next(event.account for event in events if event.type == "tuma.account.resumed") == spread[node]
    assert happened.wait(PATIENCE)
    cast("Any", events).close()


def test_no_stream_is_waited_for_longer_than_a_moment_before_the_others_are_asked_again() -> None:
    streams, moment = ("a", "b", "c"), round(TURN * 1000)
    asked = [(stream, None) for stream in streams]
    assert list(itertools.islice(turns(streams, 60.0), 8)) == [*asked, ("a", moment), *asked, ("a", moment)]
    assert TURN <= 0.1


@pytest.mark.parametrize("make", [Producer.from_url, AsyncProducer.from_url], ids=["sync", "async"])
def test_a_cluster_that_cannot_be_seen_is_said_in_one_line_without_the_password(make: Callable[[str], object]) -> None:
    port = servers.closed_port()

    def use() -> None:
        made = make(f"redis+cluster://tuma:hunter2@127.0.0.1:{port}")
        if isinstance(made, AsyncProducer):
            asyncio.run(_closed_after(made))

    with pytest.raises(StoreUnavailable, match=f"no usable Redis at 127.0.0.1:{port}") as caught:
        use()
    assert "hunter2" not in str(caught.value)


async def _closed_after(producer: AsyncProducer) -> None:
    try:
        await producer.accounts()
    finally:
        await producer.close()


def test_a_client_of_a_cluster_that_decodes_replies_is_refused(cluster: Cluster) -> None:
    with connect(cluster.url, decode_responses=True) as client, pytest.raises(TumaError, match="decode_responses"):
        Producer(client)


# ------------------------------------------------------------------------------------------------------------- the scripts


@pytest.mark.parametrize(("package", "name"), scripts(), ids=lambda value: value.rpartition(".")[2])
def test_every_script_runs_on_a_cluster(cluster: Cluster, store: Redis, package: str, name: str) -> None:
    assert name in ACTS, f"add an act to tests/redis/acts.py that runs {name}.lua of {package}"
    for node in NODES:
        cluster.forget_scripts(node)
    ACTS[name](Driver(store, queue_of(account=f"act-{name.replace('_', '-')}-{secrets.token_hex(2)}")))
    assert cluster.knows(load(package, name).sha)


# ----------------------------------------------------------------------------------------------------------- the consumers


@pytest.mark.parametrize("node", NODES)
def test_a_consumer_waits_on_the_node_of_its_queue_and_is_woken_there(cluster: Cluster, store: Redis, node: int) -> None:
    driver = Driver(store, queue_of(account=cluster.account_on(node, "bell"), idle=30.0))
    home = server_for(store, driver.queue.keys.bell)
    before = blocked(home)
    broker = TumaBroker(
        store, [driver.queue], connect=lambda: connect_to_wait(cluster.url, 30.0), clock=time.monotonic, worker="test:1"
    )
    consumer = broker.consume(driver.queue.name)

    def consume() -> None:
        while not consumer._resting.is_set():
            next(consumer)

    waiting = threading.Thread(target=consume, daemon=True)
    waiting.start()
    until(lambda: blocked(home) == before + 1, "a consumer at rest")
    began = time.monotonic()
    consumer.stop_claiming()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    assert time.monotonic() - began < PATIENCE / 2
    consumer.close()
    broker.close()


def blocked(redis: Redis) -> int:
    """How many clients wait at this node."""
    return int(cast("Any", redis).info("clients")["blocked_clients"])


def blocked_anywhere(cluster: Cluster) -> int:
    """How many clients wait at any node."""
    found = 0
    for node in NODES:
        with cluster.client(node) as client:
            found += blocked(client)
    return found


# ---------------------------------------------------------------------------------------------------------- the whole road


@pytest.fixture(scope="module")
def house(cluster: Cluster) -> Iterator[House]:
    names = [cluster.account_on(node, "road") for node in NODES] + [cluster.account_on(0, "moving")]
    with open_house(cluster, {name: {"provider": "lisoloo", "limits": ["50 calls/1s"]} for name in names}) as found:
        found.worker()
        yield found


def test_messages_of_accounts_on_all_nodes_are_delivered_and_the_command_line_sees_them(cluster: Cluster, house: House) -> None:
    names = [cluster.account_on(node, "road") for node in NODES]
    sent = {name: [house.send(name, f"+2439900{n:05}") for n in range(5)] for name in names}
    for name in names:
        house.all_done(sent[name])
        assert set(house.copies(name).values()) == {1}
        assert len(house.copies(name)) == 5
        assert house.tuma("get", sent[name][0], "--json").json["state"] == "done"
    seen = {row["account"]: row for row in house.tuma("accounts", "--json").json if row["account"] in names}
    assert {row["waiting"] for row in seen.values()} == {0}
    assert house.tuma("outcomes", "--group", "cli", "--account", names[0], "--source", "test", "--wait", "0.5").out.count("\n") > 10


def test_a_queue_on_a_cluster_is_paused_looked_at_and_resumed(cluster: Cluster, house: House) -> None:
    name = cluster.account_on(2, "road")
    assert house.tuma("queue", "pause", name).status == 0
    intent_id = house.send(name, "+243990000009")
    assert house.producer.get(intent_id).holds == ("the queue is paused",)
    looked = {found["queue"]: found for found in house.tuma("queue", "--json").json}
    assert looked[f"{name}.send"]["waiting"][0]["jobs"] == 1
    assert house.tuma("queue", "resume", name, "--json").json["state"] == "resumed"
    assert house.done(intent_id).counts == {"delivered": 1}


def test_the_api_serves_accounts_on_all_nodes(cluster: Cluster, house: House) -> None:
    names = [cluster.account_on(node, "road") for node in NODES]
    with client_of(house, new_token(house, f"api-{secrets.token_hex(4)}", "send", "read", source="api")) as http:
        found = post_lines(
            http, [{"account": name, "to": f"+24399000070{place}", "message": "hi"} for place, name in enumerate(names)]
        )
        sent = {one["id"] for one in found}
        with reading(http, **{"from": "beginning"}) as events:
            for _, told in events:
                if told["type"] == "tuma.intent.done":
                    sent.discard(told["subject"])
                if not sent:
                    break
        assert "1 recipient delivered" in http.get(f"/v1/intents/{found[0]['id']}/explain").text
    with client_of(house, new_token(house, f"ops-{secrets.token_hex(4)}", "operate", source="api")) as http:
        assert set(names) <= {one["account"] for one in http.get("/v1/accounts").json()["accounts"]}


def test_the_dashboard_shows_accounts_on_all_nodes(cluster: Cluster, house: House) -> None:
    names = [cluster.account_on(node, "road") for node in NODES]
    for name in names:
        house.done(house.send(name, "+243990000801", campaign_name=f"spring at {name}"))
    scheduled = house.send(names[0], "+243990000802", schedule=At(times=["2030-12-24T18:00Z"]))
    visitor = Visitor(house)
    with visitor.http:
        visitor.log_in(new_token(house, f"asha-{secrets.token_hex(4)}", "operate", "read", source="ops"))
        assert all(f"<h2>{name}</h2>" in visitor.see("/") for name in names)
        assert all(f"spring at {name}" in visitor.see("/campaigns") for name in names)
        assert scheduled in visitor.see("/schedules")
        assert "Dead letters" in visitor.see("/dead")


def test_a_halted_account_on_a_cluster_is_resumed(store: Redis, cluster: Cluster) -> None:
    name = cluster.account_on(1, "halted")
    configure(store, name)
    store.hset(AccountKeys(name).queue("send").state, "halt", '{"fault": "money", "code": "1201"}')
    assert store_accounts.standing(store, name).halted == "money (1201)"
    assert Steering(store, name, "send", "test").lift_halt()
    assert store_accounts.standing(store, name).halted is None


def test_an_account_that_moves_to_another_node_is_followed_by_producers_and_workers(cluster: Cluster, house: House) -> None:
    name = cluster.account_on(0, "moving")
    house.done(house.send(name, "+243990000001"))
    cluster.move(name, 2)
    intent_id = house.send(name, "+243990000002")
    assert house.story(intent_id) == ["accepted", "sending", "submitted", "sent", "delivered", "done"]
    assert set(house.copies(name).values()) == {1}
    worker = house.running[-1]
    assert worker.end(signal.SIGTERM) == 0


def test_the_doctor_looks_at_each_master(store: Redis) -> None:
    found = list(Examiner(store, {}, None, time.time, time.sleep).examine())
    assert Counter(one.about for one in found) == {
        "server": 3, "persistence": 3, "memory": 3, "clock": 3, "rights": 3, "receipts": 1,
    }  # fmt: skip
    assert {one.about for one in found if one.mark is Mark.WRONG} == {"persistence"}, "these servers keep nothing"
