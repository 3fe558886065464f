"""What providers tell the gateway: who is believed, what is refused with which status, and that each news counts once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.support.cluster import until
from tests.support.houses import open_house
from tests.support.programs import PATIENCE

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

    from tuma_producer import Intent

USER, PASSWORD = "webhooks", "invented-webhook-password"
CREDENTIALS = {"webhook_username": USER, "webhook_password": PASSWORD}
ACCOUNTS: dict[str, Settings] = {
    "main": {"provider": "lisoloo", **CREDENTIALS, "inbound_event": "sms.received"},
    "common": {"provider": "lisoloo", **CREDENTIALS},
    "trusting": {"provider": "lisoloo"},
    "lineserve": {"provider": "lineserve"},
    "impatient": {"provider": "lisoloo", "receipts_for": 1, "lease": 0.5},
}
STUCK = "+243990999907"  # the sandbox never tells of it more than `sent`
STEPS = ["sending", "submitted", "sent", "delivered"]


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    config = {"lisoloo": {"webhook": {"username": USER, "password": PASSWORD}}}
    with open_house(server, ACCOUNTS, config=config) as found:
        found.worker("main", "trusting", "lineserve", "impatient", TUMA_SWEEP_EVERY="0.5")
        yield found


@dataclass(frozen=True)
class Waiting:
    """A message that the provider has `sent`, and the address at which the gateway waits for the receipt about it."""

    house: House
    intent_id: str
    address: str
    provider_id: str

    @property
    def intent(self) -> Intent:
        return self.house.producer.get(self.intent_id)

    def body(self, event: str = "sms.delivered", number: str = STUCK) -> dict[str, object]:
        """A receipt in Lisoloo's words."""
        at = "2026-01-05T10:00:00Z"
        told = {"recipient_phone": number, "carrier": "airtel", "delivered_at": at}
        return {"event_id": "e-1", "event_type": event, "timestamp": at, "message_id": self.provider_id, "data": told}

    def events(self) -> int:
        """How many events its account has in all, when all that has come is applied."""
        until(lambda: not self.house.redis.xlen(AccountKeys("main").inbox), "the inbox is empty")
        return int(self.house.redis.xlen("tuma:{main}:events"))


@pytest.fixture
def waiting(house: House) -> Waiting:
    intent_id = house.send("main", STUCK)
    house.until(intent_id, "recipient.sent")
    call = house.sandbox.calls("main")[-1]
    return Waiting(house, intent_id, call["callback_url"], call["provider_id"])


