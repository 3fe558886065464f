"""Apply the receipts that the gateway has written down: match each with its call, move its recipient, and keep it as it came.

A duty of the workers, not of the gateway: that has one thing to do, quickly, and is the one process that strangers reach. One
process applies an account's receipts at a time, so that the steps of a recipient keep the order in which they came. It is followed
at another's next turn where it has left, and some twenty seconds after it has died. Whoever follows begins at the first receipt
that is still in the inbox: each leaves it in the step that keeps it, after it was applied, and applying it again changes nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog
from redis.exceptions import ResponseError

from tuma_producer.contract.connection import is_cluster, unavailable
from tuma_producer.contract.ids import digest
from tuma_worker import metrics, tracing
from tuma_worker.core.states import ENDS, Evidence, RecipientState
from tuma_worker.core.stopping import stop_word
from tuma_worker.logs import Event
from tuma_worker.providers.base import BadReceipt
from tuma_worker.rounds import keep_on, one_by_one
from tuma_worker.store.custody import tally_request
from tuma_worker.store.inbox import AT_ONCE, PARKED_FOR, UNMATCHED, Filed, wait_for_arrivals
from tuma_worker.store.moves import Target, apply_request
from tuma_worker.store.traces import traces
from tuma_worker.tracing import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event as Signal

    from redis import Redis

    from tuma_worker.core.receipts import Receipt
    from tuma_worker.providers.base import Receipts
    from tuma_worker.store.inbox import Arrived, Inbox, Known

_log = structlog.get_logger(__name__)

TURN = 8.0  # seconds between two looks at who leads
SOON = 1.0  # and while something is parked
LEAD = 16.0  # seconds after which a leader that has died is followed
_WAIT = 0.1  # seconds between two looks where nothing can tell that something has come
LATE = 60_000  # ms after what it tells of, by the provider's clock: they come at once, unless somebody could not send or take them
_DRAINED = 200  # pages at the most: who waits for the inbox to be empty is not to wait for a flood to end

Outcomes = Counter[str]  # how many receipts were of which kind
# Attempts of which no answer says that the provider took the call: nobody knows yet, or it was sent again for want of evidence.
_DOUBTFUL = frozenset({"calling", "unknown", "resent"})


@dataclass(frozen=True, slots=True)
class Box:
    """The inbox of one account, how what is in it is read, and by which words people ask for no more messages."""

    inbox: Inbox
    receipts: Receipts
    stop_words: Sequence[str] = ()


class _Step(NamedTuple):
    """Which call's recipients come into which state, on what evidence, and why; empty where no reason was told."""

    batch_id: str
    state: RecipientState
    evidence: Evidence
    reason: str


@dataclass(frozen=True, slots=True)
class _News:
    """One receipt that could be read, and the attempt that it is about."""

    arrived: Arrived
    receipt: Receipt
    batch_id: str

    @property
    def filed(self) -> Filed:
        return Filed(self.arrived, self.batch_id or UNMATCHED, self.digest)

    @property
    def is_late(self) -> bool:
        """Whether it has been long on its way; not where the provider does not say when it was."""
        occurred_at = self.receipt.occurred_at
        return occurred_at is not None and self.arrived.at - occurred_at > LATE

    @property
    def digest(self) -> str:
        """What it is known by when it comes again."""
        receipt = self.receipt
        told = receipt.event_id or f"{receipt.event} {receipt.provider_id} {receipt.occurred_at}"
        about = (receipt.inbound.sender, receipt.inbound.text) if receipt.inbound else (receipt.number or "",)
        return digest(told, *about)


