"""How a duty of a worker goes on, round by round and account by account, whatever goes wrong with one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tuma_producer.contract.connection import unavailable
from tuma_worker.logs import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event as Signal

    from tuma_worker.logs import Event

_A = TypeVar("_A")
_T = TypeVar("_T")


def keep_on(
    stop: Signal, work: Callable[[], object], failed: Event, *, every: float = 0.0, again: float | None = None, **where: str
) -> None:
    """Do this every so many seconds until told to stop.

    What goes wrong is logged as `failed`, and tried again after `again` seconds: without this thread nobody would do the duty any
    more.
    """
    while not stop.is_set():
        rest = every
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it is logged whole
            complain(error, failed, **where)
            rest = every if again is None else again
        if rest > 0:
            stop.wait(rest)


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
