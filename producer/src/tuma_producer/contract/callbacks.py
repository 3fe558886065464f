"""Sends with a `callback_url`: somebody must have agreed with ops on a secret for such calls, or their events would go nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.contract.keys import account_keys
from tuma_producer.errors import InvalidSend, TumaError
from tuma_producer.intents import Send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuma_producer.contract.steps import ReadSteps

ALL = "callbacks"  # the id of the subscription by which the intents of all sources are called back about


def subscription_of(source: str | None) -> str:
    """The id of the subscription by which a source's intents are called back about; there is one at the most."""
    return ALL if source is None else f"{ALL}.{source}"


def asks(send: Send | TumaError) -> bool:
    """Whether somebody is to be called back about it."""
    return isinstance(send, Send) and send.callback_url is not None


def check(sends: Sequence[Send | TumaError], source: str) -> ReadSteps[list[Send | TumaError]]:
    """The same sends; in the place of one about which nobody would be called back what is wrong with it."""
    whose = list(dict.fromkeys((send.account, send.source or source) for send in sends if isinstance(send, Send) and asks(send)))
    found = yield [("HMGET", account_keys(account).subscriptions, ALL, subscription_of(name)) for account, name in whose]
    heard = {asked for asked, subscriptions in zip(whose, found, strict=True) if any(subscriptions)}
    return [_checked(send, source, heard) if isinstance(send, Send) and asks(send) else send for send in sends]


def _checked(send: Send, source: str, heard: set[tuple[str, str]]) -> Send | TumaError:
    name = send.source or source
    if (send.account, name) in heard:
        return send
    rule = (
        f"{send.account} calls nobody back for {name!r}; ops must first run: tuma subscriptions add {send.account} --source {name}"
    )
    return InvalidSend("callback_url", rule)
