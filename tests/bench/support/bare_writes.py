"""The least that the same Redis writes can cost: scripts that write what ours write, and ask, check and decide nothing.

They keep the sizes and numbers of the writes: record, place in the line, group, event; then the attempt, the two moves of each
recipient and an event for each. No validation, no segments, no limiter, no leases to take back, no fairness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

TOGETHER = 100  # items of a pipeline, and of a call

# KEYS intent, entries, groups, events    ARGV id, group, body, number, whether the group is a new one
ENQUEUE = Script("""
local id, group, number = ARGV[1], ARGV[2], ARGV[4]
redis.call('HSET', KEYS[1], 'body', ARGV[3], 'source', 'bench', 'lane', 1, 'group', group, 'at', 1763800000000, 'expires', '',
  'open', 1, 'seq', 1, number, 'queued')
local subject = '019aaaaaaaa|' .. id .. ':' .. number
redis.call('ZADD', KEYS[2], 0, '1|bench|' .. group .. '|' .. subject)
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[3], 0, '1|bench|019aaaaaaaa|' .. group)
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*', 'e', 'accepted', 'i', id, 's', 'bench', 'q', 1, 'n', 1)
""")

# KEYS entries, inflight    ARGV batch, most items    Returns the members taken
CLAIM = Script("""
local members = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
if #members > 0 then
  redis.call('ZREM', KEYS[1], unpack(members))
  redis.call('HSET', KEYS[2], ARGV[1], table.concat(members, ' '))
end
return members
""")

# KEYS batch, events, intents...    ARGV batch, then id and number of each
BEGIN = Script("""
local recipients = {}
for i = 3, #KEYS do
  local id, number = ARGV[2 * i - 4], ARGV[2 * i - 3]
  redis.call('HSET', KEYS[i], 'seq', 2, 'open', 1, number, 'sending|1763800000000|inferred||' .. ARGV[1] .. '|',
    'attempts', ARGV[1])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000000, '*', 'e', 'sending', 'i', id, 's', 'bench', 'q', 2, 'r', number,
    'v', 'inferred', 'w', '', 'b', ARGV[1], 'c', 0)
  recipients[#recipients + 1] = number
  recipients[#recipients + 1] = id
end
redis.call('HSET', KEYS[1], 'token', '', 'at', 1763800000000, 'phase', 'calling', unpack(recipients))
redis.call('PEXPIRE', KEYS[1], 345600000)
return redis.call('HGET', KEYS[3], 'body')
""")

# KEYS batch, events, inflight, intents...    ARGV batch, provider's id, then id and number of each
SETTLE = Script("""
for i = 4, #KEYS do
  local id, number = ARGV[2 * i - 5], ARGV[2 * i - 4]
  redis.call('HSET', KEYS[i], 'seq', 3, 'open', 1, number,
    'submitted|1763800000000|provider||' .. ARGV[1] .. '|' .. ARGV[2])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000000, '*', 'e', 'submitted', 'i', id, 's', 'bench', 'q', 3, 'r', number,
    'v', 'provider', 'w', '', 'b', ARGV[1], 'c', 0)
end
redis.call('HSET', KEYS[1], 'phase', 'settled', 'provider_id', ARGV[2], 'ended', 1763800000000, 'settled', 1)
redis.call('HDEL', KEYS[3], ARGV[1])
""")


@dataclass(frozen=True, slots=True)
class Item:
    """A single as it stands in the line."""

    short_id: str
    number: str


@dataclass
class BareQueue:
    """A line of singles in Redis under a prefix, all of one text or each with a text of its own."""

    redis: Redis
    prefix: str = "bare:{bench}:"
    _ids: Iterator[int] = field(default_factory=count)

    def enqueue_many(self, items: int, text: str, *, distinct: bool = False) -> None:
        """Write so many singles, a pipeline at a time."""
        places = islice(self._ids, items)
        for _ in range(-(-items // TOGETHER)):
            pipeline = self.redis.pipeline(transaction=False)
            for place in islice(places, TOGETHER):
                self._enqueue(pipeline, place, text, own=distinct)
            pipeline.execute()

    def load(self) -> None:
        """Make the scripts known to the server."""
        for script in (ENQUEUE, CLAIM, BEGIN, SETTLE):
            self.redis.script_load(script.source)

    def _enqueue(self, pipeline: Any, place: int, text: str, *, own: bool) -> None:  # noqa: ANN401 - redis-py's pipeline is untyped here
        short_id = f"{place:026x}"
        group = f"send.1.0.{place if own else 0:032x}"
        body = f'{{"v":1,"message":"{text} {place}"}}' if own else f'{{"v":1,"message":"{text}"}}'
        pipeline.evalsha(
            ENQUEUE.sha, 4, f"{self.prefix}intent:{short_id}", self.prefix + "entries", self.prefix + "groups",
            self.prefix + "events", short_id, group, body, f"+24399{place:07d}", int(own or place == 0),
        )  # fmt: skip

    def claim(self, batch: str) -> list[Item]:
        """Take the oldest items."""
        members: Iterable[bytes] = CLAIM.run(self.redis, [self.prefix + "entries", self.prefix + "inflight"], [batch, TOGETHER])
        return [Item(*member.decode().rpartition("|")[2].split(":")) for member in members]

    def begin(self, batch: str, items: list[Item]) -> None:
        """Write the attempt down."""
        keys = [f"{self.prefix}batch:{batch}", self.prefix + "events", *self._intents(items)]
        BEGIN.run(self.redis, keys, [batch, *_flat(items)])

    def settle(self, batch: str, items: list[Item]) -> None:
        """Write down that the provider took it."""
        keys = [f"{self.prefix}batch:{batch}", self.prefix + "events", self.prefix + "inflight", *self._intents(items)]
        SETTLE.run(self.redis, keys, [batch, "0123456789abcdef01234567", *_flat(items)])

    def drain(self, batch_prefix: str) -> int:
        """Take, begin and settle until the line is empty. Returns how many items that were."""
        done = 0
        for place, _ in enumerate(repeat(None)):
            batch = f"{batch_prefix}{place:028x}"
            items = self.claim(batch)
            if not items:
                break
            self.begin(batch, items)
            self.settle(batch, items)
            done += len(items)
        return done

    def _intents(self, items: list[Item]) -> list[str]:
        return [f"{self.prefix}intent:{item.short_id}" for item in items]


def _flat(items: list[Item]) -> list[str]:
    return [text for item in items for text in (item.short_id, item.number)]