def post(address: str, body: object, auth: tuple[str, str] | None = None) -> int:
    """Post a receipt, JSON unless it is bytes, and return the status of the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(address, content=content, auth=auth, timeout=PATIENCE).status_code


# --------------------------------------------------------------------------------------------------------- who is believed


def test_a_wrong_password_is_refused_and_changes_nothing(waiting: Waiting) -> None:
    before = waiting.events()
    assert post(waiting.address, waiting.body(), (USER, "a-wrong-password")) == 401
    assert post(waiting.address, waiting.body(), ("somebody", PASSWORD)) == 401
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)


@pytest.mark.parametrize("auth", [None, (USER, PASSWORD)], ids=["without credentials", "with the right ones"])
def test_a_receipt_at_the_calls_own_address_is_believed(waiting: Waiting, auth: tuple[str, str] | None) -> None:
    assert post(waiting.address, waiting.body(), auth) == 200
    assert waiting.house.story(waiting.intent_id) == ["accepted", *STEPS, "done"]


def test_a_token_that_is_wrong_in_one_letter_is_nobodys(waiting: Waiting) -> None:
    before = waiting.events()
    head, last = waiting.address[:-1], waiting.address[-1]
    assert post(head + ("a" if last != "a" else "b"), waiting.body(), (USER, PASSWORD)) == 404
    assert post(f"{waiting.house.gateway_url}/receipts/main/no-such-batch.token", waiting.body()) == 404
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)


def test_another_accounts_address_does_not_open_with_this_accounts_token(waiting: Waiting) -> None:
    address = waiting.address.replace("/receipts/main/", "/receipts/trusting/")
    assert address != waiting.address
    assert post(address, waiting.body()) == 404
    assert waiting.intent.counts == {"sent": 1}


def test_whoever_does_not_post_is_told_what_is_allowed(house: House) -> None:
    answer = httpx.get(f"{house.gateway_url}/receipts/main", timeout=PATIENCE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("place", ["/receipts/nobody", "/receipts/nobody/batch.token"])
def test_an_unknown_account_is_not_found(house: House, place: str) -> None:
    assert post(house.gateway_url + place, {}) == 404


# -------------------------------------------------------------------------------------------------------- what can be read


def test_a_body_of_ten_megabytes_is_refused_and_the_gateway_lives_on(waiting: Waiting) -> None:
    before = waiting.events()
    assert post(waiting.address, b'{"event_type": "' + b"x" * 10_000_000 + b'"}') == 413
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)
    assert httpx.get(f"{waiting.house.gateway_url}/readyz", timeout=PATIENCE).json() == {"status": "ready"}


@pytest.mark.parametrize(
    "body",
    [b"hello", b"", b"[" * 30_000, b'{"a":' * 10_000, b"[]", b'"text"', b"null", b"\xff\xfe", b"{}", b'{"event_type": 7}'],
    ids=["text", "nothing", "deep lists", "deep objects", "a list", "a string", "null", "no UTF-8", "empty", "no name"],
)
def test_what_is_no_receipt_is_refused_and_changes_nothing(waiting: Waiting, body: bytes) -> None:
    before = waiting.events()
    assert post(waiting.address, body) == 400
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)


def test_news_that_nobody_here_knows_is_taken_and_changes_nothing(waiting: Waiting) -> None:
    before = waiting.events()
    assert post(waiting.address, waiting.body("sms.teleported")) == 200
    assert post(waiting.address, waiting.body(number="+243990000099")) == 200  # the call had no such recipient
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)


# ------------------------------------------------------------------------------------------------------- order and copies


@pytest.mark.parametrize("account", ["main", "lineserve"])
@pytest.mark.parametrize(
    ("fault", "story"),
    [
        ("duplicate_receipts", STEPS),
        ("receipts_before_answer", STEPS),
        ("reordered_receipts", ["sending", "submitted", "delivered"]),
    ],
)
def test_receipts_may_come_early_twice_or_in_any_order_and_each_change_is_one_event(
    house: House, account: str, fault: str, story: list[str]
) -> None:
    to = [f"+24399001{n:04}" for n in range(3)]
    already = house.sandbox.books()["webhooks"]
    house.sandbox.arm(fault, to=to)
    intent_id = house.send(account, *to)
    assert house.done(intent_id).counts == {"delivered": 3}
    books = house.sandbox.until(lambda books: books["webhooks"]["pending"] == 0)  # nothing can come after this
    assert books["webhooks"]["failed"] == already["failed"]
    events = house.until(intent_id, "intent.done")
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    for number in to:
        assert [event.type.rpartition(".")[2] for event in events if event.recipient == number] == story
    after = [event for event in _all_events(house, account) if event == intent_id]
    assert len(after) == len(events)


def _all_events(house: House, account: str) -> list[str]:
    """The intent of each event in the account's stream, as it is now."""
    raw: list[tuple[bytes, dict[bytes, bytes]]] = house.redis.xrange(f"tuma:{{{account}}}:events")  # type: ignore[assignment] # a synchronous client
    return [f"{account}.{fields[b'i'].decode()}" for _, fields in raw if b"i" in fields]


# -------------------------------------------------------------------------------------------------------- as they came


def receipts(house: House, *words: str) -> list[str]:
    """What `tuma receipts` writes, line by line."""
    return list(house.tuma("receipts", *words).out.splitlines())


def test_what_the_provider_told_is_shown_as_it_came_and_numbers_only_to_who_asks(waiting: Waiting) -> None:
    plain = {"recipient_phone": STUCK.removeprefix("+"), "remark": f"to {STUCK}"}
    told = waiting.body("sms.remarked") | {"data": plain}
    assert post(waiting.address, told) == 200
    waiting.events()
    shown = [json.loads(line) for line in receipts(waiting.house, waiting.intent_id, "--json", "--show-numbers")]
    (attempt,) = waiting.intent.attempts
    assert {one["about"] for one in shown} == {attempt.id}
    assert json.loads(shown[-1]["body"]) == told
    masked = receipts(waiting.house, waiting.intent_id)
    assert len(masked) == len(shown)
    assert not any(STUCK[1:] in line for line in masked)
    assert "+243…07" in masked[-1]


def test_what_is_about_no_call_that_is_known_is_shown_by_its_account(house: House) -> None:
    number = "+243990000777"
    told = {"event_type": "sms.delivered", "message_id": "never-known", "data": {"recipient_phone": number}}
    assert post(f"{house.gateway_url}/receipts/common", told, (USER, PASSWORD)) == 200
    until(lambda: house.redis.exists(AccountKeys("common").parked), "it is put aside")
    (shown,) = receipts(house, "common", "--show-numbers")
    assert shown.startswith("parked ")
    assert number in shown
    assert number not in "".join(receipts(house, "common"))


