"""The queue's scripts as typed functions. A reply becomes a value here and travels no further as a list of bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tuma_producer.contract.scripts import ScriptCall, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from tuma_worker.queue.config import QueueConfig

_CLAIM = load(__package__, "claim")
_PERMIT = load(__package__, "permit")
_PUSH = load(__package__, "push")
_RELEASE = load(__package__, "release")
_RENEW = load(__package__, "renew")


@dataclass(frozen=True, slots=True)
class Job:
    """A name of work: the subject is what the actor looks up. `ready` is since when it could have gone, in Unix milliseconds."""

    subject: str
    ready: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch of jobs of one group, with the permit to make the call they need. `batch_id` is also the fencing token."""

    batch_id: str
    lane: int
    source: str
    group: str
    jobs: tuple[Job, ...]

    @property
    def actor(self) -> str:
        """Whose work it is."""
        return self.group.partition(".")[0]


class Why(StrEnum):
    """Why nothing may be claimed now."""

    IDLE = "idle"
    DUE = "due"
    LIMIT = "limit"
    PACE = "pace"
    BLOCKED = "blocked"
    PROBING = "probing"
    PAUSED = "paused"
    HALTED = "halted"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may move for so many milliseconds, unless the bell rings before."""

    milliseconds: int
    why: Why


class Release(StrEnum):
    """How a batch that was never begun is let go: `done`, `back` in its place, or `later`.

    `called` is for a call that was no send and so needed no attempt: its permit counts on. `again` is for one that is
    to be made again later.
    """

    DONE = "done"
    CALLED = "called"
    BACK = "back"
    LATER = "later"
    AGAIN = "again"


def claim(redis: Redis, queue: QueueConfig, batch_id: str, worker: str, *, last: bool) -> Claim | Wait:
    """Take a batch, or learn how long nothing may move. `last`: the worker will not claim again before it has finished this one."""
    found = None
    while found is None:  # a table that is made anew holds from the server's present to the next beginning or end of quiet hours
        found = read_claim(queue, batch_id, claiming(queue, batch_id, worker, last=last).run(redis))
    return found


def claiming(queue: QueueConfig, batch_id: str, worker: str, *, last: bool) -> ScriptCall:
    """The call of the script that `claim` makes, for who makes it together with another."""
    keys = queue.keys
    return ScriptCall(
        _CLAIM,
        [
            *queue.line_keys,
            keys.inflight,
            keys.leases,
            keys.used,
            keys.state,
            keys.crashes,
            keys.bell,
            keys.deadlines,
            *queue.window_keys,
        ],
        [batch_id, worker, round(queue.lease * 1000), int(last), queue.for_claim, queue.hours.text if queue.hours else ""],
    )


def read_claim(queue: QueueConfig, batch_id: str, reply: list[Any]) -> Claim | Wait | None:
    """What came of a claim; None where it has to be asked again, because the quiet hours that it knew were those of before."""
    if reply[0] == b"stale" and queue.hours is not None:
        queue.hours.renew(int(reply[1]))
        return None
    if reply[0] == b"wait":
        return Wait(int(reply[1]), Why(reply[2].decode()))
    _, lane, source, group, *items = reply
    jobs = tuple(Job(subject.decode(), int(at, 16)) for at, subject in zip(items[::2], items[1::2], strict=True))
    return Claim(batch_id, int(lane), source.decode(), group.decode(), jobs)


def renew(redis: Redis, queue: QueueConfig, batch_ids: Sequence[str]) -> list[str]:
    """Prolong the leases of these batches. Returns those that are lost."""
    reply = _RENEW.run(redis, [queue.keys.inflight, queue.keys.leases], [round(queue.lease * 1000), *batch_ids])
    return [batch_id.decode() for batch_id in reply]


def permit(
    redis: Redis, queue: QueueConfig, call_id: str, maker: str, *, lane: int, lease: float, messages: int = 0
) -> Wait | None:
    """Take the permit for a call that no job asks for, or learn how long there is none. None: it is taken, for `lease` seconds.

    `messages` are those that the call may send. The permit is given up by `release`: `CALLED`, or `DONE` where no call was made.
    """
    keys = queue.keys
    reply = _PERMIT.run(
        redis,
        [*queue.line_keys, keys.inflight, keys.leases, keys.used, keys.state, keys.crashes, keys.bell, *queue.window_keys],
        [call_id, maker, round(lease * 1000), lane, messages, queue.for_claim],
    )
    return None if reply[0] == b"granted" else Wait(int(reply[1]), Why(reply[2].decode()))


def release(
    redis: Redis,
    queue: QueueConfig,
    batch_id: str,
    how: Release,
    *,
    delay: float = 0.0,
    blocked: float = 0.0,
    left: Mapping[str, int] | None = None,
) -> bool:
    """Let go of a batch without an attempt; `delay` in seconds for `later` and `again`. False where the lease was lost before.

    For `blocked` seconds nothing of the queue may be called, because the provider said so; `left` is what it says is left of each
    limit, where it does.
    """
    keys, quotas = queue.keys, json.dumps(left) if left else ""
    reply = _RELEASE.run(
        redis,
        [*queue.line_keys, keys.inflight, keys.leases, keys.used, keys.state, keys.bell, *queue.window_keys],
        [
            batch_id,
            how.value,
            round(delay * 1000),
            json.dumps(queue.for_limits),
            round(blocked * 1000),
            quotas,
        ],
    )
    return bool(reply == b"released")


SYSTEM = "~"  # the source of jobs that need no permit, in lane 0; ready.lua says what that means
PROBE = "~probe"  # the source of the call that asks whether a halted account may go on; choice.lua says what that means


def push(
    redis: Redis,
    queue: QueueConfig,
    group: str,
    subject: str,
    *,
    delay: float = 0.0,
    message: bytes = b"",
    lane: int = 0,
    source: str = SYSTEM,
) -> None:
    """Put one job into the line, or `delay` seconds later; unless lane and source are given, one that needs no permit.

    `message` is kept beside it where the subject does not say it all.
    """
    keys = queue.keys
    _PUSH.run(
        redis,
        [*queue.line_keys, keys.state, keys.bell, keys.messages],
        [lane, source, group, subject, round(delay * 1000), message],
    )
