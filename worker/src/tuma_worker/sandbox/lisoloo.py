"""Lisoloo's stand-in: its endpoints, its error bodies and its webhooks. Sends for later are in lisoloo_schedules."""

from __future__ import annotations

import base64
import math
import os
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from tuma_worker.sandbox import segments
from tuma_worker.sandbox.calls import Call, Operation, Refused, accept, json_object
from tuma_worker.sandbox.life import ENDS, Batch, Life, Recipient
from tuma_worker.sandbox.lisoloo_calendar import moments
from tuma_worker.sandbox.lisoloo_errors import Problem, detail, problem_response
from tuma_worker.sandbox.lisoloo_rules import check_send
from tuma_worker.sandbox.lisoloo_schedules import Schedules
from tuma_worker.sandbox.webhooks import Policy, Target, Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_worker.sandbox.inbound import Written
    from tuma_worker.sandbox.settings import Key, Limit, Lisoloo
    from tuma_worker.sandbox.world import World

_PROGRESS = ("pending", "processing", "sent")
_TROUBLE = {
    "refuse_500": "1401",
    "refuse_503": "1402",
    "insufficient_balance": "1202",
    "suspended_key": "1004",
    "bad_key": "1001",
}
_KEY_STATES = {"suspended": "1004", "expired": "1005", "revoked": "1001", "not_allowed": "1003"}
_SIGNATURE = "X-Lisoloo-Signature"  # announced
_EVENTS = {"processing": "sms.processing", "sent": "sms.sent", "delivered": "sms.delivered"}


