"""What may be asked of Lineserve besides sending: its books, senders, templates, contacts, opt-outs, webhooks and statistics.

All of it counts against the same limits as sends do: Lineserve's are per key, whatever the endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from tuma_producer.intents import normalise_number
from tuma_worker.providers.lineserve.results import (
    Campaign,
    ContactList,
    Deliveries,
    Message,
    OptOut,
    Report,
    SenderId,
    Sent,
    Subscription,
    Template,
)
from tuma_worker.providers.lineserve.statuses import quotas
from tuma_worker.providers.operations import Kind, Operation, Page, Parameter, Request, each, segment
from tuma_worker.providers.reading import integer, items, section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tuma_worker.providers.operations import Exchange

T = TypeVar("T")

SEND = "send"  # the operation whose limits everything counts against
PER_PAGE = 100  # documented: the most messages of a page
CHUNK = 100  # contacts in one call; the largest number is not documented

# How long a template's text becomes is known to the provider alone; the longest, 1,600 characters, has so many segments in UCS-2.
TEMPLATE_SEGMENTS = 24

STATES = ("pending", "sent", "delivered", "failed", "expired", "rejected")
EVENTS = ("sms.sent", "sms.delivered", "sms.failed", "sms.expired", "sms.rejected")


def status(exchange: Exchange, message_id: str) -> Report:
    """One message with its delivery report."""
    path = f"/sms/status/{segment('message_id', message_id)}"
    return Report.read(exchange(Request("GET", path, SEND, about=message_id)).body)


def messages(
    exchange: Exchange,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
    to: str | None = None,
    sender: str | None = None,
) -> Iterator[Page[Message]]:
    """The history, a page at a time, each read when it is asked for.

    Whether `since` and `until` are about creation or sending is not documented, nor in which order messages come. What is sent
    while pages are read may move others to the next page, so that one is seen twice.
    """
    asked = {"from_date": _iso(since), "to_date": _iso(until), "status": status, "to": to, "from": sender}
    listed: list[Message] = []
    for page in count(1):
        body = exchange(_list("/sms/messages", {**asked, "page": str(page), "per_page": str(PER_PAGE)})).body
        before, listed = listed, [Message.read(item) for item in items(body, "messages") if isinstance(item, dict)]
        if listed == before:  # a server that knows no pages would answer so for ever
            return
        meta = section(body, "meta")
        yield Page(listed, PER_PAGE * (page - 1) + len(listed), integer(meta.get("total")))
        pages = integer(meta.get("pages"))
        if page >= (pages if pages is not None else page + (len(listed) == PER_PAGE)):
            return


def campaigns(exchange: Exchange) -> Iterator[Page[Campaign]]:
    """The bulk sends. No paging of this list is documented."""
    return _listed(exchange, "/sms/campaigns", Campaign.read, "campaigns")


def campaign(exchange: Exchange, campaign_id: str) -> Campaign:
    """One bulk send."""
    path = f"/sms/campaigns/{segment('campaign_id', campaign_id)}"
    body = exchange(Request("GET", path, SEND, about=campaign_id)).body
    return Campaign.read(section(body, "campaign") or body)


def send_template(exchange: Exchange, to: str, template_id: str, variables: Mapping[str, str], sender: str | None = None) -> Sent:
    """Send one message from a template. It is no intent: nothing of it is kept here, and nothing sends it again."""
    asked = {"to": normalise_number(to), "template_id": template_id, "variables": dict(variables), "from": sender}
    return Sent.read(exchange(_write("/sms/send-template", asked, messages=TEMPLATE_SEGMENTS)).body)


def sender_ids(exchange: Exchange) -> Iterator[Page[SenderId]]:
    """The registered senders and for which countries they are approved."""
    return _listed(exchange, "/messaging/sender-ids", SenderId.read, "sender_ids")


def register_sender_id(
    exchange: Exchange, *, sender_id: str, kind: str, countries: Sequence[str], use_case: str, business_name: str
) -> SenderId:
    """Ask for a sender to be approved for these countries (two letters each)."""
    asked = {
        "sender_id": sender_id, "type": kind, "countries": [country.upper() for country in countries],
        "use_case": use_case, "business_name": business_name,
    }  # fmt: skip
    return SenderId.read(_created(exchange, "/messaging/sender-ids", asked, "sender_id"))


def templates(exchange: Exchange) -> Iterator[Page[Template]]:
    """The stored templates."""
    return _listed(exchange, "/messaging/templates", Template.read, "templates")


def create_template(exchange: Exchange, name: str, content: str, category: str | None = None) -> Template:
    """Store a text with places such as `{{name}}`."""
    asked = {"name": name, "content": content, "category": category}
    return Template.read(_created(exchange, "/messaging/templates", asked, "template"))


def contact_lists(exchange: Exchange) -> Iterator[Page[ContactList]]:
    """The lists of contacts."""
    return _listed(exchange, "/messaging/contacts/lists", ContactList.read, "lists", "contact_lists")


def create_contact_list(exchange: Exchange, name: str, description: str | None = None) -> ContactList:
    """Make an empty list."""
    asked = {"name": name, "description": description}
    return ContactList.read(_created(exchange, "/messaging/contacts/lists", asked, "list"))


@dataclass(frozen=True, slots=True)
class Added:
    """Contacts that were added by one call."""

    contacts: int


def add_contacts(exchange: Exchange, list_id: str, contacts: Sequence[Mapping[str, str]]) -> Iterator[Page[Added]]:
    """Add contacts, `CHUNK` in each call: `phone`, and perhaps `name` and `email`. Each page is one call that was taken.

    Who stops at an error has added what the pages so far say; whether a contact that is added twice is there twice is not
    documented.
    """
    path = f"/messaging/contacts/lists/{segment('list_id', list_id)}/contacts"
    for begin in range(0, len(contacts), CHUNK):
        chunk = contacts[begin : begin + CHUNK]
        exchange(_write(path, {"contacts": [dict(contact) for contact in chunk]}, about=list_id))
        yield Page([Added(len(chunk))], begin + len(chunk), len(contacts))


def opt_outs(exchange: Exchange) -> Iterator[Page[OptOut]]:
    """The numbers that want no messages. No way to take one off is documented."""
    return _listed(exchange, "/messaging/opt-outs", OptOut.read, "opt_outs")


def opted_out(exchange: Exchange) -> Iterator[str]:
    """Those of them that are numbers."""
    return (phone for one in each(opt_outs(exchange)) if (phone := one.phone) is not None)


def add_opt_out(exchange: Exchange, phone: str) -> OptOut:
    """Note that this number wants no messages. What that does to a send is not documented."""
    return OptOut.read(_created(exchange, "/messaging/opt-outs", {"phone": normalise_number(phone)}, "opt_out"))


def subscribe(exchange: Exchange, url: str, events: Sequence[str] = EVENTS, secret: str | None = None) -> Subscription:
    """Have a URL told of events, signed with the secret. Nothing lists or removes a subscription, by the documentation."""
    asked = {"url": url, "events": list(events) or list(EVENTS), "secret": secret}
    return Subscription.read(_created(exchange, "/messaging/webhooks", asked, "webhook"))


def analytics(
    exchange: Exchange, since: str | None = None, until: str | None = None, group_by: str | None = None
) -> Iterator[Page[Deliveries]]:
    """Delivery figures by day, week or month, and their sum at the end. Dates are days."""
    body = exchange(_list("/messaging/analytics/delivery", {"from_date": since, "to_date": until, "group_by": group_by})).body
    lines = [Deliveries.read(item) for item in items(body, "analytics") if isinstance(item, dict)]
    yield Page([*lines, Deliveries.summed_up(section(body, "summary"))])


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one limit by the provider's own count. `resets_at` is told of the calls of an hour alone."""

    limit: str
    remaining: int
    resets_at: datetime | None


