"""Ask how much money an account has left, so that bulk stops before it takes what is kept for those who cannot wait.

Between two readings the balance is lowered by what calls say that they cost, in the step that settles them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tuma_worker.logs import Event
from tuma_worker.providers.operations import NotDone
from tuma_worker.rounds import keep_on
from tuma_worker.store.funds import Became

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event as Signal

    from tuma_worker.core.funds import Balance, Reserve
    from tuma_worker.providers.operations import Exchange
    from tuma_worker.providers.provider import AskBalance
    from tuma_worker.store.funds import Funds

_log = structlog.get_logger(__name__)

_LEAD = 60.0  # seconds, at the least, after which a leader that has died is followed: waiting for a permit takes its time


@dataclass(frozen=True, slots=True)
class Reckoner:
    """Asks for one account's balance in the name of `worker`, every `every` seconds, and keeps `reserve` of it."""

    funds: Funds
    reserve: Reserve
    ask: AskBalance
    exchange: Exchange
    worker: str
    every: float
    token: Callable[[], str]

    def keep_reckoning(self, stop: Signal) -> None:
        """Ask at once and then again and again, until told to stop."""
        keep_on(stop, self.run_once, Event.BALANCE_UNKNOWN, every=self.every, account=self.funds.account)

    def run_once(self) -> Became | None:
        """Ask once. Returns what that makes of bulk; None where another process asks, or nothing could be learnt."""
        if not self.funds.lead(self.worker, max(_LEAD, self.every * 3)):
            return None
        asking = self.funds.asking()
        try:
            balance = self.ask(self.exchange)
        except NotDone as error:
            self._complain(error.refusal.code)
            return None
        kept = self.reserve.of(balance) if balance is not None else None
        if balance is None or kept is None:
            self._complain("no-balance" if balance is None else f"a reserve in {self.reserve.unit} of {balance.currency}")
            return None
        became = self.funds.note(asking, balance, kept, self.token())
        self._tell(became, balance)
        return became

    def _complain(self, code: str) -> None:
        """What was known of the balance stands, lowered by what calls cost."""
        _log.warning(Event.BALANCE_UNKNOWN, account=self.funds.account, code=code)

    def _tell(self, became: Became, balance: Balance) -> None:
        if became is Became.HELD:
            _log.warning(Event.BULK_HELD, account=self.funds.account, left=str(balance.amount), currency=balance.currency)
        elif became is Became.RELEASED:
            _log.info(Event.BULK_RELEASED, account=self.funds.account, left=str(balance.amount), currency=balance.currency)
