"""An account's suppression list: whom no call may begin with, whoever asks for it."""

from __future__ import annotations

from hashlib import sha1
from itertools import islice
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import Script, ScriptCall, load, token
from tuma_producer.contract.times import moment
from tuma_producer.errors import InvalidSend, UnknownAccount
from tuma_producer.intents import normalise_each
from tuma_producer.results import Suppression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tuma_producer.contract.steps import ActSteps

PAGE = 1000  # numbers in one step
_KEY = "key:"  # begins the member that says with which key numbers are hidden

_SUPPRESS = load("tuma_producer.contract", "suppress")
_UNSUPPRESS = load("tuma_producer.contract", "unsuppress")


def suppress(account: str, numbers: str | Iterable[str], by: str) -> ActSteps[int]:
    """What to ask for, in the name of `by`, so that these numbers are on the list.

    Raises `InvalidSend` for one that is none, and `UnknownAccount`.
    """
    return _change(_SUPPRESS, account, _checked(numbers), by)


def unsuppress(account: str, numbers: str | Iterable[str], by: str) -> ActSteps[int]:
    """What to ask for, in the name of `by`, so that these numbers are not on the list; raises as `suppress` does."""
    return _change(_UNSUPPRESS, account, _checked(numbers), by)


def listed(page: Iterable[Sequence[Any]]) -> Iterator[Suppression]:
    """A page of the list, as its reply holds it; without those that are hidden, and the key for that."""
    for number, since in page:
        if number.startswith(b"+"):
            yield Suppression(number.decode(), moment(int(since)))


def members(numbers: Sequence[str], first: Sequence[bytes]) -> list[str]:
    """What may stand on a list for these numbers, whose first member is this: themselves, then, where some are hidden, that."""
    key = next((one.decode().removeprefix(_KEY) for one in first if one.startswith(_KEY.encode())), None)
    return [*numbers, *(hidden(key, number) for number in numbers if key is not None)]


def hidden(key: str, number: str) -> str:
    """What stands on the list for a number that was forgotten: see listed.lua."""
    return f"#{_digest(key + _digest(key + number))}"


def _digest(text: str) -> str:
    return sha1(text.encode(), usedforsecurity=False).hexdigest()  # the only one that a script can make


def _change(script: Script, account: str, numbers: Iterable[str], by: str) -> ActSteps[int]:
    keys, remaining, changed = account_keys(account), iter(numbers), 0
    while some := list(islice(remaining, PAGE)):
        (reply,) = yield [ScriptCall(script, [keys.profile, keys.suppressed, keys.answer(token()), keys.audit], [by, *some])]
        if reply < 0:
            raise UnknownAccount(account)
        changed += int(reply)
    return changed


def _checked(numbers: str | Iterable[str]) -> list[str]:
    """The numbers as they are kept. All are looked at before the first is: who gives a wrong one changes nothing."""
    field, given = "numbers", [numbers] if isinstance(numbers, str) else list(numbers)
    if not given:
        raise InvalidSend(field, "must be a phone number or a list with at least one")
    try:
        return normalise_each(given)
    except ValueError as error:
        raise InvalidSend(field, str(error)) from None
