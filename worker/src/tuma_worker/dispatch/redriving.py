"""Send dead letters again: as a new intent, since an end stays an end.

The new intent may belong to another account, which no script can reach together with the old one. So there are three steps: a plan
is written into the old record, the send is enqueued under a key that is the plan's, and the letters leave the index. Whoever comes
upon a plan that is not finished finishes it as it was chosen, and the key makes that one send, however often and by however many.
The plan is what makes it safe: two operators may choose the same recipient among different others, and a key derived from whom
each has chosen would let it through twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.records import again
from tuma_producer.errors import IdempotencyConflict

if TYPE_CHECKING:
    from tuma_producer import Producer, Send
    from tuma_worker.store.dead import Choice, DeadLetters, Leaving, Letter

LATE = "its deadline has passed"

Naming = Callable[[], str]  # a name that no other plan has


@dataclass
class Redriven:
    """What a redrive came to: how many recipients go again, as which intents, and how many were passed over for which reason."""

    recipients: int = 0
    intents: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Redriver:
    """Sends dead letters of one account again. The producer may be any source's: a send keeps its own."""

    producer: Producer
    letters: DeadLetters
    name: Naming
    leaving: Leaving

    def redrive(self, letters: Sequence[Letter], choice: Choice, so_far: Redriven) -> None:
        """Send these letters of one intent again, together, and add to `so_far` what it came to.

        Letters of a redrive that was begun and not finished go as that one chose. Raises `InvalidSend` for a choice that cannot be.
        """
        short_id = letters[0].short_id
        for plan, some in groupby(sorted(letters, key=lambda one: one.plan or ""), key=attrgetter("plan")):
            if plan is not None:
                self._finish(short_id, plan, so_far)
            else:
                self._begin(short_id, [one.number for one in some], choice, so_far)

    def foresee(self, letters: Sequence[Letter], choice: Choice, so_far: Redriven) -> None:
        """What `redrive` would add to `so_far`, but for the intents' ids."""
        record = self.letters.record(letters[0].short_id)
        fresh = [letter for letter in letters if letter.plan is None]
        if fresh and (why := self._skips(record, choice)):
            so_far.skipped[why] += len(fresh)
            so_far.recipients += len(letters) - len(fresh)
            return
        self._send(letters[0].short_id, record, "foreseen", choice, [letter.number for letter in letters])
        so_far.recipients += len(letters)

    def _skips(self, record: dict[str, str], choice: Choice) -> str | None:
        if not record:
            return "its record is gone"
        if "message" not in json.loads(record["body"]):
            return "its text is forgotten"
        passed = record["expires"] and int(record["expires"]) <= self.letters.now()
        return LATE if passed and choice.expires_in is None else None

    def _begin(self, short_id: str, numbers: list[str], choice: Choice, so_far: Redriven) -> None:
        record = self.letters.record(short_id)
        if why := self._skips(record, choice):
            so_far.skipped[why] += len(numbers)
            return
        plan = self.name()
        self._send(short_id, record, plan, choice, numbers)  # a choice that cannot be must not become a plan
        if self.letters.plan(short_id, plan, choice, numbers):
            self._finish(short_id, plan, so_far)

    def _finish(self, short_id: str, plan: str, so_far: Redriven) -> None:
        planned, record = self.letters.planned(short_id, plan), self.letters.record(short_id)
        if planned is None:
            return  # by somebody else, meanwhile
        choice, numbers = planned
        new_id = self._enqueue(self._send(short_id, record, plan, choice, numbers))
        # Killed here, it has been enqueued and the letters are still in the index: who finds the plan gets this id again.
        self.letters.redriven(short_id, plan, new_id, numbers, self.leaving)
        so_far.recipients += len(numbers)
        so_far.intents.append(new_id)

    def _enqueue(self, send: Send) -> str:
        try:
            return self.producer.enqueue(send).id
        except IdempotencyConflict as first:
            # Some of the plan's letters had left already when this process read it: they, and these, are in the first one.
            return first.intent_id

    def _send(self, short_id: str, record: dict[str, str], plan: str, choice: Choice, numbers: list[str]) -> Send:
        changes: dict[str, Any] = {"idempotency_key": f"redrive:{plan}"}
        optional = {"sender_id": choice.sender_id, "expires_in": choice.expires_in}
        changes |= {name: value for name, value in optional.items() if value is not None}
        return again(choice.account, short_id, record, numbers, home=choice.account == self.letters.account, **changes)
