"""Numbers that the provider has blamed: left out of an account's calls for a while. Settling adds to them; begin looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import load, token

if TYPE_CHECKING:
    from redis import Redis

_FORGET_BAD = load(__package__, "forget_bad")


def forget(redis: Redis, account: str, number: str | None = None, *, by: str) -> int:
    """Let this number be called again, or all of them. Returns how many were remembered."""
    keys = account_keys(account)
    return int(_FORGET_BAD.run(redis, [keys.bad_numbers, keys.answer(token()), keys.audit], [by, number or ""]))
