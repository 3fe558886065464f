"""How long what is over is remembered, where an account is set to less than Redis would keep it: its record, its text, its calls.

The scripts that end an intent let it be kept for `RETENTION_MS`, and an attempt for `KEPT_MS`, whoever runs them; a producer knows
no settings. So what is to go sooner is found by the walk of a worker, and goes a little later than it could.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import BODY_FIELDS, body_in
from tuma_producer.contract.scripts import ScriptCall, load, run_together
from tuma_producer.contract.wire import RETENTION_MS, without_text
from tuma_worker.store.moves import KEPT_MS
from tuma_worker.store.records import Over, Records, keys_with, pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

_AGE = load(__package__, "age")


@dataclass(frozen=True, slots=True)
class Ages:
    """For how many seconds an account remembers what is over, and its text (None: for as long), and attempts that were answered."""

    redis: Redis
    account: str
    records_for: float = RETENTION_MS / 1000
    texts_for: float | None = None
    attempts_for: float = KEPT_MS / 1000

    @property
    def are_shorter(self) -> bool:
        """Whether anything is to go sooner than it would by itself."""
        return self.texts_for is not None or self._kept < RETENTION_MS or self._attempts_kept < KEPT_MS

    def heed(self) -> int:
        """Let go what is older, and count down for the rest. Returns of how many intents and attempts something changed."""
        over = [one for one in Records(self.redis, self.account).over() if self._is_due(one)]
        return sum(map(self._heed, pages(over))) + self._heed_attempts()

    def _heed_attempts(self) -> int:
        if self._attempts_kept == KEPT_MS:
            return 0
        prefix = account_keys(self.account).batch("")
        return sum(self._cut(page) for page in keys_with(self.redis, prefix))

    def _cut(self, page: Sequence[bytes]) -> int:
        """Count down for those of these attempts that were answered; without an answer, or before a last date, it is longer."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        for key in page:
            pipeline.pttl(key)
            pipeline.hget(key, "kept")
        found = pipeline.execute() if page else []
        told = zip(page, found[::2], found[1::2], strict=True)
        due = [key for key, left, kept in told if 0 <= left <= KEPT_MS and _counted_from(left, kept) != self._attempts_kept]
        calls = [ScriptCall(_AGE, [key.decode()], [self._attempts_kept, KEPT_MS, ""]) for key in due]
        return run_together(self.redis, calls).count(b"done") if calls else 0

    @property
    def _kept(self) -> int:
        return min(round(self.records_for * 1000), RETENTION_MS)

    @property
    def _attempts_kept(self) -> int:
        return min(round(self.attempts_for * 1000), KEPT_MS)

    def _is_due(self, one: Over) -> bool:
        return one.kept != self._kept or self._loses_text(one)

    def _loses_text(self, one: Over) -> bool:
        return self.texts_for is not None and one.has_text and one.age >= self.texts_for * 1000

    def _heed(self, page: Sequence[Over]) -> int:
        bodies = self._bodies([one for one in page if self._loses_text(one)])
        keys = account_keys(self.account)
        calls = [
            ScriptCall(_AGE, [keys.intent(one.short_id)], [self._kept, RETENTION_MS, bodies.get(one.short_id, "")]) for one in page
        ]
        return run_together(self.redis, calls).count(b"done")

    def _bodies(self, page: Sequence[Over]) -> dict[str, str]:
        """The bodies of these without their texts."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        for one in page:
            pipeline.hmget(account_keys(self.account).intent(one.short_id), BODY_FIELDS)
        read = zip(page, pipeline.execute() if page else (), strict=True)
        return {one.short_id: without_text(body) for one, pieces in read if (body := body_in(pieces))}


def _counted_from(left: int, kept: bytes | None) -> int:
    """From how many ms the time that an attempt has left is counted down: anew where a late receipt has answered it again."""
    return KEPT_MS if kept is None or left > int(kept) else int(kept)