class LisolooStandIn:
    """All of Lisoloo that the sandbox imitates."""

    name = "lisoloo"

    def __init__(self, world: World) -> None:
        self._world = world
        self.life = Life(self, world.office)
        self._batches: dict[str, Batch] = {}
        self._schedules = Schedules(world, self.life)
        self._early_retries: dict[str, int] = {}
        self._suspended_until: dict[str, float] = {}

    @property
    def settings(self) -> Lisoloo:
        """The settings of this moment."""
        return self._world.settings.lisoloo

    def operations(self) -> list[tuple[str, str, Operation]]:
        """Method, path below the base path, and work of every endpoint with a key."""
        return [
            ("POST", "/send", Operation(self, "POST /send", "send", self.send, "send", has_body=True)),
            ("GET", "/status/{message_id}", Operation(self, "GET /status", "status", self.status, "status")),
            ("GET", "/balance", Operation(self, "GET /balance", "balance", self.balance, "balance")),
            ("DELETE", "/cancel/{message_id}", Operation(self, "DELETE /cancel", "cancel", self.cancel, "cancel")),
            ("POST", "/pause/{message_id}", Operation(self, "POST /pause", "pause", self.pause, "pause")),
            ("POST", "/resume/{message_id}", Operation(self, "POST /resume", "resume", self.resume, "resume")),
        ]

    def clear(self) -> None:
        """Forget every message and suspension."""
        self.life.clear()
        self._batches.clear()
        self._schedules.clear()
        self._early_retries.clear()
        self._suspended_until.clear()

    # What the road asks.

    def authenticate(self, call: Call) -> Key:
        """The key of the `app-key` header."""
        given = call.request.headers.get("app-key", "")
        if not given:
            self._refuse("1002")
        key = self.settings.keys.get(given)
        wrong_house = given.startswith("sk_live_" if self.settings.environment == "sandbox" else "sk_test_")
        if key is None or wrong_house:
            raise Refused(self._problem("1001"))
        if key.state != "active":
            self._refuse(_KEY_STATES[key.state])
        if call.arrived_at < self._suspended_until.get(key.label, 0):
            self._refuse("1302")
        return key

    def limits(self, world: World, bucket: str) -> tuple[Sequence[Limit], str, bool]:
        """Requests per key and endpoint."""
        settings = world.settings.lisoloo
        return settings.limits.get(bucket, ()), settings.window, settings.count_refused

    def limited(self, call: Call, retry_after: int) -> Response:
        """429 with the wait in header and body; too many early retries in a row suspend the key."""
        tries = self._early_retries[call.label] = self._early_retries.get(call.label, 0) + 1
        if 0 < self.settings.suspicious_after <= tries:
            self._early_retries[call.label] = 0
            self._suspended_until[call.label] = call.arrived_at + self.settings.suspension
        return self._problem("1301", retry_after=retry_after)

    def in_time(self, call: Call) -> None:
        """A call within its limits ends a row of early retries."""
        self._early_retries.pop(call.label, None)

    def numbers(self, body: object) -> Sequence[str]:
        """The texts in `to`."""
        to = (json_object(body) or {}).get("to")
        return [number for number in to if isinstance(number, str)] if isinstance(to, list) else []

    def malformed(self) -> Response:
        """The framework's own answer to a body that is not JSON."""
        return JSONResponse({"detail": [{"loc": ["body"], "msg": "JSON decode error", "type": "json_invalid"}]}, 422)

    def trouble(self, kind: str, code: str = "") -> Response:
        """The catalogue's answer."""
        return self._problem(code or _TROUBLE[kind])

    def headers(self, call: Call) -> Mapping[str, str]:  # noqa: ARG002  this provider documents none
        """None."""
        return {}

    # The endpoints.

    def send(self, call: Call) -> Response:
        """Accept a send, for now or for later; all of its dispatches are paid for at once."""
        body, now = json_object(call.body) or {}, self._world.clock.now()
        problem = check_send(body, self._world.settings, now)
        if problem is not None:
            raise Refused(self._respond(problem))
        when = moments(body, self.settings, now)
        batch = self._batch(call, body, when)
        self._pay(call, Decimal(str(batch.cost)))
        self._batches[batch.id] = batch
        waits = when or self._held_until(body, now)
        accept(self, call, batch, run=not waits)
        if waits:
            self._schedules.accept(batch, waits)
        data = self._receipt(batch, str(body.get("sending_type") or "immediate"))
        return JSONResponse({"status_code": self.settings.send_status, "success": True, "data": data}, self.settings.send_status)

    def cancel(self, call: Call) -> Response:
        """Withdraw what is still to come of a send for later, or of one that is held back."""
        return self._schedules.steer(call, "cancel")

    def pause(self, call: Call) -> Response:
        """Let its moments pass until it is resumed."""
        return self._schedules.steer(call, "pause")

    def resume(self, call: Call) -> Response:
        """Go on with the next moment."""
        return self._schedules.steer(call, "resume")

    def status(self, call: Call) -> Response:
        """The aggregate and the counts of one send."""
        batch = self._batches.get(call.request.path_params["message_id"])
        if batch is None or batch.key != call.label:
            return detail(404, "Message not found")
        batch, word = self._as_it_stands(batch)
        total, delivered = len(batch.recipients), batch.counts["delivered"]
        pending = total if word else sum(batch.counts[word] for word in _PROGRESS)
        delivered = 0 if word else delivered
        data = {
            "message_id": batch.id,
            "status": word or _aggregate(batch),
            "total_recipients": total,
            "delivered": delivered,
            "failed": total - delivered - pending,
            "pending": pending,
            "created_at": iso(batch.created_at),
            "updated_at": iso(batch.updated_at),
        }
        return JSONResponse({"status_code": 200, "success": True, "data": data})

    def _as_it_stands(self, batch: Batch) -> tuple[Batch, str | None]:
        """The dispatch that speaks for a send, and the word for a send for later of which more is to come, or was."""
        scheduled = self._schedules.get(batch.id)
        if scheduled is None:
            return batch, None
        word = scheduled.word
        shown = word if word is None or self.settings.status_tells_control else scheduled.waiting
        return (scheduled.sent[-1] if scheduled.sent else batch), shown or (None if scheduled.sent else scheduled.waiting)

    def balance(self, call: Call) -> Response:
        """Both wallets; prepaid money is spent first."""
        prepaid, postpaid = self._wallets(call)
        if prepaid is None and postpaid is None:
            return detail(400, "No wallet found for this merchant")
        total = (prepaid or Decimal()) + (postpaid or Decimal())
        price = Decimal(str(self.settings.unit_price))
        data = {
            "balance": float(total),
            "sms_wallet_balance": float(prepaid or 0),
            "postpaid_wallet_balance": float(postpaid or 0),
            "currency": self.settings.currency,
            "unit_price": float(price),
            "available_sms": math.floor(total / price) if price else 0,
        }
        return JSONResponse({"status_code": 200, "success": True, "data": data})

    # A message's life, in Lisoloo's words.

    def word(self, step: str) -> str | None:
        """Lisoloo's words are the sandbox's."""
        return step

    def queued_events(self, batch: Batch) -> list[Webhook]:
        """One `sms.queued` for the call."""
        data = {
            "total_recipients": len(batch.recipients),
            "total_messages": len(batch.recipients) * batch.segments * batch.dispatches,
            "total_cost": batch.cost,
            "currency": self.settings.currency,
            "scheduled_at": None if batch.scheduled_at is None else iso(batch.scheduled_at),
        }
        target = self._target(batch.callback_url)
        return [_event(target, "sms.queued", batch.id, data, batch.recipients[0].number, time.time())] if target else []

    def step_events(self, batch: Batch, recipients: Sequence[Recipient], step: str, now: float) -> list[Webhook]:
        """One event per recipient; ends without an event of their own are told as `sms.failed`, or not at all (switch)."""
        target = self._target(batch.callback_url)
        name = _EVENTS.get(step, "sms.failed")
        if target is None or (name == "sms.failed" != f"sms.{step}" and not self.settings.failed_event_for_every_bad_end):
            return []
        extra = _extra(step, batch, now)
        carrier = self.settings.carrier
        return [
            _event(target, name, batch.id, {"recipient_phone": _plus(r.number), "carrier": carrier, **extra}, r.number, now)
            for r in recipients
        ]

    def inbound_events(self, written: Written) -> list[Webhook]:
        """The one event of a message that somebody has written, at the key's webhook."""
        target = self._target("")
        data: dict[str, object] = {"from": written.sender, "to": written.to, "message": written.text}
        message_id = os.urandom(12).hex()
        return [_event(target, self.settings.inbound_event, message_id, data, written.sender, time.time())] if target else []

    # Steps of the above.

    def _batch(self, call: Call, body: dict[str, Any], when: Sequence[float]) -> Batch:
        world = self._world
        message_id = os.urandom(12).hex()
        parts = segments.count(body["message"], self.settings.segment_rule)
        unit = Decimal(str(self.settings.unit_price)) * parts
        return Batch(
            id=message_id,
            key=call.label,
            sender=body.get("sender_id") or "",
            text=body["message"],
            segments=parts,
            recipients=[Recipient(number, message_id, world.dice.fate(number, world.settings)) for number in body["to"]],
            created_at=call.arrived_at,
            callback_url=body.get("callback_url") or "",
            cost=float(unit * len(body["to"]) * max(1, len(when))),
            unit_cost=float(unit),
            dispatches=max(1, len(when)),
            scheduled_at=when[0] if when else None,
        )

    def _held_until(self, body: dict[str, Any], now: float) -> list[float]:
        """When an immediate send goes that is held back so that it can be withdrawn; nothing where it goes at once."""
        held = body.get("cancel_within") if self.settings.cancel_within else None
        return [now + held] if held else []

    def _receipt(self, batch: Batch, sending_type: str) -> dict[str, object]:
        return {
            "message_id": batch.id,
            "total_recipients": len(batch.recipients),
            "total_messages": len(batch.recipients) * batch.segments * batch.dispatches,
            "total_cost": batch.cost,
            "currency": self.settings.currency,
            "status": "pending" if batch.scheduled_at is None else "scheduled",
            "sending_type": sending_type,
        }

    def _wallets(self, call: Call) -> tuple[Decimal | None, Decimal | None]:
        own = call.key.balance if call.key and call.key.balance is not None else self.settings.balance
        spent = self._world.purses[self.name].spent(call.label)
        prepaid = None if own is None else max(Decimal(), Decimal(str(own)) - spent)
        rest = max(Decimal(), spent - Decimal(str(own or 0)))
        postpaid = self.settings.postpaid_balance
        return prepaid, None if postpaid is None else Decimal(str(postpaid)) - rest

    def _pay(self, call: Call, cost: Decimal) -> None:
        prepaid, postpaid = self._wallets(call)
        if cost > (prepaid or 0) + (postpaid or 0):
            self._refuse("1202")
        self._world.purses[self.name].spend(call.label, cost)

    def _target(self, callback_url: str) -> Target | None:
        """The call's own URL, or else the key's webhook; both with the key's credentials and signature unless switched off."""
        settings, webhook = self.settings, self.settings.webhook
        url = callback_url or webhook.url
        if not url:
            return None
        factor = self._world.settings.webhook_factor
        policy = Policy(tuple(delay * factor for delay in settings.retry_delays), "server_errors", settings.webhook_timeout)
        basic = bool(webhook.username and webhook.password) and (settings.basic_auth_on_callbacks or not callback_url)
        signs = settings.sign_callbacks or not callback_url
        return Target(
            url,
            policy,
            _basic(webhook.username, webhook.password) if basic else "",
            webhook.secret if signs else "",
            webhook.signature_header or _SIGNATURE,
            webhook.timestamp_header,
        )

    def _refuse(self, code: str) -> None:
        raise Refused(self._problem(code))

    def _problem(self, code: str, retry_after: int | None = None) -> Response:
        return self._respond(Problem(code, retry_after=retry_after))

    def _respond(self, problem: Problem) -> Response:
        return problem_response(problem, self.settings.error_format)


