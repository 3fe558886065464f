"""The servers themselves, as those who look after them ask: what they are and keep, what their clocks say, what we may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from tuma_producer.contract.connection import is_cluster, server_of
from tuma_producer.contract.keys import ACCOUNTS
from tuma_producer.contract.reading import texts
from tuma_producer.contract.scripts import load, transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from tuma_producer.contract.scripts import Script

_RIGHTS = load(__package__, "rights")
_ROOMS = ("tuma_producer.contract", "tuma_worker.queue", "tuma_worker.store")  # that have scripts

_SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy")
_CALLED = re.compile(r"redis\.call\('(\w+)'")
_CONTAINERS = {"XGROUP"}  # of which each subcommand is a right of its own
# What is asked of a server outside scripts and is no command of theirs.
_BESIDE = (
    "BLPOP", "EXPIRE", "HKEYS", "HSCAN", "HVALS", "PING", "SCAN", "SMEMBERS", "XACK", "XAUTOCLAIM", "XCLAIM", "XGROUP|CREATE",
    "XGROUP|DESTROY", "XLEN", "XPENDING", "XRANGE", "XREAD", "XREADGROUP", "XREVRANGE", "XTRIM", "ZLEXCOUNT", "ZSCAN",
)  # fmt: skip
_TRIES = 3  # of reading a clock: the quickest answer says most exactly when it was read


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a server's clock is ahead of ours, give or take, in seconds."""

    ahead: float
    give_or_take: float


def each(redis: Redis) -> dict[str, Redis]:
    """A client of each server that is written to, by where it is: the masters of a cluster, or the one that there is."""
    if not is_cluster(redis):
        return {server_of(redis): redis}
    cluster: Any = redis
    return {node.name: cluster.get_redis_connection(node) for node in cluster.get_primaries()}


def kind(server: Redis) -> tuple[str, str]:
    """What it is and of which version, such as `redis`, `7.2.4`. Everybody may ask that."""
    told = cast("Any", server).execute_command("HELLO")
    pairs = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
    known = texts({name: value for name, value in pairs.items() if isinstance(value, bytes)})
    return known["server"], known["version"]


def settings(server: Redis) -> Mapping[str, str] | None:
    """What it is set to keep, and to throw away; None where this user may not ask, or nobody may."""
    try:
        found: dict[Any, Any] = {}
        for name in _SETTINGS:
            found |= cast("dict[Any, Any]", server.config_get(name))
    except ResponseError:
        return None
    return {_text(name): _text(value) for name, value in found.items()}


def clock(server: Redis, now: Callable[[], float]) -> Clock:
    """What its clock says beside ours, in Unix seconds."""
    return min((_read(server, now) for _ in range(_TRIES)), key=lambda read: read.give_or_take)


def _read(server: Redis, now: Callable[[], float]) -> Clock:
    asked_at = now()
    seconds, micros = server.time()
    answered_at = now()
    return Clock(seconds + micros / 1_000_000 - (asked_at + answered_at) / 2, (answered_at - asked_at) / 2)


def load_scripts(server: Redis) -> int:
    """Make every script known to it, and return how many there are. Raises `ResponseError` where that is refused."""
    sources = [script.source for script in _scripts()]
    for source in sources:
        server.script_load(source)
    return len(sources)


def refused_commands(server: Redis) -> list[str] | None:
    """The commands that Tuma needs and this user may not run; None where the server cannot tell."""
    verdict, *refused = _RIGHTS.run(server, [], [ACCOUNTS, *sorted(_commands())])
    return [command.decode() for command in refused] if verdict == b"checked" else None


def _scripts() -> list[Script]:
    return [script for room in _ROOMS for script in transitions(room).values()]


def _commands() -> set[str]:
    called = {command for script in _scripts() for command in _CALLED.findall(script.source)}
    return called - _CONTAINERS | {*_BESIDE}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
