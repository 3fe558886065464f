"""Sends whose text a provider is to put together itself, from a template that it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.intents import Send

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Kept:
    """A template that the provider keeps, by its id there, and what stands in its places."""

    id: str
    variables: dict[str, str]


class Rendered(Send):
    """Such a send. Its `message` is what our own copy of the template says: segments, limits and other accounts go by that."""

    kept: Kept


TEMPLATE = "template"  # of a body, which has it where the provider is asked for the text


def kept(send: Send) -> Kept | None:
    """The provider's template that it goes by; None where it goes by its text."""
    return send.kept if isinstance(send, Rendered) else None


def kept_in(body: Mapping[str, object]) -> Kept | None:
    """The same, of a record's body."""
    told = body.get(TEMPLATE)
    return Kept(told["id"], told["variables"]) if isinstance(told, dict) else None
