"""What Lineserve's stand-in keeps under /messaging: senders, templates, contact lists, opt-outs, subscriptions, per key.

The documents show the answer of the sender list alone. All others are assumed: an array under the plural of its thing, and on
creation the thing itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from tuma_worker.sandbox.faults import digits
from tuma_worker.sandbox.lineserve_rules import is_number
from tuma_worker.sandbox.lineserve_webhooks import WORDS, iso
from tuma_worker.sandbox.lisoloo_rules import is_url

if TYPE_CHECKING:
    from tuma_worker.sandbox.settings import Lineserve, Settings
    from tuma_worker.sandbox.world import World

# The countries of the numbers that the sandbox can tell, for approval by country.
COUNTRIES = {
    "242": "CG", "243": "CD", "250": "RW", "254": "KE", "255": "TZ", "256": "UG", "257": "BI", "260": "ZM", "27": "ZA", "233": "GH",
    "234": "NG", "221": "SN", "225": "CI", "237": "CM",
}  # fmt: skip

_COUNTRY = re.compile(r"[A-Z]{2}")
_SENDER = {"alphanumeric": re.compile(r"[A-Za-z0-9 ]{1,11}", re.ASCII), "numeric": re.compile(r"\+?\d{3,15}", re.ASCII)}
_PLACE = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")
_SECRET_LENGTHS = range(1, 257)


class Complaint(ValueError):
    """What is wrong with a body: the code of the error, the field, and what it held."""

    def __init__(self, field_: str, value: object = None, code: str = "invalid_parameter") -> None:
        super().__init__(field_)
        self.field, self.value, self.code = field_, value, code


def complain(about: str, value: object = None, code: str = "invalid_parameter") -> NoReturn:
    """Raise `Complaint`."""
    raise Complaint(about, value, code)


@dataclass(slots=True, eq=False)
class _Sender:
    sender_id: str
    type: str
    countries: tuple[str, ...]
    created_at: float
    asked_at: float
    details: dict[str, str]


@dataclass(slots=True, eq=False)
class _ContactList:
    list_id: str
    name: str
    description: str | None
    created_at: float
    contacts: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A URL, the events that it is told of, and the secret that signs them (empty: none)."""

    url: str
    events: tuple[str, ...]
    secret: str


@dataclass(slots=True)
class Shelf:
    """All that one key has put here."""

    senders: dict[str, _Sender] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    lists: dict[str, _ContactList] = field(default_factory=dict)
    opt_outs: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)


