"""The dead letters of an account: who ended on our side for a reason that a person may put right, until sent again or dropped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tuma_producer.contract.ids import full_id
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.reading import record_texts
from tuma_producer.contract.records import BODY_FIELDS, PLANNED, recipient, redriven
from tuma_producer.contract.scripts import load
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import EVENTS_KEPT, RETENTION_MS
from tuma_worker.core.dead import DeadClass, dead_class
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.store.clock import server_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from tuma_producer.contract.keys import AccountKeys

_PLAN = load(__package__, "plan")
_LEAVE = load(__package__, "leave")

PAGE = 500  # letters read at once
_AT_ONCE = 1000  # recipients that one script call is about
_ABOUT = ("source", "lane", "group", "expires", *BODY_FIELDS)  # what a record says about all of its recipients


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: recipient `number` of intent `short_id`, dead since `died` (Unix ms).

    `plan` names the redrive that was begun for it and not finished, if any.
    """

    account: str
    short_id: str
    number: str
    kind: DeadClass
    reason: str | None
    attempt: str | None
    source: str
    died: int
    plan: str | None

    @property
    def intent_id(self) -> str:
        """The intent's id as users know it."""
        return full_id(self.account, self.short_id)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant: of these classes, of this source if any, dead since before this time (Unix ms) if any."""

    kinds: frozenset[DeadClass] = frozenset(DeadClass)
    source: str | None = None
    before: int | None = None

    def __str__(self) -> str:
        kinds = ", ".join(kind for kind in DeadClass if kind in self.kinds) if self.kinds != frozenset(DeadClass) else ""
        before = "" if self.before is None else f"dead before {moment(max(0, self.before)):%Y-%m-%dT%H:%M:%SZ}"
        source = "" if self.source is None else f"of {self.source}"
        return "; ".join(filter(None, (kinds, source, before))) or "all"

    def __contains__(self, letter: Letter) -> bool:
        known = letter.kind in self.kinds and self.source in {None, letter.source}
        return known and (self.before is None or letter.died < self.before)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be different when letters are sent again: the account; the sender, or a deadline in seconds from then, if any."""

    account: str
    sender_id: str | None = None
    expires_in: float | None = None


@dataclass(slots=True)
class Leaving:
    """In whose name letters leave. `told` is what the audit calls them all: the first of them that leave write its one entry."""

    by: str
    told: str