@dataclass(slots=True)
class Applier:
    """Applies the receipts of some accounts in the name of `worker`. `clock` counts seconds.

    `waiting` is a client for reads that block for a turn.
    """

    redis: Redis
    waiting: Redis
    boxes: Sequence[Box]
    worker: str
    clock: Callable[[], float]
    _led: list[Box] = field(default_factory=list)
    _next_turn: float = 0.0
    _left: bool = False
    _at_work: threading.Lock = field(default_factory=threading.Lock)  # by whoever applies or leaves, and not while it waits

    def keep_applying(self, stop: Signal) -> None:
        """Apply whatever comes until told to stop."""
        keep_on(stop, partial(self._apply_heard, stop), Event.RECEIPTS_NOT_APPLIED, again=SOON)

    def _apply_heard(self, stop: Signal) -> None:
        try:
            self.take_turn()
            for _ in one_by_one(self._heard(stop), _account, self._apply_page, Event.RECEIPTS_NOT_APPLIED):
                pass
        except Exception:
            self._led, self._next_turn = [], 0.0
            raise

    def leave(self) -> None:
        """Let another process lead. This one ends the page that it is at, and applies nothing more. For any thread."""
        with self._at_work:
            self._left = True
            for _ in one_by_one(self._led, _account, lambda box: box.inbox.leave(self.worker), Event.RECEIPTS_NOT_APPLIED):
                pass
            self._led = []

    def run_once(self) -> dict[str, Outcomes]:
        """Apply one page of each account that this process leads."""
        return {box.inbox.account: self._apply_safely(box, box.inbox.page()) for box in self._led}

    def take_turn(self) -> None:
        """Learn, when it is time, which accounts are this process's to look after, and look at what of theirs is parked."""
        now = self.clock()
        if now < self._next_turn:
            return
        with self._at_work:
            if not self._left:
                self._take_turn(now)

    def _take_turn(self, now: float) -> None:
        led = one_by_one(self.boxes, _account, self._lead, Event.RECEIPTS_NOT_APPLIED)
        self._led = [box for box in led if box is not None]
        parked = one_by_one(self._led, _account, self._look_at_parked, Event.RECEIPTS_NOT_APPLIED)
        self._next_turn = now + (SOON if any([*parked]) else TURN)

    def _lead(self, box: Box) -> Box | None:
        return box if box.inbox.lead(self.worker, LEAD) else None

    def _look_at_parked(self, box: Box) -> bool:
        """Apply what of it can be applied now. Returns whether there was any."""
        due = box.inbox.parked()
        self._apply_safely(box, due or [])
        return due is not None

    def _apply_page(self, box: Box) -> None:
        with self._at_work:
            if not self._left and self._apply_safely(box, box.inbox.page())["parked"]:
                self._next_turn = min(self._next_turn, self.clock() + SOON)

    def drain(self, account: str) -> None:
        """Apply all that has come for an account up to now, whoever leads."""
        for box in self.boxes:
            if box.inbox.account == account:
                self._drain(box)

    def _heard(self, stop: Signal) -> list[Box]:
        """The accounts for which something has come, once it has, and no later than the next turn."""
        left = max(0.0, self._next_turn - self.clock())
        if not self._led:
            stop.wait(left)
            return []
        if is_cluster(self.redis):  # no command waits for the keys of two accounts
            stop.wait(min(left, _WAIT))
            return self._led
        try:
            heard = wait_for_arrivals(self.waiting, [box.inbox.account for box in self._led], left)
        except ResponseError:  # an inbox that is none must not keep the others from being looked at
            stop.wait(min(left, _WAIT))
            return self._led
        return [box for box in self._led if box.inbox.account in heard]

    def _drain(self, box: Box) -> None:
        until = box.inbox.now()
        for _ in range(_DRAINED):
            page = [arrived for arrived in box.inbox.page() if arrived.at <= until]
            self._apply_safely(box, page)
            if len(page) < AT_ONCE:
                return

    def _apply_safely(self, box: Box, page: Sequence[Arrived]) -> Outcomes:
        """Apply a page. What goes wrong with one receipt holds up no other: it is put off, and tried again later."""
        try:
            outcomes = apply(box, page) if page else Outcomes()
        except Exception as error:
            if unavailable(error):
                raise
            outcomes = Outcomes()
            for arrived in page:
                outcomes += _apply_alone(box, arrived)
        for outcome, count in outcomes.items():
            metrics.receipts_applied(box.inbox.account, outcome, count)
        return outcomes


def _account(box: Box) -> str:
    return box.inbox.account


