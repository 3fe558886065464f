"""Configured accounts: whether their providers can work with them, the queues they have, and how they are made known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tuma_producer.contract import custody
from tuma_producer.errors import TumaError
from tuma_producer.quiet import Hours, Quiet
from tuma_worker import providers
from tuma_worker.bootstrap.reality import fresh_name
from tuma_worker.core.failover import CarrierTerms
from tuma_worker.core.limits import Limit
from tuma_worker.core.prices import Price
from tuma_worker.logs import Event
from tuma_worker.providers.base import BALANCE
from tuma_worker.queue.config import SEND, QueueConfig
from tuma_worker.rounds import keep_on
from tuma_worker.store import accounts, routes
from tuma_worker.store.funds import Funds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event as Signal

    from redis import Redis

    from tuma_worker.settings import Account, Settings

GRACE = 5.0  # seconds, at the least
_IDLE_ASIDE = 10.0  # seconds that a consumer of one of the small queues, where days may pass without a job, waits at most


def check_accounts(settings: Settings) -> None:
    """Raise `TumaError` for the first account that its provider could not work with, in one line."""
    for name, problem in problems_of(settings).items():
        if problem:
            message = f"account {name}: {problem}"
            raise TumaError(message)


def problems_of(settings: Settings) -> dict[str, str]:
    """Why each account could not be worked with; empty for those that can."""
    # A provider counts by key: two accounts with one would each take the whole of its limits.
    owners: dict[tuple[str, ...], str] = {}
    problems = {}
    for name, account in settings.accounts.items():
        where = account.provider, (account.base_url or "").rstrip("/"), account.environment
        owner = owners.setdefault((*where, account.api_key.get_secret_value()), name)
        shared = f"api_key: is that of {owner} too, and a provider's limits are those of a key; give each key to one account"
        problems[name] = _problem(account) or ("" if owner == name else shared)
    return problems


def _problem(account: Account) -> str:
    """Why its provider could not work with an account; empty where it can."""
    try:
        provider = providers.named(account.provider)
        provider.check(account)
    except ValueError as error:
        return str(error)
    if account.reserve is not None and provider.ask_balance is None:
        return f"reserve: {account.provider} tells no balance; leave it out"
    if account.provider_cancel_within and not provider.defaults.holds_back:
        return f"provider_cancel_within: {account.provider} holds nothing back; leave it out"
    if account.provider_templates and not provider.defaults.fills_templates:
        return f"provider_templates: {account.provider} fills no templates; leave it out"
    return ""


def register_accounts(redis: Redis, settings: Settings, *, by_worker: bool = False) -> None:
    """Make all configured accounts, and routes, known to producers; `by_worker` says that a worker is there for them."""
    for name, account in settings.accounts.items():
        keeps = keeping_terms(account)
        accounts.register(
            redis,
            name,
            provider=account.provider,
            environment=account.environment,
            queue=queue_config(name, account).for_claim,
            others={queue.operation: queue.for_claim for queue in [*keeping_queues(name, account), *asking_queues(name, account)]},
            terms=CarrierTerms(
                account.countries, account.senders, account.sender_id, account.own_sender, tuple(account.carries), account.approved
            ),
            keeps=keeps.published if keeps else "",
            templates=account.templates,
            provider_templates=account.provider_templates,
            price="" if account.unit_price is None else str(Price(account.unit_price, str(account.currency))),
            zone=_zone(account),
            by_worker=by_worker,
        )
        if by_worker and account.reserve is None:
            Funds(redis, name).keep_nothing(fresh_name())
    routes.register(redis, settings.routes)


def _zone(account: Account) -> str:
    """The zone of an account's days and months."""
    keeping = providers.named(account.provider).defaults.keeping
    return account.timezone or (keeping.timezone if keeping else "UTC")


def keep_registered(redis: Redis, settings: Settings, stop: Signal) -> None:
    """Register again and again, as a worker, until told to stop.

    A server that lost its data must not refuse producers for long, and an account without workers must carry nothing for others.
    """
    register = partial(register_accounts, redis, settings, by_worker=True)
    keep_on(stop, register, Event.ACCOUNTS_NOT_REGISTERED, every=accounts.REGISTER_EVERY)


def keeping_queues(name: str, account: Account) -> list[QueueConfig]:
    """The queues of the calls about dates that an account's provider keeps; none where it keeps none."""
    keeping = providers.named(account.provider).defaults.keeping
    if keeping is None:
        return []
    return [
        _small_queue(name, account, custody.CONTROL, account.control_limits, keeping.control),
        _small_queue(name, account, custody.STATUS, account.status_limits, keeping.status),
    ]


def asking_queues(name: str, account: Account) -> list[QueueConfig]:
    """The queues that hold the limits of what operators ask besides. No jobs wait in them, and no worker serves them."""
    own = {BALANCE: account.balance_limits}
    buckets = providers.named(account.provider).defaults.buckets
    return [_small_queue(name, account, bucket, own.get(bucket), documented) for bucket, documented in buckets.items()]


def _small_queue(
    name: str, account: Account, operation: str, own: Sequence[str] | None, documented: tuple[Limit, ...]
) -> QueueConfig:
    return QueueConfig(
        account=name,
        operation=operation,
        limits=documented if own is None else tuple(map(Limit.parse, own)),
        cold_start=account.cold_start,
        lease=account.lease,
        grace=max(GRACE, account.timeout),
        idle=_IDLE_ASIDE,
    )


def all_queues(name: str, account: Account) -> list[QueueConfig]:
    """Every queue of an account that has jobs."""
    return [queue_config(name, account), *keeping_queues(name, account)]


def keeping_terms(account: Account) -> custody.Terms | None:
    """By which terms the account's provider keeps dates; None where it keeps none."""
    defaults = providers.named(account.provider).defaults
    if defaults.keeping is None:
        return None
    return custody.Terms(
        tz=account.timezone or defaults.keeping.timezone,
        lead=round(account.schedule_lead * 1000),
        dates=defaults.keeping.dates,
        dispatches=defaults.keeping.dispatches,
        recipients=account.batch_max or defaults.batch_max,
        quiet=_quiet(account),
    )


def queue_config(name: str, account: Account) -> QueueConfig:
    """The queue of an account's sends: what operators set, over what the provider documents."""
    defaults = providers.named(account.provider).defaults
    limits = defaults.limits if account.limits is None else tuple(map(Limit.parse, account.limits))
    return QueueConfig(
        account=name,
        operation=SEND,
        limits=limits,
        floors={str(lane): share for lane, share in account.floors.items()},
        guard=account.guard,
        paced=frozenset(account.paced),
        batch_max=account.batch_max or defaults.batch_max,
        count_segments=defaults.count_segments,
        cold_start=account.cold_start,
        lease=account.lease,
        # A call that a worker lost track of may be read by the provider for as long as it could have gone on.
        grace=max(GRACE, account.timeout),
        quiet=_quiet(account),
    )


def _quiet(account: Account) -> Quiet | None:
    """An account's quiet hours, by its own clock where nobody knows better."""
    set_to = account.quiet
    if set_to is None:
        return None
    countries = {country: Hours.parse(hours) for country, hours in set_to.countries.items()}
    return Quiet(Hours.parse(set_to.hours), tuple(set_to.priorities), set_to.action, countries, account.timezone or "UTC")