def health() -> Response:
    """Needs no key and counts nowhere."""
    return JSONResponse({"status": "ok"})


def iso(moment: float) -> str:
    """The time as Lisoloo writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aggregate(batch: Batch) -> str:
    """Not at an end while somebody is not; then the common end, or what a mixture is called."""
    for word in _PROGRESS:
        if batch.counts[word]:
            return word
    ends = [word for word in ENDS if batch.counts[word]]
    if len(ends) == 1:
        return ends[0]
    return "partially_delivered" if batch.counts["delivered"] else "failed"


def _extra(step: str, batch: Batch, now: float) -> dict[str, object]:
    at = iso(now)
    told: dict[str, dict[str, object]] = {
        "processing": {},
        "sent": {"sent_at": at},
        "delivered": {"delivered_at": at, "segments": batch.segments},
    }
    return told.get(step, {"failed_at": at, "error_code": None, "reason": step})


def _event(target: Target, name: str, message_id: str, data: dict[str, object], about: str, now: float) -> Webhook:  # noqa: PLR0917  the envelope has that many parts
    envelope: dict[str, object] = {
        "event_id": "",
        "event_type": name,
        "timestamp": iso(now),
        "message_id": message_id,
        "data": data,
    }
    return Webhook(target, envelope, about)


def _plus(number: str) -> str:
    return number if number.startswith("+") else f"+{number}"


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
