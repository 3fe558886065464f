"""Bundles: a chunk of sends as the calls that write it, plain ones of the same account together in one.

What a call of the script costs beside its writes, its keys, its functions and its questions about the account, is more than the
writes do: a bundle pays that once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.scripts import ScriptCall
from tuma_producer.contract.wire import SHARED_ARGS, Enqueue
from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from collections.abc import Iterator

Chunk = Sequence[Enqueue | TumaError]  # requests to offer, with the errors of those that were refused in their places

CHUNK = 100  # sends a pipeline carries
_SENDS = 25  # in one call at most,
_RECIPIENTS = 250  # and recipients of them: about two milliseconds of the server's time


@dataclass(frozen=True)
class Offer:
    """A chunk on its way."""

    chunk: Chunk

    @cached_property
    def calls(self) -> list[ScriptCall]:
        """The calls to make, in their order."""
        return list(map(_call, self._bundles))

    @cached_property
    def _bundles(self) -> list[list[Enqueue]]:
        bundles: list[list[Enqueue]] = []
        room = 0  # recipients that may join the last one
        for one in self.chunk:
            if isinstance(one, TumaError):
                continue
            count = one.recipients
            if bundles and count <= room and _goes_with(bundles[-1], one):
                bundles[-1].append(one)
                room -= count
            else:
                bundles.append([one])
                room = _RECIPIENTS - count
        return bundles

    def answered(self, replies: Sequence[Any]) -> Iterator[tuple[Enqueue | TumaError, Any]]:
        """What was replied to each of the chunk, as these replies to the calls tell: redis-py's error is one to all of a bundle."""
        each = (one for bundle, reply in zip(self._bundles, replies, strict=True) for one in _apart(bundle, reply))
        return ((one, None if isinstance(one, TumaError) else next(each)) for one in self.chunk)


def _goes_with(bundle: list[Enqueue], one: Enqueue) -> bool:
    first = bundle[0]
    return len(bundle) < _SENDS and type(one) is type(first) is Enqueue and one.send.account == first.send.account


def _call(bundle: list[Enqueue]) -> ScriptCall:
    first, *others = bundle
    keys, args = [*first.keys], [*first.args]
    for one in others:
        keys += one.entry.keys
        args += one.args[len(SHARED_ARGS) :]
    return ScriptCall(first.script, keys, args)


def _apart(bundle: list[Enqueue], reply: Any) -> list[Any]:  # noqa: ANN401 - a script's reply, or redis-py's error
    if len(bundle) == 1 or isinstance(reply, Exception):
        return [reply] * len(bundle)
    return [reply[place : place + 2] for place in range(0, len(reply), 2)]
