"""API tokens: in whose name one asks, and what it may ask for. The token itself is never kept, only its digest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

PREFIX = "tuma_"  # so that a token is recognised wherever it should not stand


class Scope(StrEnum):
    """What a token may do. None of them includes another, but that who operates may watch."""

    SEND = "send"  # enqueue, and ask beforehand what that would come to
    READ = "read"  # see intents and events of its own source
    CONTROL = "control"  # cancel, pause and resume intents of its own source
    WATCH = "watch"  # see what belongs to no source: accounts, queues, dead letters, campaigns
    OPERATE = "operate"  # see it, and steer it


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. Several digests share a `name` while one replaces another.

    `source` is the service in whose name it asks. `created` and `expires` are Unix milliseconds; None never expires. `rate` is how
    often it may ask, as limits are written.
    """

    name: str
    source: str
    scopes: tuple[Scope, ...]
    created: int
    expires: int | None = None
    rate: str | None = None

    def holds_at(self, now: int) -> bool:
        """Whether it is still good at this time, in Unix milliseconds."""
        return self.expires is None or now < self.expires

    def __str__(self) -> str:
        return f"{' '.join(self.scopes)} for {self.source}" + (f", {self.rate}" if self.rate else "")

    @property
    def rights(self) -> frozenset[Scope]:
        """Its scopes, and what they include."""
        return frozenset(self.scopes) | ({Scope.WATCH} if Scope.OPERATE in self.scopes else set())

    def may_see(self, source: str) -> bool:
        """Whether what belongs to this source is any of its business."""
        return source == self.source or Scope.WATCH in self.rights

    def may_steer(self, source: str) -> bool:
        """Whether it may do something about what belongs to this source."""
        return source == self.source or Scope.OPERATE in self.scopes


def digest(token: str) -> str:
    """What stands for a token where it is kept. A token is random and long, so a fast digest is safe."""
    return sha256(token.encode()).hexdigest()