class _Place(NamedTuple):
    """A place in the index. Redis orders members of one score as bytes, as Python does."""

    score: float
    member: bytes


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one account."""

    redis: Redis
    account: str

    @property
    def _keys(self) -> AccountKeys:
        return account_keys(self.account)

    def now(self) -> int:
        """The server's clock in Unix milliseconds."""
        return server_ms(self.redis)

    def size(self) -> int:
        """How many there are, about: those whose record is gone may be among them."""
        return self.redis.zcard(self._keys.dead)

    def walk(self, wanted: LetterFilter) -> Iterator[list[Letter]]:
        """The wanted letters that are dead by now, the oldest first, a page at a time.

        Letters may leave and come meanwhile: who dies after the beginning is not met, so a walk ends.
        """
        now = self.now()
        place = _Place(now - RETENTION_MS, b"")
        while found := self._after(place, now):
            place = found[-1]
            yield [letter for letter in self._read(found) if letter in wanted]

    def intents(self, wanted: LetterFilter) -> Iterator[list[Letter]]:
        """The wanted letters that are dead by now, those of one intent together; whose first died earliest comes first."""
        met: set[str] = set()
        for page in self.walk(wanted):
            for short_id in dict.fromkeys(letter.short_id for letter in page if letter.short_id not in met):
                met.add(short_id)
                if found := [letter for letter in self.of_intent(short_id) if letter in wanted]:
                    yield found

    def _after(self, place: _Place, until: int) -> list[_Place]:
        """Up to about a page of members behind a place. There is no offset: members that leave meanwhile would shift it."""
        count = PAGE
        while True:
            raw: Any = self.redis.zrangebyscore(self._keys.dead, place.score, until, start=0, num=count, withscores=True)
            news = [found for member, score in raw if (found := _Place(score, member)) > place]
            if news or len(raw) < count:
                return news
            count *= 2  # so many died in one millisecond

    def of_intent(self, short_id: str) -> list[Letter]:
        """All letters of one intent. Empty where it is not known, or nobody of it is dead."""
        names = cast("list[bytes]", self.redis.hkeys(self._keys.intent(short_id)))
        return list(self._read(self._dead(short_id, [name.decode() for name in names if name.startswith(b"+")])))

    def _dead(self, short_id: str, numbers: Sequence[str]) -> list[_Place]:
        """Those of an intent's recipients that are in the index, by their numbers."""
        members = [f"{short_id}:{number}".encode() for number in sorted(numbers)]
        scores: Any = self.redis.zmscore(self._keys.dead, cast("Any", members)) if members else []
        return [_Place(score, member) for member, score in zip(members, scores, strict=True) if score is not None]

    def _read(self, places: Sequence[_Place]) -> Iterator[Letter]:
        """What the records say about these members; who is no dead letter there is passed over."""
        numbers: dict[str, list[tuple[str, int]]] = {}
        for place in places:
            short_id, _, number = place.member.decode().partition(":")
            numbers.setdefault(short_id, []).append((number, int(place.score)))
        pipeline: Any = self.redis.pipeline(transaction=False)
        for short_id, found in numbers.items():
            pipeline.hmget(self._keys.intent(short_id), ["source", *(name for one, _ in found for name in (one, redriven(one)))])
        for (short_id, found), (source, *values) in zip(numbers.items(), pipeline.execute(), strict=True):
            for (number, died), packed, again in zip(found, values[::2], values[1::2], strict=True):
                if packed and (letter := self._letter(short_id, number, died, source, packed, again or b"")):
                    yield letter

    def _letter(self, short_id: str, number: str, died: int, source: bytes, packed: bytes, again: bytes) -> Letter | None:  # noqa: PLR0917 - what a record says, in its order
        one = recipient(number, packed.decode(), again.decode())
        kind = dead_class(RecipientState(one.state), Evidence(one.evidence), one.reason or "") if one.evidence else None
        if kind is None or one.redriven_as is not None:
            return None
        plan = again.decode().removeprefix(PLANNED) or None
        return Letter(self.account, short_id, number, kind, one.reason, one.attempt, source.decode(), died, plan)

    def counts(self) -> dict[str, int]:
        """How many there are of each class that any is of."""
        counted = Counter[str](letter.kind for page in self.walk(LetterFilter()) for letter in page)
        return {kind: counted[kind] for kind in DeadClass if counted[kind]}

    def record(self, short_id: str) -> dict[str, str]:
        """What an intent's record says about all of its recipients; empty where it is gone."""
        values: Any = self.redis.hmget(self._keys.intent(short_id), _ABOUT)
        return record_texts({name.encode(): value for name, value in zip(_ABOUT, values, strict=True) if value is not None})

    def plan(self, short_id: str, name: str, choice: Choice, numbers: Sequence[str]) -> bool:
        """Decide that these letters of an intent are sent again by the plan of this name; False where none of them is left for it.

        Who has left the index, or goes by another plan, is left out. One call for all: a plan that grows may be finished early.
        """
        args = [short_id, name, json.dumps(asdict(choice)), *numbers]
        return bool(_PLAN.run(self.redis, [self._keys.dead, self._keys.intent(short_id)], args))

    def planned(self, short_id: str, name: str) -> tuple[Choice, list[str]] | None:
        """What was chosen for a plan, and who goes by it and is still dead; None where nobody is, or it is finished."""
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self._keys.intent(short_id)))
        choice, mark = raw.get(f"plan:{name}".encode()), f"{PLANNED}{name}".encode()
        marked = [field.decode().removeprefix(redriven("")) for field, value in raw.items() if value == mark]
        numbers = [place.member.decode().partition(":")[2] for place in self._dead(short_id, marked)]
        return (Choice(**json.loads(choice)), numbers) if choice and numbers else None

    def redriven(self, short_id: str, name: str, new_id: str, numbers: Sequence[str], leaving: Leaving) -> None:
        """Note that these letters have been sent again by this plan, as this intent."""
        self._leave(short_id, numbers, leaving, name, new_id)

    def drop(self, short_id: str, numbers: Sequence[str], leaving: Leaving) -> None:
        """Let these letters go for good; their ends stay what they are."""
        self._leave(short_id, numbers, leaving, "", "")

    def _leave(self, short_id: str, numbers: Sequence[str], leaving: Leaving, plan: str, new_id: str) -> None:
        keys = [self._keys.dead, self._keys.intent(short_id), self._keys.events, self._keys.audit]
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            if _LEAVE.run(self.redis, keys, [short_id, leaving.by, EVENTS_KEPT, plan, new_id, leaving.told, *some]):
                leaving.told = ""
