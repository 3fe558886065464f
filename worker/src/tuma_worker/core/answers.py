"""What a provider said to a call, in our words.

A provider's client turns its HTTP response, or the failure to get one, into exactly one of these values, by table. What to do
about it is decided elsewhere (`core.next_step`), so that no retry policy ever depends on whose API it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal


class Fault(StrEnum):
    """Why an account, not a message, cannot go on."""

    MONEY = "money"
    KEY = "key"
    SUSPENDED = "suspended"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class RecipientAnswer:
    """What an accepted call said about one recipient.

    `accepted` is false where the call as a whole was taken but this number was refused; `provider_id` is the recipient's own
    message id where the provider gives one; `reason` is the provider's code, never its free text.
    """

    accepted: bool = True
    provider_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the call. A recipient that `recipients` does not name was taken with it.

    `provider_id` names the whole call (Lisoloo `message_id`, Lineserve `campaign_id` or the single `message_id`).
    """

    provider_id: str
    recipients: Mapping[str, RecipientAnswer] = field(default_factory=dict)
    cost: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good. `numbers` are those the provider blamed, empty where it blamed the whole call.

    `suspect_numbers` is true where one bad number among many may be the cause although the provider did not say which. `lasting` is
    false where the blamed numbers may pass with another sender. `ours` is true where we refused it ourselves and made no call.
    """

    code: str
    numbers: frozenset[str] = frozenset()
    suspect_numbers: bool = False
    lasting: bool = True
    ours: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now. `after` is the delay in seconds that the provider asked for, if it did.

    `scope` says who waits: `account` (a rate limit: every call with this key) or `batch` (only this call). `left` is false where no
    byte of the body can have reached the provider, so that the permit may be given back; `unreachable` is true where that is
    because no connection to it could be made. `counts` is false where it was for no fault of anybody's, so that no retry is spent.
    """

    code: str
    after: float | None = None
    scope: Literal["account", "batch"] = "batch"
    left: bool = True
    unreachable: bool = False
    counts: bool = True


@dataclass(frozen=True, slots=True)
class AccountFault:
    """Nothing more will be accepted from this account until somebody mends it; the messages are innocent.

    `operator` is true where only a person may resume it (a suspension for suspicious activity, say), and no probe may try.
    """

    code: str
    fault: Fault
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The body may have arrived and no usable answer came back: a second call could be a second SMS."""

    code: str


Answer = Accepted | Rejected | TryLater | AccountFault | Unknown


@dataclass(frozen=True, slots=True)
class Quota:
    """What the provider says is left of one of its limits. Lowers our view, never raises it.

    `limit` is the name of the limit in our configuration, `remaining` its unit's count, `resets_at` Unix seconds where told.
    """

    limit: str
    remaining: int
    resets_at: float | None = None


def what_is_left(quotas: Iterable[Quota]) -> dict[str, int]:
    """How much is left of which limit."""
    return {quota.limit: quota.remaining for quota in quotas}


@dataclass(frozen=True, slots=True)
class Traced:
    """What a provider's own books say about a call whose answer was lost.

    `found` are the calls in them that may be this one; with `complete`, that there is none proves that it never was accepted.
    """

    found: tuple[Accepted, ...]
    complete: bool
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Untold:
    """The books could not be read, now or ever; `code` says why."""

    code: str
    quotas: tuple[Quota, ...] = ()


Trace = Traced | Untold


@dataclass(frozen=True, slots=True)
class Health:
    """What a provider says when it is asked whether an account's fault is over.

    `code` says why it is not, and `fault` what that is, where it is told. `operator` is true where it must not be asked again,
    because only a person may resume the account.
    """

    works: bool
    code: str = ""
    operator: bool = False
    fault: Fault | None = None
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with what came beside it.

    `recognised` is false for a code or status that no table names, so that alarms can fire on these alone; `mismatch` names what in
    an answer that was understood contradicts the call, which is no better. `request_id` is the provider's own reference for
    support.
    """

    answer: Answer
    status: int | None = None
    quotas: tuple[Quota, ...] = ()
    recognised: bool = True
    mismatch: str = ""
    request_id: str | None = None
