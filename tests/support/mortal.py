"""A worker, or an operator's command, that ends its own life at one step of the road.

`dramatiq tests.support.mortal:setup` is the worker, `python -m tests.support.mortal dead redrive ...` the command.

Every durable step that either makes is a Redis script or a call to a provider. They are listed here from the code itself, so that
one which is added later is listed as well: `queue.claim`, `store.settle`, `provider.send`.

MORTAL_STEP names the step, MORTAL_SIDE says `before` or `after` it (after: Redis or the provider has done it, and nobody has seen
the answer yet), MORTAL_SKIP how often the step is let pass first. Without MORTAL_STEP nothing is fated.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from tuma_producer.contract import scripts
from tuma_producer.contract.scripts import Script, run_together
from tuma_worker import actors, cli, providers
from tuma_worker.providers.base import Client, Custodian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuma_worker.providers.http import Http
    from tuma_worker.providers.provider import Account, Provider

T = TypeVar("T")

_ROOTS = ("tuma_producer", "tuma_worker")


@cache
def transitions() -> dict[str, Script]:
    """Every Lua script of both distributions that runs by itself, by `room.name`."""
    return {
        f"{room.rpartition('.')[2]}.{name}": script
        for root in _ROOTS
        for room in _rooms(root)
        for name, script in scripts.transitions(room).items()
    }


def _rooms(package: str) -> Iterator[str]:
    """The package and those inside it."""
    yield package
    for inside in resources.files(package).iterdir():
        if inside.is_dir() and inside.joinpath("__init__.py").is_file():
            yield from _rooms(f"{package}.{inside.name}")


def provider_calls(kind: type = Client) -> tuple[str, ...]:
    """Every call that a worker may make to a provider, as `provider.name`: the methods of the protocol that such clients keep."""
    return tuple(f"provider.{name}" for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_"))


def steps() -> frozenset[str]:
    """Every durable step there is."""
    return frozenset({*transitions(), *provider_calls(), *provider_calls(Custodian)})


@dataclass
class Fate:
    """When this process dies. Thread-safe."""

    step: str
    side: str
    skip: int
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, step: str, do: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the step answers
        """Do a step, and die on the side of it that was fated."""
        if step != self.step or not self._is_the_one():
            return do()
        if self.side == "before":
            _die()
        answer = do()
        _die()
        return answer

    def _is_the_one(self) -> bool:
        with self._lock:
            self._passed += 1
            return self._passed == self.skip + 1


def _die() -> None:
    """End the whole group at once: Dramatiq's master, which would notice and clean up, goes with its worker."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
    signal.pause()


def setup() -> None:
    """Make this process a worker that is to die, if the environment says so."""
    _meet_fate()
    actors.setup()


def _meet_fate() -> None:
    if step := os.environ.get("MORTAL_STEP"):
        fate = Fate(step, os.environ["MORTAL_SIDE"], int(os.environ["MORTAL_SKIP"]))
        _watch_scripts(fate)
        _watch_providers(fate)


def _watch_scripts(fate: Fate) -> None:
    names = {script.source: name for name, script in transitions().items()}
    run = Script.run

    def mortal_run(script: Script, *arguments: Any) -> Any:  # noqa: ANN401 - as the original
        return fate.around(names[script.source], lambda: run(script, *arguments))

    Script.run = mortal_run  # type: ignore[method-assign, assignment] # that is the point
    # Of several that go in one trip, the server does one after the other: this process may die between any two of them.
    for module in [found for found in sys.modules.values() if getattr(found, "run_together", None) is run_together]:
        vars(module)["run_together"] = lambda redis, calls: [call.run(redis) for call in calls]


def _watch_providers(fate: Fate) -> None:
    watched = {name: _mortal_provider(fate, provider) for name, provider in providers.PROVIDERS.items()}
    providers.PROVIDERS = MappingProxyType(watched)


def _mortal_provider(fate: Fate, provider: Provider) -> Provider:
    custodian = provider.custodian and _mortal(fate, provider.custodian, provider_calls(Custodian))
    return replace(provider, client=_mortal(fate, provider.client, provider_calls()), custodian=custodian)


def _mortal(fate: Fate, make: Callable[[Account, Http], T], calls: tuple[str, ...]) -> Callable[[Account, Http], T]:
    def mortal(account: Account, http: Http) -> T:
        made = make(account, http)
        for call in calls:
            _watch_call(fate, made, call)
        return made

    return mortal


def _watch_call(fate: Fate, client: object, call: str) -> None:
    name = call.removeprefix("provider.")
    method = getattr(client, name)
    setattr(client, name, lambda *arguments, **more: fate.around(call, lambda: method(*arguments, **more)))


if __name__ == "__main__":
    _meet_fate()
    cli.main()
