"""Waiting until replicas have what was accepted: whoever asks for it survives the death of the master, and of its machine.

The script is run once more together with the wait, on one connection: should another server be the master by now, and not know of
the send, it is accepted there. Something is always written with it, for a server waits for what its connection has written and for
nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.errors import NotReplicated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.contract.scripts import Argument
    from tuma_producer.contract.wire import Enqueue
    from tuma_producer.intents import Receipt

WITHIN_MS = 1000


def wait(request: Enqueue, replicas: int) -> list[tuple[Argument, ...]]:
    """The commands of one pipeline; the reply to the last says how many replicas have it."""
    marker = account_keys(request.send.account).replicated
    # By its text: a server that has just become the master does not know the script.
    again = ("EVAL", request.script.source, len(request.keys), *request.keys, *request.args)
    return [again, ("SET", marker, 1, "PX", WITHIN_MS), ("WAIT", replicas, WITHIN_MS)]


def check(receipt: Receipt, replies: Sequence[Any], replicas: int) -> Receipt:
    """The receipt, if so many replicas have what it is about. Raises `NotReplicated`."""
    have = int(replies[-1])
    if have < replicas:
        raise NotReplicated(receipt.id, have, replicas)
    return receipt
