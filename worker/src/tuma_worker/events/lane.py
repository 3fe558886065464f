"""One subscription's events on their way: which of them may go now, and what follows from each answer.

The events of an intent go one after the other, in their order: one that is not taken holds up those of its own intent and no other.
What is read ahead is known here by its place alone; the event is fetched when its turn comes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tuma_worker.core.pushing import BORNE_FOR, TRIED_FOR, Endpoint, Verdict, put_off
from tuma_worker.store.feed import AT_ONCE, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tuma_producer.outcomes import Event
    from tuma_worker.core.pushing import Answer
    from tuma_worker.store.feed import Entry, Feed
    from tuma_worker.store.subscriptions import Subscription

_AHEAD = 200  # intents with an event that may go, beyond which nothing more is read
_MOST = 100_000  # events that are read ahead of one that is not taken
_AS_A_WHOLE = "endpoint"  # among the troubles: since when nothing has got through

Place = tuple[int, int]
Outcomes = Counter[str]


class Delivery(NamedTuple):
    """An event that is to go to `url` now; the next one in `chain`, which is its intent, or empty for the account's own events."""

    chain: str
    entry_id: str
    url: str


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
    _targets: dict[str, str] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _endpoints: defaultdict[str, Endpoint] = field(default_factory=lambda: defaultdict(Endpoint))
    _done: list[str] = field(default_factory=list)
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
        return len(self._chains) - len(self._due) < _AHEAD and sum(map(len, self._chains.values())) < _MOST

    def ready(self) -> Iterator[Delivery]:
        """What may go now, and counts as on its way from now on. Of an endpoint that ails, what was tried least goes first."""
        now = self.clock()
        waiting: defaultdict[str, list[tuple[int, Place, str]]] = defaultdict(list)
        for chain, places in self._chains.items():
            name = self._name(chain)
            endpoint = self._endpoints[name]
            if chain in self._under_way or not endpoint.room(now, self.most):
                continue
            if endpoint.ails or self._due.get(chain, 0.0) <= now:
                waiting[name].append((self._trouble(places[0]).tries, places[0], chain))
        for name, found in waiting.items():
            for _, place, chain in nsmallest(self._endpoints[name].room(now, self.most), found):
                self._endpoints[name].under_way += 1
                self._under_way.add(chain)
                yield Delivery(chain, _entry_id(place), self._targets[chain])

    def rest(self) -> float:
        """Seconds until something more may go by itself; without end where nothing waits."""
        now = self.clock()
        return min((self._rest(chain, now) for chain in self._chains if chain not in self._under_way), default=inf)

    def _rest(self, chain: str, now: float) -> float:
        endpoint = self._endpoints[self._name(chain)]
        if endpoint.ails and endpoint.under_way:
            return inf
        return max(endpoint.rest(now), 0.0 if endpoint.ails else self._due.get(chain, 0.0) - now)

    def _find_again(self, outcomes: Outcomes) -> None:
        self._troubles = self.feed.troubles()
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
        outcomes["trimmed"] += sum(event is None for _, event in page)
        outcomes["no-address"] += len(wanted) - len(kept)
        if done := [entry_id for entry_id, _ in page if entry_id not in kept]:
            self.feed.acknowledge(done)

    def _learn_targets(self, wanted: Sequence[tuple[str, Event]]) -> None:
        chains = {event.intent or "" for _, event in wanted} - self._targets.keys()
        url = self.feed.subscription.url
        self._targets |= self.feed.callbacks(chains) if url is None else dict.fromkeys(chains, url)

    def _chain(self, entry_id: str, event: Event) -> bool:
        """Put an event behind those of its intent; False where nobody knows where it is to go."""
        chain, place = event.intent or "", _place(entry_id)
        if chain not in self._targets:
            return False
        places = self._chains.setdefault(chain, [])
        at = bisect_left(places, place)
        if at == len(places) or places[at] != place:
            insort(places, place)
        return True

    # ------------------------------------------------------------------------------------------------------ what came of it

    def settle(self, delivery: Delivery, answer: Answer) -> str:
        """What an answer means for the event: it is `told`, `failed` or `given-up`; or `gone`, where nothing is wanted any more."""
        endpoint = self._let_go(delivery)
        verdict = answer.verdict
        if verdict is Verdict.TOLD:
            self._works(delivery, endpoint)
            self._finish(delivery)
            return "told"
        if verdict is Verdict.FAILED:
            endpoint.fails(self.clock(), answer, self.choose)
        trouble = self._blame(delivery.entry_id)
        whole = self._blame(_AS_A_WHOLE)
        if verdict is Verdict.GONE and not self._calls_back:
            return "gone"
        if verdict is Verdict.GONE or self._in_vain(trouble, whole):
            self._finish(delivery)
            return "given-up"
        self._due[delivery.chain] = self.clock() + put_off(trouble.tries, answer, self.choose)
        return "failed"

    def lost(self, delivery: Delivery) -> None:
        """The event is not in the stream any more."""
        self._let_go(delivery)
        self._finish(delivery)

    @property
    def unheard(self) -> bool:
        """Whether nothing has got through for so long that nobody is there to be told."""
        whole = self._troubles.get(_AS_A_WHOLE)
        return not self._calls_back and whole is not None and self.clock() - whole.since / 1000 > BORNE_FOR

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

    def _let_go(self, delivery: Delivery) -> Endpoint:
        endpoint = self._endpoints[self._name(delivery.chain)]
        endpoint.under_way -= 1
        self._under_way.discard(delivery.chain)
        return endpoint

    def _works(self, delivery: Delivery, endpoint: Endpoint) -> None:
        self._mend(_AS_A_WHOLE)
        if endpoint.works():  # whoever waits has waited because of it
            name = self._name(delivery.chain)
            self._due = {chain: due for chain, due in self._due.items() if self._name(chain) != name}

    def _finish(self, delivery: Delivery) -> None:
        chain = delivery.chain
        self._chains[chain].remove(_place(delivery.entry_id))
        self._due.pop(chain, None)
        if not self._chains[chain]:
            del self._chains[chain], self._targets[chain]
        self._done.append(delivery.entry_id)
        self._mend(delivery.entry_id)

    def _blame(self, what: str) -> Trouble:
        tries, since = self._troubles.get(what) or Trouble(0, round(self.clock() * 1000))
        self._troubles[what] = trouble = Trouble(tries + 1, since)
        if what != _AS_A_WHOLE or tries == 0:
            self._noted[what] = trouble
        return trouble

    def _mend(self, what: str) -> None:
        if self._troubles.pop(what, None) is not None:
            self._noted.pop(what, None)
            self._mended.append(what)

    def _in_vain(self, trouble: Trouble, whole: Trouble) -> bool:
        """Whether it was tried long enough, and not because nothing at all gets through."""
        tried = self.clock() - trouble.since / 1000 > TRIED_FOR
        return tried and (self._calls_back or whole.since > trouble.since)

    def _trouble(self, place: Place) -> Trouble:
        return self._troubles.get(_entry_id(place), Trouble(0, 0))

    def _name(self, chain: str) -> str:
        """The endpoint that a chain leads to: the server, where each intent has an address of its own."""
        return urlsplit(self._targets[chain]).netloc if self._calls_back else ""


def _place(entry_id: str) -> Place:
    milliseconds, _, turn = entry_id.partition("-")
    return int(milliseconds), int(turn)


def _entry_id(place: Place) -> str:
    return f"{place[0]}-{place[1]}"
