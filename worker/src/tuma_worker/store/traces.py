"""The traces that intents are part of, as their records have them; asked for only where somebody keeps traces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuma_producer.contract.connection import REDIS_ERRORS, unavailable
from tuma_producer.contract.keys import account_keys
from tuma_producer.contract.records import BODY_FIELDS
from tuma_producer.contract.tracing import FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

_MOST = 100  # of a call with a thousand recipients: nobody looks at more


def traces(redis: Redis, account: str, intents: Iterable[str]) -> dict[str, str]:
    """The `traceparent` of each of the first of these intents that has one, by their short ids; none where Redis is away.

    A trace may have gaps. Nothing else may wait for it.
    """
    some = list(dict.fromkeys(intents))[:_MOST]
    pipeline = redis.pipeline(transaction=False)
    for intent in some:
        pipeline.hmget(account_keys(account).intent(intent), BODY_FIELDS)
    try:
        bodies = [b"".join(filter(None, pieces)) for pieces in pipeline.execute()]
    except REDIS_ERRORS as error:
        if not unavailable(error):
            raise
        return {}
    traced = {intent: body for intent, body in zip(some, bodies, strict=True) if f'"{FIELD}"'.encode() in body}
    found = {intent: json.loads(body).get(FIELD) for intent, body in traced.items()}
    return {intent: parent for intent, parent in found.items() if isinstance(parent, str)}
