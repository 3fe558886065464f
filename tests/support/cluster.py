"""Several servers that belong together: a cluster of three, and a master with a replica under the eyes of three Sentinels."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Unreachable
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.servers import Server

SLOTS = 16384
SERVICE = "tuma-test"
_PATIENCE = 20.0  # seconds until servers of one machine must have found each other
_NODE_TIMEOUT = 2000  # milliseconds of silence after which a node of the cluster counts as dead
_SENTINEL = """port {port}
bind 127.0.0.1
dir {home}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 600
sentinel failover-timeout {service} 3000
"""


def until(true: Callable[[], object], what: str) -> None:
    """Return once something is so that nobody signals."""
    deadline = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"it did not come about: {what}"
        time.sleep(0.02)


def ask(redis: Redis, *command: str | int | bytes) -> Any:  # noqa: ANN401 - whatever the server says
    """Send a command that redis-py has no typed method for."""
    return cast("Any", redis).execute_command(*command)


# --------------------------------------------------------------------------------------------------------------- a cluster


@dataclass(frozen=True)
class Cluster:
    """A cluster of masters alone. Node n has the n-th third of the slots."""

    nodes: list[Server]

    @property
    def url(self) -> str:
        """Two of the nodes; the client finds the third."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[:2])}"

    @contextmanager
    def client(self, node: int) -> Iterator[Redis]:
        """A client of one node alone."""
        with Redis.from_url(self.nodes[node].url) as redis:
            yield redis

    def home_of(self, account: str) -> int:
        """The node on which an account began."""
        return key_slot(account.encode()) * len(self.nodes) // SLOTS

    def account_on(self, node: int, prefix: str) -> str:
        """A name for an account that begins on this node."""
        return next(name for n in range(1000) if self.home_of(name := f"{prefix}-{n}") == node)

    def move(self, account: str, target: int) -> None:
        """Move all that an account has to another node, as an operator does who spreads the load anew."""
        slot, source = key_slot(account.encode()), self.home_of(account)
        with self.client(source) as old, self.client(target) as new:
            ids = [ask(one, "CLUSTER", "MYID").decode() for one in (old, new)]
            ask(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            ask(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            while keys := ask(old, "CLUSTER", "GETKEYSINSLOT", slot, 100):
                ask(old, "MIGRATE", "127.0.0.1", self.nodes[target].port, "", 0, 5000, "KEYS", *keys)
            for node in (target, source, *range(len(self.nodes))):
                with self.client(node) as one:
                    ask(one, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def knows(self, sha: str) -> bool:
        """Whether a script has run on any node since it was last made to forget."""
        found = []
        for node in range(len(self.nodes)):
            with self.client(node) as one:
                found += ask(one, "SCRIPT", "EXISTS", sha)
        return any(found)

    def forget_scripts(self, node: int) -> None:
        """Let a node forget every script, as one does that has been replaced."""
        with self.client(node) as one:
            ask(one, "SCRIPT", "FLUSH")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Three servers that are one cluster, each with a third of the slots."""
    with ExitStack() as stack:
        buses = [servers.closed_port() for _ in range(3)]
        nodes = [_node(stack, bus) for bus in buses]
        for number, node in enumerate(nodes):
            _take_slots(node, number, nodes[0].port, buses[0])
        until(lambda: all(_sees_all(node) for node in nodes), "a cluster of three")
        yield Cluster(nodes)


def _node(stack: ExitStack, bus: int) -> Server:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuma-node-", ignore_cleanup_errors=True)))
    timeout = str(_NODE_TIMEOUT)
    started = servers.start(
        None, "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", timeout, directory=home
    )
    stack.callback(started.stop)
    return started


def _take_slots(node: Server, number: int, port: int, bus: int) -> None:
    """Give a node its third, and introduce it to the first, which listens on this port and has this bus."""
    ends = [-(-third * SLOTS // 3) for third in range(4)]
    with Redis.from_url(node.url) as redis:
        ask(redis, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        ask(redis, "CLUSTER", "ADDSLOTSRANGE", ends[number], ends[number + 1] - 1)
        if number > 0:
            ask(redis, "CLUSTER", "MEET", "127.0.0.1", port, bus)


def _sees_all(node: Server) -> bool:
    with Redis.from_url(node.url) as redis:
        info, slots = ask(redis, "CLUSTER INFO"), ask(redis, "CLUSTER SLOTS")
    return (info["cluster_state"], info["cluster_known_nodes"], len(slots)) == ("ok", "3", 3)


# ----------------------------------------------------------------------------------------------- a master and its Sentinels


@dataclass(frozen=True)
class Watched:
    """A master with its replica, and the Sentinels that watch them."""

    master: Server
    replica: Server
    sentinels: tuple[int, ...]

    @property
    def url(self) -> str:
        """Where producers and workers connect to."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/{SERVICE}/0"

    def kill_master(self) -> None:
        """Let the master die when the replica has all that was acknowledged, and clients are in the middle of their work.

        Writes are held back first, and whoever wants to write waits for an answer; then the replica catches up; then it dies.
        """
        with Redis.from_url(self.master.url) as master, Redis.from_url(self.replica.url) as replica:
            master.client_pause(10_000, all=False)
            until(lambda: _offset(replica, "slave_repl_offset") >= _offset(master, "master_repl_offset"), "a replica that has all")
        self.master.stop()

    def promoted(self) -> bool:
        """Whether the replica is the master now. A Sentinel that has just made it so closes the connections of all clients."""
        with Redis.from_url(self.replica.url) as replica:
            try:
                return _replication(replica)["role"] == "master"
            except Unreachable:
                return False


def _replication(redis: Redis) -> dict[str, str]:
    found: dict[str, Any] = cast("Any", redis).info("replication")
    return {name: str(value) for name, value in found.items()}


def _offset(redis: Redis, which: str) -> int:
    return int(_replication(redis)[which])


@contextmanager
def watched() -> Iterator[Watched]:
    """A master, a replica that is in step with it, and three Sentinels that know of both and of each other."""
    with ExitStack() as stack:
        master = servers.start(None, "--repl-diskless-sync-delay", "0")
        stack.callback(master.stop)
        replica = servers.start(None, "--replicaof", "127.0.0.1", str(master.port))
        stack.callback(replica.stop)
        with Redis.from_url(replica.url) as redis:
            until(lambda: _replication(redis)["master_link_status"] == "up", "a replica in step")
        sentinels = tuple(_sentinel(stack, master.port) for _ in range(3))
        until(lambda: all(_has_met_all(port) for port in sentinels), "Sentinels that know each other")
        yield Watched(master, replica, sentinels)


def _sentinel(stack: ExitStack, master: int) -> int:
    home = Path(tempfile.mkdtemp(prefix="tuma-sentinel-"))
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    port = servers.closed_port()
    config = home / "sentinel.conf"
    config.write_text(_SENTINEL.format(port=port, home=home, service=SERVICE, master=master), encoding="utf-8")
    binary = next(iter(servers.binaries().values()))
    process = subprocess.Popen(
        [str(binary), str(config), "--sentinel"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    output = cast("IO[str]", process.stdout)
    said = []
    for line in output:
        said.append(line)
        if "+monitor master" in line:
            threading.Thread(target=servers.drain, args=(output,), daemon=True).start()
            return port
    output.close()
    pytest.fail(f"a Sentinel did not start: {''.join(said)}")


def _has_met_all(port: int) -> bool:
    with Redis(port=port) as sentinel:
        state = cast("Any", sentinel).sentinel_master(SERVICE)
        met: bool = state["num-slaves"] == 1 and state["num-other-sentinels"] == 2
        return met
