"""Calls that the provider took and of whose recipients no receipt has told in time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import BODY_FIELDS, body_in
from tuma_worker.core.polling import Overdue, Silent, asks_again
from tuma_worker.core.states import ENDS, RecipientState
from tuma_worker.store.clock import server_ms
from tuma_worker.store.custody import DATES
from tuma_worker.store.lead import take_lead
from tuma_worker.store.moves import note
from tuma_worker.store.records import Records, batch_of, is_silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys


_AT_ONCE = 200  # calls that one look brings, about; the next one brings others
_ASKED = "asked:"  # in an attempt's record, before each time in ms when the provider was asked about it


@dataclass(frozen=True, slots=True)
class OverdueCalls:
    """The overdue calls of one account: news of each recipient is waited for `after` seconds before anybody asks."""

    redis: Redis
    account: str
    after: float

    def look(self) -> list[Overdue]:
        """Calls that are to be asked about now, the oldest first.

        Of those whose dates the provider keeps nothing is asked: no answer says which date it is about.
        """
        now, seen = server_ms(self.redis), set[str]()
        found: list[Overdue] = []
        for batch_ids in self._silent(now - self._after):
            found += self._due(batch_ids - seen, now)
            seen |= batch_ids
            if len(found) >= _AT_ONCE:
                break
        return sorted(found, key=attrgetter("started"))

    def note_asked(self, batch_id: str) -> None:
        """Note that the provider has been asked about a call."""
        note(self.redis, self._keys.batch(batch_id), f"{_ASKED}{server_ms(self.redis)}", "")

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that asks about this account's calls, for so long from now; the first to ask is."""
        return take_lead(self.redis, self._keys.poller, name, seconds)

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    @property
    def _after(self) -> int:
        return round(self.after * 1000)

    def _silent(self, stood: int) -> Iterator[set[str]]:
        """The calls of whose recipients some have stood where they are since then."""
        records = Records(self.redis, self.account)
        for one in records.open():
            for page in records.moving(one.short_id) if one.following is None else ():
                yield {batch_of(packed) for _, packed in page if is_silent(packed, stood)}

    def _due(self, batch_ids: Iterable[str], now: int) -> Iterator[Overdue]:
        pipeline = self.redis.pipeline(transaction=False)
        batches = list(batch_ids)
        for batch_id in batches:
            pipeline.hgetall(self._keys.batch(batch_id))
        for batch_id, raw in zip(batches, pipeline.execute() if batches else (), strict=True):
            record = {name.decode(): value.decode() for name, value in raw.items()}
            if record.get("provider_id") and DATES not in record and self._is_time(record, now):
                yield self._overdue(batch_id, record)

    def _is_time(self, record: Mapping[str, str], now: int) -> bool:
        asked = [int(name.removeprefix(_ASKED)) for name in record if name.startswith(_ASKED)]
        return now >= asks_again(int(record["at"]), asked, self._after)

    def _overdue(self, batch_id: str, record: Mapping[str, str]) -> Overdue:
        silent, told = dict[str, Silent](), Counter[RecipientState]()
        intents = {name: intent for name, intent in record.items() if name.startswith("+")}
        for number, packed in self._recipients(intents):
            if batch_of(packed) != batch_id:
                continue  # another call has it now, or its record is gone: of this one nothing is known of it
            state, _, _, _, _, provider_id, *_ = packed.split("|")
            if RecipientState(state) in ENDS:
                told[RecipientState(state)] += 1
            else:
                silent[number] = Silent(intents[number], provider_id)
        message = self._message(next(iter(intents.values()), ""))
        return Overdue(batch_id, record["provider_id"], int(record["at"]), message, len(intents), silent, told)

    def _message(self, short_id: str) -> str:
        """The text of an intent; empty where that has been forgotten."""
        values: Any = self.redis.hmget(self._keys.intent(short_id), BODY_FIELDS)
        return str(body_in(values).get("message", ""))

    def _recipients(self, intents: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Recipients of intents, with their fields; without those whose records are gone."""
        numbers: dict[str, list[str]] = {}
        for number, intent in intents.items():
            numbers.setdefault(intent, []).append(number)
        pipeline: Any = self.redis.pipeline(transaction=False)
        for intent, its in numbers.items():
            pipeline.hmget(self._keys.intent(intent), its)
        for its, fields in zip(numbers.values(), pipeline.execute(), strict=True):
            yield from ((number, packed.decode()) for number, packed in zip(its, fields, strict=True) if packed)
