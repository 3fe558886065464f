"""The audit of an account: what was steered, by whom, and how it stood before and after. The script of each verb writes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from tuma_producer.contract.ids import full_id
from tuma_producer.contract.keys import AUDIT, account_keys
from tuma_producer.contract.money import from_micros
from tuma_producer.contract.reading import texts
from tuma_producer.contract.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from redis import Redis

_AT_ONCE = 500  # entries read in one trip
_SIGNATURE = re.compile(r" \d{13} .*", re.DOTALL)  # when it was written and by whom, behind a value of a queue's state


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did at `at`. None for `before` and `after`: nothing stood there; for `account`: a token."""

    at: datetime
    account: str | None
    by: str
    action: str
    kind: str
    name: str
    before: str | None
    after: str | None


def acts(redis: Redis, accounts: Iterable[str | None], since: datetime | None = None) -> Iterator[Act]:
    """What was done at these accounts, oldest first; from that instant on, if any. None: what belongs to no account.

    About the last ten thousand acts of each are kept.
    """
    first = "-" if since is None else str(max(0, round(since.timestamp() * 1000)))
    return merge(*(_of_account(redis, account, first) for account in accounts), key=attrgetter("at"))


def _of_account(redis: Redis, account: str | None, first: str) -> Iterator[Act]:
    key = AUDIT if account is None else account_keys(account).audit
    while page := _page(redis, key, first):
        for entry_id, fields in page:
            yield _act(account, entry_id.decode(), texts(fields))
        first = f"({page[-1][0].decode()}"


def _page(redis: Redis, key: str, first: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(key, first, "+", count=_AT_ONCE))


def _act(account: str | None, entry_id: str, told: dict[str, str]) -> Act:
    kind, name = told["kind"], told["name"]
    show = _SHOWN.get(kind, str)
    before, after = (show(value) if value else None for value in (told["before"], told["after"]))
    at = moment(int(entry_id.partition("-")[0]))
    named = full_id(account, name) if account and kind in _BY_ID else name
    return Act(at, account, told["by"], told["action"], kind, named, before, after)


def _pause(_written: str) -> str:
    return "paused"


def _limit(written: str) -> str:
    count, milliseconds = _SIGNATURE.sub("", written).split()
    return f"{count} per {int(milliseconds) / 1000:g} s"


def _stop(written: str) -> str:
    """A halt, or an open breaker: since when, for how long, why."""
    if not written.startswith("{"):
        return f"breaker open: {written.split(' ', 2)[2]}"
    halt = json.loads(written)
    return f"halted: {halt['fault']} {halt['code']}"


def _budget(written: str) -> str:
    most, _, _, unit = written.split()
    return f"{from_micros(most).normalize():f} {unit}"


def _schedule(written: str) -> str:
    """How it stands; of one that was edited to how many it goes, when next, and what of it is new."""
    if "|" not in written:
        return written
    recipients, firing, changed = written.split("|")
    following = moment(int(firing))
    return f"recipients: {recipients}, next: {following.isoformat(timespec='seconds')}" + (f", new: {changed}" if changed else "")


def _list(written: str) -> str:
    return f"numbers: {written}"


def _letters(written: str) -> str:
    return f"letters: {written}"


def _sends(written: str) -> str:
    return f"sends: {written}"


# How what was written of these kinds is told; of all others there are words, told as they are.
_SHOWN: dict[str, Callable[[str], str]] = {
    "queue": _pause, "limit": _limit, "account": _stop, "budget": _budget, "schedule": _schedule, "suppressions": _list,
    "bad-numbers": _list, "number": _sends, "dead": _letters,
}  # fmt: skip
_BY_ID = {"intent", "schedule"}  # whose short id is written
