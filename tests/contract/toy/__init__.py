"""Toy: a provider that nobody has, in the one folder that a provider needs. It sends, answers for its key, and tells by webhook."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from tuma_worker.core.answers import Accepted, AccountFault, Fault, Health, Rejected, Reply, TryLater, Unknown, Untold
from tuma_worker.core.limits import Limit
from tuma_worker.core.receipts import Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.providers.base import Defaults
from tuma_worker.providers.http import Arrived, get, post
from tuma_worker.providers.incoming import event_name, header, per_recipient, receipt_body
from tuma_worker.providers.operations import Refusal, make
from tuma_worker.providers.provider import Provider
from tuma_worker.providers.reading import identifier, seconds
from tuma_worker.providers.verdicts import unwell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuma_worker.core.answers import Answer, Trace
    from tuma_worker.providers.base import Call
    from tuma_worker.providers.http import Http
    from tuma_worker.providers.operations import Request
    from tuma_worker.providers.provider import Account

EVENTS: Mapping[str, tuple[RecipientState, Evidence]] = {
    "arrived": (RecipientState.DELIVERED, Evidence.HANDSET),
    "lost": (RecipientState.FAILED, Evidence.OPERATOR),
}


def _meaning(arrived: Arrived) -> Answer:
    match arrived.status:
        case 401:
            return AccountFault("401", Fault.KEY)
        case 429:
            return TryLater("429", after=seconds(arrived.headers.get("retry-after")), scope="account")
        case 400:
            return Rejected("400")
        case _:
            return Unknown(str(arrived.status))


class ToyClient:
    """Sends for one key."""

    def __init__(self, account: Account, http: Http) -> None:
        self._account, self.http = account, http
        self._headers = {"X-Key": account.api_key.get_secret_value()}

    def _url(self, path: str) -> str:
        return f"{self._account.base_url}/toy{path}"

    def send(self, call: Call) -> Reply:
        """Make one `POST /messages`."""
        body = {"to": list(call.numbers), "text": call.message, "from": call.sender_id, "tell": call.callback_url}
        timeout = self._account.timeout
        arrived = post(self.http, self._url("/messages"), headers=self._headers, body=body, timeout=timeout, barred=call.barred)
        if not isinstance(arrived, Arrived):
            return Reply(arrived)
        if not arrived.success:
            return Reply(_meaning(arrived), arrived.status)
        provider_id = identifier(arrived.body.get("id"))
        return Reply(Unknown("no-id") if provider_id is None else Accepted(provider_id), arrived.status)

    def trace(self, call: Call, since: float) -> Trace:  # noqa: ARG002 - there are no books
        """Nothing can be looked up."""
        return Untold("no-books")

    def probe(self, fault: Fault) -> Health:  # noqa: ARG002 - the same question for each
        """Ask whether the key is good."""
        arrived = get(self.http, self._url("/me"), headers=self._headers, params={}, timeout=self._account.timeout)
        if not isinstance(arrived, Arrived):
            return unwell(arrived)
        return Health(works=arrived.success, code=str(arrived.status))

    def call(self, request: Request) -> Arrived | Refusal:
        """Make one request to any endpoint."""
        return make(
            self.http, self._url(""), request, headers=self._headers, timeout=self._account.timeout,
            meaning=lambda arrived: Refusal(_meaning(arrived), str(arrived.status), arrived.status),
        )  # fmt: skip


class ToyReceipts:
    """Checks and reads the webhooks of one key."""

    def __init__(self, account: Account) -> None:
        secret = account.webhook_secret
        self._secret = None if secret is None else secret.get_secret_value()

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether the secret is there."""
        return header(headers, "x-secret") is not None and not self.forged(headers, body, now)

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:  # noqa: ARG002 - the secret is sent as it is
        """Whether there is another one."""
        given = header(headers, "x-secret")
        return given is not None and not hmac.compare_digest(given, self._secret or "")

    def read(self, body: bytes) -> list[Receipt]:
        """The one event of a body."""
        envelope = receipt_body(body)
        event = event_name("what", envelope.get("what"))
        state, evidence = EVENTS.get(event, (None, Evidence.PROVIDER))
        number = per_recipient("to", envelope.get("to"), needed=state is not None)
        return [Receipt(event, identifier(envelope.get("id")), number, state, evidence)]


def _check(account: Account) -> None:
    if account.base_url is None:
        message = "needs base_url: Toy has no documented address"
        raise ValueError(message)


PROVIDER = Provider(
    name="toy",
    defaults=Defaults(limits=(Limit.parse("5 calls/s"),), batch_max=2, tells=frozenset({Fault.KEY})),
    client=ToyClient,
    receipts=ToyReceipts,
    check=_check,
    caller=ToyClient,
    operations=(),
    sends=("POST /messages",),
)
