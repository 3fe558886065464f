"""What all webhooks have in common: a JSON object, headers of any case, and fields that must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_worker.core.receipts import Inbound
from tuma_worker.providers.base import BadReceipt
from tuma_worker.providers.reading import code, identifier, json_object, phone

if TYPE_CHECKING:
    from collections.abc import Mapping


def receipt_body(body: bytes) -> Mapping[str, object]:
    """The JSON object of a webhook. Raises `BadReceipt`."""
    content = json_object(body)
    if content is None:
        message = "body: is not a JSON object"
        raise BadReceipt(message)
    return content


def event_name(name: str, value: object) -> str:
    """The event's name: a text that looks like one. Raises `BadReceipt`."""
    return required(name, code(value) if isinstance(value, str) else None)


def required(name: str, value: str | None) -> str:
    """A field without which the news means nothing. Raises `BadReceipt` naming it, never its content."""
    if value is None:
        message = f"{name}: is missing or unreadable"
        raise BadReceipt(message)
    return value


def per_recipient(name: str, value: object, *, needed: bool) -> str | None:
    """The number that news is about. Where it is `needed`, news without it must not pass for news about the whole call."""
    number = phone(value)
    return required(name, number) if needed else number


def inbound(event: str, wanted: str | None, data: Mapping[str, object]) -> Inbound | None:
    """The message that an event of the name `wanted` brings; None for any other event. Raises `BadReceipt`.

    Neither provider documents inbound messages: the names of the fields are assumed, and that of the event is the operator's.
    """
    if wanted is None or event != wanted:
        return None
    sender = required("data.from", phone(data.get("from")))
    text = data.get("message", data.get("text"))
    if not isinstance(text, str):
        message = "data.message: is missing or unreadable"
        raise BadReceipt(message)
    return Inbound(sender, _whole(identifier(data.get("to")) or ""), _whole(text))


def _whole(text: str) -> str:
    """The text without halves of characters, which JSON may hold and nothing else can."""
    return text.encode(errors="replace").decode()


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header, whatever the case of its name in the mapping."""
    wanted = name.lower()
    found = headers.get(wanted)  # as an ASGI server has it
    return found if found is not None else next((value for key, value in headers.items() if key.lower() == wanted), None)
