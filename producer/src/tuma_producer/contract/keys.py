"""The name of every Redis key that Tuma uses.

All keys of an account carry the account's name as their hash tag, so that a cluster keeps them on one node and a script may touch
them together. No other module composes a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

ACCOUNTS = "tuma:accounts"  # set of account names, for listing only; it shares no slot with any account
ROUTES = "tuma:routes"  # hash: a route's name to its accounts by prefix, as JSON; it shares no slot with any account either
TOKENS = "tuma:tokens"  # hash: digest of each API token to whose it is and what it may do, as JSON; the gateway's alone
AUDIT = f"tuma:{{{TOKENS}}}:audit"  # stream: as an account's, of what belongs to none; a script touches it together with the tokens


def session(digest: str) -> str:
    """String: the digest of the token with which somebody logged in at the dashboard, by that of the session's secret. Expires."""
    return f"tuma:session:{digest}"


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one queue of an account. A queue's name is `<account>.<operation>`."""

    account: str
    operation: str

    @cached_property
    def _prefix(self) -> str:
        return f"tuma:{{{self.account}}}:{self.operation}:"

    @cached_property
    def entries(self) -> str:
        """Sorted set, all scores 0: `lane|source|group|time|subject` for each job that may go now."""
        return self._prefix + "entries"

    @cached_property
    def groups(self) -> str:
        """Sorted set, all scores 0: `lane|source|time|group`, the groups of each source in the order of their oldest job."""
        return self._prefix + "groups"

    def sources(self, lane: int) -> str:
        """Sorted set: the sources that have work in this lane, by the share of the allowance they have used."""
        return f"{self._prefix}sources:{lane}"

    @cached_property
    def spent(self) -> str:
        """Hash: `lane|source` to the share that a source without work had used. Expires a day after the last change."""
        return self._prefix + "spent"

    @cached_property
    def due(self) -> str:
        """Sorted set: `lane|source|group|subject` of each job that waits for a time, by that time in milliseconds."""
        return self._prefix + "due"

    @cached_property
    def deadlines(self) -> str:
        """Sorted set: short id of each intent that has a deadline, by that in milliseconds."""
        return self._prefix + "deadlines"

    @cached_property
    def inflight(self) -> str:
        """Hash: batch id to what was claimed, for each batch that a worker holds."""
        return self._prefix + "inflight"

    @cached_property
    def leases(self) -> str:
        """Sorted set: batch id by the end of its lease in milliseconds."""
        return self._prefix + "leases"

    @cached_property
    def used(self) -> str:
        """Hash: `limit|lane` to the weight that counts against that limit now, in flight or ended within its window."""
        return self._prefix + "used"

    def window(self, limit: str) -> str:
        """List, oldest first: `slot:weight:weight:weight`, the weights of each lane's calls that ended by that slot's time."""
        return f"{self._prefix}window:{limit}"

    @cached_property
    def state(self) -> str:
        """Hash: pauses, halt, block, pacing, fairness clocks, the alarm: everything about the queue that is one value."""
        return self._prefix + "state"

    @cached_property
    def crashes(self) -> str:
        """Hash: subject to how often a worker died holding it, until one comes to its call. Expires a day after the first death."""
        return self._prefix + "crashes"

    @cached_property
    def bell(self) -> str:
        """List with at most one token: consumers block on it; whoever makes work possible rings it."""
        return self._prefix + "bell"

    def busy(self, part: int) -> str:
        """Hash: `calls` that were made and the `seconds` for which they kept threads, in one part of the day. Expires."""
        return f"{self._prefix}busy:{part}"

    @cached_property
    def messages(self) -> str:
        """Hash: message id to the Dramatiq message, for actors that are no sends."""
        return self._prefix + "messages"


