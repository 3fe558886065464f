"""The records of intents and attempts, read back: as their users see them, and as a send that can be made again."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.groups import shares
from tuma_producer.contract.ids import full_id, home_of
from tuma_producer.contract.rendered import Rendered, kept_in
from tuma_producer.contract.times import moment, moment_in
from tuma_producer.contract.wire import LANES
from tuma_producer.intents import Send
from tuma_producer.results import Attempt, Custody, Intent, Look, Recipient
from tuma_producer.schedules import read_schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BODY_FIELDS = ("body", *(f"body{piece}" for piece in range(1, 16)))  # body.lua cuts the body into these
PLANNED = "~"  # before a plan's name, where an intent's id will stand: no account's name begins with it
CARRIED = "carried:"  # begins the reason of who is carried, and before a number the field that says by which intent
LOOK = "look:"  # begins the names of an attempt's fields that tell what was looked for and found


def body_in(pieces: Iterable[bytes | None]) -> dict[str, Any]:
    """The body in what was read of a record's `BODY_FIELDS`, in that order; an empty one where the record is gone."""
    body: dict[str, Any] = json.loads(b"".join(filter(None, pieces)) or "{}")
    return body


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
    sharing = {"coalesce": shares(body, short_id, record["group"])}
    fields = about | known | deadline | failover | sharing | changes
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
