"""What a duty of a worker does in turn for each account: a fault at one of them costs the others nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from tuma_producer.contract.connection import FAILURES, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tuma_worker.logs import Event
    from tuma_worker.queue.config import QueueConfig

_log = structlog.get_logger(__name__)


class _OfAccount(Protocol):
    @property
    def queue(self) -> QueueConfig: ...


_A = TypeVar("_A", bound=_OfAccount)
_T = TypeVar("_T")


def one_by_one(accounts: Iterable[_A], look: Callable[[_A], _T], failed: Event) -> Iterator[_T]:
    """What `look` makes of each account. What goes wrong is logged as `failed`; where Redis is away, the round ends with that.

    A record that nobody can read, or a mistake of ours, concerns one account, and stays there until somebody mends it: the duty
    goes on for all others, and in the next round it tries again.
    """
    for account in accounts:
        try:
            yield look(account)
        except FAILURES as error:
            _log.warning(failed, account=account.queue.account, error=type(error).__name__)
            if unavailable(error):
                return
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception(failed, account=account.queue.account)
