"""The accounts as Redis knows them: what producers may name, and what stands in an account's way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.contract.keys import ACCOUNTS, AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis


def register(redis: Redis, account: str, *, provider: str, environment: str, queue: str) -> None:
    """Make the account known to producers.

    Every process that is configured with it does so at its start, again and again.
    `queue` is the configuration of its sends' queue as JSON, for those who look at it from outside.
    """
    redis.hset(AccountKeys(account).profile, mapping={"provider": provider, "environment": environment, "queue": queue})
    redis.sadd(ACCOUNTS, account)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's queue at a glance.

    `holders` names the worker of each call in flight, as `host:pid`. `halted` says why and since when (Unix milliseconds), None
    where it is not.
    """

    account: str
    provider: str
    waiting: int
    due_later: int
    holders: tuple[str, ...]
    halted: str | None
    halted_at: int | None

    @property
    def in_flight(self) -> int:
        """How many batches workers hold."""
        return len(self.holders)


def standing(redis: Redis, account: str) -> Standing:
    """How the account stands now."""
    keys = AccountKeys(account)
    queue = keys.queue("send")
    pipeline = redis.pipeline(transaction=False)
    pipeline.hget(keys.profile, "provider")
    pipeline.zcard(queue.entries)
    pipeline.zcard(queue.due)
    pipeline.hgetall(queue.inflight)
    pipeline.hmget(queue.state, "halt", "halted_at")
    provider, waiting, due_later, inflight, (halt, halted_at) = pipeline.execute()
    why = json.loads(halt) if halt else None
    return Standing(
        account=account,
        provider=provider.decode() if provider else "",
        waiting=waiting,
        due_later=due_later,
        holders=tuple(sorted(_holders(inflight))),
        halted=f"{why['fault']} ({why['code']})" if why else None,
        halted_at=int(halted_at) if halted_at else None,
    )


def _holders(inflight: Mapping[bytes, bytes]) -> Iterator[str]:
    for field, packed in inflight.items():
        if not field.endswith(b":items") and not packed.startswith(b"ended "):
            yield packed.decode().rpartition(" ")[2].partition("/")[0]
