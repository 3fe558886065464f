"""Dead letters as a page: those of one intent that died for one reason together, the oldest first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from tuma_worker.core.dead import DeadClass
from tuma_worker.store.dead import DeadLetters, LetterFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuma_worker.gateway.dashboard.view import View
    from tuma_worker.store.dead import Letter

_PAGES = 2  # of letters that one look reads, of each account


@dataclass(frozen=True, slots=True)
class Pile:
    """Letters of one intent, of one class and reason. `died` is when the first of them did (Unix ms)."""

    intent_id: str
    source: str
    kind: DeadClass
    reason: str
    letters: int
    died: int

    @classmethod
    def of(cls, letters: Sequence[Letter]) -> Pile:
        """These, which have all that in common."""
        first = letters[0]
        died = min(one.died for one in letters)
        return cls(first.intent_id, first.source, first.kind, first.reason or "", len(letters), died)


@dataclass(frozen=True, slots=True)
class Grave:
    """The dead letters of one account, as far as they were read. `size` is how many there are, about."""

    account: str
    size: int
    piles: tuple[Pile, ...]

    @property
    def read(self) -> int:
        """How many were read."""
        return sum(pile.letters for pile in self.piles)

    @property
    def kinds(self) -> dict[DeadClass, int]:
        """How many of each class were read."""
        counted = Counter[DeadClass]()
        for pile in self.piles:
            counted[pile.kind] += pile.letters
        return dict(sorted(counted.items(), key=lambda one: list(DeadClass).index(one[0])))


async def look(view: View) -> dict[str, Any]:
    """All accounts that have dead letters."""
    names = await view.accounts()
    graves = await run_in_threadpool(lambda: [_grave(view, name) for name in names])
    return {"graves": [one for one in graves if one.piles], "accounts": names}


def _grave(view: View, account: str) -> Grave:
    letters = DeadLetters(view.desk.store, account)
    read = [letter for page in islice(letters.walk(LetterFilter()), _PAGES) for letter in page]
    return Grave(account, letters.size(), tuple(_piles(read)))


def _piles(letters: Iterable[Letter]) -> list[Pile]:
    def alike(one: Letter) -> tuple[str, str, str]:
        return one.intent_id, one.kind, one.reason or ""

    piles = [Pile.of(list(found)) for _, found in groupby(sorted(letters, key=alike), key=alike)]
    return sorted(piles, key=lambda one: one.died)
