"""The life of a message after it was accepted: outcome dice, steps, delays and receipts.

One timer moves all recipients of a call that share a fate, so a call of a thousand numbers costs a handful of timers.
Both providers' lives are told in one vocabulary (Lisoloo's); each stand-in translates it into its own words.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tuma_worker.sandbox.settings import Settings, Steps
    from tuma_worker.sandbox.webhooks import PostOffice, Webhook

_MAGIC_DIGITS = 6
_SLOW = 10
PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a recipient: the steps after `pending`, whether receipts tell of them, and how much slower they are."""

    steps: tuple[str, ...]
    receipts: bool = True
    slowness: float = 1


FATES = {
    "delivered": Fate(("processing", "sent", "delivered")),
    "undelivered": Fate(("processing", "sent", "undelivered")),
    "failed": Fate(("processing", "failed")),
    "rejected": Fate(("processing", "rejected")),
    "expired": Fate(("processing", "sent", "expired")),
    "delivery_unknown": Fate(("processing", "sent", "delivery_unknown")),
    "partially_delivered": Fate(("processing", "sent", "partially_delivered")),
    "silent": Fate(("processing", "sent", "delivered"), receipts=False),
    "stuck": Fate(("processing", "sent")),
    "slow": Fate(("processing", "sent", "delivered"), slowness=_SLOW),
    "corrected": Fate(("processing", "sent", "failed", "delivered")),
    "lost": Fate((), receipts=False),
    "refused": Fate(()),
}
"""`refused` never lives: the stand-ins refuse the number when it is sent, as an invalid one. `lost` stays pending for ever."""

MAGIC = {
    "999900": "delivered",
    "999901": "undelivered",
    "999902": "failed",
    "999903": "rejected",
    "999904": "expired",
    "999905": "delivery_unknown",
    "999906": "silent",
    "999907": "stuck",
    "999908": "slow",
    "999909": "refused",
    "999910": "partially_delivered",
    "999911": "corrected",
    "999912": "lost",
}
"""Our own invention: the last six digits of a number decide its fate."""

ENDS = frozenset({"delivered", "undelivered", "failed", "rejected", "expired", "delivery_unknown", "partially_delivered"})


@dataclass(frozen=True, slots=True)
class Manner:
    """How the receipts of one call come, and whether its last recipient is lost: an armed fault says so."""

    receipts: str = "normal"
    seconds: float = 0
    loses_one: bool = False


NORMAL = Manner()


@dataclass(slots=True, eq=False)
class Recipient:
    """One number of a call, as the provider sees it now (`status` in the provider's own words)."""

    number: str
    message_id: str
    fate: str
    status: str = PENDING
    sent_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """One accepted call and its recipients. `settled` is set when no step and no webhook of it is left to wait for."""

    id: str
    key: str
    sender: str
    text: str
    segments: int
    recipients: list[Recipient]
    created_at: float
    callback_url: str = ""
    reference: str = ""
    cost: float = 0
    unit_cost: float = 0
    dispatches: int = 1
    scheduled_at: float | None = None
    manner: Manner = NORMAL
    updated_at: float = 0
    counts: Counter[str] = field(default_factory=Counter)
    open: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _Group:
    """Recipients with one fate, on their way through its steps together."""

    recipients: list[Recipient]
    fate: Fate
    held: list[Webhook] = field(default_factory=list)
    ended: bool = False


class Voice(Protocol):
    """What a provider's stand-in adds to a life: its own words and webhooks."""

    def word(self, step: str) -> str | None:
        """The provider's status for a step; None: it does not know this step and nothing changes."""

    def queued_events(self, batch: Batch) -> list[Webhook]:
        """The webhooks about the call as a whole."""

    def step_events(self, batch: Batch, recipients: Sequence[Recipient], step: str, now: float) -> list[Webhook]:
        """The webhooks about recipients that have just reached a step."""


class Dice:
    """Decides fates by the number, or by seeded dice where the number says nothing."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  dice for outcomes that can be repeated, not a secret

    def fate(self, number: str, settings: Settings) -> str:
        """The name of the recipient's fate."""
        magic = MAGIC.get(number[-_MAGIC_DIGITS:]) if settings.magic_numbers else None
        return magic or self._roll(settings.outcomes)

    def either(self, first: str, second: str) -> str:
        """One of two with equal chance."""
        return self._random.choice((first, second))

    def _roll(self, weights: dict[str, float]) -> str:
        if len(weights) == 1:
            return next(iter(weights))
        return self._random.choices(list(weights), list(weights.values()))[0]


