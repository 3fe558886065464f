"""Messages that people write: announced and not documented, and told by webhook where a switch names the event."""

from __future__ import annotations

from dataclasses import dataclass


class InboundError(ValueError):
    """A message that cannot be told of; its text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `sender` wrote to a sender ID or number. `key` is the label of whom it is told to."""

    sender: str
    to: str
    text: str
    key: str


def read(data: object) -> tuple[str, Written]:
    """The provider that is to tell of a message, and the message. Raises `InboundError`."""
    given: dict[str, object] = data if isinstance(data, dict) else {}
    provider = _text(given, "provider")
    if provider not in {"lisoloo", "lineserve"}:
        msg = "provider: lisoloo or lineserve"
        raise InboundError(msg)
    return provider, Written(_text(given, "from"), _text(given, "to", ""), _text(given, "message"), _text(given, "key", "main"))


def _text(given: dict[str, object], name: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str):
        msg = f"{name}: expected a text"
        raise InboundError(msg)
    return value
