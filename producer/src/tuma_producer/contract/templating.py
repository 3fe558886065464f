"""Sends by template: the account's profile has its templates, as ops named them, and the producer puts the text in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuma_producer.contract.keys import ACCOUNTS, account_keys
from tuma_producer.errors import InvalidSend, TumaError, UnknownAccount, UnknownTemplate
from tuma_producer.intents import Send
from tuma_producer.templates import Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_producer.contract.steps import ReadSteps


def asks(send: Send) -> bool:
    """Whether its text is still to be put in."""
    return send.template_id is not None


def render(sends: Sequence[Send]) -> ReadSteps[list[Send | TumaError]]:
    """The same sends with their texts; in the place of one that cannot be rendered what is wrong with it."""
    accounts = list(dict.fromkeys(send.account for send in sends if asks(send)))
    known, *found = yield [("SMEMBERS", ACCOUNTS), *(("HGET", account_keys(name).profile, "templates") for name in accounts)]
    templates = {name: json.loads(raw) if raw else {} for name, raw in zip(accounts, found, strict=True)}
    names = tuple(sorted(name.decode() for name in known))
    return [_rendered(send, templates[send.account], names) if asks(send) else send for send in sends]


def _rendered(send: Send, templates: Mapping[str, str], known: tuple[str, ...]) -> Send | TumaError:
    if send.account not in known:
        return UnknownAccount(send.account, known)
    name = str(send.template_id)
    if name not in templates:
        return UnknownTemplate(name, send.account, tuple(sorted(templates)))
    try:
        text = Template.parse(templates[name]).render(send.variables)
    except ValueError as error:
        return InvalidSend("variables", str(error))
    fields = {field: getattr(send, field) for field in send.model_fields_set - {"template_id", "variables"}}
    try:
        return Send(**fields | {"message": text})
    except InvalidSend as error:
        return error
