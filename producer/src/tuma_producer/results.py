"""What a producer is told: at once, when it asks how an intent stands, and of what it has steered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - frameworks of our users resolve these annotations at run time
from decimal import Decimal  # noqa: TC003 - as above
from typing import Literal

from tuma_producer.schedules import At, Every  # noqa: TC001 - as above


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `enqueue` returns once the intent is in Redis.

    `recipients` counts distinct numbers, `dropped` the duplicates that were left out, `segments` the parts of the text for one of
    them. `duplicate` is true where the idempotency key stood for this very send already; `id` is then the first one's.

    `eta` is when the last of the recipients is expected to be called, at the backlog of then and by the account's limits; None
    where the send did not ask, nobody can tell (something is paused or halted), or it is a duplicate.
    """

    id: str
    recipients: int
    segments: int
    dropped: int = 0
    duplicate: bool = False
    eta: datetime | None = None


Verb = Literal["cancel", "pause", "resume"]
CampaignOutcome = Literal["done", "partly", "too-late", "requested", "unknown"]


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What became of a request to cancel, pause or resume an intent, recipient by recipient.

    `outcome` is `done` where the verb holds for every recipient, `partly` where it holds for some, `too-late` where it holds for
    none, and `refused` where the intent is cancelled already and can be neither paused nor resumed. `stopped` are the recipients
    for whom it holds: cancelled, paused, or waiting in the line again; `with_provider` those whose call is under way or was taken,
    so that nothing can be withdrawn; `ended` those that had reached an end before. Asking again answers the same.

    Of a schedule these are the recipients of those of its last hundred occurrences that were still open, and `next_firing` is when
    it fires next. `outcome` is `partly` where something of them had gone, and `too-late` where the schedule was over and all had.

    Where the provider keeps the dates, `custody` is how it stands with it (see `Custody`), and `outcome` may also be `requested`
    while the provider is being asked (ask again), `unsupported` where it has no such call, with `advice` on what to do, and
    `unknown` where nobody could tell what became of the request; asking again then tries again. A cancel is `partly` where a date
    had passed.
    """

    id: str
    verb: Verb
    outcome: Literal["done", "partly", "too-late", "refused", "requested", "unsupported", "unknown"]
    stopped: tuple[str, ...]
    with_provider: tuple[str, ...]
    ended: tuple[str, ...]
    next_firing: datetime | None = None
    custody: str | None = None
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Custody:
    """How an intent stands whose dates the provider keeps.

    `state` is `handing-over`, `handed-over`, `pausing`, `paused`, `resuming`, `cancelling`, `cancelled`, `unknown-at-provider`,
    `not-handed-over` or `over`. `dispatches` is how many the provider owes, or owed, each recipient, between `first` and `last`;
    what fell into a pause or came after a cancel is not counted. `asked` is the last verb that somebody asked for, and `outcome`
    what became of it: `requested` as long as it is under way.
    """

    state: str
    dispatches: int
    first: datetime
    last: datetime
    asked: Verb | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What became of a request to cancel, pause or resume all intents of a campaign, in numbers of recipients.

    `stopped`, `with_provider` and `ended` are as in `ControlResult`, added up over so many `intents`. `outcome` is `done` where the
    verb holds for all of them whole, `too-late` where it holds for none, and `partly` in between.

    `requested` of the intents are schedules whose providers are being asked (see `ControlResult`); `outcome` is `requested` where
    the verb holds for all others whole. It is `unknown` where it is known to hold for none, but may for some. Ask again in both
    cases.
    """

    account: str
    campaign: str
    verb: Verb
    outcome: CampaignOutcome
    intents: int
    stopped: int
    with_provider: int
    ended: int
    requested: int = 0


