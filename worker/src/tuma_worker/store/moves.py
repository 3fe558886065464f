"""Moves: what a script is told of recipients that change their state, and the call that moves them on later evidence."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tuma_producer.contract import records
from tuma_producer.contract.records import LOOK
from tuma_producer.contract.scripts import Argument, ScriptCall, load
from tuma_producer.contract.wire import EVENTS_KEPT, RETENTION_MS
from tuma_worker.core.dead import dead_class
from tuma_worker.core.evidence import Decision, Found
from tuma_worker.core.states import ENDS, Evidence, RecipientState, origins

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys

_APPLY = load(__package__, "apply")
_NOTE = load(__package__, "note")

QUEUED = frozenset({RecipientState.QUEUED})
WAITING = frozenset({RecipientState.ACCEPTED, RecipientState.QUEUED})
SENDING = frozenset({RecipientState.SENDING})
KEPT_MS = 4 * 86_400_000  # how long an attempt is remembered from when its answer is known: receipts are waited for 72 hours


class Target(NamedTuple):
    """One recipient of one intent."""

    intent: str
    number: str


@cache
def states_of(states: frozenset[RecipientState]) -> str:
    """States as the scripts search them: each with a space on either side."""
    return " " + " ".join(sorted(states)) + " "


_RECEIPT = {"field": f"{LOOK}{Found.RECEIPT}", "rest": records.look("", Found.RECEIPT, Decision.ADOPTED)}  # that one told of a call
# What every script that moves recipients is told.
COMMON: dict[str, Any] = {"maxlen": EVENTS_KEPT, "ends": states_of(ENDS), "retention": RETENTION_MS, "keep": KEPT_MS}


class Intents:
    """The keys of the intents that a script touches, each once, and the index that names it in the arguments."""

    def __init__(self, account: AccountKeys, targets: Sequence[Target], before: int) -> None:
        self.keys = list(dict.fromkeys(account.intent(target.intent) for target in targets))
        self._index = {key: before + position for position, key in enumerate(self.keys, start=1)}
        self._account = account

    def index(self, target: Target) -> int:
        """Which of the script's keys is the intent of this recipient, counted from 1."""
        return self._index[self._account.intent(target.intent)]

    def named(self, targets: Iterable[Target]) -> list[Argument]:
        """These recipients as the scripts' arguments name them."""
        return [part for target in targets for part in (self.index(target), target.intent, target.number)]


def move_header(state: RecipientState, evidence: Evidence, reason: str) -> dict[str, object]:
    """What a script is told of those who move into this state so."""
    # Who goes back comes from the call, and not from a pause, where a late answer may find it.
    allowed = origins(state) if state is not RecipientState.QUEUED else SENDING
    dead = _dies(state, evidence, reason)
    return {"target": state, "allowed": states_of(allowed), "evidence": evidence, "reason": reason, "dead": dead}


def apply_request(
    account: AccountKeys,
    batch_id: str,
    targets: Sequence[Target],
    target: RecipientState,
    evidence: Evidence,
    *,
    reason: str = "",
    provider_id: str = "",
    provider_ids: Sequence[str] = (),
    phase: str | None = None,
    unfenced: bool = False,
    due: bool = False,
    by_receipt: bool = False,
    stood: int | None = None,
    among: frozenset[RecipientState] | None = None,
) -> ScriptCall:
    """The call of the apply script that moves these recipients of this attempt. `by_receipt` notes that one told of the call.

    By `provider_ids` the call is known from then on, if `phase` says that it is found; `provider_id` is the call's own, where it
    has one. `among` are the states that they may be moved from, if not all that the table allows.
    """
    targets = sorted(targets)
    keys = [account.batch(batch_id), account.events, account.dead, *map(account.provider_id, provider_ids)]
    intents = Intents(account, targets, before=len(keys))
    header = {
        **COMMON,
        "provider_ids": len(provider_ids),
        "target": target,
        "allowed": states_of(_movable(target) if among is None else among),
        "evidence": evidence,
        "reason": reason,
        "provider_id": provider_id,
        "dead": _dies(target, evidence, reason),
        **given(phase=phase, look=_RECEIPT if by_receipt else None, stood=stood, unfenced=unfenced or None, due=due or None),
    }
    args: list[Argument] = [batch_id, json.dumps(header), *intents.named(targets)]
    return ScriptCall(_APPLY, [*keys, *intents.keys], args)


def _movable(target: RecipientState) -> frozenset[RecipientState]:
    """From where news of a call moves a recipient.

    Who is `accepted` has no call that nobody knows the end of: it was withdrawn after one that came to nothing, or another account
    carries it.
    """
    return origins(target) - ({RecipientState.ACCEPTED} if target is RecipientState.UNKNOWN else set())


def _dies(state: RecipientState, evidence: Evidence, reason: str) -> bool:
    """Whether who comes into this state so is a dead letter."""
    return dead_class(state, evidence, reason) is not None


def given(**optional: object) -> dict[str, object]:
    """Those of them that there are: what a header does not have is nil to a script."""
    return {name: value for name, value in optional.items() if value is not None}


def note(redis: Redis, batch: str, field: str, value: Argument) -> None:
    """Note something in an attempt's record, under this key, that was not known when it was written down."""
    _NOTE.run(redis, [batch], [field, value])