def quota(exchange: Exchange) -> Iterator[Page[Left]]:
    """What the headers of an answer say is left. Asking costs one call."""
    headers = exchange(_list("/sms/messages", {"per_page": "1"})).headers
    told = (
        Left(one.limit, one.remaining, None if one.resets_at is None else datetime.fromtimestamp(one.resets_at, UTC))
        for one in quotas(headers)
    )
    yield Page(list(told))


# ---------------------------------------------------------------------------------------------------------- steps of the above


def _list(path: str, params: Mapping[str, str | None]) -> Request:
    return Request("GET", path, SEND, params={name: value for name, value in params.items() if value is not None})


def _write(path: str, body: Mapping[str, object], *, messages: int = 0, about: str = "") -> Request:
    given = {name: value for name, value in body.items() if value is not None}
    return Request("POST", path, SEND, body=given, messages=messages, about=about)


def _listed(exchange: Exchange, path: str, read: Callable[[Mapping[str, object]], T], *names: str) -> Iterator[Page[T]]:
    """The one page of a list without paging, under whichever of the names it stands."""
    body = exchange(_list(path, {})).body
    found = next((listed for name in names if (listed := items(body, name))), [])
    yield Page([read(item) for item in found if isinstance(item, dict)])


def _created(exchange: Exchange, path: str, asked: Mapping[str, object], name: str) -> Mapping[str, object]:
    """What was made: what was asked for, with what the answer says of it, at its top or under a name."""
    body = exchange(_write(path, asked)).body
    return {**asked, **(section(body, name) or body)}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


