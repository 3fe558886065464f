"""The wire form: how an intent is written into Redis, and how its record is read back.

The body is versioned JSON. A reader knows every version that was ever written; a field that it does not know is kept, not refused.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from tuma_producer.contract import tracing
from tuma_producer.contract.budgets import over_budget
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.rendered import TEMPLATE, Rendered, kept, kept_in
from tuma_producer.contract.scripts import Argument, Script, load
from tuma_producer.contract.times import moment, moment_in
from tuma_producer.errors import IdempotencyConflict, UnknownAccount
from tuma_producer.intents import Send
from tuma_producer.results import Attempt, Custody, Intent, Look, Receipt, Recipient
from tuma_producer.schedules import read_schedule
from tuma_producer.text import segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from tuma_producer.contract.rendered import Kept

VERSION = 1
LANES = ("otp", "transactional", "bulk")
RETENTION_MS = 7 * 86_400_000  # how long a finished intent is remembered
IDEMPOTENCY_MS = 30 * 86_400_000  # how long an idempotency key stands for its send
EVENTS_KEPT = 1_000_000  # of an account's stream, about; consumers that fall further behind lose the oldest
BODY_FIELDS = ("body", *(f"body{piece}" for piece in range(1, 16)))  # body.lua cuts the body into these
PLANNED = "~"  # before a plan's name, where an intent's id will stand: no account's name begins with it
MOVABLE = "+"  # ends the groups whose jobs may go by another account; no digest has it
CARRIED = "carried:"  # begins the reason of who is carried, and before a number the field that says by which intent
LOUD = "!"  # in the groups of sends that go in quiet hours too; no other part of a name has it
CALLS_BACK = "-"  # ends the ids of intents with a `callback_url`: nobody need look into the records of the others to find them
LOOK = "look:"  # begins the names of an attempt's fields that tell what was looked for and found
ENQUEUE = load("tuma_producer.contract", "enqueue")
SHARED_ARGS: tuple[Argument, ...] = (EVENTS_KEPT, RETENTION_MS, IDEMPOTENCY_MS)  # of the sends that one call writes
_DEFAULT_LIFE = {"otp": "+600000"}  # a code that comes after ten minutes is of no use to anybody
_JSON = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True
)  # one text for one body: keys are compared by it


def new_id() -> str:
    """An id that sorts by time and cannot be guessed: milliseconds, then 60 random bits, in hexadecimal."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.randbits(60):015x}"


def full_id(account: str, short_id: str) -> str:
    """The id that users see. It names the account, so that an id alone is enough to find the record."""
    return f"{account}.{short_id}"


def split_id(intent_id: str) -> tuple[str, str] | None:
    """Account and short id, or None where the text cannot be an intent's id."""
    account, _, short_id = intent_id.rpartition(".")
    return (account, short_id) if account and short_id else None


def digest(*parts: str | None) -> str:
    """128 bits, in hexadecimal, that stand for these texts; no two different sequences share them in practice."""
    # Each part follows its length: otherwise ("ab", "c") and ("a", "bc") would be one text.
    framed = "".join(["-" if part is None else f"{len(part)}:{part}" for part in parts])
    return blake2b(framed.encode(), digest_size=16).hexdigest()


def carrier_id(account: str, home: str, short_id: str, turn: int) -> str:
    """The full id of the intent by which `account` carries recipients of another account's, the `turn`th of that."""
    return full_id(account, f"{short_id}~{home}~{turn}")


def home_of(intent_id: str) -> str | None:
    """The intent that this one carries recipients of; None where it carries none."""
    short_id, *home = intent_id.rpartition(".")[2].split("~")
    return full_id(home[0], short_id) if home else None


def calls_back(intent_id: str) -> bool:
    """Whether its events are to go to a `callback_url` of its own."""
    return intent_id.endswith(CALLS_BACK)


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
    group, written = _group(send, short_id), _traced(_made_by(kept(send), body))
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
    return _group(send, short_id), _made_by(kept(send), _body(send, parent))


def _group(send: Send, short_id: str) -> str:
    """What may share a call: `actor.segments.most.digest`. Sends with the same text and sender meet in one group.

    Those whose text the provider makes meet in one of calls to one recipient each, which is how a provider takes them.
    Those that may leave the account have groups of their own, so that whoever moves them finds them without asking for each record.
    """
    handed_over = send.custody == "provider"  # by a call of its own, which disturbs nobody
    own = short_id if not send.coalesce or handed_over else send.on_unknown if send.on_unknown != "hold" else None
    movable = bool(send.failover) or home_of(short_id) is not None
    alone = kept(send) is not None
    return _named(send.message, send.sender_id, own, alone=alone, loud=send.ignore_quiet or handed_over, movable=movable)