def _apply_alone(box: Box, arrived: Arrived) -> Outcomes:
    try:
        return apply(box, [arrived])
    except Exception as error:
        if unavailable(error):
            raise
        _log.exception(Event.RECEIPTS_NOT_APPLIED, account=box.inbox.account, batch=arrived.batch_id)
        if box.inbox.now() - arrived.at < PARKED_FOR:
            box.inbox.park([arrived])
        else:
            box.inbox.file([_unread(arrived)])
        return Outcomes(failed=1)


def apply(box: Box, page: Sequence[Arrived]) -> Outcomes:
    """Apply receipts of one account in the order in which they came. Returns how many were what."""
    inbox, outcomes = box.inbox, Outcomes()
    news, unreadable = _read(box, page)
    _receive(box, news, outcomes)
    found, orphans = _matched(inbox, [one for one in news if one.receipt.inbound is None])
    known = inbox.known(_wanted(found))
    _adopt(inbox, found, known)
    for wave in _waves(found):
        _move(inbox, wave, known, outcomes)
    waiting = [one for one in orphans if inbox.now() - one.arrived.at < PARKED_FOR]
    given_up = [one for one in orphans if one not in waiting]
    if waiting:
        outcomes["no-room"] += inbox.park(one.arrived for one in waiting)
        outcomes["parked"] += sum(not one.arrived.member for one in waiting)
    done = [*(one.filed for one in (*found, *given_up)), *map(_unread, unreadable)]
    if done:
        fresh = inbox.file(done)
        outcomes["repeated"] += len(done) - fresh if inbox.keep else 0
    outcomes["unmatched"] += len(given_up)
    outcomes["late"] += sum(one.is_late for one in found)
    outcomes["unreadable"] += len(unreadable)
    return +outcomes


def _unread(arrived: Arrived) -> Filed:
    return Filed(arrived, arrived.batch_id or UNMATCHED, digest(arrived.body.hex()))


def _read(box: Box, page: Sequence[Arrived]) -> tuple[list[_News], list[Arrived]]:
    news, unreadable = [], []
    for arrived in page:
        try:
            news += [_News(arrived, receipt, arrived.batch_id) for receipt in box.receipts.read(arrived.body)]
        except BadReceipt:  # it was readable at the door, by another release perhaps
            unreadable.append(arrived)
    return news, unreadable


def _receive(box: Box, news: Sequence[_News], outcomes: Outcomes) -> None:
    """Tell of what people wrote. Who asks for no more messages gets no more."""
    for one in news:
        if (inbound := one.receipt.inbound) is None:
            continue
        word = stop_word(inbound.text, box.stop_words)
        is_news = box.inbox.receive(one.arrived, inbound, one.digest, word or "")
        outcomes["inbound" if is_news else "repeated"] += 1
        if is_news:
            _log.info(Event.INBOUND_RECEIVED, account=box.inbox.account, opted_out=word is not None)


def _matched(inbox: Inbox, news: Sequence[_News]) -> tuple[list[_News], list[_News]]:
    """The news with their attempts, and those of which nobody knows one yet."""
    asked = {one.receipt.provider_id for one in news if not one.batch_id and one.receipt.provider_id}
    batches = inbox.batches(asked)
    found: list[_News] = []
    orphans: list[_News] = []
    for one in news:
        batch_id = one.batch_id or batches.get(one.receipt.provider_id or "", "")
        (found if batch_id else orphans).append(_News(one.arrived, one.receipt, batch_id))
    return found, orphans


def _wanted(news: Sequence[_News]) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for one in news:
        numbers = wanted.setdefault(one.batch_id, set())
        if one.receipt.number is not None:
            numbers.add(one.receipt.number)
    return wanted


