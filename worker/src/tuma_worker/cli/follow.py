"""Following intents until they end: `send --wait` and `watch ID`."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.live import Live

from tuma_worker.cli.output import clock, say, say_json, screen
from tuma_worker.core.states import in_words
from tuma_worker.store import accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tuma_producer import Intent
    from tuma_worker.cli.reach import Reach

_LOOK_EVERY = 0.25  # seconds
_LOOKS = 50  # intents looked at in a round


@dataclass(frozen=True, slots=True)
class Together:
    """Where the followed intents stand together: how many, how many have ended, their recipients by state, and what holds them."""

    intents: int
    ended: int
    counts: dict[str, int]
    holds: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether all have ended."""
        return self.ended == self.intents

    @property
    def delivered(self) -> bool:
        """Whether every recipient has got the message."""
        return self.done and self.counts.keys() <= {"delivered"}

    def in_words(self) -> str:
        """One line about it."""
        whole = ("done" if self.done else "active") if self.intents == 1 else f"{self.ended} of {self.intents} done"
        return "; ".join([f"{whole}: {in_words(self.counts)}", *self.holds])

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"intents": self.intents, "ended": self.ended, "counts": self.counts, "holds": self.holds}


class Followed:
    """Intents that are looked at, a few in each round, until the last of them has ended."""

    def __init__(self, reach: Reach, ids: Iterable[str]) -> None:
        self._reach = reach
        self._open = list(ids)
        self._counts: dict[str, dict[str, int]] = {intent_id: {} for intent_id in self._open}
        self._bound: set[str] = set()  # those looked at that no other account may carry

    def rounds(self, *, within: float | None) -> Iterator[Together]:
        """Where they stand, round by round, until all have ended or `within` seconds have passed."""
        give_up = None if within is None else time.monotonic() + within
        while True:
            together = self._look()
            yield together
            if together.done or (give_up is not None and time.monotonic() >= give_up):
                return
            time.sleep(_LOOK_EVERY)

    def halted(self) -> tuple[str, str] | None:
        """The first account that is halted while it has followed intents open that no other may carry, and why."""
        for account in sorted({intent_id.rpartition(".")[0] for intent_id in self._bound.intersection(self._open)}):
            if why := accounts.standing(self._reach.redis, account).halted:
                return account, why
        return None

    def _look(self) -> Together:
        looked, rest = self._open[:_LOOKS], self._open[_LOOKS:]
        found = [self._reach.producer.get(intent_id) for intent_id in looked]
        self._counts |= {intent.id: intent.counts for intent in found}
        self._bound |= {intent.id for intent in found if not intent.failover}
        still = [intent for intent in found if intent.state != "done"]
        self._open = rest + [intent.id for intent in still]
        return self._together(still)

    def _together(self, still: list[Intent]) -> Together:
        total: Counter[str] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        holds = dict.fromkeys(hold for intent in still for hold in intent.holds)
        return Together(len(self._counts), len(self._counts) - len(self._open), dict(total), tuple(holds))


@contextmanager
def changes(*, as_json: bool, about: str) -> Iterator[Callable[[Together], None]]:
    """A function that shows where things stand: one line that changes on a terminal, else a line for each change."""
    console = screen()
    if as_json or not console.is_terminal:
        yield _Lines(as_json=as_json, about=about)
        return
    with Live("", console=console, auto_refresh=False) as live:
        yield lambda together: live.update(f"{about}: {together.in_words()}".replace("[", r"\["), refresh=True)


class _Lines:
    """Writes a line whenever something has changed."""

    def __init__(self, *, as_json: bool, about: str) -> None:
        self._as_json = as_json
        self._about = about
        self._last: Together | None = None

    def __call__(self, together: Together) -> None:
        if together == self._last:
            return
        self._last = together
        if self._as_json:
            say_json({"about": self._about, **together.as_json()})
        else:
            say(f"{clock()} {self._about}: {together.in_words()}")
