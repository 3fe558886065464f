"""The ledger: what arrived, what was accepted, what was refused for a limit. Tests trust it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_worker.sandbox.faults import digits

if TYPE_CHECKING:
    from tuma_worker.sandbox.life import Batch


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted send call."""

    provider: str
    arrived_at: float
    batch: Batch

    def as_json(self) -> dict[str, Any]:
        """The call with everything in it."""
        batch = self.batch
        return {
            "provider": self.provider,
            "key": batch.key,
            "arrived_at": self.arrived_at,
            "recipients": [recipient.number for recipient in batch.recipients],
            "message": batch.text,
            "from": batch.sender,
            "provider_id": batch.id,
            "reference": batch.reference,
            "callback_url": batch.callback_url,
            "segments": batch.segments,
            "cost": batch.cost,
            "dispatches": batch.dispatches,
        }


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One dispatch of an accepted send for later, with the moment that it was scheduled for (epoch seconds)."""

    scheduled_at: float
    batch: Batch

    def as_json(self) -> dict[str, Any]:
        """Which send it is of, and to whom."""
        batch = self.batch
        return {
            "provider_id": batch.id,
            "key": batch.key,
            "scheduled_at": self.scheduled_at,
            "recipients": [recipient.number for recipient in batch.recipients],
            "message": batch.text,
        }


class Ledger:
    """Counts of one sandbox since it started or was reset."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Counter[str]]] = {}
        self._entries: list[Entry] = []
        self._dispatches: list[Dispatch] = []
        self._steered: list[dict[str, Any]] = []
        self._copies: Counter[tuple[bytes, str]] = Counter()
        self._recipients = 0
        self._violations = 0
        self._rate_limited = 0

    def request(self, provider: str, endpoint: str, status: str) -> None:
        """A call was answered with this status (or `reset`, where it was not answered)."""
        self._requests.setdefault(provider, {}).setdefault(endpoint, Counter())[status] += 1
        self._rate_limited += status == "429"

    def violation(self) -> None:
        """A call was beyond a limit in some window."""
        self._violations += 1

    def accepted(self, entry: Entry) -> None:
        """A send call was accepted."""
        self._entries.append(entry)
        self._recipients += len(entry.batch.recipients)
        text = hashlib.sha256(entry.batch.text.encode()).digest()[:12]
        self._copies.update((text, digits(recipient.number)) for recipient in entry.batch.recipients)

    def dispatched(self, dispatch: Dispatch) -> None:
        """A send for later went out once."""
        self._dispatches.append(dispatch)

    def steered(self, verb: str, provider_id: str, arrived_at: float) -> None:
        """A send for later was cancelled, paused or resumed."""
        self._steered.append({"verb": verb, "provider_id": provider_id, "arrived_at": arrived_at})

    def knows(self, key: str, provider_id: str) -> bool:
        """Whether this key made a call of that id."""
        return any(entry.batch.id == provider_id and entry.batch.key == key for entry in self._entries)

    def as_json(self, *, detail: bool) -> dict[str, Any]:
        """The counts; with `detail` every accepted call too."""
        again = {_hashed(text, number): times for (text, number), times in self._copies.items() if times > 1}
        return {
            "requests": self._requests,
            "calls": len(self._entries),
            "recipients": self._recipients,
            "rate_limited": self._rate_limited,
            "violations": self._violations,
            "duplicates": len(again),
            "duplicate_keys": again,
            "messages": self._messages(),
            "dispatched": sum(len(dispatch.batch.recipients) for dispatch in self._dispatches),
            **(self._detail() if detail else {}),
        }

    def _detail(self) -> dict[str, Any]:
        return {
            "accepted": [entry.as_json() for entry in self._entries],
            "dispatches": [dispatch.as_json() for dispatch in self._dispatches],
            "steered": self._steered,
        }

    def _messages(self) -> dict[str, int]:
        by_status: Counter[str] = Counter()
        for batch in [one.batch for one in self._entries] + [one.batch for one in self._dispatches]:
            by_status.update(batch.counts)
        return {status: n for status, n in by_status.items() if n}


def _hashed(text: bytes, number: str) -> str:
    """A name for a (text, number) pair that gives neither away."""
    return hashlib.sha256(text + number.encode()).hexdigest()[:16]
