"""Tuma's front door for services that send.

>>> from tuma_producer import Producer, Send
>>> producer = Producer.from_url("redis://127.0.0.1:6379/0", source="billing")
>>> receipt = producer.enqueue(Send(account="lisoloo-main", to="+243990000001", message="Your invoice is ready."))
>>> producer.get(receipt.id).counts
{'queued': 1}
"""

from __future__ import annotations

from tuma_producer.aio import AsyncProducer
from tuma_producer.client import Producer
from tuma_producer.errors import (
    IdempotencyConflict,
    InvalidSchedule,
    InvalidSend,
    NotEditable,
    NotReplicated,
    OverBudget,
    StoreUnavailable,
    TumaError,
    UnknownAccount,
    UnknownCampaign,
    UnknownIntent,
    UnknownRoute,
    UnknownTemplate,
    WouldBeLate,
)
from tuma_producer.intents import Send
from tuma_producer.outcomes import Event
from tuma_producer.recurrence import Firing
from tuma_producer.results import (
    Attempt,
    CampaignResult,
    ControlResult,
    Custody,
    EditResult,
    Estimate,
    Explanation,
    Hold,
    Intent,
    Look,
    Receipt,
    Recipient,
    Suppression,
)
from tuma_producer.schedules import At, Every

__all__ = [
    "AsyncProducer",
    "At",
    "Attempt",
    "CampaignResult",
    "ControlResult",
    "Custody",
    "EditResult",
    "Estimate",
    "Event",
    "Every",
    "Explanation",
    "Firing",
    "Hold",
    "IdempotencyConflict",
    "Intent",
    "InvalidSchedule",
    "InvalidSend",
    "Look",
    "NotEditable",
    "NotReplicated",
    "OverBudget",
    "Producer",
    "Receipt",
    "Recipient",
    "Send",
    "StoreUnavailable",
    "Suppression",
    "TumaError",
    "UnknownAccount",
    "UnknownCampaign",
    "UnknownIntent",
    "UnknownRoute",
    "UnknownTemplate",
    "WouldBeLate",
]