def _named(message: str, sender_id: str | None, own: str | None, *, alone: bool, loud: bool, movable: bool) -> str:
    return f"{_shared(message, sender_id, own, int(alone))}{LOUD if loud else ''}{MOVABLE if movable else ''}"


def _shares(body: Mapping[str, Any], short_id: str, group: str) -> bool:
    """Whether the send of this body may share calls, which is not in the body: its group tells."""
    handed_over = "custody" in body
    own = short_id if handed_over else body.get("on_unknown")
    loud = body.get("ignore_quiet", False) or handed_over
    alone = TEMPLATE in body
    return group.removesuffix(MOVABLE) == _named(body["message"], body.get("sender_id"), own, alone=alone, loud=loud, movable=False)


@lru_cache(maxsize=256)  # a campaign has one text
def _shared(message: str, sender_id: str | None, own: str | None, most: int) -> str:
    return f"send.{segment(message).segments}.{most}.{digest(message, sender_id, own)}"


def segments_of(group: str) -> int:
    """How many segments the text of this group's sends has."""
    return int(group.split(".")[1])


def most_of(group: str, batch_max: int) -> int:
    """How many recipients of this group one call carries, where the provider's may carry `batch_max`."""
    return int(group.split(".")[2]) or batch_max


def is_loud(group: str) -> bool:
    """Whether the sends of this group go in quiet hours too."""
    return LOUD in group


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


@lru_cache(maxsize=256)  # as above
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


def decode(intent_id: str, record: Mapping[str, str], attempts: Iterable[Attempt] = (), holds: Iterable[str] = ()) -> Intent:
    """A record as its users see it. Counts are counted, not kept: they cannot fail to add up."""
    # Sorted: Redis gives a hash's fields in no order that lasts.
    recipients = tuple(
        recipient(name, value, record.get(redriven(name), ""), record.get(CARRIED + name), record.get(tally(name), ""))
        for name, value in sorted(record.items())
        if name.startswith("+")
    )
    body = json.loads(record["body"])
    return Intent(
        id=intent_id,
        state=_intent_state(record, recipients),
        source=record["source"],
        priority=LANES[int(record["lane"])],
        accepted=moment_in(record["at"]) or moment(0),
        expires=moment_in(record["expires"]),
        counts=dict(Counter(one.state for one in recipients)),
        recipients=recipients,
        attempts=tuple(attempts),
        holds=tuple(holds),
        campaign_name=body.get("campaign_name"),
        metadata=body.get("metadata", {}),
        failover=tuple(body.get("failover", ())),
        home=home_of(intent_id),
        ignore_quiet=body.get("ignore_quiet", False),
        callback_url=body.get("callback_url"),
        **_relations(intent_id, record, body),
    )