def _adopt(inbox: Inbox, news: Sequence[_News], known: dict[str, Known]) -> None:
    """Submit all recipients of calls without an answer: any receipt proves that the provider took the call.

    Later receipts at the account's common address find the call by the id that this one tells. Where the provider keeps the dates,
    that id is the call's own, and needed to steer it.
    """
    proofs = {one.batch_id: one.receipt for one in reversed(news) if one.receipt.state is not None}
    for batch_id, receipt in proofs.items():
        attempt = known.get(batch_id)
        if attempt is None or attempt.phase not in _DOUBTFUL:
            continue
        request = apply_request(
            inbox.keys, batch_id, inbox.recipients(batch_id), RecipientState.SUBMITTED, Evidence.PROVIDER, phase="accepted",
            by_receipt=True, provider_id=(receipt.provider_id or "") if attempt.dates else "",
            provider_ids=[receipt.provider_id] if receipt.provider_id else [],
        )  # fmt: skip
        moved, _left = request.run(inbox.redis)
        _log.info(Event.DELIVERY_RESOLVED, account=inbox.account, batch=batch_id, outcome="adopted", moved=int(moved))


def _waves(news: Sequence[_News]) -> Iterator[list[_News]]:
    """The news in parts of which none has two about the same recipient, each recipient's in their order."""
    turns: Counter[tuple[str, str | None]] = Counter()
    waves: list[list[_News]] = []
    for one in news:
        whom = (one.batch_id, one.receipt.number)
        if turns[whom] == len(waves):
            waves.append([])
        waves[turns[whom]].append(one)
        turns[whom] += 1
    yield from waves


def _move(inbox: Inbox, wave: Sequence[_News], known: dict[str, Known], outcomes: Outcomes) -> None:
    """Move the recipients that these are about; those of one call that come into the same state go in one step."""
    for step, arrived in _together(inbox, wave, known, outcomes).items():
        _apply(inbox, step, arrived, known[step.batch_id], outcomes)


def _together(
    inbox: Inbox, wave: Sequence[_News], known: dict[str, Known], outcomes: Outcomes
) -> dict[_Step, dict[Target, Arrived]]:
    """The recipients that are to be moved, by the step that moves them; all else is counted and, if it must be, told."""
    together: dict[_Step, dict[Target, Arrived]] = {}
    for one in wave:
        receipt, attempt = one.receipt, known.get(one.batch_id)
        intent = attempt.intents.get(receipt.number or "") if attempt else None
        if receipt.state is None:
            outcomes["unknown-event"] += 1
        elif attempt is None or (intent is None and receipt.number is not None):
            outcomes["unmatched"] += 1
            _log.warning(Event.RECEIPT_UNMATCHED, account=inbox.account, batch=one.batch_id, kind=receipt.event)
        elif intent is None:
            outcomes["about-the-call"] += 1
        elif attempt.dates:
            counted = tally_request(inbox.keys, one.batch_id, intent, receipt).run(inbox.redis)
            outcomes["moved" if counted else "nothing-new"] += 1
        else:
            step = _Step(one.batch_id, receipt.state, receipt.evidence, receipt.reason or "")
            together.setdefault(step, {})[Target(intent, receipt.number or "")] = one.arrived
    return together


def _apply(inbox: Inbox, step: _Step, arrived: Mapping[Target, Arrived], attempt: Known, outcomes: Outcomes) -> None:
    batch_id, state, evidence, reason = step
    targets = sorted(arrived)
    moved, left, *still = apply_request(inbox.keys, batch_id, targets, state, evidence, reason=reason).run(inbox.redis)
    if state in ENDS:
        stood = {targets[position - 1] for position in still}
        took = [(arrived[one].at - attempt.at) / 1000 for one in targets if one not in stood]
        metrics.told(inbox.account, attempt.priority, took)
    if tracing.on() and moved:
        _trace(inbox, batch_id, state, {one.intent: arrived[one].at / 1000 for one in targets})
    outcomes["moved"] += int(moved)
    outcomes["nothing-new"] += int(left)
    _log.debug(Event.RECEIPT_APPLIED, account=inbox.account, batch=batch_id, state=state, moved=int(moved))


def _trace(inbox: Inbox, batch_id: str, state: RecipientState, came: Mapping[str, float]) -> None:
    """Tell the traces of these intents of receipts that came then (Unix seconds) and have been applied now."""
    for intent, parent in traces(inbox.redis, inbox.account, came).items():
        tracing.span("tuma.receipt", parent, Kind.SERVER, came[intent], account=inbox.account, batch=batch_id, state=str(state))
