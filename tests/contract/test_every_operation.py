"""Every operation of every provider, done against its stand-in. An operation without a scene here fails the first test."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract import provider_table
from tests.contract.stage import NUMBER, OTHER, PLACES, Stage, set_stage

from tuma_producer.contract.rendered import Kept
from tuma_worker.core.answers import Accepted
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.operations import NotDone, Number, Private
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Receiver, Sandbox


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http() as http:
        yield http


@pytest.fixture
def stage_of(sandbox: Sandbox, receiver: Receiver, http: Http) -> Callable[..., Stage]:
    return partial(set_stage, sandbox, receiver, http)


# --------------------------------------------------------------------------------------------------------------------- Lisoloo


def lisoloo_sent(stage: Stage, **more: object) -> str:
    answer = stage.send("/send", {"to": [NUMBER, OTHER], "message": "Karibu", "sender_id": "KITOKO", **more})
    return str(answer["data"]["message_id"])


def lisoloo_later(stage: Stage) -> str:
    local = datetime.now(UTC) + timedelta(days=2)
    dates = [{"date": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"}]
    return lisoloo_sent(stage, sending_type="scheduled", scheduled_dates=dates)


def lisoloo_status(stage: Stage) -> None:
    message_id = lisoloo_sent(stage)
    stage.sandbox.until(lambda ledger: bool(ledger["messages"].get("delivered") == 2))
    standing = stage.do("status", message_id=message_id)
    assert (standing.message_id, standing.status) == (message_id, "delivered")
    assert (standing.total_recipients, standing.delivered, standing.failed, standing.pending) == (2, 2, 0, 0)
    assert standing.created_at <= standing.updated_at


def lisoloo_balance(stage: Stage) -> None:
    stage.sandbox.config(lisoloo={"balance": 10.5, "postpaid_balance": 2, "unit_price": 0.02})
    found = stage.do("balance")
    assert (found.balance, found.prepaid, found.postpaid) == (Decimal("12.5"), Decimal("10.5"), Decimal("2.0"))
    assert (found.currency, found.unit_price, found.available_sms) == ("USD", Decimal("0.02"), 625)


def lisoloo_health(stage: Stage) -> None:
    assert stage.do("health").works


def steered(*verbs: str) -> Callable[[Stage], None]:
    def scene(stage: Stage) -> None:
        message_id = lisoloo_later(stage)
        words = [stage.do(verb, message_id=message_id).status for verb in verbs]
        assert words == [{"cancel": "cancelled", "pause": "paused", "resume": "scheduled"}[verb] for verb in verbs]
        assert [one["verb"] for one in stage.sandbox.ledger()["steered"]] == list(verbs)

    return scene


# ------------------------------------------------------------------------------------------------------------------- Lineserve


def lineserve_sent(stage: Stage, count: int = 1) -> dict[str, Any]:
    if count == 1:
        return stage.send("/sms/send", {"to": NUMBER, "message": "Karibu", "from": "KITOKO"})
    to = [f"+2547220{place:05}" for place in range(count)]
    return stage.send("/sms/bulk", {"recipients": to, "message": "Karibu", "from": "KITOKO", "campaign_name": "spring"})


def lineserve_status(stage: Stage) -> None:
    message_id = lineserve_sent(stage)["message_id"]
    stage.sandbox.until(lambda ledger: bool(ledger["messages"].get("delivered")))
    report = stage.do("status", message_id=message_id)
    assert (report.message_id, report.to, report.sender, report.status) == (message_id, NUMBER, "KITOKO", "delivered")
    assert (report.cost, report.currency) == (Decimal("0.05"), "USD")
    assert (report.network, report.country, report.error_code) == ("Sandbox", "Kenya", None)
    assert report.sent_at <= report.delivered_at


def lineserve_messages(stage: Stage) -> None:
    lineserve_sent(stage, 250)
    lineserve_sent(stage)
    pages = list(stage.do("messages", sender="KITOKO", since=datetime.now(UTC) - timedelta(minutes=1)))
    assert [(len(page.items), page.done, page.total) for page in pages] == [(100, 100, 251), (100, 200, 251), (51, 251, 251)]
    assert len({message.message_id for page in pages for message in page.items}) == 251
    assert [message.to for message in stage.all("messages", to=NUMBER)] == [NUMBER]
    assert stage.all("messages", until=datetime.now(UTC) - timedelta(days=1)) == []
    assert stage.all("messages", status="expired") == []


def lineserve_campaigns(stage: Stage) -> None:
    campaign_id = lineserve_sent(stage, 3)["campaign_id"]
    (found,) = stage.all("campaigns")
    assert (found.campaign_id, found.campaign_name, found.total_messages) == (campaign_id, "spring", 3)
    assert found.total_cost == Decimal("0.15")


def lineserve_campaign(stage: Stage) -> None:
    campaign_id = lineserve_sent(stage, 2)["campaign_id"]
    stage.sandbox.until(lambda ledger: bool(ledger["messages"].get("delivered") == 2))
    found = stage.do("campaign", campaign_id=campaign_id)
    assert (found.status, found.delivered_messages, found.failed_messages) == ("completed", 2, 0)
    assert found.completed_at is not None


def lineserve_send_template(stage: Stage) -> None:
    template = stage.do("create-template", name="greeting", content="Karibu {{name}}, code {{ code }}")
    sent = stage.do(
        "send-template", to=NUMBER, template_id=template.template_id, variables={"name": "Zawadi", "code": "493"}, sender="KITOKO"
    )
    assert sent.to == NUMBER
    assert [call["message"] for call in stage.sandbox.ledger()["accepted"]] == ["Karibu Zawadi, code 493"]
    with pytest.raises(NotDone, match="invalid_template"):
        stage.do("send-template", to=NUMBER, template_id=template.template_id, variables={"name": "Zawadi"})


def lineserve_sender_ids(stage: Stage) -> None:
    asked = {"kind": "alphanumeric", "countries": ["cd", "ke"], "use_case": "codes", "business_name": "Kitoko"}
    assert stage.do("register-sender-id", sender_id="KITOKO", **asked).status == "pending"
    assert stage.sandbox.http.post("/_sandbox/clock", json={"advance": 86_401}).is_success
    (found,) = stage.all("sender-ids")
    assert (found.sender_id, found.type, found.status, found.countries) == ("KITOKO", "alphanumeric", "approved", ("CD", "KE"))
    stage.sandbox.config(lineserve={"sender_by_country": True})
    lineserve_sent(stage)
    body = {"to": "+256711000001", "message": "Karibu", "from": "KITOKO"}
    assert stage.sandbox.lineserve("POST", "/sms/send", body).json()["error"]["code"] == "sender_id_not_approved"


def lineserve_templates(stage: Stage) -> None:
    made = stage.do("create-template", name="greeting", content="Karibu {{name}}", category="marketing")
    assert stage.all("templates") == [made]
    assert (made.name, made.content, made.category) == ("greeting", "Karibu {{name}}", "marketing")


def lineserve_contacts(stage: Stage) -> None:
    made = stage.do("create-contact-list", name="friends", description="of the house")
    contacts = [{"phone": f"+2547110{place:05}", "name": f"Rafiki {place}"} for place in range(250)]
    pages = list(stage.do("add-contacts", list_id=made.list_id, contacts=contacts))
    assert [(page.items[0].contacts, page.done, page.total) for page in pages] == [(100, 100, 250), (100, 200, 250), (50, 250, 250)]
    (found,) = stage.all("contact-lists")
    assert (found.list_id, found.name, found.description, found.contacts) == (made.list_id, "friends", "of the house", 250)
    with pytest.raises(NotDone, match="does not know it") as missing:
        list(stage.do("add-contacts", list_id="list_0", contacts=contacts[:1]))
    assert missing.value.not_found


def lineserve_opt_outs(stage: Stage) -> None:
    stage.do("add-opt-out", phone="+254 711 000 001")
    assert [one.phone for one in stage.all("opt-outs")] == [NUMBER]
    body = {"to": NUMBER, "message": "Karibu"}
    assert stage.sandbox.lineserve("POST", "/sms/send", body).json()["error"]["code"] == "recipient_opted_out"


def lineserve_subscribe(stage: Stage) -> None:
    url = stage.receiver.url + "/events"
    made = stage.do("subscribe", url=url, events=["sms.delivered"], secret="invented")
    assert (made.url, made.events) == (url, ("sms.delivered",))
    lineserve_sent(stage)
    (told,) = stage.receiver.wait_for(1)
    assert told.event["event"] == "sms.delivered"
    assert told.headers["x-lineserve-signature"].startswith("sha256=")


def lineserve_analytics(stage: Stage) -> None:
    stage.send("/sms/bulk", {"recipients": ["+254711999900", "+254711999902"], "message": "Karibu"})
    stage.sandbox.until(lambda ledger: {"delivered", "failed"} <= ledger["messages"].keys())
    line, summary = stage.all("analytics", group_by="day")
    assert (line.total_messages, line.delivered, line.failed, line.delivery_rate) == (2, 1, 1, Decimal(50))
    assert (summary.date, summary.total_messages, summary.total_cost) == (None, 2, Decimal("0.1"))
    assert stage.all("analytics", since="2001-01-01", until="2001-01-02")[0].total_messages == 0


def lineserve_quota(stage: Stage) -> None:
    hour, messages = stage.all("quota")
    assert (hour.limit, hour.remaining) == ("calls-3600s", 999)
    assert hour.resets_at > datetime.now(UTC)
    assert (messages.limit, messages.remaining) == ("messages-3600s", 10_000)


# ----------------------------------------------------------------------------------------------------------------- all of them

SCENES: dict[tuple[str, str], Callable[[Stage], None]] = {
    ("lisoloo", "status"): lisoloo_status,
    ("lisoloo", "balance"): lisoloo_balance,
    ("lisoloo", "health"): lisoloo_health,
    ("lisoloo", "cancel"): steered("cancel"),
    ("lisoloo", "pause"): steered("pause"),
    ("lisoloo", "resume"): steered("pause", "resume"),
    ("lineserve", "status"): lineserve_status,
    ("lineserve", "messages"): lineserve_messages,
    ("lineserve", "campaigns"): lineserve_campaigns,
    ("lineserve", "campaign"): lineserve_campaign,
    ("lineserve", "send-template"): lineserve_send_template,
    ("lineserve", "sender-ids"): lineserve_sender_ids,
    ("lineserve", "register-sender-id"): lineserve_sender_ids,
    ("lineserve", "templates"): lineserve_templates,
    ("lineserve", "create-template"): lineserve_templates,
    ("lineserve", "contact-lists"): lineserve_contacts,
    ("lineserve", "create-contact-list"): lineserve_contacts,
    ("lineserve", "add-contacts"): lineserve_contacts,
    ("lineserve", "opt-outs"): lineserve_opt_outs,
    ("lineserve", "add-opt-out"): lineserve_opt_outs,
    ("lineserve", "subscribe"): lineserve_subscribe,
    ("lineserve", "analytics"): lineserve_analytics,
    ("lineserve", "quota"): lineserve_quota,
}
SHOWN: set[tuple[str, str]] = set()  # provider and endpoint of what these tests have seen done
SENDS = [(name, endpoint) for name, provider in sorted(PROVIDERS.items()) for endpoint in provider.sends]
OPERATIONS = [(name, operation.name) for name, provider in sorted(PROVIDERS.items()) for operation in provider.operations]


def test_every_operation_of_the_registry_has_a_scene() -> None:
    assert sorted(SCENES) == sorted(OPERATIONS)


@pytest.mark.parametrize(("provider", "operation"), OPERATIONS)
def test_an_operation_is_done_at_its_documented_endpoint(stage_of: Callable[..., Stage], provider: str, operation: str) -> None:
    stage = stage_of(provider)
    SCENES[provider, operation](stage)
    endpoint = PROVIDERS[provider].operation(operation).endpoint
    expect_done(stage.sandbox, provider, endpoint)


@pytest.mark.parametrize(("provider", "endpoint"), SENDS)
def test_a_send_is_made_at_its_documented_endpoint(sandbox: Sandbox, http: Http, provider: str, endpoint: str) -> None:
    path, key = PLACES[provider]
    account = Account(
        provider=provider, base_url=sandbox.url + path, api_key=SecretStr(key), environment="sandbox", timeout=5, sender_id="KITOKO"
    )
    to = (NUMBER, OTHER) if endpoint in {"POST /send", "POST /sms/bulk"} else (NUMBER,)
    call = Call(to, "Karibu Zawadi", None, "reference", template=kept_there(sandbox) if "template" in endpoint else None)
    reply = PROVIDERS[provider].client(account, http).send(call)
    assert isinstance(reply.answer, Accepted)
    (accepted,) = sandbox.ledger()["accepted"]
    assert (accepted["message"], accepted["from"], accepted["recipients"]) == ("Karibu Zawadi", "KITOKO", [*to])
    expect_done(sandbox, provider, endpoint)


def kept_there(sandbox: Sandbox) -> Kept:
    """A template that Lineserve's stand-in keeps, with what makes it welcome somebody."""
    made = sandbox.lineserve("POST", "/messaging/templates", {"name": "greeting", "content": "Karibu {{name}}"})
    return Kept(made.json()["template_id"], {"name": "Zawadi"})


