"""What a page is looked at with: by which rights, and for what it is asked. Viewers for whom both are the same share one look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuma_worker.core.tokens import Scope
from tuma_worker.store.campaigns import Tally
from tuma_worker.store.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from tuma_producer import AsyncProducer
    from tuma_worker.core.tokens import Token
    from tuma_worker.gateway.desk import Desk

_NOBODY = "dashboard"  # the source in whose name nothing is sent, only looked


@dataclass(frozen=True, slots=True)
class Rights:
    """What a viewer may see and do. `source` is whose intents may be seen, `steers` whose may be steered; None: everybody's."""

    source: str | None
    steers: str | None
    scopes: frozenset[Scope]

    @classmethod
    def of(cls, token: Token) -> Rights:
        """What a token gives."""
        rights = token.rights
        return cls(None if Scope.WATCH in rights else token.source, None if Scope.OPERATE in rights else token.source, rights)

    def may_see(self, source: str) -> bool:
        """Whether what belongs to this source is any of the viewer's business."""
        return self.source in {None, source}

    def may_steer(self, source: str) -> bool:
        """Whether the viewer may do something about what belongs to this source."""
        return Scope.CONTROL in self.scopes and self.steers in {None, source}


@dataclass(frozen=True, slots=True)
class Memory:
    """What one look leaves for the next, of whichever viewer: as much as there are accounts, and campaigns shown."""

    _pulses: dict[str, Pulse] = field(default_factory=dict)
    _tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def pulse(self, account: str) -> Pulse:
        """The account's pulse."""
        return self._pulses.setdefault(account, Pulse(account))

    def tally(self, account: str, campaign: str) -> Tally:
        """The campaign's tally."""
        return self._tallies.setdefault((account, campaign), Tally(account, campaign))

    def keep_tallies(self, shown: AbstractSet[tuple[str, str]]) -> None:
        """Forget all others."""
        for gone in self._tallies.keys() - shown:
            self._tallies.pop(gone, None)


@dataclass(frozen=True, slots=True)
class View:
    """One look at a page. `asked` are the query's parameters."""

    desk: Desk
    memory: Memory
    rights: Rights
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def producer(self) -> AsyncProducer:
        """A producer to look with."""
        return self.desk.producer(_NOBODY)

    def parameter(self, name: str) -> str:
        """What is asked for by this name; empty where nothing is."""
        return dict(self.asked).get(name, "")

    async def accounts(self) -> tuple[str, ...]:
        """The accounts that there are."""
        return await self.producer.accounts()
