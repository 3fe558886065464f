"""One list of who opted out, ours and the provider's: whoever stands on one of them comes to stand on both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tuma_producer.contract.suppression import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuma_producer import Producer
    from tuma_worker.providers.operations import Exchange
    from tuma_worker.providers.provider import OptOuts


@dataclass(slots=True)
class Synced:
    """What it came to so far: numbers `taken` over from the provider, and `told` to it."""

    taken: int = 0
    told: int = 0


def sync(
    producer: Producer, account: str, opt_outs: OptOuts, exchange: Exchange, done: Callable[[Synced], None], *, by: str
) -> Synced:
    """Take over what the provider knows, in the name of `by`, and tell it what it does not. `done` is called as it goes on.

    What is taken over holds from that step on, also where a later call fails; to do it again goes on from there.
    """
    synced, theirs = Synced(), set[str]()
    listed = iter(opt_outs.read(exchange))
    while page := list(islice(listed, PAGE)):
        theirs.update(page)
        synced.taken += producer.suppress(account, page, by=by)
        done(synced)
    ours = sorted({one.number for one in producer.suppressions(account)} - theirs)
    for number in ours:
        opt_outs.add(exchange, number)
        synced.told += 1
        done(synced)
    return synced
