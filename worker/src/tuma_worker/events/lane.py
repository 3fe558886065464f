"""One subscription's events on their way: which of them may go now, and what follows from each answer.

The events of an intent go one after the other, in their order: one that is not taken holds up those of its own intent and no other.
What is read far ahead is known here by its place alone; the event is fetched when its turn comes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tuma_worker.core.pushing import BORNE_FOR, TRIED_FOR, Endpoint, Meaning, put_off
from tuma_worker.store.feed import AT_ONCE, MISSED, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tuma_producer.outcomes import Event
    from tuma_worker.core.pushing import PushAnswer
    from tuma_worker.store.feed import Entry, Feed
    from tuma_worker.store.subscriptions import Subscription

_AHEAD = 200  # intents with an event that may go, beyond which nothing more is read
_MOST = 100_000  # events that are read ahead of one that is not taken
_AT_HAND = 2_000  # of them that are held whole
_OWED_AT_MOST, _OWED_FOR = 100, 1.0  # events that are told twice if this process dies, at most, and for how many seconds
_NONE = Trouble(0, 0)
_AS_A_WHOLE = "endpoint"  # among the troubles: since when nothing has got through

Place = tuple[int, int]
Outcomes = Counter[str]


class Delivery(NamedTuple):
    """An event that is to go to `url` now; the next one in `chain`, which is its intent, or empty for the account's own events."""

    chain: str
    entry_id: str
    url: str


@dataclass(slots=True)
class _Line:
    """The chains that lead to one endpoint and are not on their way: those that may go, and those that wait, until when."""

    endpoint: Endpoint = field(default_factory=Endpoint)
    may_go: dict[str, None] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)

    def next(self, now: float, most: int, tried: Callable[[str], tuple[int, Place]]) -> list[str]:
        """The chains that go now; they are out of the line. Where the endpoint ails, the one that was tried least."""
        room = self.endpoint.room(now, most)
        if not room:
            return []
        if self.endpoint.ails:
            going = nsmallest(room, (*self.may_go, *self.waits), key=tried)
        else:
            self.may_go |= dict.fromkeys([chain for chain, until in self.waits.items() if until <= now])
            going = list(islice(self.may_go, room))
        for chain in going:
            self.may_go.pop(chain, None)
            self.waits.pop(chain, None)
        self.endpoint.under_way += len(going)
        return going

    def rest(self, now: float) -> float:
        """Seconds until a chain may go by itself; without end where none does."""
        if not self.may_go and not self.waits:
            return inf
        if self.endpoint.ails:
            return inf if self.endpoint.under_way else self.endpoint.rest(now)
        return max(self.endpoint.rest(now), 0.0 if self.may_go else min(self.waits.values()) - now)

    def free(self) -> None:
        """Let all go that waits."""
        self.may_go |= dict.fromkeys(self.waits)
        self.waits.clear()


