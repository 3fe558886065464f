"""How long what is over is remembered, where an account is set to less than Redis would keep it: its record, and its text.

The scripts that end an intent let it be kept for `RETENTION_MS`, whoever runs them; a producer knows no settings. So what is to go
sooner is found by the walk of a worker, and goes a little later than it could.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import ScriptCall, load, run_together
from tuma_producer.contract.wire import BODY_FIELDS, RETENTION_MS, without_text
from tuma_worker.store.records import Over, Records, pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

_AGE = load(__package__, "age")


@dataclass(frozen=True, slots=True)
class Ages:
    """For how many seconds an account remembers what is over, and its text; None where that is as long."""

    redis: Redis
    account: str
    records_for: float
    texts_for: float | None = None

    def heed(self) -> int:
        """Let go what is older, and count down for the rest. Returns of how many intents something changed."""
        return sum(
            self._heed(page) for page in pages([one for one in Records(self.redis, self.account).over() if self._is_due(one)])
        )

    @property
    def _kept(self) -> int:
        return min(round(self.records_for * 1000), RETENTION_MS)

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
        whole = {one.short_id: b"".join(filter(None, pieces)) for one, pieces in read}
        return {short_id: without_text(json.loads(body)) for short_id, body in whole.items() if body}
