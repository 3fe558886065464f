"""Sends by template: the account's profile has its templates, as ops named them, and the producer puts the text in.

Of a template that the provider keeps as well, by ops' word, the send says which and with what: the text is the provider's to make.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tuma_producer.contract.keys import ACCOUNTS, account_keys
from tuma_producer.contract.rendered import Kept, Rendered
from tuma_producer.errors import InvalidSend, TumaError, UnknownAccount, UnknownTemplate
from tuma_producer.intents import Send
from tuma_producer.templates import Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.contract.steps import ReadSteps


def asks(send: Send) -> bool:
    """Whether its text is still to be put in."""
    return send.template_id is not None


def render(sends: Sequence[Send]) -> ReadSteps[list[Send | TumaError]]:
    """The same sends with their texts; in the place of one that cannot be rendered what is wrong with it."""
    accounts = list(dict.fromkeys(send.account for send in sends if asks(send)))
    profiles = [("HMGET", account_keys(name).profile, "templates", "provider_templates") for name in accounts]
    known, *found = yield [("SMEMBERS", ACCOUNTS), *profiles]
    templates = {name: _Templates.read(*raw) for name, raw in zip(accounts, found, strict=True)}
    names = tuple(sorted(name.decode() for name in known))
    return [_rendered(send, templates[send.account], names) if asks(send) else send for send in sends]


@dataclass(frozen=True, slots=True)
class _Templates:
    """An account's texts by name, and the ids of those that its provider keeps as well."""

    texts: dict[str, str]
    kept: dict[str, str]

    @classmethod
    def read(cls, texts: bytes | None, kept: bytes | None) -> Self:
        return cls(json.loads(texts or b"{}"), json.loads(kept or b"{}"))


def _rendered(send: Send, templates: _Templates, known: tuple[str, ...]) -> Send | TumaError:
    if send.account not in known:
        return UnknownAccount(send.account, known)
    name = str(send.template_id)
    if name not in templates.texts:
        return UnknownTemplate(name, send.account, tuple(sorted(templates.texts)))
    try:
        text = Template.parse(templates.texts[name]).render(send.variables)
    except ValueError as error:
        return InvalidSend("variables", str(error))
    fields = {field: getattr(send, field) for field in send.model_fields_set - {"template_id", "variables"}} | {"message": text}
    try:
        if name in templates.kept:
            return Rendered(**fields, kept=Kept(templates.kept[name], send.variables))
        return Send(**fields)
    except InvalidSend as error:
        return error
