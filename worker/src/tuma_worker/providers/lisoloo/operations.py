"""What may be asked of Lisoloo besides sending: wallets, health, and how a send stands or what becomes of its dates.

Field names are those of Lisoloo's documentation (check status, check balance). What cancel, pause and resume answer is not
documented: assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.contract.custody import CONTROL, STATUS
from tuma_worker.core import funds
from tuma_worker.providers.base import BALANCE
from tuma_worker.providers.lisoloo.schedules import VERBS
from tuma_worker.providers.operations import Operation, Parameter, Request, segment
from tuma_worker.providers.reading import code, identifier, instant, integer, money, section

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from tuma_producer.results import Verb
    from tuma_worker.providers.operations import Exchange


@dataclass(frozen=True, slots=True)
class Balance:
    """Both wallets; prepaid money is spent first. `available_sms` counts segments."""

    balance: Decimal | None
    prepaid: Decimal | None
    postpaid: Decimal | None
    currency: str | None
    unit_price: Decimal | None
    available_sms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a send stands as a whole. `pending` counts everybody whose end is not known; nothing tells of a single recipient."""

    message_id: str | None
    status: str | None
    total_recipients: int | None
    delivered: int | None
    failed: int | None
    pending: int | None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wellness:
    """That the API answers, and in which word."""

    works: bool
    status: str | None


@dataclass(frozen=True, slots=True)
class Steering:
    """A verb that the provider took, and how the send stands by its answer."""

    verb: str
    message_id: str
    status: str | None


def balance(exchange: Exchange) -> Balance:
    """The account's money. Raises `NotDone`, as all of these do; without any wallet Lisoloo answers 400."""
    data = section(exchange(Request("GET", "/balance", BALANCE)).body, "data")
    return Balance(
        balance=money(data.get("balance")),
        prepaid=money(data.get("sms_wallet_balance")),
        postpaid=money(data.get("postpaid_wallet_balance")),
        currency=code(data.get("currency")),
        unit_price=money(data.get("unit_price")),
        available_sms=integer(data.get("available_sms")),
    )


def ask_balance(exchange: Exchange) -> funds.Balance | None:
    """What both wallets hold together, and what one segment costs; None where that was not told."""
    told = balance(exchange)
    return None if told.balance is None or told.currency is None else funds.Balance(told.balance, told.currency, told.unit_price)


def status(exchange: Exchange, message_id: str) -> Standing:
    """How the send of this id stands."""
    path = f"/status/{segment('message_id', message_id)}"
    data = section(exchange(Request("GET", path, STATUS, about=message_id)).body, "data")
    return Standing(
        message_id=identifier(data.get("message_id")),
        status=code(data.get("status")),
        total_recipients=integer(data.get("total_recipients")),
        delivered=integer(data.get("delivered")),
        failed=integer(data.get("failed")),
        pending=integer(data.get("pending")),
        created_at=instant(data.get("created_at")),
        updated_at=instant(data.get("updated_at")),
    )


def health(exchange: Exchange) -> Wellness:
    """Whether the API answers. Needs no key and counts against no limit; the body is not documented."""
    return Wellness(works=True, status=code(exchange(Request("GET", "/health", "")).body.get("status")))


def cancel(exchange: Exchange, message_id: str) -> Steering:
    """Withdraw the dates that are still to come of a scheduled or recurring send."""
    return _steer(exchange, "cancel", message_id)


def pause(exchange: Exchange, message_id: str) -> Steering:
    """Let the dates of a scheduled or recurring send pass until it is resumed."""
    return _steer(exchange, "pause", message_id)


def resume(exchange: Exchange, message_id: str) -> Steering:
    """Go on with the next date of a paused send."""
    return _steer(exchange, "resume", message_id)


def _steer(exchange: Exchange, verb: Verb, message_id: str) -> Steering:
    method, path = VERBS[verb]
    request = Request(method, f"{path}/{segment('message_id', message_id)}", CONTROL, about=message_id)
    return Steering(verb, message_id, code(section(exchange(request).body, "data").get("status")))


_MESSAGE = (Parameter("message_id", "the id that the provider gave the send", required=True, in_path=True),)

OPERATIONS = (
    Operation("status", "GET /status/{message_id}", "how a send stands", status, _MESSAGE),
    Operation("balance", "GET /balance", "the money in both wallets", balance),
    Operation("health", "GET /health", "whether the API answers", health),
    Operation("cancel", "DELETE /cancel/{id}", "withdraw the dates still to come", cancel, _MESSAGE, changes=True),
    Operation("pause", "POST /pause/{id}", "let dates pass until resumed", pause, _MESSAGE, changes=True),
    Operation("resume", "POST /resume/{id}", "go on with the next date", resume, _MESSAGE, changes=True),
)
