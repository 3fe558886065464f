"""Tell subscribers over HTTP what became of messages: signed, at least once, and in order within each intent.

One process tells an account's subscribers at a time. It is followed at another's next turn where it has left, and a few seconds
after it has died, and whoever follows finds in the stream what was read and not acknowledged: an event is acknowledged when it was
taken, so one may be told twice, under the same id. A process whose Redis was away does as one that follows.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tuma_producer.contract.connection import is_cluster, unavailable
from tuma_worker import metrics, tracing
from tuma_worker.events.lane import Lane, Outcomes
from tuma_worker.events.signing import headers
from tuma_worker.logs import Event as Log
from tuma_worker.logs import complain
from tuma_worker.rounds import keep_on
from tuma_worker.store.feed import Feed, lead, leave, wait_for_news
from tuma_worker.store.subscriptions import Subscriptions, UnknownSubscriptionError, disabled, of_accounts
from tuma_worker.store.traces import traces
from tuma_worker.tracing import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event as Signal

    from redis import Redis

    from tuma_producer.outcomes import Event
    from tuma_worker.core.pushing import PushAnswer
    from tuma_worker.events.lane import Delivery
    from tuma_worker.events.posting import Poster
    from tuma_worker.store.subscriptions import Subscription

_log = structlog.get_logger(__name__)

TURN = 8.0  # seconds between two looks at who leads, and at which subscriptions there are
LEAD = 24.0  # seconds after which a leader that has died is followed
SOON = 0.1  # seconds between two looks for news while something is on its way, or where nothing can tell that something has come
_THREADS = 32  # requests of a process at once
_STUMBLED = "stumbled"  # instead of an answer, over a mistake of ours

LaneName = tuple[str, str]  # an account and the id of a subscription


@dataclass(slots=True)
class Pusher:
    """Tells the subscribers of some accounts, in the name of `worker`, at most `most` events at once to one endpoint.

    `clock` counts Unix seconds, and `choose` draws a number between nothing and what it is given. `redis` repeats nothing by
    itself; `waiting` is a client for reads that block for a turn.
    """

    redis: Redis
    waiting: Redis
    accounts: Sequence[str]
    poster: Poster
    worker: str
    most: int
    clock: Callable[[], float]
    choose: Callable[[float], float]
    _lanes: dict[LaneName, Lane] = field(default_factory=dict)
    _under_way: dict[Future[PushAnswer], tuple[LaneName, Lane, Delivery]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="push"))
    _next_turn: float = 0.0
    _left: bool = False
    _at_work: threading.Lock = field(default_factory=threading.Lock)  # by whoever tells or leaves, and not while it waits

    def keep_pushing(self, stop: Signal) -> None:
        """Tell whatever comes until told to stop, and then see what is on its way to its end."""
        keep_on(stop, partial(self._push, stop), Log.PUSH_FAILED, again=TURN)
        try:
            self.close()
        except Exception as error:  # noqa: BLE001 - it is logged whole; whoever follows finds it pending
            complain(error, Log.PUSH_FAILED)

    def _push(self, stop: Signal) -> None:
        with self._at_work:
            if not self._left:
                self.take_turn()
                self.run_once()
        self._rest(stop)

    def leave(self) -> None:
        """Let another process lead, and tell nothing more. What is on its way goes to its end first (`close`). For any thread."""
        with self._at_work:
            self._left = True
            if not self._under_way:
                self._hand_over()

    def take_turn(self) -> None:
        """Learn, when it is time, whom this process is to tell."""
        now = self.clock()
        if now < self._next_turn:
            return
        found = of_accounts(self.redis, self.accounts)
        led = {name for name in found if lead(self.redis, name, self.worker, LEAD)}
        wanted = {(name, one.id): one for name in led for one in found[name] if one.disabled is None}
        self._flush([name for name in self._lanes if name not in wanted])
        self._lanes = {name: self._lane(name, one) for name, one in wanted.items()}
        self._next_turn = now + TURN

    def run_once(self) -> Outcomes:
        """Read what has come, let go what may, and settle what was answered. Returns what became of how many events."""
        outcomes = Outcomes()
        for name, lane in list(self._lanes.items()):
            outcomes += self._safely(name, lane, partial(self._start, name, lane))
        outcomes += self._settle()
        return outcomes

    def wait(self, seconds: float) -> bool:
        """Wait for an answer; False where none is awaited."""
        wait(self._under_way, timeout=seconds, return_when=FIRST_COMPLETED)
        return bool(self._under_way)

    def close(self) -> None:
        """Wait for the answers to what is on its way, write down what they mean, and let another process lead."""
        self._pool.shutdown(cancel_futures=True)
        with self._at_work:
            self._under_way = {answered: whose for answered, whose in self._under_way.items() if not answered.cancelled()}
            self._settle()
            self._hand_over()
        self.poster.close()

    def _hand_over(self) -> None:
        self._flush(list(self._lanes))
        for account in {account for account, _ in self._lanes}:
            leave(self.redis, account, self.worker)
        self._lanes = {}

    def _lane(self, name: LaneName, subscription: Subscription) -> Lane:
        lane = self._lanes.get(name) or Lane(Feed(self.redis, name[0], subscription), self.clock, self.choose, self.most)
        lane.update(subscription)
        return lane

    def _start(self, name: LaneName, lane: Lane) -> Outcomes:
        outcomes = lane.read()
        secrets = lane.feed.subscription.secrets(round(self.clock() * 1000))
        for delivery, event in lane.ready():
            if event is None:
                lane.lost(delivery)
                outcomes["trimmed"] += 1
            else:
                self._under_way[self._pool.submit(self._post, delivery.url, event, secrets)] = name, lane, delivery
        return outcomes

    def _post(self, url: str, event: Event, secrets: Sequence[str]) -> PushAnswer:
        body = json.dumps(event.as_cloudevent(), ensure_ascii=False, separators=(",", ":")).encode()
        began = self.clock()
        answer = self.poster.post(url, headers(event.id, int(began), body, secrets), body)
        if tracing.on() and event.intent is not None:
            self._trace(event.intent, event.type, began, answer)
        return answer

    def _trace(self, intent_id: str, kind: str, began: float, answer: PushAnswer) -> None:
        account, _, short_id = intent_id.rpartition(".")
        for parent in traces(self.redis, account, [short_id]).values():
            tracing.span("tuma.event", parent, Kind.PRODUCER, began, account=account, event=kind, status=answer.status)

    def _settle(self) -> Outcomes:
        outcomes = Outcomes()
        for answered in [one for one in self._under_way if one.done()]:
            name, lane, delivery = self._under_way.pop(answered)
            if self._lanes.get(name) is lane:  # else it is somebody else's by now, or was begun anew
                outcomes += self._safely(name, lane, partial(self._heed, name, lane, delivery, answered))
        self._flush([name for name, lane in self._lanes.items() if lane.owes])
        return outcomes

    def _flush(self, names: Sequence[LaneName]) -> None:
        for name in names:
            self._safely(name, self._lanes[name], partial(_flush, self._lanes[name]))

    def _heed(self, name: LaneName, lane: Lane, delivery: Delivery, answered: Future[PushAnswer]) -> Outcomes:
        answer = answered.result()
        outcome = lane.settle(delivery, answer)
        if outcome != "told":
            say = _log.error if outcome == "given-up" else _log.info
            say(
                Log.PUSH_NOT_TAKEN, account=name[0], subscription=name[1], entry=delivery.entry_id, outcome=outcome,
                reason=answer.reason,
            )  # fmt: skip
        if outcome == "gone" or lane.unheard:
            self._disable(name, "gone" if outcome == "gone" else "unheard")
        return Outcomes([outcome])

    def _disable(self, name: LaneName, why: str) -> None:
        """Tell a subscriber nothing more, until an operator says so. What it was not told stays where it is in the stream."""
        self._lanes.pop(name).flush()
        account, subscription_id = name
        try:
            Subscriptions(self.redis, account).change(
                subscription_id, lambda one: disabled(one, why), "subscription-disabled", why=why, by=self.worker
            )
        except UnknownSubscriptionError:
            return  # it was taken off meanwhile
        _log.error(Log.SUBSCRIPTION_DISABLED, account=account, subscription=subscription_id, reason=why)

    def _safely(self, name: LaneName, lane: Lane, work: Callable[[], Outcomes]) -> Outcomes:
        """Do a part of the work. What goes wrong with one subscriber is begun anew at the next turn, and holds up no other.

        Where Redis is away all are begun anew: what was read by then, or is counted as on its way, is found again as pending.
        """
        try:
            outcomes = work()
        except Exception as error:
            if unavailable(error):
                self._lanes, self._next_turn = {}, 0.0
                raise
            complain(error, Log.PUSH_FAILED, account=name[0], subscription=name[1])
            if self._lanes.get(name) is lane:
                del self._lanes[name]
            outcomes = Outcomes([_STUMBLED])
        for outcome, count in outcomes.items():
            metrics.pushed(name[0], outcome, count)
        return +outcomes

    def _rest(self, stop: Signal) -> None:
        """Until something has come, was answered, or may be tried again; at the longest until the next turn."""
        left = max(0.0, self._next_turn - self.clock())
        hungry = {name: lane for name, lane in self._lanes.items() if lane.hungry}
        if self._under_way:
            wait(self._under_way, timeout=min(left, SOON), return_when=FIRST_COMPLETED)
            return
        if not all(lane.drained for lane in hungry.values()):
            return
        left = min([left, *(lane.rest() for lane in self._lanes.values())])
        if left <= 0:
            return
        if not hungry:
            stop.wait(left)
        elif is_cluster(self.redis):  # no command waits for the streams of two accounts
            stop.wait(min(left, SOON))
        else:
            places: dict[str, str] = {}
            for (account, _), lane in hungry.items():
                places[account] = min(places.get(account, lane.place), lane.place, key=_order)
            wait_for_news(self.waiting, places, left)


def _flush(lane: Lane) -> Outcomes:
    lane.flush()
    return Outcomes()


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))
