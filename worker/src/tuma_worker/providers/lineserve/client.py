"""Lineserve's requests and what their success means: one number is a single send, perhaps by template, several are a campaign."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted, Fault, Health, RecipientAnswer, Reply, Unknown, Untold
from tuma_worker.providers.http import Arrived, get, post
from tuma_worker.providers.lineserve.history import message_query, traced_campaign, traced_message
from tuma_worker.providers.lineserve.statuses import health, meaning, quotas, refused, request_id
from tuma_worker.providers.operations import make
from tuma_worker.providers.reading import code, digits, identifier, items, money, section
from tuma_worker.providers.verdicts import unwell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_producer.contract.rendered import Kept
    from tuma_worker.core.answers import Answer, Trace
    from tuma_worker.providers.base import Call
    from tuma_worker.providers.http import Http
    from tuma_worker.providers.lineserve.settings import LineserveSettings
    from tuma_worker.providers.operations import Refusal, Request

_Request = tuple[str, dict[str, object]]  # the path of a send, and its body; a field that is None is left out

# The message states that end a message at once; any other one, also one unknown to us, says that it was taken.
REFUSED_STATES = frozenset({"failed", "rejected", "expired"})


# There is no balance to ask for.
TELLS = frozenset({Fault.KEY, Fault.SUSPENDED, Fault.CONFIGURATION})


class LineserveClient:
    """Sends for one Lineserve key."""

    def __init__(self, settings: LineserveSettings, http: Http) -> None:
        self._settings = settings
        self._http = http
        self._api_url = settings.api_url()

    def send(self, call: Call) -> Reply:
        """Make one `POST /sms/send`, or `/sms/send-template`, for one number, one `POST /sms/bulk` for several."""
        single = len(call.numbers) == 1
        path, body = self._request(call)
        arrived = post(
            self._http,
            self._api_url + path,
            headers=self._settings.headers(),
            body=body,
            timeout=self._settings.timeout,
            barred=call.barred,
        )
        if not isinstance(arrived, Arrived):
            return Reply(arrived)
        if not arrived.success:
            return refused(arrived, call)
        answer = _single_accepted(arrived, call) if single else _bulk_accepted(arrived, call)
        return Reply(answer, arrived.status, quotas(arrived.headers), request_id=request_id(arrived))

    def trace(self, call: Call, since: float) -> Trace:
        """Look for a campaign by its name, or for a single message by its recipient, text and time."""
        single = len(call.numbers) == 1
        arrived = get(
            self._http,
            self._api_url + ("/sms/messages" if single else "/sms/campaigns"),
            headers=self._settings.headers(),
            params=message_query(call, since) if single else {},
            timeout=self._settings.timeout,
        )
        if not isinstance(arrived, Arrived):
            return Untold("unreadable-books")
        left = quotas(arrived.headers)
        if not arrived.success:
            return Untold("unreadable-books", left)
        found = traced_message(arrived.body, call) if single else traced_campaign(arrived.body, call, since)
        return replace(found, quotas=left)

    def probe(self, fault: Fault) -> Health:
        """Ask for one line of the history: that answers for the key and the account, while nothing answers for its money."""
        if fault not in TELLS:
            return Health(works=False, code="not-told")
        arrived = get(
            self._http,
            self._api_url + "/sms/messages",
            headers=self._settings.headers(),
            params={"per_page": "1"},
            timeout=self._settings.timeout,
        )
        if not isinstance(arrived, Arrived):
            return unwell(arrived)
        return Health(works=True, quotas=quotas(arrived.headers)) if arrived.success else health(arrived)

    def call(self, request: Request) -> Arrived | Refusal:
        """Make one request to any endpoint."""
        headers, timeout = self._settings.headers(), self._settings.timeout
        return make(self._http, self._api_url, request, headers=headers, timeout=timeout, meaning=meaning)

    def _request(self, call: Call) -> _Request:
        path, body = _single(call) if len(call.numbers) == 1 else _bulk(call)
        sender = {"from": call.sender_id or self._settings.sender_id}
        return path, {name: value for name, value in (body | sender).items() if value is not None}


def _single(call: Call) -> _Request:
    if call.template is not None:
        return _by_template(call, call.template)
    return "/sms/send", {"to": call.numbers[0], "message": call.message, "callback_url": call.callback_url}


def _by_template(call: Call, template: Kept) -> _Request:
    """It takes no `callback_url`: receipts come to a subscribed address, by the message's id."""
    return "/sms/send-template", {"to": call.numbers[0], "template_id": template.id, "variables": template.variables}


def _bulk(call: Call) -> _Request:
    """The campaign's name is the one thing of ours that the provider gives back: it finds a call whose answer was lost."""
    named = {"recipients": list(call.numbers), "campaign_name": call.reference}
    return "/sms/bulk", {**named, "message": call.message, "callback_url": call.callback_url}


def _single_accepted(arrived: Arrived, call: Call) -> Answer:
    provider_id = identifier(arrived.body.get("message_id"))
    if provider_id is None:
        return Unknown("no-id")
    return Accepted(
        provider_id,
        {call.numbers[0]: _recipient(arrived.body)},
        money(arrived.body.get("cost")),
        code(arrived.body.get("currency")),
    )


def _bulk_accepted(arrived: Arrived, call: Call) -> Answer:
    provider_id = identifier(arrived.body.get("campaign_id"))
    if provider_id is None:
        return Unknown("no-id")
    return Accepted(
        provider_id,
        _recipients(arrived, call),
        money(arrived.body.get("total_cost")),
        code(arrived.body.get("currency")),
    )


def _recipients(arrived: Arrived, call: Call) -> dict[str, RecipientAnswer]:
    """What was said about each number, matched by digits: neither the order nor the spelling is promised."""
    messages = (item for item in items(arrived.body, "messages") if isinstance(item, dict))
    said = {digits(identifier(item.get("to")) or ""): item for item in messages}
    listed = {number: _recipient(said[digits(number)]) for number in call.numbers if digits(number) in said}
    unlisted = RecipientAnswer(accepted=not _left_out(arrived, listed, call), reason="not-listed")
    return {number: listed.get(number, unlisted) for number in call.numbers}


def _left_out(arrived: Arrived, listed: dict[str, RecipientAnswer], call: Call) -> bool:
    """Whether the numbers that the answer does not list were refused.

    The list may be cut short in a large campaign, so only the campaign's own total proves it: as many messages as are listed, and
    fewer than were asked for. Without that proof they count as taken, and a receipt or the history tells.
    """
    total = arrived.body.get("total_messages")
    return isinstance(total, int) and not isinstance(total, bool) and total == len(listed) < len(call.numbers)


def _recipient(fields: Mapping[str, object]) -> RecipientAnswer:
    state = code(fields.get("status"))
    accepted = state is None or state.lower() not in REFUSED_STATES
    reason = code(fields.get("error_code")) or code(section(fields, "error").get("code")) or state
    return RecipientAnswer(accepted, identifier(fields.get("message_id")), None if accepted else reason)