def _relations(intent_id: str, record: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    """What only schedules and their occurrences have."""
    account = intent_id.rpartition(".")[0]
    if "parent" in body:
        return {"parent": full_id(account, body["parent"])}
    if "custody" in record:
        return {"schedule": read_schedule(body["schedule"]), "custody": _custody(record)}
    if not is_schedule(record):
        return {}
    children = record.get("children", "").split()
    return {
        "schedule": read_schedule(body["schedule"]),
        "next_firing": None if "held" in record else moment_in(record["next"]),
        "fired": int(record["fired"]),
        "occurrences": tuple(full_id(account, child) for child in children),
    }


def _custody(record: Mapping[str, str]) -> Custody:
    return Custody(
        state=record["custody"],
        dispatches=int(record["of"]),
        first=moment(int(record["first"])),
        last=moment(int(record["last"])),
        asked=record.get("wish") or record.get("verb") or record.get("asked"),  # type: ignore[arg-type] # the scripts' words
        outcome="requested" if "verb" in record else record.get("result"),
    )


def is_schedule(record: Mapping[str, str]) -> bool:
    """Whether the record is a schedule's."""
    return "fired" in record


def _schedule_state(record: Mapping[str, str]) -> str:
    return record.get("held") or ("done" if record["open"] == "0" else "scheduled")


def _intent_state(record: Mapping[str, str], recipients: Iterable[Recipient]) -> str:
    """`cancelled` is an intent of which nothing went out; one that was cancelled in the middle ends as any other."""
    if is_schedule(record):
        return _schedule_state(record)
    if record["open"] != "0" and "custody" in record:
        paused = record["custody"] == "paused" or (record["custody"] == "handing-over" and record.get("held") == "paused")
        return "paused" if paused else "cancelled" if record["custody"] == "cancelled" else "scheduled"
    if record["open"] == "0":
        return "cancelled" if all(one.state == "cancelled" for one in recipients) else "done"
    return "paused" if record.get("held") == "paused" else "active"


def recipient(number: str, packed: str, again: str = "", carried_as: str | None = None, told: str = "") -> Recipient:
    """A recipient's field: `state|since|evidence|reason|attempt|provider id`, or the bare state where nothing happened yet.

    `again` is what stands in its field for a redrive, if any, `carried_as` in that for a failover, and `told` in that for the
    dispatches of which a receipt told the end.
    """
    state, since, evidence, reason, attempt, provider_id = (*packed.split("|"), "", "", "", "", "")[:6]
    redriven_as = None if again.startswith(PLANNED) else again or None
    delivered, failed = map(int, told.split()[:2]) if told else (0, 0)
    return Recipient(
        number, state, moment_in(since), evidence or None, reason or None, attempt or None, provider_id or None, redriven_as,
        carried_as, delivered, failed,
    )  # fmt: skip


def tally(number: str) -> str:
    """The field that counts of how many dispatches a receipt told the end: delivered, and failed."""
    return f"tally:{number}"


def is_carried(packed: str) -> bool:
    """Whether another account carries this recipient and there is no news of it yet; recipients.lua says the same."""
    return packed.startswith("accepted|") and packed.split("|")[3].startswith(CARRIED)


def redriven(number: str) -> str:
    """The field that says by which intent this recipient was sent again; while that is only planned, `PLANNED` and the plan."""
    return f"redriven:{number}"


def again(account: str, short_id: str, record: Mapping[str, str], to: list[str], *, home: bool = True, **changes: Any) -> Send:  # noqa: ANN401 - fields of Send
    """The send that this record was accepted for, through this account, to these of its recipients, with these changes.

    Its deadline is kept, passed or not, unless another is among the changes. A template of the provider's is gone by only through
    the account that is its `home`, and as long as the text stays. Raises `InvalidSend`.
    """
    body = json.loads(record["body"])
    known = {name: value for name, value in body.items() if name in Send.model_fields}
    # Where the provider was to keep the dates, the deadline is that of the hand-over, and follows from them.
    own = {"expires_in", "expires_at"} & changes.keys() or "custody" in body
    deadline = {} if own else {"expires_at": moment_in(record["expires"])}
    failover = {"failover": [name for name in body.get("failover", ()) if name != account]}
    about = {"account": account, "to": to, "source": record["source"], "priority": LANES[int(record["lane"])]}
    shares = {"coalesce": _shares(body, short_id, record["group"])}
    fields = about | known | deadline | failover | shares | changes
    template = kept_in(body) if home and "message" not in changes else None
    return Send(**fields) if template is None else Rendered(**fields, kept=template)


def attempt(batch_id: str, record: Mapping[str, str]) -> Attempt | None:
    """An attempt's record as its users see it; None where it has been forgotten."""
    started = moment_in(record.get("at", ""))
    if started is None:
        return None
    return Attempt(
        id=batch_id,
        phase=record.get("phase", "calling"),
        started=started,
        ended=moment_in(record.get("ended", "")),
        code=record.get("code") or None,
        provider_id=record.get("provider_id") or None,
        awaited=moment_in(record.get("awaits", "")),
        looks=_looks(record) if _unanswered(record) else (),
    )


def look(at: int | str, found: str, decision: str, provider_id: str = "") -> str:
    """A look as an attempt's record keeps it, in a field whose name begins with `LOOK`."""
    return f"{at}|{found}|{decision}|{provider_id}"


def looked_at(look: str) -> float:
    """When a look that is kept so began, in Unix seconds; long ago where an older worker wrote it, which did not say."""
    at, told, _ = look.partition("|")
    return int(at) / 1000 if told else 0.0


def _unanswered(record: Mapping[str, str]) -> bool:
    """Whether no answer ever came: the call ended without one, or its worker did. A receipt may only have overtaken an answer."""
    return "awaits" in record or "ended" not in record


def _looks(record: Mapping[str, str]) -> tuple[Look, ...]:
    # A look without a story was written by an older worker.
    packed = sorted(value for name, value in record.items() if name.startswith(LOOK) and "|" in value)
    return tuple(_look(*value.split("|", 3)) for value in packed)


def _look(at: str, found: str, decision: str, provider_id: str) -> Look:
    return Look(moment(int(at)), found, decision, provider_id or None)


__all__ = [
    "ENQUEUE", "Enqueue", "Script", "again", "attempt", "decode", "digest", "encode", "full_id", "new_id", "recipient", "redriven",
    "split_id",
]  # fmt: skip