Verdict = Literal["goes", "late", "waits", "nobody", "refused"]
PriceFrom = Literal["configured", "observed"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What sends would come to if they were enqueued now.

    `recipients` are distinct numbers of each send, `dropped` the duplicates, `suppressed` those on the account's suppression list,
    `unapproved` those to whom the sender may not be shown; neither are called. `segments` are those of the longest text, and
    `encoding` is `ucs-2` where one of them is. `messages` are the segments of all that would be called, `calls` how many calls that
    makes. Of a schedule all firings are counted that are still to come, at most a thousand.

    `cost` is by the account's `unit_price`, or by what its last call was charged (`price_from`); None where neither is known, or
    accounts differ in currency. `expected` is when the last recipient is called, or the first firing where all is scheduled.

    `verdict` is `goes`; `late` where that is past a deadline; `waits` where something is paused or halted, or bulk would come to
    what is kept of the account's money, so that nobody can tell when it goes; `nobody` where nobody is left to be called; `refused`
    where one of them would not be accepted, for a budget. `reasons` say why.
    """

    recipients: int
    dropped: int
    suppressed: int
    unapproved: int
    encoding: str
    segments: int
    messages: int
    calls: int
    cost: Decimal | None
    currency: str | None
    price_from: PriceFrom | None
    expected: datetime | None
    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suppression:
    """A number on an account's suppression list, and since when it is there."""

    number: str
    since: datetime


@dataclass(frozen=True, slots=True)
class EditResult:
    """How a schedule stands once it has been edited: `scheduled` or `paused`.

    `recipients` counts distinct numbers, `segments` the parts of the text for one of them. `next_firing` is the
    first to which the change applies; None while it is paused. Asking for the same again answers the same.
    """

    id: str
    state: Literal["scheduled", "paused"]
    recipients: int
    segments: int
    next_firing: datetime | None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where one recipient of an intent stands: its state, since when, who says so, and why where there is a reason.

    `attempt` names the last call that carried it, `provider_id` what the provider calls it. `redriven_as` is the intent by which an
    operator sent it again, `carried_as` the one by which another account carries it, or has. Where the provider keeps the dates,
    `deliveries` and `failures` count the dispatches of which a receipt told so; which date each was, the provider does not say.
    """

    number: str
    state: str
    since: datetime | None = None
    evidence: str | None = None
    reason: str | None = None
    attempt: str | None = None
    provider_id: str | None = None
    redriven_as: str | None = None
    carried_as: str | None = None
    deliveries: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One search for what became of a call whose answer never came.

    `found` is what was there: `receipt`; `one` (a call with `provider_id` in the books), `nothing`, `several`, `incomplete`
    (nothing, in books that do not tell all), `unreadable`; or `no-books` where the provider keeps none.

    `decision` is what followed: `adopted`, `absent` (proven never taken, sent again), `look-again`; or without evidence what the
    intent asked for, `unknown` or `resent`.
    """

    at: datetime
    found: str
    decision: str
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to the provider that carried recipients of an intent, with what became of it.

    Where its answer never came, `awaited` is until when a receipt was waited for before anybody looked, and `looks` what was looked
    for and found, oldest first.
    """

    id: str
    phase: str
    started: datetime
    ended: datetime | None = None
    code: str | None = None
    provider_id: str | None = None
    awaited: datetime | None = None
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Why something does not move: `kind` for programs, `text` in words.

    `kind` is `halted`, `queue-paused`, `priority-paused`, `source-paused`, `reserve`, `breaker`, `blocked`, `probing`, `limit`,
    `quiet`, `intent-paused`, `later` (it was put off, or is held back so that it can be withdrawn), `failover` or `carried`.
    `since` is when it began, `until` when it ends by itself, and `by` who did it, as far as that is known.
    """

    kind: str
    text: str
    since: datetime | None = None
    until: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent as `get` finds it. `counts` has a number for each state that any recipient is in; they add up to all recipients.

    `holds` says, in words, what its waiting recipients are waiting for.

    With a `schedule` that the provider keeps, `custody` says how it stands there. With any other it has no recipients of its own:
    it `fired` so many times, each time as another intent, and fires next at `next_firing`. `occurrences` are the ids of the last
    hundred of these, oldest first; each names the schedule's as its `parent`.

    `failover` are the accounts that may carry it. An intent by which one of them does names the one that it is a part of as its
    `home`.
    """

    id: str
    state: str
    source: str
    priority: str
    accepted: datetime
    expires: datetime | None
    counts: dict[str, int]
    recipients: tuple[Recipient, ...]
    attempts: tuple[Attempt, ...] = ()
    holds: tuple[str, ...] = ()
    campaign_name: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    schedule: At | Every | None = None
    next_firing: datetime | None = None
    fired: int = 0
    occurrences: tuple[str, ...] = ()
    parent: str | None = None
    failover: tuple[str, ...] = ()
    home: str | None = None
    ignore_quiet: bool = False
    custody: Custody | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an intent stands where it stands, as it was at `at` by the server's clock.

    `in_line` of its recipients wait in the account's line. `ahead` are the recipients of others that are called before the last of
    these, and `expected` is when that is, at the backlog of then and by the account's limits; None where nobody waits, or nobody
    can tell since something is paused or halted.
    """

    intent: Intent
    at: datetime
    holds: tuple[Hold, ...] = ()
    in_line: int = 0
    ahead: int = 0
    expected: datetime | None = None
