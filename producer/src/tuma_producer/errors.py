"""Everything that Tuma raises at its users, under one root."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


class TumaError(Exception):
    """The root of all of Tuma's errors. The text is one line, says what to do, and holds no secret, number or message text."""


class InvalidSend(TumaError, ValueError):
    """A send breaks a rule. `field` names the field of `Send`, `rule` what it must be."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class InvalidSchedule(InvalidSend):
    """A schedule breaks a rule. `field` names the field of `At` or `Every`, `rule` what it must be."""


class WouldBeLate(TumaError):
    """A send with `refuse_if_late` is expected to go at or after its deadline, so nothing was accepted.

    `expected` is when the last of its recipients would be called; None where nobody can tell, for the reason that `why` says.
    """

    def __init__(self, expected: datetime | None, deadline: datetime, why: str | None = None) -> None:
        when = f"expected at {_shown(expected)}" if expected else f"nobody can tell when it would go ({why})"
        super().__init__(f"refuse_if_late: {when}, and its deadline is {_shown(deadline)}; nothing was accepted")
        self.expected = expected
        self.deadline = deadline
        self.why = why


def _shown(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


class UnknownAccount(TumaError, LookupError):
    """No worker or gateway has ever been configured with this account."""

    def __init__(self, account: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"account: {account!r} is not configured (known: {_names(known)})")
        self.account = account


class UnknownRoute(TumaError, LookupError):
    """No worker or gateway has ever been configured with this route."""

    def __init__(self, route: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"route: {route!r} is not configured (known: {_names(known)})")
        self.route = route


class UnknownTemplate(TumaError, LookupError):
    """The account has no template of this name."""

    def __init__(self, template: str, account: str, known: tuple[str, ...] = ()) -> None:
        names = ", ".join(known) if known else "none; add it to the account's templates"
        super().__init__(f"template_id: {template!r} is no template of {account} (known: {names})")
        self.template = template
        self.account = account


def _names(known: tuple[str, ...]) -> str:
    return ", ".join(known) if known else "none yet; start a worker that is configured with it"


class IdempotencyConflict(TumaError):
    """The idempotency key was used before, for a different send. `intent_id` is the one it stands for."""

    def __init__(self, key: str, intent_id: str) -> None:
        super().__init__(f"idempotency_key: {key!r} already stands for {intent_id}, a send with another body; use a new key")
        self.key = key
        self.intent_id = intent_id


class NotReplicated(TumaError):
    """A send was accepted, and fewer replicas than were asked for had it in time. `intent_id` is the intent that it is.

    It will be sent, unless the master dies with its machine before a replica has caught up. Repeat it with its idempotency key to
    wait once more.
    """

    def __init__(self, intent_id: str, have: int, wanted: int) -> None:
        super().__init__(
            f"{intent_id} is accepted, but {have} of {wanted} replicas have it; see to them, or repeat it with its key"
        )
        self.intent_id = intent_id
        self.have = have
        self.wanted = wanted


class OverBudget(TumaError):
    """The send would exceed what its source may use in a day or a month, so nothing was accepted.

    `period` is `day` or `month`. The budget allows `most` of `unit` in it (a currency, `recipients` or `messages`), of which
    `used` are gone; the send `wanted` so many. `opens` is when the next period begins. `why` says all of it in words.
    """

    def __init__(
        self, source: str, period: str, *, unit: str, most: Decimal, used: Decimal, wanted: Decimal, opens: datetime
    ) -> None:
        self.why = (
            f"{source!r} may use {most:f} {unit} a {period} and has used {used:f}; this send wants {wanted:f}; "
            f"the next {period} begins at {_shown(opens)}"
        )
        super().__init__(f"source: {self.why}; nothing was accepted")
        self.source = source
        self.period = period
        self.unit = unit
        self.most = most
        self.used = used
        self.wanted = wanted
        self.opens = opens


class UnknownIntent(TumaError, LookupError):
    """There is no intent of this id, or its retention time has passed."""

    def __init__(self, intent_id: str) -> None:
        super().__init__(f"intent: {intent_id!r} is not known; the id is wrong, or its retention time has passed")
        self.intent_id = intent_id


class UnknownCampaign(TumaError, LookupError):
    """Nothing was ever sent under this campaign's name through this account, or all of it has been forgotten."""

    def __init__(self, account: str, campaign: str) -> None:
        super().__init__(f"campaign: {campaign!r} is not known in {account}; the name is wrong, or its retention time has passed")
        self.account = account
        self.campaign = campaign


class NotEditable(TumaError):
    """The intent cannot be edited, and nothing of it was changed. `why` says what stands in the way."""

    def __init__(self, intent_id: str, why: str) -> None:
        super().__init__(f"intent: {intent_id!r} cannot be edited: {why}")
        self.intent_id = intent_id
        self.why = why


class StoreUnavailable(TumaError, ConnectionError):
    """Redis could not be reached, or could not do what was asked.

    Whether the last call took effect is not known; repeat it with the same idempotency key.
    """
