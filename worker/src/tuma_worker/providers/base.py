"""The seam between Tuma and a provider's API: what the rest of the house may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tuma_worker.core.answers import TryLater

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuma_producer.contract.rendered import Kept
    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.answers import Fault, Health, Reply, Trace
    from tuma_worker.core.custody import Sighting, Steered
    from tuma_worker.core.limits import Limit
    from tuma_worker.core.receipts import Receipt


Barred = Callable[[], TryLater | None]

BALANCE = "balance"  # the bucket of asking for the balance, where that has limits of its own


@dataclass(frozen=True, slots=True)
class Call:
    """One send as the provider sees it: the same text from the same sender to distinct numbers.

    `numbers` are E.164 with a plus sign. `reference` is unique to this attempt and safe to show to the provider; `callback_url` is
    where its receipts for this call should go, None when the account has no public gateway. `barred` is asked when there is a
    connection, before the first byte: it says why the call must not be made after all, or None. For `cancel_within` seconds the
    provider is to hold it back, so that it can be withdrawn there; None: it goes at once. Where one of the provider's templates is
    to make the message, `template` is that one, and `message` what it should come to.
    """

    numbers: Sequence[str]
    message: str
    sender_id: str | None
    reference: str
    callback_url: str | None = None
    barred: Barred | None = None
    cancel_within: int | None = None
    template: Kept | None = None


class Client(Protocol):
    """One account's way to its provider. Thread-safe; never raises for what a provider or a network can do."""

    def send(self, call: Call) -> Reply:
        """Make exactly one HTTP request and say what came of it."""
        ...

    def trace(self, call: Call, since: float) -> Trace:
        """Look in the provider's books for a call begun at `since` (Unix seconds) whose answer was lost. One HTTP request."""
        ...

    def probe(self, fault: Fault) -> Health:
        """Ask whether the account may go on after `fault`, without sending anything. At most one HTTP request."""
        ...


class Custodian(Protocol):
    """One account's way to a provider that keeps dates itself. Thread-safe; never raises, as `Client`."""

    def hand_over(self, call: Call, schedule: Schedule) -> Reply:
        """Hand a send over with its dates, which keep this provider's `Terms`. Exactly one HTTP request."""
        ...

    def steer(self, verb: Verb, provider_id: str) -> Steered:
        """Ask for this verb about a call that was handed over. Exactly one HTTP request."""
        ...

    def standing(self, provider_id: str) -> Sighting:
        """Ask how such a call stands. Exactly one HTTP request."""
        ...


class BadReceipt(ValueError):
    """A webhook body that is not what this provider sends. The message names the field, never its content."""


class Receipts(Protocol):
    """How a provider's webhooks are checked and read. No I/O."""

    def authentic(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether the request proves itself as this account expects; false where it expects nothing. `now` is Unix time."""
        ...

    def forged(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Whether it carries a wrong proof. A call's own callback may come without any: its path is a secret already."""
        ...

    def read(self, body: bytes) -> list[Receipt]:
        """The news in one webhook body. Raises `BadReceipt`."""
        ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a provider that keeps dates itself documents of it, used where an account sets nothing else.

    `timezone` is the one that dates are in; `dates` the most of an `At`, `dispatches` of an `Every`; `control` and `status` the
    limits of the calls that steer and that look.
    """

    timezone: str
    dates: int
    dispatches: int
    control: tuple[Limit, ...]
    status: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the provider documents about its limits, used where an account sets nothing else.

    `limits` are those of the send operation; `batch_max` the most recipients one call may carry; `count_segments` whether a long
    text counts once per segment against a limit in messages; `keeps_books` whether a call can be traced afterwards; `tells_within`
    in how many seconds receipts have come, if they come at all; `tells` of which faults `Client.probe` sees the end, and
    `probe_counts` whether it counts against the limits of sends, or `probe_bucket` against which of `buckets` else. `keeping` is
    None where it keeps no dates; `holds_back` says whether it takes `cancel_within`, `fills_templates` whether it makes texts of
    templates that it keeps, for a recipient at a time. `buckets` are the limits of what counts
    neither as a send nor against those of `keeping`, by the name that the requests of operations use.
    """

    limits: tuple[Limit, ...]
    batch_max: int
    count_segments: bool = False
    keeps_books: bool = False
    tells_within: float = 900.0
    tells: frozenset[Fault] = frozenset()
    probe_counts: bool = False
    probe_bucket: str = ""
    keeping: Keeping | None = None
    holds_back: bool = False
    fills_templates: bool = False
    buckets: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
