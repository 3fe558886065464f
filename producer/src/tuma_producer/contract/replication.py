"""Waiting until replicas have what was accepted: whoever asks for it survives the death of the master, and of its machine.

The scripts are run once more together with the wait, on one connection: should another server be the master by now, and not know
of the sends, they are accepted there. Something is always written with it, for a server waits for what its connection has written
and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.bundles import Offer
from tuma_producer.contract.keys import account_keys
from tuma_producer.errors import NotReplicated, TumaError
from tuma_producer.results import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tuma_producer.contract.scripts import Argument
    from tuma_producer.contract.wire import Enqueue

WITHIN_MS = 1000

Result = tuple["Enqueue | TumaError", "Receipt | TumaError"]  # what was asked in the end, and what came of it


@dataclass(frozen=True, slots=True)
class Wait:
    """What one account has accepted, and for how many replicas is waited to have it."""

    account: str
    requests: Sequence[Enqueue]
    replicas: int

    @property
    def key(self) -> str:
        """A key of the server that is asked."""
        return account_keys(self.account).replicated

    @property
    def commands(self) -> list[tuple[Argument, ...]]:
        """The commands of one pipeline; the reply to the last says how many replicas have it."""
        calls = Offer(self.requests).calls
        # A server that has just become the master does not know the scripts.
        known = [("SCRIPT", "LOAD", source) for source in dict.fromkeys(call.script.source for call in calls)]
        again = [("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args) for call in calls]
        return [*known, *again, ("SET", self.key, 1, "PX", WITHIN_MS), ("WAIT", self.replicas, WITHIN_MS)]


def waits(results: Iterable[Result], replicas: int) -> Iterator[Wait]:
    """For what is to be waited, account by account: each may be on a server of its own."""
    accepted: dict[str, list[Enqueue]] = {}
    for request, result in results:
        if isinstance(result, Receipt) and not isinstance(request, TumaError):
            accepted.setdefault(request.send.account, []).append(request)
    return (Wait(account, requests, replicas) for account, requests in accepted.items())


def checked(results: Iterable[Result], have: Mapping[str, Any], replicas: int) -> list[Receipt | TumaError]:
    """The results, with `NotReplicated` in the place of receipts that fewer replicas `have`, by account."""
    return [_checked(result, int(have.get(_account(result), 0)), replicas) for _, result in results]


def _account(result: Receipt | TumaError) -> str:
    return result.id.rpartition(".")[0] if isinstance(result, Receipt) else ""


def _checked(result: Receipt | TumaError, have: int, replicas: int) -> Receipt | TumaError:
    return NotReplicated(result.id, have, replicas) if isinstance(result, Receipt) and have < replicas else result
