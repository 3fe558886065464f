"""Take in one webhook: check who sent it, see that it can be read, and write it down before the provider is answered.

A receipt is known by its path: each attempt has a callback address of its own, written down before the call, so a receipt finds its
attempt even when it overtakes the answer, and when the answer never came. Receipts that come to an account's common address are
matched by the provider's id instead, which is known only once the answer has been written down.

What it means is somebody else's work (`applying`): a provider is answered as soon as nothing can be lost any more.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import structlog

from tuma_worker import metrics
from tuma_worker.logs import Event
from tuma_worker.providers.base import BadReceipt
from tuma_worker.receipts.trips import FullError, Trips, ask_together
from tuma_worker.store.inbox import Arriving, stage_backlog, stage_token, write_down

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from redis.asyncio import Redis

    from tuma_worker.providers.base import Receipts
    from tuma_worker.receipts.trips import Stage

_log = structlog.get_logger(__name__)

DEPTH = 16  # of objects and arrays in one another; a receipt of either provider has two
BACKLOG = 2_000_000  # receipts of an account that were not applied yet; further ones must come again
_TOKENS = 20_000  # attempts whose addresses are remembered
_LOOK_EVERY = 256  # receipts of an account between two looks at its backlog

_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


class Reception(StrEnum):
    """What became of a webhook."""

    TAKEN = "taken"
    UNAUTHENTIC = "unauthentic"
    FORBIDDEN = "forbidden"  # it comes from an address that none may come from
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  # no such account or attempt
    TOO_LARGE = "too-large"
    BUSY = "busy"  # it must come again
    NO_STORE = "no-store"  # Redis cannot be used now: it must come again


@dataclass(frozen=True, slots=True)
class Door:
    """How one account's webhooks are checked. `networks` are those that they may come from, none: all."""

    receipts: Receipts
    networks: Sequence[IPv4Network | IPv6Network] = ()

    def admits(self, address: str) -> bool:
        """Whether webhooks may come from there."""
        if not self.networks:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)


class Webhook(NamedTuple):
    """One request. `ticket` is the last part of an attempt's own address, None at the account's common one."""

    account: str
    ticket: str | None
    address: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Intake:
    """Takes in the webhooks of all configured accounts. `clock` gives Unix seconds."""

    redis: Redis
    doors: Mapping[str, Door]
    clock: Callable[[], float]
    backlog: int = BACKLOG
    asking: Trips[Stage] = field(init=False)
    writing: Trips[Arriving] = field(init=False)
    _tokens: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _came: dict[str, int] = field(default_factory=dict)
    _full: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Let what comes together go together."""
        self.asking = Trips(partial(ask_together, self.redis))
        self.writing = Trips(partial(write_down, self.redis))

    async def take(self, webhook: Webhook) -> Reception:
        """Write the webhook down if it is to be believed and can be read. Raises what redis-py raises, and `TimeoutError`."""
        door = self.doors.get(webhook.account)
        if door is None:
            return Reception.UNKNOWN
        try:
            return await self._taken(door, webhook)
        except FullError:
            return Reception.BUSY

    def count(self, account: str, reception: Reception) -> None:
        """Count what became of a webhook."""
        metrics.receipt_came(account if account in self.doors else metrics.OTHER, reception)

    async def _taken(self, door: Door, webhook: Webhook) -> Reception:
        account, batch_id = webhook.account, ""
        if not door.admits(webhook.address):
            return Reception.FORBIDDEN
        if not self._believed(door, webhook):
            return Reception.UNAUTHENTIC
        if webhook.ticket is not None:
            batch_id, _, token = webhook.ticket.partition(".")
            if not await self._is_ours(account, batch_id, token):
                return Reception.UNKNOWN
        if not _readable(door, webhook):
            return Reception.UNREADABLE
        if await self._is_full(account):
            return Reception.BUSY
        await self.writing.take(Arriving(account, batch_id, webhook.body))
        return Reception.TAKEN

    def _believed(self, door: Door, webhook: Webhook) -> bool:
        """Whether it proves itself. An attempt's own address is a secret already: there, only a wrong proof is refused."""
        about = webhook.headers, webhook.body, self.clock()
        return door.receipts.authentic(*about) if webhook.ticket is None else not door.receipts.forged(*about)

    async def _is_ours(self, account: str, batch_id: str, token: str) -> bool:
        known = self._tokens.get((account, batch_id)) or await self._ask_token(account, batch_id)
        return known is not None and hmac.compare_digest(known, token.encode())

    async def _ask_token(self, account: str, batch_id: str) -> bytes | None:
        """The token of an attempt, which never changes; thousands of receipts are about the same one."""
        token: bytes | None = await self.asking.take(lambda pipeline: stage_token(pipeline, account, batch_id))
        if token is not None:
            while len(self._tokens) >= _TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[account, batch_id] = token
        return token

    async def _is_full(self, account: str) -> bool:
        """Whether the account has more waiting than is good for Redis; looked at now and then, and always while it is so."""
        came = self._came[account] = self._came.get(account, 0) + 1
        if account in self._full or came % _LOOK_EVERY == 1:
            waiting: int = await self.asking.take(lambda pipeline: stage_backlog(pipeline, account))
            (self._full.add if waiting >= self.backlog else self._full.discard)(account)
        return account in self._full


def _readable(door: Door, webhook: Webhook) -> bool:
    if _depth(webhook.body) > DEPTH:
        _refuse(webhook, "body: is nested too deeply")
        return False
    try:
        door.receipts.read(webhook.body)
    except BadReceipt as error:
        _refuse(webhook, str(error))
        return False
    return True


def _refuse(webhook: Webhook, reason: str) -> None:
    _log.warning(Event.RECEIPT_REFUSED, account=webhook.account, reason=reason)


def _depth(body: bytes) -> int:
    """How deep objects and arrays are nested, at the most; counted exactly only where there are many of them."""
    at_most = body.count(b"{") + body.count(b"[")
    if at_most <= DEPTH:
        return at_most
    depth = deepest = 0
    for found in _BRACKET.finditer(body):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    return deepest