class Life:
    """Moves the messages of one provider through their steps, in the event loop."""

    def __init__(self, voice: Voice, office: PostOffice) -> None:
        self._voice = voice
        self._office = office
        self._era = object()

    def start(self, batch: Batch, settings: Settings, now: float) -> None:
        """Begin the life of an accepted call."""
        groups = _groups(batch.recipients)
        self._announce(batch, settings, groups[0])
        self._run(batch, settings, now, groups)

    def announce(self, batch: Batch, settings: Settings) -> None:
        """Only tell that the call as a whole was taken: it is for later."""
        self._announce(batch, settings, _groups(batch.recipients)[0])

    def run(self, batch: Batch, settings: Settings, now: float) -> None:
        """Let the recipients of a call that was announced before take their steps."""
        self._run(batch, settings, now, _groups(batch.recipients))

    def _announce(self, batch: Batch, settings: Settings, group: _Group) -> None:
        batch.open += 1
        queued = 0.0 if batch.manner.receipts == "before_answer" else settings.steps.queued
        self._later(queued, self._queued, batch, group)

    def _run(self, batch: Batch, settings: Settings, now: float, groups: list[_Group]) -> None:
        batch.updated_at = now
        batch.counts.update(recipient.status for recipient in batch.recipients)
        batch.open += len(groups)
        for group in groups:
            self._next(batch, group, settings.steps, 0)

    def clear(self) -> None:
        """Stop every life: timers of an earlier era do nothing."""
        self._era = object()

    def _queued(self, batch: Batch, group: _Group) -> None:
        self._tell(batch, group, self._voice.queued_events(batch))
        self._close(batch)

    def _next(self, batch: Batch, group: _Group, steps: Steps, index: int) -> None:
        if index == len(group.fate.steps):
            self._tell_held(batch, group)
            self._close(batch)
            return
        delay = _delay(group.fate.steps[index], steps) * group.fate.slowness
        self._later(0 if batch.manner.receipts == "before_answer" else delay, self._step, batch, group, steps, index)

    def _step(self, batch: Batch, group: _Group, steps: Steps, index: int) -> None:
        step, now = group.fate.steps[index], time.time()
        word = self._voice.word(step)
        if word is not None:
            self._move(batch, group.recipients, step, word, now)
            self._tell(batch, group, self._voice.step_events(batch, group.recipients, step, now))
        self._next(batch, group, steps, index + 1)

    @staticmethod
    def _move(batch: Batch, recipients: Iterable[Recipient], step: str, word: str, now: float) -> None:
        batch.updated_at = now
        for recipient in recipients:
            batch.counts[recipient.status] -= 1
            batch.counts[word] += 1
            recipient.status = word
            if step == "sent":
                recipient.sent_at = now
            elif step in ENDS:
                recipient.ended_at = now

    def _tell(self, batch: Batch, group: _Group, webhooks: list[Webhook]) -> None:
        """Post the receipts, in the manner that was armed for this call."""
        manner = batch.manner
        if manner.receipts == "none" or not group.fate.receipts:
            return
        if manner.receipts == "reordered" and not group.ended:
            group.held.extend(webhooks)
        elif manner.receipts == "late":
            self._later(manner.seconds, self._post, batch, webhooks)
        else:
            self._post(batch, webhooks * 2 if manner.receipts == "duplicate" else webhooks)

    def _tell_held(self, batch: Batch, group: _Group) -> None:
        group.ended = True
        self._post(batch, group.held[::-1])
        group.held.clear()

    def _post(self, batch: Batch, webhooks: list[Webhook]) -> None:
        if batch.manner.receipts == "before_answer":
            self._watch(batch, webhooks)
        for webhook in webhooks:
            self._office.post(webhook)

    def _watch(self, batch: Batch, webhooks: list[Webhook]) -> None:
        """Keep the call unsettled until these have ended; their ends are reported from the senders' threads."""
        loop = asyncio.get_running_loop()
        for webhook in webhooks:
            batch.open += 1
            webhook.done = functools.partial(loop.call_soon_threadsafe, self._close, batch)

    @staticmethod
    def _close(batch: Batch) -> None:
        batch.open -= 1
        if batch.open == 0:
            batch.settled.set()

    def _later(self, delay: float, action: Callable[..., None], *arguments: object) -> None:
        asyncio.get_running_loop().call_later(delay, self._in_era, self._era, action, arguments)

    def _in_era(self, era: object, action: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if era is self._era:
            action(*arguments)


def _groups(recipients: list[Recipient]) -> list[_Group]:
    by_fate: dict[str, list[Recipient]] = {}
    for recipient in recipients:
        by_fate.setdefault(recipient.fate, []).append(recipient)
    return [_Group(members, FATES[fate]) for fate, members in by_fate.items()]


def _delay(step: str, steps: Steps) -> float:
    return {"processing": steps.processing, "sent": steps.sent}.get(step, steps.final)
