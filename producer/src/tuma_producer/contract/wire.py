"""The wire form: how an intent is written into Redis; `records` reads it back.

The body is versioned JSON. A reader knows every version that was ever written; a field that it does not know is kept, not refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tuma_producer.contract import tracing
from tuma_producer.contract.budgets import over_budget
from tuma_producer.contract.groups import group_for, segments_of
from tuma_producer.contract.ids import CALLS_BACK, digest, full_id, home_of, new_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.rendered import TEMPLATE, kept
from tuma_producer.contract.scripts import Argument, load
from tuma_producer.errors import IdempotencyConflict, UnknownAccount
from tuma_producer.results import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tuma_producer.contract.rendered import Kept
    from tuma_producer.intents import Send

VERSION = 1
LANES = ("otp", "transactional", "bulk")
RETENTION_MS = 7 * 86_400_000  # how long a finished intent is remembered
IDEMPOTENCY_MS = 30 * 86_400_000  # how long an idempotency key stands for its send
EVENTS_KEPT = 1_000_000  # of an account's stream, about; consumers that fall further behind lose the oldest
ENQUEUE = load("tuma_producer.contract", "enqueue")
SHARED_ARGS: tuple[Argument, ...] = (EVENTS_KEPT, RETENTION_MS, IDEMPOTENCY_MS)  # of the sends that one call writes
_DEFAULT_LIFE = {"otp": "+600000"}  # a code that comes after ten minutes is of no use to anybody
# One text for one body: keys are compared by it.
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


class Entry(NamedTuple):
    """What is written of a send. `keys` are its own: those that no other send shares with it."""

    keys: tuple[str, ...]
    short_id: str
    source: str
    lane: int
    group: str
    hold: int
    deadline: str
    body: str
    digest: str
    campaign: str
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enqueue:
    """One call of the enqueue script, and what its receipt will say."""

    script = ENQUEUE
    keys: list[str]
    args: list[Argument]
    send: Send
    entry: Entry
    eta: datetime | None = None

    @property
    def short_id(self) -> str:
        """The id within the account."""
        return self.entry.short_id

    @property
    def recipients(self) -> int:
        """How many it goes to, each number once."""
        return len(self.entry.numbers)

    @property
    def segments(self) -> int:
        """How many segments its text has."""
        return segments_of(self.entry.group)

    def receipt(self, reply: Sequence[bytes]) -> Receipt:
        """The script's reply as a receipt. Raises `UnknownAccount`, `IdempotencyConflict` or `OverBudget`."""
        verdict = reply[0].decode()
        if verdict == "unknown-account":
            raise UnknownAccount(self.send.account)
        if verdict == "over-budget":
            raise over_budget(self.entry.source, reply[1])
        intent_id = full_id(self.send.account, reply[1].decode())
        if verdict == "conflict":
            raise IdempotencyConflict(self.send.idempotency_key or "", intent_id)
        dropped = len(self.send.to) - self.recipients
        if verdict == "duplicate":
            return Receipt(intent_id, self.recipients, self.segments, dropped, duplicate=True)
        return Receipt(intent_id, self.recipients, self.segments, dropped, eta=self.eta)

    def again(self, reply: Sequence[bytes]) -> Enqueue | None:  # noqa: ARG002 - a schedule's looks at it
        """What to ask instead, where the reply wants that; None, since it does not."""
        return None


def encode(send: Send, source: str, short_id: str | None = None) -> Enqueue:
    """What to write for a send of this source. Pure but for the id, where none is given."""
    entry = entry_of(send, source, short_id)
    args: list[Argument] = [
        *SHARED_ARGS, entry.short_id, entry.source, entry.lane, entry.group, entry.hold, entry.deadline, entry.body, entry.digest,
        entry.campaign, len(entry.numbers), *entry.numbers,
    ]  # fmt: skip
    return Enqueue(keys_of(send.account, entry), args, send, entry)


def keys_of(account: str, entry: Entry) -> list[str]:
    """The keys of an account's line, and those of this entry."""
    return [*shared_keys(account), *entry.keys]


