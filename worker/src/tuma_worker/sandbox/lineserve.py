"""Lineserve's stand-in: sends, status, history, campaigns, limit headers and webhooks. What it keeps is in lineserve_desk."""

from __future__ import annotations

import os
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from tuma_worker.sandbox import segments
from tuma_worker.sandbox.calls import Call, Operation, Refused, accept, json_object
from tuma_worker.sandbox.life import Batch, Life, Recipient
from tuma_worker.sandbox.lineserve_desk import Desk, complaint
from tuma_worker.sandbox.lineserve_history import History
from tuma_worker.sandbox.lineserve_messaging import Complaint, Messaging
from tuma_worker.sandbox.lineserve_rules import check_bulk, check_common, check_single, error, is_number
from tuma_worker.sandbox.lineserve_webhooks import WORDS, inbound_events, iso, step_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_worker.sandbox.inbound import Written
    from tuma_worker.sandbox.settings import Key, Limit, Lineserve
    from tuma_worker.sandbox.webhooks import Webhook
    from tuma_worker.sandbox.world import World

_ALWAYS, _NEVER, _DICE = "+254700000001", "+254700000002", "+254700000003"
_TEST_NUMBERS = frozenset({_ALWAYS, _NEVER, _DICE})

_TROUBLE = {
    "refuse_500": "internal_error",
    "refuse_503": "service_unavailable",
    "insufficient_balance": "insufficient_balance",
    "suspended_key": "account_suspended",
    "bad_key": "unauthorized",
}


