"""Take in one webhook: check it, read it, find the attempt it is about, and move its recipients.

A receipt is known by its path: each attempt has a callback address of its own, written down before the call, so a receipt finds its
attempt even when it overtakes the answer, and when the answer never came. Receipts that come to an account's common address are
matched by the provider's id instead, which is known only once the answer has been written down.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import structlog

from tuma_producer.contract.keys import AccountKeys
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.logs import Event
from tuma_worker.providers.base import BadReceipt
from tuma_worker.store.attempts import Target, apply_request
from tuma_worker.store.custody import DATES, tally_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from tuma_worker.core.receipts import Receipt
    from tuma_worker.providers.base import Receipts

_log = structlog.get_logger(__name__)


class Verdict(StrEnum):
    """What became of a webhook."""

    TAKEN = "taken"  # applied, or nothing new, or kept without being understood
    UNAUTHENTIC = "unauthentic"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  # no such account or attempt
    EARLY = "early"  # about a call whose answer we have not seen: the provider must try again


@dataclass(frozen=True, slots=True)
class Door:
    """How one account's webhooks are checked. `password` is true where they carry credentials that we were given."""

    receipts: Receipts
    password: bool


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes in the webhooks of all configured accounts."""

    redis: Redis
    doors: Mapping[str, Door]

    async def by_ticket(self, account: str, ticket: str, headers: Mapping[str, str], body: bytes) -> Verdict:
        """A webhook at an attempt's own address; `ticket` is the last part of its path."""
        door, (batch_id, _, token) = self.doors.get(account), ticket.partition(".")
        if door is None:
            return Verdict.UNKNOWN
        attempt = await self._attempt(account, batch_id)
        if attempt is None or not hmac.compare_digest(attempt.token.encode(), token.encode()):
            return Verdict.UNKNOWN
        if door.receipts.presented(headers) and not door.receipts.authentic(headers, body):
            return Verdict.UNAUTHENTIC
        receipts = _read(account, door, body)
        if receipts is None:
            return Verdict.UNREADABLE
        for receipt in receipts:
            await self._apply(attempt, receipt)
        return Verdict.TAKEN

    async def by_account(self, account: str, headers: Mapping[str, str], body: bytes) -> Verdict:
        """A webhook at an account's common address: only where the provider proves itself by a password or signature."""
        door = self.doors.get(account)
        if door is None:
            return Verdict.UNKNOWN
        if not door.password or not door.receipts.authentic(headers, body):
            return Verdict.UNAUTHENTIC
        receipts = _read(account, door, body)
        if receipts is None:
            return Verdict.UNREADABLE
        for receipt in receipts:
            attempt = await self._attempt_of(account, receipt)
            if attempt is None:
                _log.info(Event.RECEIPT_UNMATCHED, account=account, kind=receipt.event)
                return Verdict.EARLY
            await self._apply(attempt, receipt)
        return Verdict.TAKEN

    async def _attempt(self, account: str, batch_id: str) -> _Attempt | None:
        token, phase, dates = await cast("Any", self.redis.hmget(AccountKeys(account).batch(batch_id), ["token", "phase", DATES]))
        if not token or not phase:
            return None
        return _Attempt(AccountKeys(account), batch_id, token.decode(), phase.decode(), dates=dates is not None)

    async def _attempt_of(self, account: str, receipt: Receipt) -> _Attempt | None:
        if receipt.provider_id is None:
            return None
        batch_id = await self.redis.get(AccountKeys(account).provider_id(receipt.provider_id))
        return await self._attempt(account, cast("bytes", batch_id).decode()) if batch_id else None

    async def _apply(self, attempt: _Attempt, receipt: Receipt) -> None:
        log = _log.bind(account=attempt.keys.account, batch=attempt.batch_id, kind=receipt.event)
        if receipt.state is None:
            log.info(Event.RECEIPT_UNMATCHED, reason="an event that nobody here knows")
            return
        if attempt.phase in _DOUBTFUL:
            adopted = await self._adopt(attempt, receipt)
            log.info(Event.DELIVERY_RESOLVED, outcome="adopted", moved=adopted)
        if receipt.number is None:
            return
        intent = await cast("Any", self.redis.hget(attempt.keys.batch(attempt.batch_id), receipt.number))
        if intent is None:
            log.warning(Event.RECEIPT_UNMATCHED, reason="the call had no such recipient")
            return
        if attempt.dates:
            request = tally_request(attempt.keys, attempt.batch_id, intent.decode(), receipt)
            counted = await request.run_async(self.redis)
            log.debug(Event.RECEIPT_APPLIED, state=receipt.state, counted=counted)
            return
        target = Target(intent.decode(), receipt.number)
        request = apply_request(
            attempt.keys, attempt.batch_id, [target], receipt.state, receipt.evidence, reason=receipt.reason or ""
        )
        moved, _left = await request.run_async(self.redis)
        log.debug(Event.RECEIPT_APPLIED, state=receipt.state, moved=moved)

    async def _adopt(self, attempt: _Attempt, receipt: Receipt) -> int:
        """Submit all recipients: any receipt proves that the provider took the call, also one whose answer we have not seen.

        Later receipts at the account's common address find the call by the id that this one tells. Where the provider keeps the
        dates, that id is the call's own, and needed to steer it.
        """
        record = await cast("Any", self.redis.hgetall(attempt.keys.batch(attempt.batch_id)))
        targets = [Target(intent.decode(), name.decode()) for name, intent in record.items() if name.startswith(b"+")]
        request = apply_request(
            attempt.keys, attempt.batch_id, targets, RecipientState.SUBMITTED, Evidence.PROVIDER, phase="accepted", by_receipt=True,
            provider_id=(receipt.provider_id or "") if attempt.dates else "",
            provider_ids=[receipt.provider_id] if receipt.provider_id else [],
        )  # fmt: skip
        moved, _left = await request.run_async(self.redis)
        return int(moved)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The part of an attempt's record that a receipt needs."""

    keys: AccountKeys
    batch_id: str
    token: str
    phase: str
    dates: bool


def _read(account: str, door: Door, body: bytes) -> list[Receipt] | None:
    try:
        return door.receipts.read(body)
    except BadReceipt as error:
        _log.warning(Event.RECEIPT_REFUSED, account=account, reason=str(error))
        return None


# Attempts of which no answer says that the provider took the call: nobody knows yet, or it was sent again for want of evidence.
_DOUBTFUL = frozenset({"calling", "unknown", "resent"})
