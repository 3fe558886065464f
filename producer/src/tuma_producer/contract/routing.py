"""Routes: which accounts carry a number, by the prefix that it begins with. How they are published, and how a send is split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.errors import InvalidSend, UnknownRoute
from tuma_producer.intents import Send, mask, normalise_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHERS = "*"  # in the place of a prefix: all numbers that begin with none
_CHOSEN = ("account", "failover")  # fields of `Send` that a route gives


def published(accounts: Mapping[str, Sequence[str]]) -> str:
    """A route as it stands under its name: a list of accounts for each prefix."""
    return json.dumps(accounts)


def named(name: str, routes: Mapping[bytes, bytes]) -> Route:
    """The route of this name among all that are published. Raises `UnknownRoute`."""
    found = routes.get(name.encode())
    if found is None:
        raise UnknownRoute(name, tuple(sorted(known.decode() for known in routes)))
    return Route(name, {prefix: tuple(accounts) for prefix, accounts in json.loads(found).items()})


@dataclass(frozen=True, slots=True)
class Route:
    """A route: for each prefix the account that sends to its numbers, and those that carry for it, in order."""

    name: str
    accounts: Mapping[str, tuple[str, ...]]

    def sends(self, to: object, fields: Mapping[str, Any]) -> list[Send]:
        """One send for each list of accounts that these recipients need, in the order of their first recipients.

        Raises `InvalidSend`: what `Send` says of its fields, or that a number begins with none of the prefixes.
        """
        if given := [name for name in _CHOSEN if name in fields]:
            rule = "is chosen by the route; leave it out"
            raise InvalidSend(given[0], rule)
        parts = self._split(to).items()
        return [Send(**{**fields, "account": first, "failover": rest, "to": numbers}) for (first, *rest), numbers in parts]

    def _split(self, to: object) -> dict[tuple[str, ...], list[str]]:
        parts: dict[tuple[str, ...], list[str]] = {}
        try:
            for position, number in enumerate(normalise_numbers(to)):
                parts.setdefault(self._accounts_for(position, number), []).append(number)
        except ValueError as error:
            field = "to"
            raise InvalidSend(field, str(error)) from None
        return parts

    def _accounts_for(self, position: int, number: str) -> tuple[str, ...]:
        """The accounts of the longest prefix that the number begins with."""
        beginnings = (number[:length] for length in range(len(number), 1, -1))
        for prefix in (*beginnings, OTHERS):
            if accounts := self.accounts.get(prefix):
                return accounts
        known = ", ".join(sorted(self.accounts))
        rule = f"begins with no prefix of route {self.name!r} ({known}); leave it out, or have the route extended"
        message = f"entry {position}: {mask(number)} {rule}"
        raise ValueError(message)
