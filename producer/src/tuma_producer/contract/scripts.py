"""Loads the Lua scripts: one file per transition, with the few shared parts included by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha1
from importlib import resources
from itertools import takewhile
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast

from redis.cluster import ClusterPipeline
from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.client import Pipeline as AsyncPipeline
    from redis.client import Pipeline

_SHARED = "tuma_producer.contract"
_INCLUDE = re.compile(r"^-- include: (?:([\w.]+)/)?(\w+)$", re.MULTILINE)

Argument = str | bytes | int | float


@dataclass(frozen=True)
class Script:
    """A script's source, and the two ways to run it. Every script may be run twice with the same effect as once."""

    source: str

    @cached_property
    def sha(self) -> str:
        """The digest under which Redis knows the script. Not a security measure."""
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: Redis, keys: Sequence[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401 - a reply is what the script returns; its one caller gives it a type
        """Run on the server; loads the script where the server does not know it (a restart, a failover)."""
        try:
            return redis.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.eval(self.source, len(keys), *keys, *args)

    async def run_async(self, redis: AsyncRedis, keys: Sequence[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401 - as above
        """`run`, for an event loop."""
        try:
            return await cast("Any", redis.evalsha(self.sha, len(keys), *keys, *args))
        except NoScriptError:
            return await cast("Any", redis.eval(self.source, len(keys), *keys, *args))

    def stage(self, pipeline: Pipeline | AsyncPipeline, keys: Sequence[str], args: Sequence[Argument]) -> None:
        """Put a run into a pipeline. A server that does not know the script answers with `NoScriptError`."""
        line: Any = pipeline  # a cluster's pipelines are no kind of the others, but have their commands
        # Where it is not told the node, a cluster's pipeline asks a server for the keys of every single command.
        target = {"target_nodes": line.get_node_from_key(keys[0])} if _is_placed(line) else {}
        line.execute_command("EVALSHA", self.sha, len(keys), *keys, *args, **target)


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call of a script, for whoever makes it, on an event loop or not."""

    script: Script
    keys: list[str]
    args: list[Argument]

    def run(self, redis: Redis) -> Any:  # noqa: ANN401 - as `Script.run`
        """Make it now."""
        return self.script.run(redis, self.keys, self.args)

    async def run_async(self, redis: AsyncRedis) -> Any:  # noqa: ANN401 - as `Script.run`
        """`run`, for an event loop."""
        return await self.script.run_async(redis, self.keys, self.args)


def token() -> str:
    """A request's own: by it a script knows a repeat that was made because the reply was lost."""
    return token_hex(8)


def run_together(redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    """The replies to these calls, which are one trip where they are several."""
    if len(calls) == 1:
        return [calls[0].run(redis)]
    pipeline = redis.pipeline(transaction=False)
    for call in calls:
        call.script.stage(pipeline, call.keys, call.args)
    try:
        return pipeline.execute()
    except NoScriptError:
        # Every script may be repeated, so it does not matter how many of them have run. To run the first makes its script known.
        return [calls[0].run(redis), *run_together(redis, calls[1:])]


async def run_together_async(redis: AsyncRedis, calls: Sequence[ScriptCall]) -> list[Any]:
    """`run_together`, for an event loop."""
    if len(calls) == 1:
        return [await calls[0].run_async(redis)]
    pipeline = redis.pipeline(transaction=False)
    for call in calls:
        call.script.stage(pipeline, call.keys, call.args)
    try:
        return await pipeline.execute()
    except NoScriptError:  # as above
        return [await calls[0].run_async(redis), *await run_together_async(redis, calls[1:])]


async def run_apart_async(redis: AsyncRedis, calls: Sequence[ScriptCall]) -> list[Any]:
    """The replies to these calls, which are one trip; what the server refuses is an error in the place of that one."""
    pipeline = redis.pipeline(transaction=False)
    for call in calls:
        call.script.stage(pipeline, call.keys, call.args)
    replies = await pipeline.execute(raise_on_error=False)
    unknown = [isinstance(reply, NoScriptError) for reply in replies]
    return [await call.run_async(redis) if again else reply for call, reply, again in zip(calls, replies, unknown, strict=True)]


def _is_placed(pipeline: object) -> bool:
    """Whether each command of this pipeline must be told its node."""
    return isinstance(pipeline, ClusterPipeline)


@cache
def transitions(package: str) -> dict[str, Script]:
    """Every script of a package that runs by itself, by its name. What is only included declares no keys."""
    folder = resources.files(package).joinpath("lua")
    files = [file for file in folder.iterdir() if file.name.endswith(".lua")] if folder.is_dir() else []
    names = [file.name.removesuffix(".lua") for file in files if _declares_keys(file)]
    return {name: load(package, name) for name in names}


def _declares_keys(file: Traversable) -> bool:
    """Whether the head, the comment that a script begins with, says what its keys are."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = takewhile(lambda line: line.startswith("--"), lines)
    return any(line.startswith("-- KEYS") for line in head)


@cache
def load(package: str, name: str) -> Script:
    """The script `lua/<name>.lua` of a package, with its includes put in, and theirs.

    An include names the package that owns the part, `-- include: tuma_worker.queue/permits`; without one it is from the contract.
    """
    return Script(_text(package, name))


def _text(package: str, name: str) -> str:
    text = resources.files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: _text(match[1] or _SHARED, match[2]), text)
