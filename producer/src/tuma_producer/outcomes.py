"""What became of every message: the events of an account's stream as CloudEvents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - frameworks of our users resolve these annotations at run time
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.ids import full_id
from tuma_producer.contract.times import moment

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Event:
    """One change of state. `as_cloudevent` gives the CloudEvents 1.0 JSON form.

    `type` is `tuma.recipient.<state>`, `tuma.recipient.redriven`, `.dropped` or `.counted`, `tuma.intent.<what>`: accepted,
    scheduled, fired, edited, carried, paused, resumed, cancelled, done, or `custody-<state>`; or `tuma.account.<what>`: halted,
    resumed, breaker-opened, breaker-closed, bulk-held, bulk-released, paused, limit-set, limit-unset, subscription-disabled,
    subscription-enabled, consumers-behind. `sequence` counts an intent's events from 1 without gaps.

    And `tuma.inbound.received`, a message that a person wrote: `data` has `from`, `text`, `to` where that is told, and `stop`, the
    word by which it asks for no more messages.

    `correction` is true where better evidence changed an end. `traceparent` is in the first event of an intent that is part of a
    trace.
    """

    id: str
    type: str
    time: datetime
    account: str
    intent: str | None = None
    source: str | None = None
    sequence: int | None = None
    recipient: str | None = None
    evidence: str | None = None
    reason: str | None = None
    attempt: str | None = None
    correction: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    traceparent: str | None = None

    def as_cloudevent(self) -> dict[str, Any]:
        """The event in CloudEvents 1.0 JSON form; `source` there names where it happened, as that specification wants it."""
        told = ("recipient", "evidence", "reason", "attempt", "source")
        data = {name: value for name in told if (value := getattr(self, name)) is not None} | self.data
        if self.correction:
            data["correction"] = True
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": f"/tuma/accounts/{self.account}",
            "time": self.time.isoformat(timespec="milliseconds"),
            "datacontenttype": "application/json",
            "data": data,
        }
        if self.intent is not None:
            event |= {"subject": self.intent, "sequence": f"{self.sequence:010d}"}
        if self.traceparent is not None:
            event["traceparent"] = self.traceparent  # as the extension for distributed tracing has it
        return event


def decode_event(account: str, entry_id: str, fields: Mapping[str, str]) -> Event:
    """A stream entry as an event. The entry's id is the server's time, so it is the event's time as well."""
    state, short_id = fields["e"], fields.get("i")
    return Event(
        id=f"{account}/{entry_id}",
        type=_type(state, fields),
        time=moment(int(entry_id.partition("-")[0])),
        account=account,
        intent=full_id(account, short_id) if short_id else None,
        source=fields.get("s"),
        sequence=int(fields["q"]) if "q" in fields else None,
        recipient=fields.get("r"),
        evidence=fields.get("v") or None,
        reason=fields.get("w") or None,
        attempt=fields.get("b") or None,
        correction=fields.get("c") == "1",
        data=_data(account, fields),
        traceparent=fields.get("tp"),
    )


def _data(account: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What only some kinds of events carry: how many recipients an intent has, who acted, which intent follows, what was counted.

    And of a schedule: which intent an occurrence is and when it was to fire, or when the next one is. Of a failover: from which
    account to which, and as which intent. Of who is told of events: which subscription, or group of consumers.
    """
    recipients = {"recipients": int(fields["n"])} if "n" in fields else {}
    fired = {"occurrence": full_id(account, fields["o"])} if "o" in fields else {}
    firing = {"firing": _iso(fields["t"])} if fields.get("t") else {}
    if "carrier" in fields:
        return recipients | {"from": account, "to": fields["carrier"].rpartition(".")[0], "carried_as": fields["carrier"]}
    if "from" in fields:
        return {told: fields[told] for told in ("from", "to", "text", "stop") if fields[told]}
    counted = {told: int(fields[name]) for name, told in (("nd", "delivered"), ("nf", "failed"), ("of", "of")) if name in fields}
    return recipients | fired | firing | counted | {told: fields[name] for name, told in _TOLD.items() if fields.get(name)}


_TOLD = {"by": "by", "as": "redriven_as", "sub": "subscription", "group": "group"}


def _iso(milliseconds: str) -> str:
    return moment(int(milliseconds)).isoformat(timespec="milliseconds")


def _type(state: str, fields: Mapping[str, str]) -> str:
    if "from" in fields:
        return f"tuma.inbound.{state}"
    if "r" in fields:
        return f"tuma.recipient.{state}"
    return f"tuma.intent.{state}" if "i" in fields else f"tuma.account.{state}"
