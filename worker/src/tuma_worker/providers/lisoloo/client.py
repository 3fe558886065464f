"""Lisoloo's requests and what their success means."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tuma_worker.core.answers import Accepted, Fault, Health, Reply, Unknown, Untold
from tuma_worker.providers.http import Arrived, ask, get, post
from tuma_worker.providers.lisoloo import schedules
from tuma_worker.providers.lisoloo.statuses import health, refusal, refused, request_id
from tuma_worker.providers.operations import make
from tuma_worker.providers.reading import code, identifier, money, section
from tuma_worker.providers.verdicts import unwell

if TYPE_CHECKING:
    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.answers import Answer, Trace
    from tuma_worker.core.custody import Sighting, Steered
    from tuma_worker.providers.base import Call
    from tuma_worker.providers.http import Http
    from tuma_worker.providers.lisoloo.settings import LisolooSettings
    from tuma_worker.providers.operations import Refusal, Request


class LisolooClient:
    """Sends for one Lisoloo key."""

    def __init__(self, settings: LisolooSettings, http: Http) -> None:
        self._settings = settings
        self._http = http
        self._send_url = settings.api_url() + "/send"
        self._balance_url = settings.api_url() + "/balance"

    def send(self, call: Call) -> Reply:
        """Make one `POST /send` for all numbers of `call`."""
        return self._send(call, self._body(call))

    def hand_over(self, call: Call, schedule: Schedule) -> Reply:
        """Make one `POST /send` for all numbers of `call`, at all dates of `schedule`."""
        return self._send(call, self._body(call) | schedules.fields(schedule, self._settings.timezone))

    def steer(self, verb: Verb, provider_id: str) -> Steered:
        """Make one `DELETE /cancel`, `POST /pause` or `POST /resume`."""
        method, path = schedules.VERBS[verb]
        return schedules.steered(self._ask(method, path, provider_id))

    def standing(self, provider_id: str) -> Sighting:
        """Make one `GET /status`."""
        return schedules.standing(self._ask("GET", "/status", provider_id))

    def _ask(self, method: str, path: str, provider_id: str) -> Arrived | Answer:
        url = f"{self._settings.api_url()}{path}/{quote(provider_id, safe='')}"
        return ask(self._http, method, url, headers=self._settings.headers(), timeout=self._settings.timeout)

    def _send(self, call: Call, body: dict[str, object]) -> Reply:
        arrived = post(
            self._http,
            self._send_url,
            headers=self._settings.headers(),
            body=body,
            timeout=self._settings.timeout,
            barred=call.barred,
        )
        if not isinstance(arrived, Arrived):
            return Reply(arrived)
        if not arrived.success:
            return refused(arrived, call)
        return Reply(_accepted(arrived), arrived.status, mismatch=_mismatch(arrived, call), request_id=request_id(arrived))

    def trace(self, call: Call, since: float) -> Trace:
        """Nothing can be looked up: the API has no list of sends and takes no reference of ours. Receipts are the only evidence."""
        del call, since
        return Untold("no-books")

    def probe(self, fault: Fault) -> Health:
        """Ask for the balance, which has a limit of its own: 30 calls per minute. Any success proves the key."""
        arrived = get(self._http, self._balance_url, headers=self._settings.headers(), params={}, timeout=self._settings.timeout)
        if not isinstance(arrived, Arrived):
            return unwell(arrived)
        if not arrived.success:
            return health(arrived)
        return _funded(arrived) if fault is Fault.MONEY else Health(works=True)

    def call(self, request: Request) -> Arrived | Refusal:
        """Make one request to any endpoint."""
        headers, timeout = self._settings.headers(), self._settings.timeout
        return make(self._http, self._settings.api_url(), request, headers=headers, timeout=timeout, meaning=refusal)

    def _body(self, call: Call) -> dict[str, object]:
        """The request. `sending_type` stays out: the provider's pages disagree about the name of the immediate one."""
        fields: dict[str, object | None] = {
            "to": list(call.numbers),
            "message": call.message,
            "sender_id": call.sender_id or self._settings.sender_id,
            "callback_url": call.callback_url,
            "cancel_within": call.cancel_within,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _funded(arrived: Arrived) -> Health:
    """Whether the wallets together pay for one segment."""
    data = section(arrived.body, "data")
    balance, price = money(data.get("balance")), money(data.get("unit_price"))
    if balance is None or price is None:
        return Health(works=False, code="no-balance")
    return Health(works=True) if balance >= price > 0 else Health(works=False, code="balance-too-low")


def _mismatch(arrived: Arrived, call: Call) -> str:
    """Whether it took another number of recipients than it was given: not told whom, nobody's state can follow from it."""
    total = section(arrived.body, "data").get("total_recipients")
    return "recipient-count" if isinstance(total, int) and total != len(call.numbers) else ""


def _accepted(arrived: Arrived) -> Answer:
    """All or nothing: Lisoloo refuses the whole call for one bad number and names no recipient in a success."""
    data = section(arrived.body, "data")
    provider_id = identifier(data.get("message_id"))
    if provider_id is None:
        return Unknown("no-id")
    return Accepted(provider_id, cost=money(data.get("total_cost")), currency=code(data.get("currency")))