@dataclass(frozen=True)
class AccountKeys:
    """The keys of one account."""

    account: str

    @cached_property
    def _prefix(self) -> str:
        return f"tuma:{{{self.account}}}:"

    @cached_property
    def profile(self) -> str:
        """Hash: what producers may know about the account. Written by every process that is configured with it."""
        return self._prefix + "profile"

    @cached_property
    def events(self) -> str:
        """Stream: every change of state of every intent of the account."""
        return self._prefix + "events"

    @cached_property
    def audit(self) -> str:
        """Stream: what somebody steered, who it was, and what stood before and after. The last ten thousand or so."""
        return self._prefix + "audit"

    @cached_property
    def subscriptions(self) -> str:
        """Hash: the id of each subscription to the events to what is known of it, as JSON. Kept until somebody takes it off."""
        return self._prefix + "subscriptions"

    def troubles(self, subscription: str) -> str:
        """Hash: each event that a subscriber has not taken at once to its tries, and since when (Unix ms); gone with the last."""
        return f"{self._prefix}troubles:{subscription}"

    @cached_property
    def pusher(self) -> str:
        """String: the process that tells the account's subscribers. Expires soon after its last look."""
        return self._prefix + "pusher"

    @cached_property
    def trimmer(self) -> str:
        """String: the process that keeps the account's events within their bounds. Expires soon after its last look."""
        return self._prefix + "trimmer"

    def warned(self, group: str) -> str:
        """String: that it was said of a group of consumers, by a digest of its name, how far it is behind. Expires."""
        return f"{self._prefix}warned:{group}"

    @cached_property
    def dead(self) -> str:
        """Sorted set: `short id:number` of each dead letter, by when it died in ms. Expires a retention after the last."""
        return self._prefix + "dead"

    @cached_property
    def replicated(self) -> str:
        """String: written by whoever waits for replicas, which are waited for up to there. Expires within a second."""
        return self._prefix + "replicated"

    def intent(self, short_id: str) -> str:
        """Hash: an intent's record, with a field per recipient; or a schedule's, with all of them in one field."""
        return f"{self._prefix}intent:{short_id}"

    def idempotency(self, digest: str) -> str:
        """String: the intent that a source's idempotency key stands for, and a digest of its body."""
        return f"{self._prefix}idempotency:{digest}"

    def answer(self, token: str) -> str:
        """String: the first answer to the request of this token, for its repeats. Expires."""
        return f"{self._prefix}answer:{token}"

    @cached_property
    def campaigns(self) -> str:
        """Hash: the name of each campaign to how it stands; campaign.lua says what that is."""
        return self._prefix + "campaigns"

    def campaign(self, digest: str) -> str:
        """Sorted set, all scores 0: the short ids of the intents of a campaign, by a digest of its name."""
        return f"{self._prefix}campaign:{digest}"

    @cached_property
    def schedules(self) -> str:
        """Sorted set: the short id of each schedule, of either custody, by when it was accepted in ms."""
        return self._prefix + "schedules"

    def batch(self, batch_id: str) -> str:
        """Hash: one attempt with its evidence, and the intent of each of its recipients."""
        return f"{self._prefix}batch:{batch_id}"

    def receipts(self, batch_id: str) -> str:
        """Set: digests of the receipts that were counted of an attempt with several dates. Expires with its record."""
        return f"{self._prefix}receipts:{batch_id}"

    @cached_property
    def inbox(self) -> str:
        """Stream: every receipt that was taken in and has not been applied yet."""
        return self._prefix + "inbox"

    @cached_property
    def parked(self) -> str:
        """Sorted set: receipts about calls that nobody knows yet, by when to look again in ms. Expires after the last."""
        return self._prefix + "parked"

    @cached_property
    def applier(self) -> str:
        """String: the process that applies the account's receipts. Expires soon after its last look."""
        return self._prefix + "applier"

    def raw_receipts(self, batch_id: str) -> str:
        """Hash: a digest of each receipt of an attempt to when it came (ms) and what it said. Expires a set time after the last."""
        return f"{self._prefix}raw:{batch_id}"

    def inbound(self, digest: str) -> str:
        """String: that a message which a person wrote was taken in. Expires."""
        return f"{self._prefix}inbound:{digest}"

    def provider_id(self, provider_id: str) -> str:
        """String: the batch that the provider knows under this id."""
        return f"{self._prefix}provider-id:{provider_id}"

    @cached_property
    def bad_numbers(self) -> str:
        """Sorted set: numbers that the provider has blamed, by the time in milliseconds until which they are left out of calls."""
        return self._prefix + "bad-numbers"

    @cached_property
    def suppressed(self) -> str:
        """Sorted set: the account's suppression list, numbers by when they were added in ms. Kept until they are taken off."""
        return self._prefix + "suppressed"

    @cached_property
    def budgets(self) -> str:
        """Hash: the budgets of the account's sources, and what each has used; budget.lua says how. Kept until they are removed."""
        return self._prefix + "budgets"

    @cached_property
    def carried(self) -> str:
        """Sorted set: full id of each intent by which another account carries recipients, by when to look at it next in ms."""
        return self._prefix + "carried"

    @cached_property
    def mover(self) -> str:
        """String: the process that looks after what other accounts carry. Expires soon after its last look."""
        return self._prefix + "mover"

    @cached_property
    def sweeper(self) -> str:
        """String: the process that looks after what nobody owns. Expires soon after its last look."""
        return self._prefix + "sweeper"

    @cached_property
    def readings(self) -> str:
        """Sorted set: `ms left currency` of each time that the provider told the balance, by that time. Expires after the last."""
        return self._prefix + "readings"

    @cached_property
    def reckoner(self) -> str:
        """String: the process that asks the provider for the account's balance. Expires soon after its last look."""
        return self._prefix + "reckoner"

    @cached_property
    def poller(self) -> str:
        """String: the process that asks the provider about calls of which no receipt told. Expires soon after its last look."""
        return self._prefix + "poller"

    def queue(self, operation: str) -> QueueKeys:
        """The keys of one of this account's queues."""
        return _queue_keys(self.account, operation)


@lru_cache(maxsize=1024)  # bounded: anybody may ask for any name
def account_keys(account: str) -> AccountKeys:
    """The keys of an account, composed once and kept: every send asks for them."""
    return AccountKeys(account)


@lru_cache(maxsize=4096)
def _queue_keys(account: str, operation: str) -> QueueKeys:
    return QueueKeys(account, operation)