class LineserveStandIn:
    """All of Lineserve that the sandbox imitates."""

    name = "lineserve"

    def __init__(self, world: World) -> None:
        self._world = world
        self.life = Life(self, world.office)
        self._history = History()
        self._kept = Messaging(world)

    @property
    def settings(self) -> Lineserve:
        """The settings of this moment."""
        return self._world.settings.lineserve

    def operations(self) -> list[tuple[str, str, Operation]]:
        """Method, path below the base path, and work of every endpoint."""

        def reading(name: str, fault_name: str) -> Operation:
            work = {
                "GET /sms/status": self.status,
                "GET /sms/messages": self.messages,
                "GET /sms/campaigns": self.campaigns,
                "GET /sms/campaigns/{id}": self.campaign,
            }
            return Operation(self, name, "requests", work[name], fault_name)

        return [
            ("POST", "/sms/send", Operation(self, "POST /sms/send", "requests", self.send, "send", has_body=True)),
            ("POST", "/sms/bulk", Operation(self, "POST /sms/bulk", "requests", self.bulk, "send", has_body=True)),
            (
                "POST",
                "/sms/send-template",
                Operation(self, "POST /sms/send-template", "requests", self.send_template, "send", has_body=True),
            ),
            ("GET", "/sms/status/{message_id}", reading("GET /sms/status", "status")),
            ("GET", "/sms/messages", reading("GET /sms/messages", "history")),
            ("GET", "/sms/campaigns", reading("GET /sms/campaigns", "campaigns")),
            ("GET", "/sms/campaigns/{campaign_id}", reading("GET /sms/campaigns/{id}", "campaigns")),
            *Desk(self, self._kept, self._history).operations(),
        ]

    def clear(self) -> None:
        """Forget every message."""
        self.life.clear()
        self._history.clear()
        self._kept.clear()

    # What the road asks.

    def authenticate(self, call: Call) -> Key:
        """The key of the Bearer header."""
        scheme, _, given = call.request.headers.get("authorization", "").partition(" ")
        key = self.settings.keys.get(given) if scheme.lower() == "bearer" else None
        if key is None or key.state in {"expired", "revoked"}:
            raise Refused(error("unauthorized"))
        if key.state != "active":
            raise Refused(error("account_suspended"))
        return key

    def limits(self, world: World, bucket: str) -> tuple[Sequence[Limit], str, bool]:
        """Requests per key, whatever the endpoint."""
        settings = world.settings.lineserve
        return settings.limits.get(bucket, ()), settings.window, settings.count_refused

    def limited(self, call: Call, retry_after: int) -> Response:  # noqa: ARG002  the other provider's answer depends on the call
        """429; the wait is told only behind a switch, for the documents do not mention it."""
        response = error(self.settings.rate_code, status=429)
        if self.settings.retry_after:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def in_time(self, call: Call) -> None:
        """Nothing follows from it here."""

    def numbers(self, body: object) -> Sequence[str]:
        """The texts in `to` or `recipients`."""
        given = json_object(body) or {}
        to = given.get("recipients", given.get("to"))
        return [number for number in (to if isinstance(to, list) else [to]) if isinstance(number, str)]

    def malformed(self) -> Response:
        """The body is not JSON."""
        return error("invalid_parameter", "body")

    def trouble(self, kind: str, code: str = "") -> Response:
        """The error object with the code that belongs to it."""
        return error(code or _TROUBLE[kind])

    def headers(self, call: Call) -> Mapping[str, str]:
        """What is left of the longest request limit and of the SMS quota."""
        headers: dict[str, str] = {}
        for bucket, word in (("requests", "RateLimit"), ("sms", "SMS")):
            limits, kind, _ = self.limits(self._world, bucket)
            room = self._world.windows[self.name].room(call.label, bucket, limits, kind=kind, now=call.arrived_at)
            if room is not None:
                headers[f"X-{word}-Limit"] = str(room.limit.count)
                headers[f"X-{word}-Remaining"] = str(room.remaining)
                if bucket == "requests":
                    headers["X-RateLimit-Reset"] = str(room.reset_at)
        return headers

    # The endpoints.

    def send(self, call: Call) -> Response:
        """Accept one message."""
        body = json_object(call.body) or {}
        self._check(check_single(body, self._world.settings) or check_common(body, self._world.settings))
        return self._send_one(call, body)

    def send_template(self, call: Call) -> Response:
        """Accept one message, whose text a template gives."""
        body = json_object(call.body) or {}
        self._check(check_single(body, self._world.settings))
        try:
            filled = body | {"message": self._kept.render(call.label, body)}
        except Complaint as problem:
            raise Refused(complaint(problem)) from problem
        self._check(check_common(filled, self._world.settings))
        return self._send_one(call, filled)

    def _send_one(self, call: Call, body: dict[str, Any]) -> Response:
        self._check(self._complaint_about(call, str(body["to"]), body.get("from")))
        batch = self._batch(call, body, [str(body["to"])], f"msg_{_serial()}")
        batch.recipients[0].message_id = batch.id
        self._admit(call, batch)
        recipient = batch.recipients[0]
        echo = {"message_id": batch.id, "to": recipient.number, "message": batch.text, "from": batch.sender or None}
        return JSONResponse(
            {
                **echo,
                "status": recipient.status,
                "cost": batch.cost,
                "currency": self.settings.currency,
                "created_at": iso(batch.created_at),
            }
        )

    def bulk(self, call: Call) -> Response:
        """Accept one text to many numbers as a campaign."""
        body: dict[str, Any] = json_object(call.body) or {}
        self._check(check_bulk(body, self._world.settings) or check_common(body, self._world.settings))
        if not all(self._kept.approved(call.label, body.get("from"), number) for number in body["recipients"]):
            raise Refused(error("sender_id_not_approved", "from", body.get("from")))
        batch = self._batch(call, body, body["recipients"], f"camp_{_serial()}")
        batch.reference = body.get("campaign_name") or ""
        self._admit(call, batch)
        self._history.add_campaign(batch)
        return JSONResponse(
            {
                "campaign_id": batch.id,
                "campaign_name": batch.reference or None,
                "total_messages": len(batch.recipients),
                "total_cost": batch.cost,
                "currency": self.settings.currency,
                "status": "processing",
                "created_at": iso(batch.created_at),
                "messages": [
                    {"message_id": r.message_id, "to": r.number, "status": r.status} for r in batch.recipients if r.fate != "lost"
                ],
            }
        )

    def status(self, call: Call) -> Response:
        """One message with its delivery report."""
        found = self._history.message(call.label, call.request.path_params["message_id"])
        if found is None:
            return error("not_found", "message_id", call.request.path_params["message_id"])
        batch, recipient = found
        trouble = recipient.fate if recipient.status in {"failed", "rejected", "expired"} else None
        report = {
            "network": self.settings.network,
            "country": self.settings.country,
            "error_code": trouble,
            "error_message": trouble and f"The message is {trouble}",
        }
        return JSONResponse({**_told(batch, recipient, self.settings.currency), "delivery_report": report})

    def messages(self, call: Call) -> Response:
        """The history, newest first, filtered and paged."""
        before = call.arrived_at - self.settings.history_delay
        try:
            found, meta = self._history.page(call.label, call.request.query_params, before)
        except ValueError as problem:
            return error("invalid_parameter", "query", str(problem))
        return JSONResponse({"messages": [_told(*pair, self.settings.currency) for pair in found], "meta": meta})

    def campaigns(self, call: Call) -> Response:
        """All campaigns of the key, newest first."""
        before = call.arrived_at - self.settings.history_delay
        return JSONResponse({"campaigns": [self._campaign(batch) for batch in self._history.campaigns(call.label, before)]})

    def campaign(self, call: Call) -> Response:
        """One campaign with its messages."""
        batch = self._history.campaign(call.label, call.request.path_params["campaign_id"])
        if batch is None:
            return error("not_found", "campaign_id", call.request.path_params["campaign_id"])
        listed = [{"message_id": r.message_id, "to": r.number, "status": r.status} for r in batch.recipients]
        return JSONResponse({**self._campaign(batch), "messages": listed})

    # A message's life, in Lineserve's words.

    def word(self, step: str) -> str | None:
        """Lineserve's status for a step."""
        return WORDS.get(step)

    def queued_events(self, batch: Batch) -> list[Webhook]:  # noqa: ARG002  the other provider has one
        """None: nothing is told of the call as a whole."""
        return []

    def step_events(self, batch: Batch, recipients: Sequence[Recipient], step: str, now: float) -> list[Webhook]:
        """One event per recipient and target."""
        return step_events(batch, recipients, step, now, self._world.settings, self._kept.subscriptions(batch.key))

    def inbound_events(self, written: Written) -> list[Webhook]:
        """One event per target for a message that somebody has written."""
        told = self._kept.subscriptions(written.key)
        return inbound_events(written, f"msg_{os.urandom(6).hex()}", time.time(), self._world.settings, told)

    # Steps of the above.

    def _complaint_about(self, call: Call, number: str, sender: object) -> Response | None:
        if not self._kept.approved(call.label, sender, number):
            return error("sender_id_not_approved", "from", sender)
        if self._kept.opted_out(call.label, number):
            return error(self.settings.opt_out_code, "to", number)
        return None

    @staticmethod
    def _check(complaint: Response | None) -> None:
        if complaint is not None:
            raise Refused(complaint)

    def _batch(self, call: Call, body: dict[str, Any], to: Sequence[str], batch_id: str) -> Batch:
        parts = segments.count(body["message"])
        serial = batch_id.partition("_")[2]
        recipients = [self._recipient(call, number, f"msg_{serial}{i:04d}") for i, number in enumerate(to)]
        unit = Decimal(str(self.settings.unit_price)) * parts
        return Batch(
            id=batch_id,
            key=call.label,
            sender=body.get("from") or "",
            text=body["message"],
            segments=parts,
            recipients=recipients,
            created_at=call.arrived_at,
            callback_url=body.get("callback_url") or "",
            cost=float(unit * len(_paid(call, recipients))),
            unit_cost=float(unit),
        )

    def _recipient(self, call: Call, number: str, message_id: str) -> Recipient:
        settings = call.world.settings
        if not is_number(number, settings) or self._kept.opted_out(call.label, number):
            return Recipient(number, message_id, "refused", "rejected", None, call.arrived_at)
        return Recipient(number, message_id, self._fate(number), self.settings.first_status)

    def _fate(self, number: str) -> str:
        """The documented test numbers first, then ours and the dice."""
        dice = self._world.dice
        tests = {_ALWAYS: "delivered", _NEVER: "failed"}
        if number == _DICE:
            return dice.either("delivered", "failed")
        return tests.get(number) or dice.fate(number, self._world.settings)

    def _admit(self, call: Call, batch: Batch) -> None:
        """Check money and quota, count both, and begin the messages' lives."""
        self._check_money(call, batch)
        self._count_messages(call, batch)
        self._world.purses[self.name].spend(call.label, Decimal(str(batch.cost)))
        self._history.add(batch)
        accept(self, call, batch)

    def _check_money(self, call: Call, batch: Batch) -> None:
        own = call.key.balance if call.key and call.key.balance is not None else self.settings.balance
        spent = self._world.purses[self.name].spent(call.label)
        if own is not None and spent + Decimal(str(batch.cost)) > Decimal(str(own)):
            raise Refused(error("insufficient_balance"))

    def _count_messages(self, call: Call, batch: Batch) -> None:
        weight = len(_paid(call, batch.recipients)) * (batch.segments if self.settings.quota_counts_parts else 1)
        limits, kind, _ = self.limits(self._world, "sms")
        windows, now = self._world.windows[self.name], call.arrived_at
        verdict = windows.hit(call.label, "sms", limits, kind=kind, now=now, weight=weight, count_refused=False)
        if not verdict.allowed:
            self._world.ledger.violation()
            raise Refused(self.limited(call, verdict.retry_after))

    def _campaign(self, batch: Batch) -> dict[str, object]:
        counts = batch.counts
        open_ones = counts["pending"] + counts["sent"]
        return {
            "campaign_id": batch.id,
            "campaign_name": batch.reference or None,
            "total_messages": len(batch.recipients),
            "delivered_messages": counts["delivered"],
            "failed_messages": counts["failed"] + counts["rejected"] + counts["expired"],
            "total_cost": batch.cost,
            "currency": self.settings.currency,
            "status": "processing" if open_ones else "completed",
            "created_at": iso(batch.created_at),
            "completed_at": None if open_ones else iso(batch.updated_at),
        }


def _serial() -> str:
    return str(int.from_bytes(os.urandom(6), "big") + 10**14)


def _paid(call: Call, recipients: Sequence[Recipient]) -> list[Recipient]:
    """Those who cost money and quota: nobody in test mode, no test number, nobody who was refused on the spot."""
    if call.request.headers.get("x-test-mode", "").lower() == "true":
        return []
    return [r for r in recipients if r.number not in _TEST_NUMBERS and r.fate != "refused"]


def _told(batch: Batch, recipient: Recipient, currency: str) -> dict[str, object]:
    return {
        "message_id": recipient.message_id,
        "to": recipient.number,
        "message": batch.text,
        "from": batch.sender or None,
        "status": recipient.status,
        "cost": batch.unit_cost if batch.cost else 0,
        "currency": currency,
        "sent_at": None if recipient.sent_at is None else iso(recipient.sent_at),
        "delivered_at": iso(recipient.ended_at) if recipient.status == "delivered" and recipient.ended_at else None,
    }
