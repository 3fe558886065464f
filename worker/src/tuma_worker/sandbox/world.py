"""What both stand-ins share while the sandbox runs: settings, ledger, clock, armed faults, dice, purses, windows, post office."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from tuma_worker.sandbox import settings as settings_
from tuma_worker.sandbox.clock import Clock
from tuma_worker.sandbox.faults import Faults
from tuma_worker.sandbox.ledger import Ledger
from tuma_worker.sandbox.life import Dice
from tuma_worker.sandbox.webhooks import PostOffice
from tuma_worker.sandbox.windows import Windows


class Purses:
    """What each key has spent since the start, or since its balance was last set."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, Decimal] = defaultdict(Decimal)

    def spent(self, key: str) -> Decimal:
        """The key's spending."""
        return self._spent[key]

    def spend(self, key: str, cost: Decimal) -> None:
        """Take the cost of an accepted call."""
        self._spent[key] += cost

    def refund(self, key: str, amount: float) -> None:
        """Give back what was taken for dispatches that never went out."""
        self._spent[key] -= Decimal(str(amount))

    def clear(self) -> None:
        """Every purse is full again."""
        self._spent.clear()


class World:
    """The state of one running sandbox."""

    def __init__(self, settings: settings_.Settings) -> None:
        self._first_settings = settings
        self.settings = settings
        self.ledger = Ledger()
        self.faults = Faults()
        self.clock = Clock()
        self.dice = Dice(settings.seed)
        self.office = PostOffice(settings.webhook_threads)
        self.windows = {"lisoloo": Windows(), "lineserve": Windows()}
        self.purses = {"lisoloo": Purses(), "lineserve": Purses()}

    def change(self, patch: object) -> None:
        """Apply a JSON patch to the settings. A balance or a seed that it sets counts from now. Raises SettingsError."""
        before, self.settings = self.settings, settings_.patched(self.settings, patch)
        if self.settings.seed != before.seed:
            self.dice = Dice(self.settings.seed)
        for provider in self.purses:
            if _names_balance(patch, provider):
                self.purses[provider].clear()

    def reset(self) -> None:
        """The settings of the start, and nothing spent."""
        self.settings = self._first_settings
        self.dice = Dice(self.settings.seed)
        for purses in self.purses.values():
            purses.clear()

    def clear(self) -> None:
        """Forget every call, message, window and spending; settings and faults stay."""
        self.ledger = Ledger()
        self.dice = Dice(self.settings.seed)
        self.office.clear()
        self.clock.clear()
        for provider in self.windows:
            self.windows[provider].clear()
            self.purses[provider].clear()


def _names_balance(patch: object, provider: str) -> bool:
    part = patch.get(provider) if isinstance(patch, dict) else None
    return isinstance(part, dict) and not part.keys().isdisjoint({"balance", "postpaid_balance", "keys"})
