"""What a provider's folder hands to the registry, and what it is told about an account.

`Account` is a shape, not a class: the service's settings satisfy it without knowing that providers exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tuma_worker.core.answers import Quota
from tuma_worker.core.funds import Balance
from tuma_worker.core.polling import Overdue
from tuma_worker.core.receipts import Receipt
from tuma_worker.providers.operations import Exchange

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tuma_worker.providers.base import Client, Custodian, Defaults, Receipts
    from tuma_worker.providers.http import Http
    from tuma_worker.providers.operations import Caller, Operation

# Asks about these calls, one question after the other, and yields each call with what is told of it, perhaps nothing. What is
# yielded need not be asked again soon. Raises `NotDone` where the rest cannot be asked about now.
Inquire = Callable[[Exchange, Sequence[Overdue]], Iterator[tuple[Overdue, Sequence[Receipt]]]]

# What the headers of an answer say is left of the account's limits.
ReadQuotas = Callable[[Mapping[str, str]], tuple[Quota, ...]]

# Asks what money the account has; None where the answer does not say. Raises `NotDone`.
AskBalance = Callable[[Exchange], Balance | None]


class Account(Protocol):
    """What a provider may ask of an account's settings."""

    @property
    def base_url(self) -> str | None:
        """Where the provider's API lies, as its dashboard shows it; None for the documented place."""
        ...

    @property
    def api_key(self) -> SecretStr:
        """The credential of every call."""
        ...

    @property
    def environment(self) -> str:
        """`production` or `sandbox`."""
        ...

    @property
    def sender_id(self) -> str | None:
        """The sender shown where a call names none."""
        ...

    @property
    def timezone(self) -> str | None:
        """The zone in which the provider reads dates without one; None for the documented one."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        ...

    @property
    def webhook_username(self) -> str | None:
        """The user name that the provider's webhooks present."""
        ...

    @property
    def webhook_password(self) -> SecretStr | None:
        """The password beside it."""
        ...

    @property
    def webhook_password_old(self) -> SecretStr | None:
        """The password that `webhook_password` is replacing."""
        ...

    @property
    def webhook_secret_old(self) -> SecretStr | None:
        """The secret that `webhook_secret` is replacing."""
        ...

    @property
    def webhook_timestamp_header(self) -> str | None:
        """The header that says when a webhook was signed; None where the provider signs the body alone."""
        ...

    @property
    def inbound_event(self) -> str | None:
        """The event by which the provider tells of messages that people write; None where it tells of none."""
        ...

    @property
    def webhook_secret(self) -> SecretStr | None:
        """The secret with which the provider signs its webhooks."""
        ...


@dataclass(frozen=True, slots=True)
class OptOuts:
    """How the provider's own list of who wants no messages is read, and added to. Numbers are E.164; no way takes one off."""

    read: Callable[[Exchange], Iterator[str]]
    add: Callable[[Exchange, str], object]


def _no_quotas(_headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """Of a provider that does not say what is left."""
    return ()


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: what it documents about its limits, and how its parts are made for an account.

    `check`, `client`, `caller`, `custodian` and `receipts` raise `ValueError` with one line, free of secrets, where the account
    cannot work here. `custodian` is None where the provider keeps no dates, `opt_outs` where it keeps no list of who opted out.
    `operations` are what may be asked besides sending, which takes the documented endpoints in `sends`. `inquire`
    is how to learn what receipts have not told, `ask_balance` what money is left; None where nothing can be asked.
    `quotas` reads what answers say is left of limits.
    """

    name: str
    defaults: Defaults
    client: Callable[[Account, Http], Client]
    receipts: Callable[[Account], Receipts]
    check: Callable[[Account], None]
    caller: Callable[[Account, Http], Caller]
    operations: tuple[Operation, ...]
    sends: tuple[str, ...]
    custodian: Callable[[Account, Http], Custodian] | None = None
    opt_outs: OptOuts | None = None
    inquire: Inquire | None = None
    ask_balance: AskBalance | None = None
    quotas: ReadQuotas = _no_quotas

    def operation(self, name: str) -> Operation:
        """The operation of that name. Raises `ValueError` naming those there are."""
        known = {operation.name: operation for operation in self.operations}
        if name not in known:
            message = f"{self.name} has no operation {name!r}; it has {', '.join(sorted(known))}"
            raise ValueError(message)
        return known[name]
