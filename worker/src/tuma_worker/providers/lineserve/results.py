"""What Lineserve's answers hold, besides those to a send. No I/O.

Field names are those of Lineserve's messaging API page. Where it shows no answer, the shape is assumed: a list stands under the
plural of its thing, and what is created is answered as it would be listed. Every field may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING

from tuma_worker.providers.operations import Number, Private
from tuma_worker.providers.reading import code, identifier, instant, integer, items, money, phone, section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the history lists it."""

    message_id: str | None
    to: Number | None
    sender: str | None
    status: str | None
    cost: Decimal | None
    currency: str | None
    sent_at: datetime | None
    delivered_at: datetime | None
    message: Private | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Message:
        """From one object of the answer, as everywhere here."""
        return cls(
            message_id=identifier(fields.get("message_id")),
            to=number(fields.get("to")),
            sender=words(fields.get("from")),
            status=code(fields.get("status")),
            cost=money(fields.get("cost")),
            currency=code(fields.get("currency")),
            sent_at=instant(fields.get("sent_at")),
            delivered_at=instant(fields.get("delivered_at")),
            message=private(fields.get("message")),
        )


@dataclass(frozen=True, slots=True)
class Report(Message):
    """One message with its delivery report, whose `error_code` is of no documented vocabulary."""

    network: str | None
    country: str | None
    error_code: str | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Report:
        """As above."""
        told, report = Message.read(fields), section(fields, "delivery_report")
        return cls(
            **{one.name: getattr(told, one.name) for one in dataclass_fields(Message)},
            network=words(report.get("network")),
            country=words(report.get("country")),
            error_code=code(report.get("error_code")),
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was just taken."""

    message_id: str | None
    to: Number | None
    status: str | None
    cost: Decimal | None
    currency: str | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Sent:
        """As above."""
        return cls(
            identifier(fields.get("message_id")),
            number(fields.get("to")),
            code(fields.get("status")),
            money(fields.get("cost")),
            code(fields.get("currency")),
        )


@dataclass(frozen=True, slots=True)
class Campaign:
    """One bulk send. Its own status may be ahead of its messages'."""

    campaign_id: str | None
    campaign_name: str | None
    status: str | None
    total_messages: int | None
    delivered_messages: int | None
    failed_messages: int | None
    total_cost: Decimal | None
    currency: str | None
    created_at: datetime | None
    completed_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Campaign:
        """As above."""
        return cls(
            campaign_id=identifier(fields.get("campaign_id")),
            campaign_name=words(fields.get("campaign_name")),
            status=code(fields.get("status")),
            total_messages=integer(fields.get("total_messages")),
            delivered_messages=integer(fields.get("delivered_messages")),
            failed_messages=integer(fields.get("failed_messages")),
            total_cost=money(fields.get("total_cost")),
            currency=code(fields.get("currency")),
            created_at=instant(fields.get("created_at")),
            completed_at=instant(fields.get("completed_at")),
        )


@dataclass(frozen=True, slots=True)
class SenderId:
    """A sender, and the countries (two letters) that its status is about."""

    sender_id: str | None
    type: str | None
    status: str | None
    countries: tuple[str, ...]
    created_at: datetime | None
    approved_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> SenderId:
        """As above."""
        countries = (words(country) for country in items(fields, "countries"))
        return cls(
            words(fields.get("sender_id")),
            code(fields.get("type")),
            code(fields.get("status")),
            tuple(country for country in countries if country is not None),
            instant(fields.get("created_at")),
            instant(fields.get("approved_at")),
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places such as `{{name}}`."""

    template_id: str | None
    name: str | None
    category: str | None
    content: str | None
    created_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Template:
        """As above."""
        return cls(
            identifier(fields.get("template_id")) or identifier(fields.get("id")),
            words(fields.get("name")),
            words(fields.get("category")),
            words(fields.get("content")),
            instant(fields.get("created_at")),
        )


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list of contacts, and how many it has."""

    list_id: str | None
    name: str | None
    description: str | None
    contacts: int | None
    created_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> ContactList:
        """As above."""
        counts = (integer(fields.get(name)) for name in ("contacts_count", "contact_count", "total_contacts"))
        return cls(
            identifier(fields.get("list_id")) or identifier(fields.get("id")),
            words(fields.get("name")),
            words(fields.get("description")),
            next((count for count in counts if count is not None), None),
            instant(fields.get("created_at")),
        )


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number that wants no messages."""

    phone: Number | None
    created_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> OptOut:
        """As above."""
        return cls(number(fields.get("phone")), instant(fields.get("created_at")))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A URL that is told of events."""

    webhook_id: str | None
    url: str | None
    events: tuple[str, ...]

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Subscription:
        """As above."""
        events = (code(event) for event in items(fields, "events"))
        return cls(
            identifier(fields.get("webhook_id")) or identifier(fields.get("id")),
            words(fields.get("url")),
            tuple(event for event in events if event is not None),
        )


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How many messages of a day, week or month were delivered; the line without a date sums them up. Rates are percentages."""

    date: str | None
    total_messages: int | None
    delivered: int | None
    failed: int | None
    delivery_rate: Decimal | None
    total_cost: Decimal | None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Deliveries:
        """As above."""
        return cls(
            words(fields.get("date")),
            integer(fields.get("total_messages")),
            integer(fields.get("delivered")),
            integer(fields.get("failed")),
            money(fields.get("delivery_rate")),
            money(fields.get("total_cost")),
        )

    @classmethod
    def summed_up(cls, fields: Mapping[str, object]) -> Deliveries:
        """From the summary, whose names differ."""
        return cls(
            None,
            integer(fields.get("total_messages")),
            integer(fields.get("total_delivered")),
            integer(fields.get("total_failed")),
            money(fields.get("average_delivery_rate")),
            money(fields.get("total_cost")),
        )


_LONGEST = 2000


def words(value: object) -> str | None:
    """A short text as it was written."""
    return value[:_LONGEST] if isinstance(value, str) and value else None


def private(value: object) -> Private | None:
    """A text that is not to be shown unasked."""
    text = words(value)
    return None if text is None else Private(text)


def number(value: object) -> Number | None:
    """A phone number that is to be shown masked."""
    found = phone(value)
    return None if found is None else Number(found)