def expect_done(sandbox: Sandbox, provider: str, endpoint: str) -> None:
    """The stand-in has answered this endpoint with a success."""
    requests = sandbox.ledger()["requests"][provider]
    answered = {re.sub(r"/\{\w+\}$", "", name): statuses for name, statuses in requests.items()}
    assert {"200", "201"} & answered[re.sub(r"/\{\w+\}$", "", endpoint)].keys()
    SHOWN.add((provider, endpoint))


def test_numbers_and_texts_in_results_are_marked(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of("lineserve")
    report = stage.do("status", message_id=lineserve_sent(stage)["message_id"])
    assert isinstance(report.to, Number)
    assert isinstance(report.message, Private)


def test_a_sandbox_account_asks_for_test_mode_and_costs_nothing(stage_of: Callable[..., Stage]) -> None:
    stage = stage_of("lineserve")
    template = stage.do("create-template", name="greeting", content="Karibu")
    sent = stage.do("send-template", to=NUMBER, template_id=template.template_id, variables={})
    assert sent.cost == 0


# ---------------------------------------------------------------------------------------------------------- what the page says


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_the_page_shows_what_these_tests_have_shown(request: pytest.FixtureRequest, provider: str) -> None:
    """Last, since it speaks of the others: where only some of them were run, it cannot speak."""
    run = {item.name for item in request.session.items if item.path == request.path}
    if not {f"test_an_operation_is_done_at_its_documented_endpoint[{one}-{name}]" for one, name in OPERATIONS} <= run:
        pytest.skip("not every operation was run")
    shown = {endpoint for one, endpoint in SHOWN if one == provider}
    table = provider_table.table(provider, shown)
    assert table in provider_table.PAGE.read_text(encoding="utf-8"), f"docs/providers.md must hold:\n{table}"
