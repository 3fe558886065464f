"""A worker, or an operator's command, that ends its own life at one step of the road.

`dramatiq tests.support.mortal:setup` is the worker (see `victims`), `python -m tests.support.mortal dead redrive ...` the command.

Every durable step that either makes is a Redis script or a call to a provider. They are listed here from the code itself, so that
one which is added later is listed as well: `queue.claim`, `store.settle`, `provider.send`.

`fate` says in the environment when: at which step, at which of its call sites (`callsites`) or at any, `before` or `after` it
(after: Redis or the provider has done it, and nobody has seen the answer yet), and how often it is let pass first. A worker whose
fate names a call site also ends, by SIGABRT, where it makes a step at a call site that is not listed.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.callsites import Site, Tree

from tuma_producer.contract import scripts
from tuma_producer.contract.scripts import Script, run_together
from tuma_worker import actors, cli, providers
from tuma_worker.providers.base import Client, Custodian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tuma_worker.providers.http import Http
    from tuma_worker.providers.provider import Account, Provider

T = TypeVar("T")

_ROOTS = ("tuma_producer", "tuma_worker")
_FATE = "MORTAL_FATE"


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


@cache
def sites() -> list[Site]:
    """Every place in a worker where a durable step is made."""
    return Tree(steps()).sites()


def fate(step: str, side: str, site: str | None = None, *, skip: int = 0) -> dict[str, str]:
    """The environment of a process that is to die at a step."""
    known = [list(one) for one in sites()] if site else []
    return {_FATE: json.dumps({"step": step, "side": side, "site": site, "skip": skip, "known": known})}


@dataclass
class Fate:
    """When this process dies. Thread-safe."""

    step: str
    side: str
    site: str | None
    skip: int
    known: Sequence[Site]
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, step: str, do: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the step answers
        """Do a step, and die on the side of it that was fated."""
        if not self._is_here(step) or not self._is_the_one():
            return do()
        if self.side == "before":
            _die()
        answer = do()
        _die()
        return answer

    def _is_here(self, step: str) -> bool:
        if self.site is None:
            return step == self.step
        under_way = {site.name for site in self.known if site.step == step and site.is_under_way}
        if not under_way:
            traceback.print_stack(file=sys.__stderr__)  # what Dramatiq puts in its place would end with us
            _die(signal.SIGABRT)
        return step == self.step and self.site in under_way

    def _is_the_one(self) -> bool:
        with self._lock:
            self._passed += 1
            return self._passed == self.skip + 1


def _die(how: signal.Signals = signal.SIGKILL) -> None:
    """End the whole group at once: Dramatiq's master, which would notice and clean up, goes with its worker."""
    os.killpg(os.getpgrp(), how)
    signal.pause()


def setup() -> None:
    """Make this process a worker that is to die, if the environment says so."""
    _meet_fate()
    actors.setup()


def _meet_fate() -> None:
    if told := os.environ.get(_FATE):
        found = json.loads(told)
        fate = Fate(**found | {"known": [Site(*one) for one in found["known"]]})
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
