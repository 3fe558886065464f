"""Intents whose dates the provider keeps: as they stand, and moved on by its answers and receipts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tuma_producer.contract.custody import CONTROL, STATUS
from tuma_producer.contract.ids import digest
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import attempt_ids, record_texts
from tuma_producer.contract.scheduling import schedule_in
from tuma_producer.contract.scripts import ScriptCall, load
from tuma_producer.contract.times import server_time
from tuma_producer.contract.wire import EVENTS_KEPT, LANES
from tuma_worker.core.custody import Custody, Shown, Told
from tuma_worker.core.states import ENDS, RecipientState, origins
from tuma_worker.queue.config import QueueConfig
from tuma_worker.queue.scripts import push
from tuma_worker.store.attempts import UNANSWERED_MS
from tuma_worker.store.clock import server_ms
from tuma_worker.store.moves import COMMON, KEPT_MS, note, states_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys
    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.custody import Conclusion
    from tuma_worker.core.receipts import Receipt

_HEARD = load(__package__, "heard")
_CONCLUDE = load(__package__, "conclude")
_TAKE_UP = load(__package__, "take_up")
_TALLY = load(__package__, "tally")

# The field of an attempt's record that says that the provider keeps its dates, and until when it is to be remembered.
DATES = "dates"
_UNDER_WAY = (str(RecipientState.QUEUED), str(RecipientState.SENDING))
_TOLD, _SHOWN = "told:", "shown:"

_REACHABLE = {str(state): states_of(origins(state)) for state in (*ENDS, RecipientState.SENT, RecipientState.SUBMITTED)}


@dataclass(frozen=True, slots=True)
class Kept:
    """Such an intent of `source` with a verb under way, as it stood at `now` (Unix ms).

    `stood` is how it stood before the verb; `calls` are the batches in which it was handed over, with the provider's id for each.
    `told` and `shown` are what the provider said of them so far. `under_way` is true while somebody of it waits for a hand-over or
    for its answer. `skipped` dispatches fell into a pause; the present one began at `paused_at`.
    """

    short_id: str
    source: str
    verb: Verb
    custody: Custody
    stood: Custody
    calls: Mapping[str, str]
    told: Mapping[str, Told]
    shown: Mapping[str, Shown]
    under_way: bool
    shows_pauses: bool
    schedule: Schedule
    skipped: int
    paused_at: int | None
    now: int


@dataclass(frozen=True, slots=True)
class Custodies:
    """Such intents of one account."""

    redis: Redis
    account: str

    def load(self, short_id: str) -> Kept | None:
        """The intent as it stands; None where no verb is under way."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        pipeline.execute_command("TIME")  # by its name: a cluster's pipeline lacks the method
        pipeline.hgetall(self._keys.intent(short_id))
        time, raw = pipeline.execute()
        record = record_texts(raw)
        if "verb" not in record or "custody" not in record:
            return None
        custody = Custody(record["custody"])
        return Kept(
            short_id=short_id,
            source=record["source"],
            verb=cast("Verb", record["verb"]),
            custody=custody,
            stood=Custody(record.get("stood", custody)),
            calls=self._calls(attempt_ids(record)),
            told={name.removeprefix(_TOLD): Told(value) for name, value in record.items() if name.startswith(_TOLD)},
            shown={name.removeprefix(_SHOWN): Shown(value) for name, value in record.items() if name.startswith(_SHOWN)},
            under_way=any(name.startswith("+") and value.startswith(_UNDER_WAY) for name, value in record.items()),
            shows_pauses="shows_pauses" in record,
            schedule=schedule_in(record["body"]),
            skipped=int(record.get("skipped", 0)),
            paused_at=int(record["paused_at"]) if "paused_at" in record else None,
            now=server_time(time),
        )

    def _calls(self, batch_ids: list[str]) -> dict[str, str]:
        pipeline = self.redis.pipeline(transaction=False)
        for batch_id in batch_ids:
            pipeline.hget(self._keys.batch(batch_id), "provider_id")
        found = zip(batch_ids, pipeline.execute(), strict=True) if batch_ids else ()
        return {batch_id: provider_id.decode() for batch_id, provider_id in found if provider_id}

    def take_up(self, kept: Kept) -> bool:
        """Say that the verb is under way at the provider; False where it is no more."""
        keys = [self._keys.events, self._keys.intent(kept.short_id)]
        return bool(_TAKE_UP.run(self.redis, keys, [kept.short_id, kept.verb, EVENTS_KEPT]))

    def told(self, kept: Kept, batch_id: str, told: Told, *, last: bool) -> None:
        """Note what the provider answered about one call; after the last, somebody looks how it stands."""
        self._heard(kept, _TOLD + batch_id, told, "1" if last else "")

    def shown(self, kept: Kept, batch_id: str, shown: Shown) -> None:
        """Note how the provider shows one call."""
        self._heard(kept, _SHOWN + batch_id, shown, "")

    def _heard(self, kept: Kept, field: str, value: str, follow: str) -> None:
        keys = [self._keys.intent(kept.short_id), *self._line(STATUS)]
        _HEARD.run(self.redis, keys, [kept.short_id, kept.verb, field, value, follow])

    def conclude(self, kept: Kept, conclusion: Conclusion, *, of: int | None, skipped: int, shows_pauses: bool) -> bool:
        """Write down what became of the verb; `of` is how many dispatches are owed from now on, None where that is as it was."""
        header: dict[str, Any] = {
            **COMMON,
            "allowed": _REACHABLE,
            "verb": kept.verb,
            "custody": conclusion.custody,
            "result": conclusion.result,
            "skipped": skipped,
            "shows_pauses": shows_pauses,
        }
        if of is not None:
            header["of"] = of
        keys = [self._keys.events, self._keys.dead, self._keys.intent(kept.short_id), *self._line(CONTROL)]
        return bool(_CONCLUDE.run(self.redis, keys, [kept.short_id, json.dumps(header)]))

    def progress(self, short_id: str) -> str | None:
        """How far the verb is that is under way: the same text as long as nothing was said about it; None where none is."""
        kept = self.load(short_id)
        return None if kept is None else _progress(kept)

    def put_back(self, short_id: str, progress: str) -> int:
        """Give a verb that is as far as it was seen a job again. Returns 1, or 0 where it has moved on.

        Should it have one after all, the second finds the work done, or asks for the same once more.
        """
        kept = self.load(short_id)
        if kept is None or _progress(kept) != progress:
            return 0
        asked = bool(kept.calls) and kept.told.keys() >= kept.calls.keys()
        operation, group = (STATUS, "look.1.1.-") if asked else (CONTROL, "steer.1.1.-")
        push(self.redis, QueueConfig(self.account, operation), group, short_id, source=kept.source)
        return 1

    def keep(self, batch_id: str, last: int) -> None:
        """Remember an attempt for as long after its last date (Unix ms) as any other after its answer, or while it has none."""
        key = self._keys.batch(batch_id)
        note(self.redis, key, DATES, last + KEPT_MS)
        self.redis.pexpireat(key, last + UNANSWERED_MS)

    def now(self) -> int:
        """The server's clock in Unix milliseconds."""
        return server_ms(self.redis)

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def _line(self, operation: str) -> list[str]:
        queue = self._keys.queue(operation)
        lanes = [queue.sources(lane) for lane in range(len(LANES))]
        return [queue.entries, queue.groups, *lanes, queue.due, queue.spent, queue.state, queue.bell]


def _progress(kept: Kept) -> str:
    return f"{kept.verb} {len(kept.told)} {len(kept.shown)}"


def tally_request(account: AccountKeys, batch_id: str, short_id: str, receipt: Receipt) -> ScriptCall:
    """The call of the tally script that takes this receipt in."""
    number, state = cast("str", receipt.number), cast("RecipientState", receipt.state)
    # One that comes again has the same event id; without one, two dispatches differ in when things happened.
    told = digest(receipt.event_id or f"{receipt.event} {receipt.occurred_at}", number)
    keys = [account.batch(batch_id), account.receipts(batch_id), account.events, account.dead, account.intent(short_id)]
    header = json.dumps({**COMMON, "allowed": _REACHABLE})
    return ScriptCall(_TALLY, keys, [batch_id, short_id, number, told, state, receipt.evidence, receipt.reason or "", header])