class Messaging:
    """The shelves of all keys. Bodies come as parsed JSON of any kind; what is wrong with one is raised as `Complaint`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shelves: defaultdict[str, Shelf] = defaultdict(Shelf)
        self._serial = 0

    def clear(self) -> None:
        """Forget all."""
        self._shelves.clear()

    @property
    def _settings(self) -> Settings:
        return self._world.settings

    @property
    def _own(self) -> Lineserve:
        return self._world.settings.lineserve

    # Senders.

    def senders(self, key: str) -> list[dict[str, Any]]:
        """As the documents show them."""
        return [self._shown_sender(sender) for sender in self._shelves[key].senders.values()]

    def register(self, key: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Ask for a sender; the verdict comes later, by the clock that may be put forward."""
        name, kind = _text(body, "sender_id"), _word(body, "type", tuple(_SENDER))
        if not _SENDER[kind].fullmatch(name):
            complain("sender_id", name)
        countries = _texts(body, "countries")
        bad = next((country for country in countries if not _COUNTRY.fullmatch(country)), None)
        if bad is not None:
            complain("countries", bad)
        details = {name: _text(body, name) for name in ("use_case", "business_name")}
        sender = _Sender(name, kind, countries, now, self._world.clock.now(), details)
        self._shelves[key].senders[name] = sender
        return self._shown_sender(sender) | details

    def approved(self, key: str, sender: object, number: str) -> bool:
        """Whether the sender may be shown to this number, where that is asked about at all."""
        if not self._own.sender_by_country or sender is None:
            return True
        known = self._shelves[key].senders.get(str(sender))
        return known is not None and self._verdict(known) == "approved" and _country(number) in known.countries

    def _verdict(self, sender: _Sender) -> str:
        is_over = self._world.clock.now() >= sender.asked_at + self._own.sender_verdict_after
        return self._own.sender_verdict if is_over else "pending"

    def _shown_sender(self, sender: _Sender) -> dict[str, Any]:
        verdict = self._verdict(sender)
        decided_at = sender.created_at + self._own.sender_verdict_after
        return {
            "sender_id": sender.sender_id,
            "type": sender.type,
            "status": verdict,
            "countries": list(sender.countries),
            "created_at": iso(sender.created_at),
            "approved_at": iso(decided_at) if verdict == "approved" else None,
        }

    # Templates.

    def templates(self, key: str) -> list[dict[str, Any]]:
        """All of them."""
        return list(self._shelves[key].templates.values())

    def create_template(self, key: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Store one."""
        template_id = self._next("tpl")
        template = {
            "template_id": template_id,
            "name": _text(body, "name"),
            "content": _text(body, "content"),
            "category": _optional(body, "category"),
            "created_at": iso(now),
        }
        self._shelves[key].templates[template_id] = template
        return template

    def render(self, key: str, body: dict[str, Any]) -> str:
        """The text of a template with its places filled."""
        template_id, variables = _text(body, "template_id"), body.get("variables")
        template = self._shelves[key].templates.get(template_id)
        if template is None:
            complain("template_id", template_id, "invalid_template")
        if not isinstance(variables, dict) or not all(isinstance(value, str | int | float) for value in variables.values()):
            complain("variables", variables)
        places = set(_PLACE.findall(template["content"]))
        missing, extra = sorted(places - variables.keys()), sorted(variables.keys() - places)
        if missing and self._own.missing_variable == "refuse":
            complain("variables", missing[0], "invalid_template")
        if extra and self._own.extra_variable == "refuse":
            complain("variables", extra[0], "invalid_template")
        return _PLACE.sub(lambda place: str(variables.get(place[1], place[0])), template["content"])

    # Contacts.

    def lists(self, key: str) -> list[dict[str, Any]]:
        """All lists, with how many contacts each has."""
        return [_shown_list(one) for one in self._shelves[key].lists.values()]

    def create_list(self, key: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Make an empty one."""
        made = _ContactList(self._next("list"), _text(body, "name"), _optional(body, "description"), now)
        self._shelves[key].lists[made.list_id] = made
        return _shown_list(made)

    def add_contacts(self, key: str, list_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Add them all, or none where one is bad; None where there is no such list."""
        known = self._shelves[key].lists.get(list_id)
        if known is None:
            return None
        given = body.get("contacts")
        if not isinstance(given, list) or not given:
            complain("contacts")
        if len(given) > self._own.contacts_per_call:
            complain("contacts", len(given))
        contacts = [self._contact(contact, f"contacts[{place}]") for place, contact in enumerate(given)]
        if self._own.repeated_contact == "replaces":
            phones = {digits(contact["phone"]) for contact in contacts}
            known.contacts = [contact for contact in known.contacts if digits(contact["phone"]) not in phones]
            contacts = list({digits(contact["phone"]): contact for contact in contacts}.values())
        known.contacts.extend(contacts)
        return _shown_list(known) | {"added": len(contacts)}

    def _contact(self, given: object, place: str) -> dict[str, str]:
        if not isinstance(given, dict):
            complain(place)
        if not is_number(given.get("phone"), self._settings):
            complain(f"{place}.phone", given.get("phone"), "invalid_phone_number")
        more = {name: text for name in ("name", "email") if (text := _optional(given, name)) is not None}
        return {"phone": given["phone"], **more}

    # Opt-outs.

    def opt_outs(self, key: str) -> list[dict[str, Any]]:
        """All of them."""
        return list(self._shelves[key].opt_outs.values())

    def opt_out(self, key: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Note one; the first time counts."""
        phone = body.get("phone")
        if phone is None:
            complain("phone")
        if not is_number(phone, self._settings):
            complain("phone", phone, "invalid_phone_number")
        noted = {"phone": phone, "created_at": iso(now)}
        return self._shelves[key].opt_outs.setdefault(digits(phone), noted)

    def opted_out(self, key: str, number: str) -> bool:
        """Whether this number is not to be sent to."""
        return self._own.opt_outs == "heeded" and digits(number) in self._shelves[key].opt_outs

    # Webhooks.

    def subscribe(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Tell a URL of events from now on."""
        url, events, secret = _text(body, "url"), _texts(body, "events"), _optional(body, "secret")
        if not is_url(url, http=self._settings.allow_http_callbacks):
            complain("url", url)
        known = {f"sms.{word}" for word in WORDS.values()}
        bad = next((event for event in events if event not in known), None)
        if bad is not None:
            complain("events", bad)
        if secret is not None and len(secret) not in _SECRET_LENGTHS:
            complain("secret")
        self._shelves[key].subscriptions.append(Subscription(url, events, secret or ""))
        return {"webhook_id": self._next("wh"), "url": url, "events": list(events)}

    def subscriptions(self, key: str) -> list[Subscription]:
        """Whom to tell, besides the configured webhook."""
        return self._shelves[key].subscriptions

    def _next(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}_{10**9 + self._serial}"


def _shown_list(one: _ContactList) -> dict[str, Any]:
    return {
        "list_id": one.list_id,
        "name": one.name,
        "description": one.description,
        "contacts_count": len(one.contacts),
        "created_at": iso(one.created_at),
    }


def _country(number: str) -> str | None:
    return next((country for prefix, country in COUNTRIES.items() if digits(number).startswith(prefix)), None)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        complain(name, value)
    return value


def _optional(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        complain(name, value)
    return value


def _word(body: dict[str, Any], name: str, words: tuple[str, ...]) -> str:
    if body.get(name) not in words:
        complain(name, body.get(name))
    return str(body[name])


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        complain(name, value)
    return tuple(value)
