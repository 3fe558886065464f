"""What leaves an account that does not work and is carried by another: who may go, the plans for them, the news that comes back.

No script can reach two accounts. So recipients first leave the line at home, in one step with a plan that says by which intent of
another account they are carried; then that intent is written there, under an id that the plan names; then what becomes of them is
read there and written down at home, again and again until there can be no more news. Whoever finds a plan goes on with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tuma_producer.contract import groups, ids, records, wire
from tuma_producer.contract.control import cancel_part
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import attempt_ids, record_texts
from tuma_producer.contract.scripts import load
from tuma_worker.core.failover import Called
from tuma_worker.core.states import Evidence, RecipientState, may_move, origins
from tuma_worker.store import accounts
from tuma_worker.store.clock import server_ms
from tuma_worker.store.lead import take_lead
from tuma_worker.store.moves import COMMON, WAITING, Target, apply_request, states_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys
    from tuma_worker.queue.config import QueueConfig

_CARRY = load(__package__, "carry")
_HAND_BACK = load(__package__, "handback")
_RELAY = load(__package__, "relay")

TAKEN_AT_HOME = "taken-at-home"  # the reason of those that are withdrawn since a call at home was taken after all
CARRIER_FORGOTTEN = "carrier-forgotten"  # the reason of those that were carried by an intent which is not there any more

_PAGE = 500  # groups, jobs or plans in one step
_PLANNED, _OWN_SENDER, _WRITTEN = "planned", "planned own-sender", "written"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs of one intent and one group in the line. `times` are those of the jobs, by number."""

    lane: int
    source: str
    group: str
    short_id: str
    times: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which intent carries recipients of `short_id`. `part` is its full id."""

    part: str

    @property
    def account(self) -> str:
        """Whose intent it is."""
        return self.part.rpartition(".")[0]

    @property
    def short_id(self) -> str:
        """The intent at home."""
        return cast("str", ids.home_of(self.part)).rpartition(".")[2]

    @property
    def key(self) -> str:
        """Where the other account's record is."""
        return account_keys(self.account).intent(self.part.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class PlanStanding:
    """A plan as it stands. `home` are the fields of its recipients at home, `there` those at the account that carries them.

    `state` is how the plan stands, empty where it is over; `accepted_there` when that account had it, in Unix milliseconds.
    `gone` is true where the other intent is not there, and was not cancelled before it ever came.
    """

    plan: Plan
    state: str
    record: dict[str, str]
    home: dict[str, str]
    there: dict[str, str]
    accepted_there: int
    held_there: str | None
    gone: bool

    @property
    def unwritten(self) -> bool:
        """Whether nobody has yet noted that the other intent was written."""
        return self.state in {_PLANNED, _OWN_SENDER}

    @property
    def held(self) -> str | None:
        """How the intent is held at home."""
        return self.record.get("held")

    @property
    def to_carry(self) -> list[str]:
        """Who goes by this plan. Not who was found to have been taken by a call at home."""
        return sorted(number for number, packed in self.home.items() if records.is_carried(packed))

    @property
    def taken_at_home(self) -> list[str]:
        """Who waits there although home has news of them: no call there can be where that comes from."""
        waiting = (number for number, packed in self.there.items() if RecipientState(packed.partition("|")[0]) in WAITING)
        return sorted(number for number in waiting if number in self.home and not records.is_carried(self.home[number]))

    @property
    def states_there(self) -> frozenset[RecipientState]:
        """All states that its recipients are in, there, as far as they have not come home."""
        found = (self.there.get(number) for number in self.home)
        return frozenset(RecipientState(packed.partition("|")[0]) for packed in found if packed)

    @property
    def last_news(self) -> int:
        """When something happened last to any of them there, in Unix milliseconds."""
        return max((int(packed.split("|")[1]) for packed in self.there.values() if "|" in packed), default=self.accepted_there)


class News(NamedTuple):
    """What is to be said at home of a recipient."""

    state: RecipientState
    evidence: Evidence
    reason: str
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Carried:
    """The recipients of one account that others carry, or may."""

    redis: Redis
    queue: QueueConfig

    @property
    def _account(self) -> AccountKeys:
        return account_keys(self.queue.account)

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that looks after this, for so long from now; the first to ask is."""
        return take_lead(self.redis, self._account.mover, name, seconds)

    def look(self) -> tuple[bool, list[Plan]]:
        """Whether the account does not work now, and the plans that are to be looked at, a page of them at the most."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        pipeline.hmget(self.queue.keys.state, list(accounts.STOPPING_FIELDS))
        pipeline.zrange(self._account.carried, 0, _PAGE - 1, withscores=True)
        stops, plans = pipeline.execute()
        now = self.now() if plans else 0
        return any(stops), [Plan(part.decode()) for part, at in plans if at <= now]

    def now(self) -> int:
        """The server's clock in Unix milliseconds."""
        return server_ms(self.redis)

    # ------------------------------------------------------------------------------------------------------------ leaving

    def waiting(self) -> Iterator[Waiting]:
        """Who waits in the line and may go by another account, higher lanes first; what operators have paused stays out."""
        paused = self._paused()
        for member in self._pages(self.queue.keys.groups, ""):
            lane, source, _at, group = member.split("|", 3)
            if group.endswith(groups.MOVABLE) and paused.isdisjoint({"paused", f"paused:lane:{lane}", f"paused:source:{source}"}):
                yield from self._of_group(int(lane), source, group)

    def _paused(self) -> set[str]:
        """The pauses of the account's queue, by their fields of its state."""
        fields = cast("list[bytes]", self.redis.hkeys(self.queue.keys.state))
        return {field.decode() for field in fields if field.startswith(b"paused")}

    def _of_group(self, lane: int, source: str, group: str) -> Iterator[Waiting]:
        prefix = f"{lane}|{source}|{group}|"
        found: dict[str, dict[str, str]] = {}
        for count, member in enumerate(self._pages(self.queue.keys.entries, prefix), start=1):
            at, _, subject = member.removeprefix(prefix).partition("|")
            short_id, _, number = subject.partition(":")
            found.setdefault(short_id, {})[number] = at
            if count % _PAGE == 0:
                yield from (Waiting(lane, source, group, *one) for one in found.items())
                found = {}
        yield from (Waiting(lane, source, group, *one) for one in found.items())

    def _pages(self, key: str, prefix: str) -> Iterator[str]:
        """The members of a set whose scores are all the same that begin so, in their order. They may come and go meanwhile."""
        start, end = (f"[{prefix}".encode(), b"[" + prefix.encode() + b"\xff") if prefix else (b"-", b"+")
        while page := cast("list[bytes]", self.redis.zrangebylex(key, start, end, start=0, num=_PAGE)):
            yield from (member.decode() for member in page)
            start = b"(" + page[-1]

    def record(self, short_id: str) -> dict[str, str]:
        """An intent's record; empty where it is gone."""
        return record_texts(cast("dict[bytes, bytes]", self.redis.hgetall(self._account.intent(short_id))))

    def environment(self) -> str:
        """Whether the account is a real one."""
        return (cast("bytes | None", self.redis.hget(self._account.profile, "environment")) or b"").decode()

    def calls(self, short_id: str, record: Mapping[str, str], numbers: Sequence[str]) -> list[Called]:
        """Each call that an intent was in, for those of these numbers that it was for."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        for batch_id in attempt_ids(record):
            pipeline.hmget(self._account.batch(batch_id), ["phase", "untaken", *numbers])
        return [
            Called(
                phase.decode() if phase else None,
                untaken.decode() if untaken else None,
                frozenset(number for number, intent in zip(numbers, intents, strict=True) if intent == short_id.encode()),
            )
            for phase, untaken, *intents in pipeline.execute()
        ]

    def carry(
        self, waiting: Waiting, record: Mapping[str, str], account: str, numbers: Sequence[str], *, own_sender: bool
    ) -> Plan | None:
        """Let these numbers leave by a plan of that account's; with `own_sender` under its own sender. None where nobody did."""
        turn = int(record.get("turns", 0)) + 1
        plan = Plan(ids.carrier_id(account, self.queue.account, waiting.short_id, turn))
        header = {"part": plan.part, "account": account, "turn": turn, "plan": _OWN_SENDER if own_sender else _PLANNED}
        keys = [
            *self._line,
            self._account.events,
            self._account.carried,
            self._account.intent(waiting.short_id),
            self._account.suppressed,
        ]
        going = _CARRY.run(self.redis, keys, self._leaving(waiting, record, numbers, header))
        return plan if going else None

    def hand_back(self, waiting: Waiting, record: Mapping[str, str], numbers: Sequence[str]) -> int:
        """Let these, which are carried for another account, leave: they go home. Returns how many."""
        keys = [*self._line, self._account.events, self._account.intent(waiting.short_id)]
        return int(_HAND_BACK.run(self.redis, keys, self._leaving(waiting, record, numbers, {})))

    @property
    def _line(self) -> list[str]:
        return [*self.queue.line_keys, self.queue.keys.state]

    def _leaving(
        self, waiting: Waiting, record: Mapping[str, str], numbers: Sequence[str], header: Mapping[str, Any]
    ) -> list[str | bytes | int | float]:
        place = {"lane": waiting.lane, "source": waiting.source, "group": waiting.group}
        seen = [word for number in numbers for word in (number, waiting.times[number], record[number])]
        return [waiting.short_id, json.dumps({**COMMON, **place, **header}), *seen]

    # -------------------------------------------------------------------------------------------------------------- plans

    def load(self, plan: Plan) -> PlanStanding:
        """The plan as it stands."""
        # There first: what is found at home is then no older, and whoever is held at home is not taken for somebody who is not.
        there = record_texts(cast("dict[bytes, bytes]", self.redis.hgetall(plan.key)))
        record = self.record(plan.short_id)
        fields = [name for name, part in record.items() if name.startswith(records.CARRIED) and part == plan.part]
        mine = [name.removeprefix(records.CARRIED) for name in fields]
        return PlanStanding(
            plan=plan,
            state=record.get(f"carrier:{plan.part}", ""),
            record=record,
            home={number: record[number] for number in mine},
            there={name: packed for name, packed in there.items() if name.startswith("+")},
            accepted_there=int(there.get("at", 0)),
            held_there=there.get("held"),
            gone="open" not in there and (not there or self._was_written(plan, record)),
        )

    def _was_written(self, plan: Plan, record: Mapping[str, str]) -> bool:
        """Whether the other intent was there once, also where its record is forgotten: its idempotency key outlives it."""
        key = ids.digest(record.get("source"), _key(plan))
        return bool(self.redis.exists(account_keys(plan.account).idempotency(key)))

    def write(self, standing: PlanStanding) -> bool:
        """Write the intent that carries them. False where its account is not known. One that was written before stays as it is."""
        plan = standing.plan
        changes: dict[str, Any] = {"failover": (), "idempotency_key": _key(plan)}
        if standing.state == _OWN_SENDER:
            changes["sender_id"] = None
        send = records.again(plan.account, plan.short_id, standing.record, standing.to_carry, home=False, **changes)
        request = wire.encode(send, standing.record["source"], plan.part.rpartition(".")[2])
        reply = request.script.run(self.redis, request.keys, request.args)
        return bool(reply[0] != b"unknown-account")

    def cancel(self, plan: Plan) -> None:
        """Let nobody of this plan be called who has not been."""
        cancel_part(plan.part, "failover").run(self.redis)

    def withdraw(self, plan: Plan, numbers: Iterable[str]) -> None:
        """Let these of a plan not be called who have not been. Their jobs are dropped when their turn comes."""
        targets = [Target(plan.part.rpartition(".")[2], number) for number in numbers]
        apply_request(
            account_keys(plan.account), "", targets, RecipientState.CANCELLED, Evidence.INFERRED,
            reason=TAKEN_AT_HOME, unfenced=True, among=WAITING,
        ).run(self.redis)  # fmt: skip

    def relay(self, standing: PlanStanding, news: Mapping[str, News], again: float | None) -> int:
        """Write this news down at home and look again in so many seconds; None ends the plan. Returns how many moved."""
        keys, account = self.queue.keys, self._account
        kinds = list(dict.fromkeys(one[:3] for one in news.values()))
        header: dict[str, Any] = {
            **COMMON,
            "part": standing.plan.part,
            "late": states_of(origins(RecipientState.EXPIRED)),
            "news": [
                {
                    "target": state,
                    "allowed": states_of(origins(state)),
                    "evidence": evidence,
                    "reason": reason,
                    # What failed there is a dead letter there; what nobody remembers there can be one at home alone.
                    "dead": standing.gone,
                }
                for state, evidence, reason in kinds
            ],
        }
        if again is not None:
            header |= {"plan": _WRITTEN, "next": round(again * 1000)}
        args: list[str | bytes | int | float] = [standing.plan.short_id, json.dumps(header)]
        for number, one in sorted(news.items()):
            args += (number, kinds.index(one[:3]) + 1, one.provider_id)
        about = [account.events, account.dead, account.carried, account.intent(standing.plan.short_id)]
        return int(_RELAY.run(self.redis, [*self._line, keys.bell, *about], args))


def _key(plan: Plan) -> str:
    return f"failover:{plan.part}"


def news_of(standing: PlanStanding) -> dict[str, News]:
    """What is known there of each recipient and not yet at home."""
    if standing.gone:
        lost = News(RecipientState.UNKNOWN, Evidence.ASSUMED, CARRIER_FORGOTTEN)
        return {number: lost for number, packed in standing.home.items() if _is_new(lost, packed)}
    found = {number: _news(standing.there.get(number, RecipientState.CANCELLED)) for number in standing.home}
    return {number: one for number, one in found.items() if one is not None and _is_new(one, standing.home[number])}


def _news(packed: str) -> News | None:
    """What the record there says of a recipient; None where it is on its way. Who was withdrawn there comes home."""
    state, _since, evidence, reason, _attempt, provider_id = (*packed.split("|"), "", "", "", "", "")[:6]
    if state in {RecipientState.ACCEPTED, RecipientState.QUEUED, RecipientState.SENDING}:
        return None
    if state == RecipientState.CANCELLED:
        return News(RecipientState.QUEUED, Evidence.INFERRED, "handed-back")
    return News(RecipientState(state), Evidence(evidence), reason, provider_id)


def _is_new(news: News, packed: str) -> bool:
    return may_move(RecipientState(packed.partition("|")[0]), news.state)