# ---------------------------------------------------------------------------------------------------- what people write


def test_whoever_writes_stop_gets_no_more_messages(house: House) -> None:
    body = {"event_id": "e-9", "event_type": "sms.received", "data": {"from": "+243990000321", "message": "ARRET"}}
    common = f"{house.gateway_url}/receipts/main"
    assert [post(common, body), post(common, body, (USER, PASSWORD))] == [401, 200]
    event = next(event for event in house.account_events("main") if event.type == "tuma.inbound.received")
    assert event.data == {"from": "+243990000321", "text": "ARRET", "stop": "ARRÊT"}
    assert house.done(house.send("main", "+243990000321")).counts == {"suppressed": 1}


def test_whoever_writes_stop_to_the_provider_gets_no_more_messages_either(house: House) -> None:
    webhook = {"url": f"{house.gateway_url}/receipts/main", "username": USER, "password": PASSWORD}
    with house.sandbox.configured(lisoloo={"inbound_event": "sms.received", "webhook": webhook}):
        house.sandbox.write("lisoloo", "+243990000322", "Stop")
        events = house.account_events("main")
        assert next(event.data["stop"] for event in events if (event.data or {}).get("from") == "+243990000322") == "STOP"
    assert house.done(house.send("main", "+243990000322")).counts == {"suppressed": 1}


# ------------------------------------------------------------------------------------------------------ no receipt at all


def test_what_is_never_told_of_ends_unknown_and_a_receipt_that_comes_after_all_corrects_it(house: House) -> None:
    intent_id = house.send("impatient", STUCK)
    assert house.story(intent_id) == ["accepted", "sending", "submitted", "sent", "unknown", "done"]
    (recipient,) = house.producer.get(intent_id).recipients
    assert (recipient.evidence, recipient.reason) == ("assumed", "no-receipt")
    call = house.sandbox.calls("impatient")[-1]
    late = Waiting(house, intent_id, call["callback_url"], call["provider_id"])
    assert post(late.address, late.body()) == 200
    corrected = house.until(intent_id, "recipient.delivered")[-1]
    assert (corrected.correction, corrected.evidence) == (True, "handset")
    assert late.intent.counts == {"delivered": 1}


# ------------------------------------------------------------------------------------------------- the account's address


def test_receipts_at_the_accounts_common_address_find_their_message_by_the_providers_id(house: House) -> None:
    address = f"{house.gateway_url}/receipts/common"
    webhook = {"url": address, "username": USER, "password": PASSWORD}
    house.worker("common", TUMA_PUBLIC_URL="")  # without it no call names an address of its own
    with house.sandbox.configured(lisoloo={"webhook": webhook}):
        intent_id = house.send("common", "+243990000001", "+243990000002")
        assert house.done(intent_id).counts == {"delivered": 2}
    assert house.sandbox.calls("common")[-1]["callback_url"] == ""


def test_the_common_address_believes_nobody_without_credentials(waiting: Waiting) -> None:
    house = waiting.house
    before = waiting.events()
    assert post(f"{house.gateway_url}/receipts/main", waiting.body()) == 401
    assert post(f"{house.gateway_url}/receipts/main", waiting.body(), (USER, "a-wrong-password")) == 401
    assert post(f"{house.gateway_url}/receipts/trusting", waiting.body()) == 401  # no password is set: nobody can prove themselves
    assert (waiting.intent.counts, waiting.events()) == ({"sent": 1}, before)
    assert post(f"{house.gateway_url}/receipts/main", waiting.body(), (USER, PASSWORD)) == 200
    waiting.house.until(waiting.intent_id, "intent.done")
    assert waiting.intent.counts == {"delivered": 1}


def test_news_at_the_common_address_about_a_call_that_is_not_known_yet_waits_for_it(house: House) -> None:
    keys = AccountKeys("main")
    body = {"event_type": "sms.delivered", "message_id": "not-known-yet", "data": {"recipient_phone": STUCK}}
    assert post(f"{house.gateway_url}/receipts/main", body, (USER, PASSWORD)) == 200
    until(lambda: bool(house.redis.exists(keys.parked)), "it is parked")
    intent_id = house.send("main", STUCK)
    house.until(intent_id, "recipient.sent")
    batch_id = house.sandbox.calls("main")[-1]["callback_url"].rpartition("/")[2].partition(".")[0]
    house.redis.set(keys.provider_id("not-known-yet"), batch_id, ex=60)
    assert house.done(intent_id).counts == {"delivered": 1}
    until(lambda: not house.redis.exists(keys.parked), "nothing is parked any more")
