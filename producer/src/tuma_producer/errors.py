"""Everything that Tuma raises at its users, under one root."""

from __future__ import annotations


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


class UnknownAccount(TumaError, LookupError):
    """No worker or gateway has ever been configured with this account."""

    def __init__(self, account: str, known: tuple[str, ...] = ()) -> None:
        names = ", ".join(known) if known else "none yet; start a worker that is configured with it"
        super().__init__(f"account: {account!r} is not configured (known: {names})")
        self.account = account


class IdempotencyConflict(TumaError):
    """The idempotency key was used before, for a different send. `intent_id` is the one it stands for."""

    def __init__(self, key: str, intent_id: str) -> None:
        super().__init__(f"idempotency_key: {key!r} already stands for {intent_id}, a send with another body; use a new key")
        self.key = key
        self.intent_id = intent_id


class UnknownIntent(TumaError, LookupError):
    """There is no intent of this id, or its retention time has passed."""

    def __init__(self, intent_id: str) -> None:
        super().__init__(f"intent: {intent_id!r} is not known; the id is wrong, or its retention time has passed")
        self.intent_id = intent_id


class StoreUnavailable(TumaError, ConnectionError):
    """Redis could not be reached, or could not do what was asked.

    Whether the last call took effect is not known; repeat it with the same idempotency key.
    """
