"""What a duty of a worker does in turn for each account: a fault at one of them costs the others nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tuma_producer.contract.connection import unavailable
from tuma_worker.logs import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tuma_worker.logs import Event

_A = TypeVar("_A")
_T = TypeVar("_T")


def one_by_one(accounts: Iterable[_A], name: Callable[[_A], str], look: Callable[[_A], _T], failed: Event) -> Iterator[_T]:
    """What `look` makes of each account. What goes wrong is logged as `failed`; where Redis is away, the round ends with that.

    A record that nobody can read, or a mistake of ours, concerns one account, and stays there until somebody mends it: the duty
    goes on for all others, and in the next round it tries again.
    """
    for account in accounts:
        try:
            yield look(account)
        except Exception as error:  # noqa: BLE001 - it is logged whole
            complain(error, failed, account=name(account))
            if unavailable(error):
                return
