"""Receipts as they came: written down before the provider is answered, and kept beside the record when they have been applied.

The inbox is a stream per account that holds what was not applied yet and nothing else: an entry leaves it in the step that keeps
it. So whoever applies begins at its first entry, and needs no book of what others have taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.scripts import ScriptCall, load, run_apart_async
from tuma_producer.contract.wire import EVENTS_KEPT, LANES
from tuma_worker.store.clock import server_ms
from tuma_worker.store.custody import DATES
from tuma_worker.store.lead import leave_lead, take_lead
from tuma_worker.store.moves import Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.client import Pipeline as AsyncPipeline

    from tuma_producer.contract.keys import AccountKeys
    from tuma_producer.contract.scripts import Argument
    from tuma_worker.core.receipts import Inbound

_ARRIVE = load(__package__, "arrive")
_FILE = load(__package__, "file")
_PARK = load(__package__, "park")
_RECEIVE = load(__package__, "receive")

AT_ONCE = 500  # receipts in one page
UNMATCHED = "unmatched"  # in the place of an attempt's id: receipts of which it was never known
PARKED_FOR = 86_400_000  # ms that a receipt waits for its call to be known
_TAKEN_FOR = 259_200_000  # ms for which a message that a person wrote is known when it comes again
_RAW_MOST = 10_000  # receipts that are kept of one attempt, and that are parked
_FIRST_LOOK = 1000  # ms until a parked receipt is looked at again; then after as long as it has waited so far


class Arrived(NamedTuple):
    """A receipt as it came `at` (Unix ms). `batch_id` is the attempt whose address it came to, empty at the account's common one.

    `entry` is its place in the inbox, `member` that among the parked; it has one of them.
    """

    at: int
    batch_id: str
    body: bytes
    entry: str = ""
    member: bytes = b""

    @property
    def stamp(self) -> bytes:
        """When it came, and its turn among those of the same millisecond: `<ms>-<turn>`."""
        return self.entry.encode() or self.member.partition(b"|")[0]


class Arriving(NamedTuple):
    """A receipt that is to be written down: the attempt whose address it came to, as in `Arrived`, and what it says."""

    account: str
    batch_id: str
    body: bytes


class Filed(NamedTuple):
    """A receipt that is done with: the attempt that it was about, and a digest by which it is known when it comes again."""

    arrived: Arrived
    batch_id: str
    digest: str


class Raw(NamedTuple):
    """A receipt that was kept: when it came (Unix ms) and what it said."""

    at: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The part of an attempt's record that receipts need: the intents of the recipients that were asked for, by number.

    It began `at` (Unix ms), for recipients of this priority.
    """

    phase: str
    at: int
    priority: str
    dates: bool
    intents: Mapping[str, str]


def arrive_request(account: str, arriving: Iterable[Arriving]) -> ScriptCall:
    """The call of the script that writes receipts of an account down."""
    return ScriptCall(_ARRIVE, [account_keys(account).inbox], [part for one in arriving for part in (one.batch_id, one.body)])


async def write_down(redis: AsyncRedis, arriving: Sequence[Arriving]) -> list[Any]:
    """Write receipts down, those of an account in one step. What is told of each is an error where it was not."""
    # One call for all of an account: to pack a command for each, and to read its reply, was a tenth of what a receipt costs.
    of = defaultdict(list)
    for one in arriving:
        of[one.account].append(one)
    replies = await run_apart_async(redis, [arrive_request(account, some) for account, some in of.items()])
    told = dict(zip(of, replies, strict=True))
    return [told[one.account] for one in arriving]


def stage_backlog(pipeline: AsyncPipeline, account: str) -> None:
    """Ask how many receipts of the account have not been applied yet."""
    pipeline.xlen(account_keys(account).inbox)


def stage_token(pipeline: AsyncPipeline, account: str, batch_id: str) -> None:
    """Ask for the secret part of an attempt's address."""
    pipeline.hget(account_keys(account).batch(batch_id), "token")