def entry_of(send: Send, source: str, short_id: str | None = None) -> Entry:
    """What is written of a send. Pure but for the id, where none is given, and the trace that this code runs in."""
    source = send.source or source
    account = account_keys(send.account)
    short_id = short_id or new_id() + (CALLS_BACK if send.callback_url else "")
    numbers = tuple(dict.fromkeys(send.to))
    body = _body(send, None)
    deadline = deadline_of(send)
    keys = [account.intent(short_id)]
    # What carries another account's recipients is steered with these, and belongs to no campaign of its own account.
    campaign = send.campaign_name if home_of(short_id) is None else None
    if campaign is not None:
        keys += campaign_keys(send.account, campaign)
    body_digest = ""
    if send.idempotency_key is not None:
        keys.append(account.idempotency(digest(source, send.idempotency_key)))
        body_digest = digest(body, deadline, send.priority, str(send.coalesce), " ".join(sorted(numbers)))
    hold = round(1000 * (send.cancel_within or 0))
    lane = LANES.index(send.priority)
    group, written = group_for(send, short_id), _traced(_made_by(kept(send), body))
    return Entry(tuple(keys), short_id, source, lane, group, hold, deadline, written, body_digest, campaign or "", numbers)


@lru_cache(maxsize=1024)
def shared_keys(account: str) -> tuple[str, ...]:
    """The keys that all sends of an account share, in the script's order: its profile, its queue's, its events and its lists."""
    keys = account_keys(account)
    queue = keys.queue("send")
    lanes = [queue.sources(lane) for lane in range(len(LANES))]
    return (
        keys.profile,
        queue.entries,
        queue.groups,
        *lanes,
        queue.due,
        queue.spent,
        queue.state,
        queue.bell,
        keys.events,
        queue.deadlines,
        keys.suppressed,
        keys.budgets,
    )


def campaign_keys(account: str, name: str) -> tuple[str, str]:
    """The keys that say how a campaign stands and what belongs to it. A name may hold anything, so a digest stands for it."""
    keys = account_keys(account)
    return keys.campaigns, keys.campaign(digest(name))


def content(send: Send, short_id: str, parent: str | None = None) -> tuple[str, str]:
    """Group and body of an intent of this id; `parent` is the schedule that it is an occurrence of, if any."""
    return group_for(send, short_id), _made_by(kept(send), _body(send, parent))


def deadline_of(send: Send) -> str:
    """When it is too late for a send: Unix milliseconds, `+` and milliseconds from acceptance, or empty for never."""
    if send.expires_in is not None:
        return f"+{round(send.expires_in * 1000)}"
    if send.expires_at is not None:
        return str(round(send.expires_at.timestamp() * 1000))
    return _DEFAULT_LIFE.get(send.priority, "")


def _body(send: Send, parent: str | None) -> str:
    given = {
        "sender_id": send.sender_id,
        "on_unknown": None if send.on_unknown == "hold" else send.on_unknown,
        "failover": send.failover or None,
        "ignore_quiet": send.ignore_quiet or None,
        "campaign_name": send.campaign_name,
        "callback_url": send.callback_url,
        "parent": parent,
    }
    said = tuple([(name, value) for name, value in given.items() if value is not None])
    if not send.metadata and (send.schedule is None or parent is not None):
        return _encoded(send.message, said)
    fields: dict[str, Any] = {"v": VERSION, "message": send.message, **dict(said)}
    if send.metadata:
        fields["metadata"] = send.metadata
    if send.schedule is not None and parent is None:
        fields["schedule"] = send.schedule.model_dump(mode="json", exclude_none=True)
        if send.custody == "provider":
            fields["custody"] = send.custody
    return _JSON.encode(fields)


@lru_cache(maxsize=256)  # a campaign has one text
def _encoded(message: str, said: tuple[tuple[str, Any], ...]) -> str:
    return _JSON.encode({"v": VERSION, "message": message, **dict(said)})


def _made_by(template: Kept | None, body: str) -> str:
    """A body with the template that the provider is to fill. An idempotency key stands for the text, whoever makes it."""
    return body if template is None else f'{body[:-1]},"{TEMPLATE}":{_JSON.encode(asdict(template))}}}'


def _traced(body: str) -> str:
    """A body with the trace that it is part of. What an idempotency key stands for has none: a repeat is part of another one."""
    parent = tracing.current()
    return f'{body[:-1]},"{tracing.FIELD}":"{parent}"}}' if parent else body


def without_text(body: Mapping[str, Any]) -> str:
    """A record's body as it is written once the text is forgotten."""
    return _JSON.encode({name: value for name, value in body.items() if name not in {"message", TEMPLATE}})
