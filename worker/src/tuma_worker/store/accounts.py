"""The accounts as Redis knows them: what producers may name, and what stands in an account's way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer.contract.keys import ACCOUNTS, AccountKeys
from tuma_producer.contract.wire import EVENTS_KEPT

if TYPE_CHECKING:
    from redis import Redis


def register(redis: Redis, account: str, *, provider: str, environment: str) -> None:
    """Make the account known to producers. Every process that is configured with it does so at its start, again and again."""
    redis.hset(AccountKeys(account).profile, mapping={"provider": provider, "environment": environment})
    redis.sadd(ACCOUNTS, account)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's queue at a glance. `halted` says why and since when (Unix milliseconds), None where it is not."""

    account: str
    provider: str
    waiting: int
    due_later: int
    in_flight: int
    halted: str | None
    halted_at: int | None


def standing(redis: Redis, account: str) -> Standing:
    """How the account stands now."""
    keys = AccountKeys(account)
    queue = keys.queue("send")
    pipeline = redis.pipeline(transaction=False)
    pipeline.hget(keys.profile, "provider")
    pipeline.zcard(queue.entries)
    pipeline.zcard(queue.due)
    pipeline.zcard(queue.leases)
    pipeline.hmget(queue.state, "halt", "halted_at")
    provider, waiting, due_later, in_flight, (halt, halted_at) = pipeline.execute()
    why = json.loads(halt) if halt else None
    return Standing(
        account=account,
        provider=provider.decode() if provider else "",
        waiting=waiting,
        due_later=due_later,
        in_flight=in_flight,
        halted=f"{why['fault']} ({why['code']})" if why else None,
        halted_at=int(halted_at) if halted_at else None,
    )


def resume(redis: Redis, account: str) -> bool:
    """Lift the account's halt and wake its consumers. False where it was not halted."""
    keys = AccountKeys(account)
    queue = keys.queue("send")
    pipeline = redis.pipeline(transaction=True)
    pipeline.hdel(queue.state, "halt", "halted_at", "quiet_until", "quiet_from")
    pipeline.rpush(queue.bell, 1)
    lifted = bool(pipeline.execute()[0])
    if lifted:
        redis.xadd(keys.events, {"e": "resumed"}, maxlen=EVENTS_KEPT, approximate=True)
    return lifted
