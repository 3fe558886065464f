"""Messages that people write, as both providers are assumed to tell of them: taken in where the event is named, and only there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.canned import InventedAccount

from tuma_worker.core.receipts import Inbound
from tuma_worker.providers import named
from tuma_worker.providers.base import BadReceipt

if TYPE_CHECKING:
    from tuma_worker.core.receipts import Receipt

DATA = {"from": "+243 990 000 001", "to": "KITOKO", "message": "Stop"}
ENVELOPES: dict[str, dict[str, Any]] = {
    "lisoloo": {"event_id": "e-1", "event_type": "sms.received", "message_id": "m", "data": DATA},
    "lineserve": {"event": "sms.received", "data": {**DATA, "message_id": "m"}},
}


@pytest.fixture(params=sorted(ENVELOPES))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(provider: str, data: dict[str, object], event: str | None = "sms.received") -> Receipt:
    receipts = named(provider).receipts(InventedAccount("https://provider.example", inbound_event=event))
    (found,) = receipts.read(json.dumps({**ENVELOPES[provider], "data": {**ENVELOPES[provider]["data"], **data}}).encode())
    return found


def test_who_wrote_what_to_whom_is_read(provider: str) -> None:
    found = read(provider, {})
    assert (found.state, found.inbound) == (None, Inbound("+243990000001", "KITOKO", "Stop"))
    assert found.event_id is not None


def test_where_no_event_is_named_it_is_an_event_that_nobody_knows(provider: str) -> None:
    found = read(provider, {}, event=None)
    assert (found.state, found.inbound) == (None, None)


@pytest.mark.parametrize(
    ("data", "field"), [({"from": "nobody"}, "data.from"), ({"from": None}, "data.from"), ({"message": 7}, "data.message")]
)
def test_without_its_sender_or_its_text_it_is_refused_by_the_field(provider: str, data: dict[str, object], field: str) -> None:
    with pytest.raises(BadReceipt, match=f"^{field}: is missing or unreadable$"):
        read(provider, data)


def test_half_a_character_becomes_a_question_mark(provider: str) -> None:
    assert read(provider, {"message": "\ud83d"}).inbound == Inbound("+243990000001", "KITOKO", "?")


def test_an_event_that_tells_of_our_own_messages_is_no_inbound_one(provider: str) -> None:
    account = InventedAccount("https://provider.example", api_key=SecretStr("sk_test_x"), inbound_event="sms.delivered")
    with pytest.raises(ValueError, match=r"^inbound_event: sms\.delivered tells of messages that were sent"):
        named(provider).check(account)
