"""Recipients that have not ended and for which nothing will happen any more: finding them without an index, and what is done then.

Those that nobody has in hand get a job again. Those that were handed over and of which no receipt has told for long end.

Nearly all recipients are found to be owned by composing the name of their job; the few others are looked for in one walk through
the queue, in the order in which jobs move on: due, line, in flight. A job on its way can be missed there only by going back
meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tuma_producer.contract.custody import CONTROL, STATUS
from tuma_producer.contract.keys import AccountKeys, account_keys
from tuma_producer.contract.records import CARRIED
from tuma_producer.contract.scripts import load
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.store import schedules
from tuma_worker.store.attempts import Attempts
from tuma_worker.store.custody import Custodies
from tuma_worker.store.lead import take_lead
from tuma_worker.store.moves import Target
from tuma_worker.store.records import PAGE, Records, batch_of, is_silent, pages
from tuma_worker.store.schedules import Schedules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

    from tuma_producer.contract.keys import QueueKeys
    from tuma_worker.queue.config import QueueConfig

_UNOWNED = load(__package__, "unowned")
_RESTORE = load(__package__, "restore")

_AT_ONCE = 5_000  # recipients that are looked for in one walk through the queue
_SILENT_AT_ONCE = 20_000  # that one look brings, about; the next one brings others

NO_RECEIPT = "no-receipt"  # the reason of those that end because none came
ATTEMPT_FORGOTTEN = "attempt-forgotten"  # of those whose call was never answered and is not remembered any more

# Recipients with their fields as they were seen. A schedule has no number, and is seen with the firing that it waits for. A verb
# that the provider is to be asked for stands for all of its intent, and is seen with how far it is.
Seen = dict[Target, str]
_NOBODY = ""  # a schedule's number
_VERB = "verb"  # in place of a number


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk through the records brought: those without an owner, and those of which nothing was heard for too long.

    `unanswered` recipients are in calls that have ended without an answer, the `oldest` of them for so many seconds.
    """

    lost: Seen
    silent: Seen
    unanswered: int = 0
    oldest: float = 0.0


@dataclass(frozen=True, slots=True)
class Unowned:
    """The recipients of one account that nobody has in hand.

    `receipts_for`: how many seconds news of a sent one is waited for; `call`: how many a call may take.
    """

    redis: Redis
    queue: QueueConfig
    receipts_for: float = 259_200.0
    call: float = 90.0

    def look(self) -> Walk:
        """All that have not ended and that no job and no call is there for, or of which no receipt told in time.

        A job that moves meanwhile may be missed, so look twice. Silence is sure at once: `close` checks it again.
        """
        found, doubtful, silent, asked = Seen(), Seen(), Seen(), Seen()
        unanswered: list[float] = []  # for how many seconds
        now, records = self._attempts.now(), Records(self.redis, self.queue.account)
        stood = self._stood(now)
        for one in records.open():
            if one.following is not None:
                found |= self._misplaced(one.short_id, one.following)
                continue
            if one.asked:
                asked[Target(one.short_id, _VERB)] = ""
            for page in records.moving(one.short_id):
                waiting = [number for number, packed in page if packed.startswith(("queued", "sending"))]
                doubtful |= self._unnamed(one.short_id, waiting) if waiting else {}
                unanswered += [seconds for _, packed in page if (seconds := _calling(packed, now)) > self.call]
                if len(silent) < _SILENT_AT_ONCE:
                    untold = [(number, packed) for number, packed in page if is_silent(packed, stood, one.last)]
                    silent |= self._untold(one.short_id, untold)
            if len(doubtful) >= _AT_ONCE:
                found |= _not_in_queue(self.redis, self.queue.keys, doubtful)
                doubtful = {}
        lost = found | _not_in_queue(self.redis, self.queue.keys, doubtful) | self._unasked(asked)
        return Walk(lost, silent, len(unanswered), max(unanswered, default=0.0))

    def close(self, silent: Seen) -> int:
        """End those of which still nothing was heard. Returns how many."""
        return self._end_unknown(silent, NO_RECEIPT, stood=self._stood(self._attempts.now()))

    def end_forgotten(self, seen: Seen) -> int:
        """End those whose call was never answered and is not remembered any more: whoever looks for evidence finds no trace of it.

        The job that would look is about the call and could not say whom it was for. Returns how many.
        """
        calling = {target: packed for target, packed in seen.items() if packed.startswith("sending")}
        forgotten = self._forgotten({batch_of(packed) for packed in calling.values()})
        return self._end_unknown(
            {target: packed for target, packed in calling.items() if batch_of(packed) in forgotten}, ATTEMPT_FORGOTTEN
        )

    def restore(self, seen: Mapping[Target, str]) -> int:
        """Give those a job again that still stand as they were seen and are in nobody's hand. Returns how many."""
        keys, account = self.queue.keys, self._account
        restored, recipients = 0, dict[str, list[tuple[str, str]]]()
        for target, packed in sorted(seen.items()):
            if target.number == _NOBODY:
                restored += Schedules(self.redis, self.queue).put_back(target.intent, int(packed))
            elif target.number == _VERB:
                restored += self._custodies.put_back(target.intent, packed)
            else:
                recipients.setdefault(target.intent, []).append((target.number, packed))
        for short_id, pairs in recipients.items():
            for page in pages(pairs):
                restored += int(
                    _RESTORE.run(
                        self.redis,
                        [*self.queue.line_keys, keys.inflight, keys.state, keys.bell, account.intent(short_id)],
                        [short_id, *(word for pair in page for word in pair)],
                    )
                )
        return restored

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that looks after this account, for so long from now; the first to ask is."""
        return take_lead(self.redis, self._account.sweeper, name, seconds)

    @property
    def _account(self) -> AccountKeys:
        return account_keys(self.queue.account)

    @property
    def _custodies(self) -> Custodies:
        return Custodies(self.redis, self.queue.account)

    def _misplaced(self, short_id: str, following: str) -> Seen:
        """A schedule that does not wait for its firing where it should; a worker may just hold it."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.zscore(self.queue.keys.due, schedules.waiting(short_id))
        pipeline.zscore(self.queue.keys.entries, schedules.ready(short_id, int(following)))
        return {} if any(score is not None for score in pipeline.execute()) else {Target(short_id, _NOBODY): following}

    def _untold(self, short_id: str, silent: list[tuple[str, str]]) -> Seen:
        """Those of whom nobody else will tell. Whom another account carries, that one gives up, and is followed."""
        if not silent:
            return {}
        key, fields = self._account.intent(short_id), [CARRIED + number for number, _ in silent]
        carried = cast("list[bytes | None]", self.redis.hmget(key, fields))
        return {Target(short_id, number): packed for (number, packed), part in zip(silent, carried, strict=True) if part is None}

    def _stood(self, now: float) -> int:
        """Whoever has stood where it is since before then was not heard of in time: Unix milliseconds, by the server's clock."""
        return round((now - self.receipts_for) * 1000)

    def _forgotten(self, batch_ids: Iterable[str]) -> set[str]:
        return {batch_id for batch_id in batch_ids if not self.redis.exists(self._account.batch(batch_id))}

    def _end_unknown(self, seen: Seen, reason: str, *, stood: int | None = None) -> int:
        calls: dict[str, list[Target]] = {}
        for target, packed in seen.items():
            calls.setdefault(batch_of(packed), []).append(target)
        return sum(
            self._attempts.apply(batch_id, page, RecipientState.UNKNOWN, Evidence.ASSUMED, reason=reason, stood=stood)
            for batch_id, targets in calls.items()
            for page in pages(targets)
        )

    @property
    def _attempts(self) -> Attempts:
        return Attempts(self.redis, self.queue)

    def _unnamed(self, short_id: str, numbers: list[str]) -> Seen:
        keys = self.queue.keys
        reply = _UNOWNED.run(
            self.redis,
            [keys.entries, keys.groups, keys.due, keys.inflight, self._account.intent(short_id)],
            [short_id, *numbers],
        )
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return {Target(short_id, number.decode()): packed.decode() for number, packed in pairs}

    def _unasked(self, asked: Seen) -> Seen:
        """The verbs that neither the queue of verbs nor that of looks has a job for."""
        for operation in (CONTROL, STATUS):
            asked = _not_in_queue(self.redis, account_keys(self.queue.account).queue(operation), asked)
        far = {target: self._custodies.progress(target.intent) for target in asked}
        return {target: progress for target, progress in far.items() if progress is not None}