_SENDER = Parameter("sender", "the sender that is shown")

OPERATIONS = (
    Operation(
        "status",
        "GET /sms/status/{message_id}",
        "one message with its delivery report",
        status,
        (Parameter("message_id", "the id that the provider gave the message", required=True, in_path=True),),
    ),
    Operation(
        "messages",
        "GET /sms/messages",
        "the messages that were sent",
        messages,
        (
            Parameter("since", "from this time on", Kind.INSTANT),
            Parameter("until", "up to this time", Kind.INSTANT),
            Parameter("status", "in this state only", one_of=STATES),
            Parameter("to", "to this number only", Kind.NUMBER),
            Parameter("sender", "from this sender only"),
        ),
    ),
    Operation("campaigns", "GET /sms/campaigns", "the bulk sends", campaigns),
    Operation(
        "campaign",
        "GET /sms/campaigns/{campaign_id}",
        "one bulk send",
        campaign,
        (Parameter("campaign_id", "the id that the provider gave the bulk send", required=True, in_path=True),),
    ),
    Operation(
        "send-template",
        "POST /sms/send-template",
        "send one message from a stored template, beside all intents",
        send_template,
        (
            Parameter("to", "the recipient", Kind.NUMBER, required=True),
            Parameter("template_id", "the template's id", required=True),
            Parameter("variables", "what stands in the template's places, NAME=VALUE", Kind.PAIRS),
            _SENDER,
        ),
        changes=True,
    ),
    Operation("sender-ids", "GET /messaging/sender-ids", "the registered senders", sender_ids),
    Operation(
        "register-sender-id",
        "POST /messaging/sender-ids",
        "ask for a sender to be approved",
        register_sender_id,
        (
            Parameter("sender_id", "the sender", required=True),
            Parameter("kind", "of which kind it is", required=True, one_of=("alphanumeric", "numeric")),
            Parameter("countries", "a country, in two letters", Kind.WORDS, required=True),
            Parameter("use_case", "what it is for", required=True),
            Parameter("business_name", "whose it is", required=True),
        ),
        changes=True,
    ),
    Operation("templates", "GET /messaging/templates", "the stored templates", templates),
    Operation(
        "create-template",
        "POST /messaging/templates",
        "store a template",
        create_template,
        (
            Parameter("name", "the template's name", required=True),
            Parameter("content", "its text, with places such as {{name}}", required=True),
            Parameter("category", "what it is for"),
        ),
        changes=True,
    ),
    Operation("contact-lists", "GET /messaging/contacts/lists", "the lists of contacts", contact_lists),
    Operation(
        "create-contact-list",
        "POST /messaging/contacts/lists",
        "make a list of contacts",
        create_contact_list,
        (Parameter("name", "the list's name", required=True), Parameter("description", "what it is for")),
        changes=True,
    ),
    Operation(
        "add-contacts",
        "POST /messaging/contacts/lists/{list_id}/contacts",
        f"add contacts to a list, {CHUNK} in each call",
        add_contacts,
        (
            Parameter("list_id", "the id of the list", required=True, in_path=True),
            Parameter("contacts", "a CSV file with the columns phone and perhaps name and email", Kind.CONTACTS, required=True),
        ),
        changes=True,
    ),
    Operation("opt-outs", "GET /messaging/opt-outs", "the numbers that want no messages", opt_outs),
    Operation(
        "add-opt-out",
        "POST /messaging/opt-outs",
        "note that a number wants no messages",
        add_opt_out,
        (Parameter("phone", "the number", Kind.NUMBER, required=True),),
        changes=True,
    ),
    Operation(
        "subscribe",
        "POST /messaging/webhooks",
        "have a URL told of events",
        subscribe,
        (
            Parameter("url", "where events are posted", required=True),
            Parameter("events", "an event; all of them where none is given", Kind.WORDS, one_of=EVENTS),
            Parameter("secret", "a file with the secret that signs them", Kind.SECRET),
        ),
        changes=True,
    ),
    Operation(
        "analytics",
        "GET /messaging/analytics/delivery",
        "delivery figures",
        analytics,
        (
            Parameter("since", "from this day on", Kind.DAY),
            Parameter("until", "up to this day", Kind.DAY),
            Parameter("group_by", "a line for each", one_of=("day", "week", "month")),
        ),
    ),
    Operation("quota", "GET /sms/messages", "what is left of the limits by the provider's count", quota),
)