@dataclass
class Lane:
    """The events of one subscription, at most `most` on their way to one endpoint at once. `clock` counts Unix seconds."""

    feed: Feed
    clock: Callable[[], float]
    choose: Callable[[float], float]
    most: int
    place: str = ""  # the last entry that was read
    drained: bool = False  # whether that is the last one there is
    _found_again: bool = False
    _chains: dict[str, list[Place]] = field(default_factory=dict)
    _held: int = 0  # events in all chains
    _at_hand: dict[str, Event] = field(default_factory=dict)  # the first of them, which need not be read once more
    _targets: dict[str, str] = field(default_factory=dict)
    _lines: defaultdict[str, _Line] = field(default_factory=lambda: defaultdict(_Line))
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _done: list[str] = field(default_factory=list)
    _owed_since: float = 0.0
    _noted: dict[str, Trouble] = field(default_factory=dict)
    _mended: list[str] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------------------- what is to go

    def update(self, subscription: Subscription) -> None:
        """Go on as the subscription stands now: with other secrets, or with what was put back."""
        if subscription.replays != self.feed.subscription.replays:
            self._found_again = False
        self.feed = replace(self.feed, subscription=subscription)

    def read(self) -> Outcomes:
        """Read a page of news, where there is room for it; first of all what was read before and not acknowledged."""
        outcomes = Outcomes()
        if not self._found_again:
            self._find_again(outcomes)
        if self.hungry:
            page = self.feed.news()
            self._take(page, outcomes)
            self.place = page[-1][0] if page else self.place
            self.drained = len(page) < AT_ONCE
        return outcomes

    @property
    def hungry(self) -> bool:
        """Whether more is to be read: not enough may go, and not too much waits."""
        return self._held < _MOST and sum(len(line.may_go) for line in self._lines.values()) < _AHEAD

    def ready(self) -> Iterator[tuple[Delivery, Event | None]]:
        """What may go now, and counts as on its way from now on; without an event, what is not in the stream any more."""
        now = self.clock()
        chains = [chain for line in self._lines.values() for chain in line.next(now, self.most, self._tried)]
        going = [Delivery(chain, _entry_id(self._chains[chain][0]), self._targets[chain]) for chain in chains]
        known = {one.entry_id: self._at_hand.pop(one.entry_id, None) for one in going}
        found = self.feed.events([entry_id for entry_id, event in known.items() if event is None])
        for one in going:
            yield one, known[one.entry_id] or found.get(one.entry_id)

    def rest(self) -> float:
        """Seconds until something more may go by itself; without end where nothing waits."""
        now = self.clock()
        return min((line.rest(now) for line in self._lines.values()), default=inf)

    def _find_again(self, outcomes: Outcomes) -> None:
        self._troubles |= self.feed.troubles()
        last = "0"
        while page := self.feed.pending(last):
            self._take(page, outcomes)
            last = page[-1][0]
        self.place = self.place or self.feed.place()
        self._found_again = True

    def _take(self, page: Sequence[Entry], outcomes: Outcomes) -> None:
        wanted = [(entry_id, event) for entry_id, event in page if event is not None and self.feed.wants(event)]
        self._learn_targets(wanted)
        kept = {entry_id for entry_id, event in wanted if self._chain(entry_id, event)}
        never = Outcomes({"trimmed": sum(event is None for _, event in page), "no-address": len(wanted) - len(kept)})
        outcomes += never
        self._miss(never.total())
        if done := [entry_id for entry_id, _ in page if entry_id not in kept]:
            self.feed.acknowledge(done)

    def _learn_targets(self, wanted: Sequence[tuple[str, Event]]) -> None:
        chains = {event.intent or "" for _, event in wanted} - self._targets.keys()
        url = self.feed.subscription.url
        self._targets |= self.feed.callbacks(chains) if url is None else dict.fromkeys(chains, url)

    def _chain(self, entry_id: str, event: Event) -> bool:
        """Put an event among those of its intent; False where nobody knows where it is to go."""
        chain, place = event.intent or "", _place(entry_id)
        if chain not in self._targets:
            return False
        if chain not in self._chains:
            self._chains[chain] = []
            self._line(chain).may_go[chain] = None
        places = self._chains[chain]
        at = bisect_left(places, place)
        if at == len(places) or places[at] != place:
            places.insert(at, place)
            self._held += 1
            if len(self._at_hand) < _AT_HAND:
                self._at_hand[entry_id] = event
        return True

    def _tried(self, chain: str) -> tuple[int, Place]:
        """How often the next event of a chain was tried, and which it is."""
        place = self._chains[chain][0]
        return self._troubles.get(_entry_id(place), _NONE).tries, place

    # ------------------------------------------------------------------------------------------------------ what came of it

    def settle(self, delivery: Delivery, answer: PushAnswer) -> str:
        """What an answer means for the event: it is `told`, `failed` or `given-up`; or `gone`, where nothing is wanted any more."""
        line, meaning = self._let_go(delivery), answer.meaning
        if meaning is Meaning.TOLD:
            self._mend(_AS_A_WHOLE)
            if line.endpoint.works():  # whoever waits has waited because of it
                line.free()
            self._finish(delivery, line)
            return "told"
        if meaning is Meaning.FAILED:
            line.endpoint.fails(self.clock(), answer, self.choose)
        trouble, whole = self._blame(delivery.entry_id), self._blame(_AS_A_WHOLE)
        if meaning is Meaning.GONE and not self._calls_back:
            return "gone"
        if meaning is Meaning.GONE or self._in_vain(trouble, whole):
            self._finish(delivery, line)
            self._miss(1)
            return "given-up"
        line.waits[delivery.chain] = self.clock() + put_off(trouble.tries, answer, self.choose)
        return "failed"

    def lost(self, delivery: Delivery) -> None:
        """The event is not in the stream any more."""
        self._finish(delivery, self._let_go(delivery))
        self._miss(1)

    @property
    def unheard(self) -> bool:
        """Whether nothing has got through for so long that nobody is there to be told."""
        whole = self._troubles.get(_AS_A_WHOLE)
        return not self._calls_back and whole is not None and self.clock() - whole.since / 1000 > BORNE_FOR

    @property
    def owes(self) -> bool:
        """Whether what has come of the events is to be written down now: it is much, or old, or nothing more is on its way."""
        if self._noted or self._mended or len(self._done) >= _OWED_AT_MOST:
            return True
        resting = not any(line.endpoint.under_way for line in self._lines.values())
        return bool(self._done) and (resting or self.clock() - self._owed_since >= _OWED_FOR)

    def flush(self) -> None:
        """Write down what has come of the events since the last time."""
        if self._noted:
            self.feed.note(self._noted)
            self._noted = {}
        if self._done or self._mended:
            self.feed.acknowledge(self._done, troubled=self._mended)
            self._done, self._mended = [], []

    @property
    def _calls_back(self) -> bool:
        return self.feed.subscription.url is None

    def _let_go(self, delivery: Delivery) -> _Line:
        line = self._line(delivery.chain)
        line.endpoint.under_way -= 1
        return line

    def _finish(self, delivery: Delivery, line: _Line) -> None:
        chain, places = delivery.chain, self._chains[delivery.chain]
        places.remove(_place(delivery.entry_id))
        self._held -= 1
        if places:
            line.may_go[chain] = None
        else:
            del self._chains[chain], self._targets[chain]
        self._owed_since = self._owed_since if self._done else self.clock()
        self._done.append(delivery.entry_id)
        self._mend(delivery.entry_id)

    def _blame(self, what: str) -> Trouble:
        tries, since = self._troubles.get(what) or Trouble(0, round(self.clock() * 1000))
        self._troubles[what] = trouble = Trouble(tries + 1, since)
        if what != _AS_A_WHOLE or tries == 0:
            self._noted[what] = trouble
        return trouble

    def _miss(self, count: int) -> None:
        """So many events are never told: whoever looks at the subscription is to know of the gap."""
        if count:
            before = self._troubles.get(MISSED, _NONE).tries
            self._troubles[MISSED] = self._noted[MISSED] = Trouble(before + count, round(self.clock() * 1000))

    def _mend(self, what: str) -> None:
        if self._troubles.pop(what, None) is not None:
            self._noted.pop(what, None)
            self._mended.append(what)

    def _in_vain(self, trouble: Trouble, whole: Trouble) -> bool:
        """Whether it was tried long enough, and not because nothing at all gets through."""
        tried = self.clock() - trouble.since / 1000 > TRIED_FOR
        return tried and (self._calls_back or whole.since > trouble.since)

    def _line(self, chain: str) -> _Line:
        """The line of the endpoint that a chain leads to: of the server, where each intent has an address of its own."""
        return self._lines[urlsplit(self._targets[chain]).netloc if self._calls_back else ""]


def _place(entry_id: str) -> Place:
    milliseconds, _, turn = entry_id.partition("-")
    return int(milliseconds), int(turn)


def _entry_id(place: Place) -> str:
    return f"{place[0]}-{place[1]}"