def _not_in_queue(redis: Redis, keys: QueueKeys, doubtful: Seen) -> Seen:
    """Those whose job is nowhere in this queue."""
    wanted: dict[str, list[Target]] = {}
    for target, packed in doubtful.items():
        wanted.setdefault(_subject(target, packed), []).append(target)
    if wanted:
        for subject, entry in _jobs(redis, keys):
            if subject in wanted and (entry is None or _is_found(redis, keys, entry)):
                del wanted[subject]
    return {target: doubtful[target] for targets in wanted.values() for target in targets}


def _jobs(redis: Redis, keys: QueueKeys) -> Iterator[tuple[str, str | None]]:
    """What all jobs of the queue are about, and the entry of those in the line; of calls under way, their batch as well."""
    for member, _ in redis.zscan_iter(keys.due, count=PAGE):
        yield member.decode().rpartition("|")[2], None
    for member, _ in redis.zscan_iter(keys.entries, count=PAGE):
        entry = member.decode()
        yield entry.rpartition("|")[2], entry
    for name, packed in redis.hscan_iter(keys.inflight, count=PAGE):
        if name.endswith(b":items"):
            yield from ((subject, None) for subject in packed.decode().split()[1::2])
        elif packed.startswith(b"calling "):
            yield name.decode(), None


def _is_found(redis: Redis, keys: QueueKeys, entry: str) -> bool:
    """Whether a claim finds this job: it goes by the member of the group, which bears the time of the oldest."""
    lane, source, group, _ = entry.split("|", 3)
    prefix = f"{lane}|{source}|{group}|"
    oldest = cast("list[bytes]", redis.zrangebylex(keys.entries, f"[{prefix}", b"[" + prefix.encode() + b"\xff", 0, 1))
    if not oldest:
        return True  # gone on meanwhile
    at = oldest[0].decode().removeprefix(prefix).partition("|")[0]
    return redis.zscore(keys.groups, f"{lane}|{source}|{at}|{group}") is not None


def _calling(packed: str, now: float) -> float:
    """For how many seconds a recipient has been in a call; 0 for one that is in none."""
    state, _, rest = packed.partition("|")
    return now - int(rest.partition("|")[0]) / 1000 if state == "sending" else 0.0


def _subject(target: Target, packed: str) -> str:
    """What the job that a recipient needs is about: itself, or the call that it is in; of a verb, the intent."""
    if target.number == _VERB:
        return target.intent
    return batch_of(packed) if packed.startswith("sending") else f"{target.intent}:{target.number}"