@dataclass(frozen=True, slots=True)
class Inbox:
    """The receipts of one account. `keep`: for how many seconds they are kept when they have been applied."""

    redis: Redis
    account: str
    keep: float

    @property
    def keys(self) -> AccountKeys:
        """The account's keys."""
        return account_keys(self.account)

    def lead(self, name: str, seconds: float) -> bool:
        """Whether `name` is the one process that applies this account's receipts, for so long from now; the first to ask is."""
        return take_lead(self.redis, self.keys.applier, name, seconds)

    def leave(self, name: str) -> None:
        """Let any other process than `name` apply them."""
        leave_lead(self.redis, self.keys.applier, name)

    def page(self) -> list[Arrived]:
        """The first receipts that have not been applied, in the order in which they came."""
        return arrivals(cast("Any", self.redis.xrange(self.keys.inbox, count=AT_ONCE)))

    def parked(self) -> list[Arrived] | None:
        """Parked receipts whose time for another look has come; None where none is parked at all."""
        if not self.redis.exists(self.keys.parked):
            return None
        members: Any = self.redis.zrangebyscore(self.keys.parked, "-inf", self.now(), 0, AT_ONCE)
        return [_parked(member) for member in members]

    def batches(self, provider_ids: Collection[str]) -> dict[str, str]:
        """The attempts that the provider knows under these ids; without those that nobody knows."""
        pipeline = self.redis.pipeline(transaction=False)
        for provider_id in provider_ids:
            pipeline.get(self.keys.provider_id(provider_id))
        found = zip(provider_ids, pipeline.execute(), strict=True) if provider_ids else ()
        return {provider_id: batch_id.decode() for provider_id, batch_id in found if batch_id}

    def known(self, wanted: Mapping[str, Collection[str]]) -> dict[str, Known]:
        """These attempts, with the intents of these of their numbers; without those that are not remembered."""
        pipeline = self.redis.pipeline(transaction=False)
        for batch_id, numbers in wanted.items():
            pipeline.hmget(self.keys.batch(batch_id), ["phase", "at", "lane", DATES, *numbers])
        found = zip(wanted.items(), pipeline.execute(), strict=True) if wanted else ()
        return {
            batch_id: Known(
                phase.decode(),
                int(at),
                LANES[int(lane)],
                dates is not None,
                {number: intent.decode() for number, intent in zip(numbers, intents, strict=True) if intent},
            )
            for (batch_id, numbers), (phase, at, lane, dates, *intents) in found
            if phase
        }

    def recipients(self, batch_id: str) -> list[Target]:
        """All recipients of an attempt."""
        record: Any = self.redis.hgetall(self.keys.batch(batch_id))
        return [Target(intent.decode(), name.decode()) for name, intent in record.items() if name.startswith(b"+")]

    def file(self, done: Sequence[Filed]) -> int:
        """Keep receipts as they came, and take them off the list of those to be applied. Returns how many were news."""
        raw = list(dict.fromkeys(self.keys.raw_receipts(filed.batch_id) for filed in done))
        index = {key: place for place, key in enumerate(raw, start=3)}
        args: list[Argument] = [round(self.keep * 1000), _RAW_MOST]
        for arrived, batch_id, digest in done:
            content = b"%b %b" % (arrived.stamp, arrived.body)
            args += (arrived.entry, arrived.member, index[self.keys.raw_receipts(batch_id)], digest, content)
        return int(_FILE.run(self.redis, [self.keys.inbox, self.keys.parked, *raw], args))

    def park(self, waiting: Iterable[Arrived]) -> int:
        """Put receipts off until the calls that they are about are known. Returns how many found no room."""
        now = self.now()
        args: list[Argument] = [_RAW_MOST, PARKED_FOR]
        for arrived in waiting:
            member = arrived.member or b"%b|%b|%b" % (arrived.entry.encode(), arrived.batch_id.encode(), arrived.body)
            args += (arrived.entry, member, now + max(_FIRST_LOOK, now - arrived.at))
        return int(_PARK.run(self.redis, [self.keys.inbox, self.keys.parked], args))

    def receive(self, arrived: Arrived, inbound: Inbound, told: str, word: str) -> bool:
        """Take in what a person wrote; `told` is a digest by which it is known when it comes again.

        A `word` that asks for no more messages puts the number on the suppression list. Returns whether it was news.
        """
        keys = [self.keys.inbox, self.keys.parked, self.keys.inbound(told), self.keys.suppressed, self.keys.events]
        args: list[Argument] = [
            arrived.entry, arrived.member, _TAKEN_FOR, inbound.sender, inbound.to, inbound.text, word,
            EVENTS_KEPT,
        ]  # fmt: skip
        return bool(_RECEIVE.run(self.redis, keys, args))

    def now(self) -> int:
        """The server's clock in Unix milliseconds."""
        return server_ms(self.redis)


def kept(redis: Redis, account: str, batch_id: str) -> list[Raw]:
    """The receipts of an attempt, or those `UNMATCHED`, that are kept, in the order in which they came."""
    found: Any = redis.hvals(account_keys(account).raw_receipts(batch_id))
    parts = (content.partition(b" ") for content in found)
    stamped = sorted((*map(int, stamp.split(b"-")), body) for stamp, _, body in parts)
    return [Raw(at, body) for at, _, body in stamped]


def parked(redis: Redis, account: str) -> list[Raw]:
    """The receipts that wait for their call to be known, in the order in which they came."""
    found = [_parked(cast("bytes", member)) for member, _ in redis.zscan_iter(account_keys(account).parked)]
    return [Raw(one.at, one.body) for one in sorted(found, key=attrgetter("at"))]


def arrivals(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Arrived]:
    """Entries of an inbox as they were read."""
    return [
        Arrived(int(entry.partition(b"-")[0]), fields[b"b"].decode(), fields[b"d"], entry=entry.decode())
        for entry, fields in entries
    ]


def _parked(member: bytes) -> Arrived:
    entry, batch_id, body = member.split(b"|", 2)
    return Arrived(int(entry.partition(b"-")[0]), batch_id.decode(), body, member=member)


def wait_for_arrivals(redis: Redis, accounts: Iterable[str], seconds: float) -> set[str]:
    """The accounts whose inboxes hold something, once one does; none after so long. On one server only."""
    names = {account_keys(account).inbox: account for account in accounts}
    streams: Any = dict.fromkeys(names, "0-0")
    reply: Any = redis.xread(streams, count=1, block=max(1, round(seconds * 1000)))
    return {names[key.decode()] for key in dict(reply or ())}  # pairs, or with the newer protocol a dictionary
