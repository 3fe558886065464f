"""Puts the parts together, of settings, connections and what is real."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from tuma_producer.contract.connection import connect_for_threads, connect_to_wait, is_cluster
from tuma_worker import providers
from tuma_worker.bootstrap.configured import (
    all_queues,
    asking_queues,
    check_accounts,
    keeping_queues,
    keeping_terms,
    problems_of,
    queue_config,
    register_accounts,
)
from tuma_worker.bootstrap.reality import (
    callback_secret,
    fresh_name,
    fresh_secret,
    pause,
    process_name,
    steady_clock,
    up_to,
    wall_clock,
)
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.funds import Reserve
from tuma_worker.core.next_step import Policy
from tuma_worker.dispatch.carrying import Mover
from tuma_worker.dispatch.custody import Keeper, Steerer
from tuma_worker.dispatch.errands import OPERATORS, OURS, Errands
from tuma_worker.dispatch.examining import Examiner
from tuma_worker.dispatch.firing import Firer
from tuma_worker.dispatch.gauging import Gauger, ProbeAnswers
from tuma_worker.dispatch.polling import Poller
from tuma_worker.dispatch.probing import Prober
from tuma_worker.dispatch.reckoning import Reckoner
from tuma_worker.dispatch.resolving import Resolver
from tuma_worker.dispatch.sending import Outlet, Sender
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.events import pushing
from tuma_worker.events.posting import Guard, Poster
from tuma_worker.events.pushing import Pusher
from tuma_worker.events.upkeep import Upkeep
from tuma_worker.providers.http import Http
from tuma_worker.queue.broker import TumaBroker
from tuma_worker.receipts import applying
from tuma_worker.receipts.applying import Applier, Box
from tuma_worker.receipts.intake import Door, Intake
from tuma_worker.store.ages import Ages
from tuma_worker.store.attempts import Attempts
from tuma_worker.store.carried import Carried
from tuma_worker.store.custody import Custodies
from tuma_worker.store.funds import Funds
from tuma_worker.store.inbox import Inbox
from tuma_worker.store.outcomes import Stream
from tuma_worker.store.overdue import OverdueCalls
from tuma_worker.store.schedules import Schedules
from tuma_worker.store.tokens import Tokens
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from tuma_worker.dispatch.errands import Waiting
    from tuma_worker.providers.base import Defaults
    from tuma_worker.providers.provider import Inquire
    from tuma_worker.queue.config import QueueConfig
    from tuma_worker.settings import Account, Settings

_BESIDE_THE_ANSWER = 60.0  # seconds that a call may take besides waiting for its answer: names, connection, writing


def build_examiner(redis: Redis, settings: Settings, known: Sequence[str]) -> Examiner:
    """What looks at everything that Tuma rests on; at the accounts that are `known` where none is configured here."""
    problems = problems_of(settings) or dict.fromkeys(known, "")
    return Examiner(redis, problems, settings.public_url, wall_clock, pause)


@dataclass(frozen=True, slots=True)
class Service:
    """A worker process's parts."""

    broker: TumaBroker
    sender: Sender
    resolver: Resolver
    prober: Prober
    firer: Firer
    steerer: Steerer


def build_service(settings: Settings) -> Service:
    """Build a worker from its settings and register its accounts. Raises `TumaError` for settings that cannot work."""
    check_accounts(settings)
    redis = connect_for_threads(settings.redis_url)
    register_accounts(redis, settings, by_worker=True)
    queues = [queue_config(name, account) for name, account in settings.accounts.items()]
    others = [queue for name, account in settings.accounts.items() for queue in keeping_queues(name, account)]
    outlets = _outlets(redis, settings, queues)
    longest_wait = max((queue.idle for queue in [*queues, *others]), default=0.0)
    broker = TumaBroker(
        redis,
        [*queues, *others],
        connect=lambda: connect_to_wait(settings.redis_url, longest_wait),
        clock=steady_clock,
        worker=process_name(),
    )
    return Service(
        broker=broker,
        sender=Sender(outlets, choose=up_to, secret=callback_secret, pause=pause),
        resolver=Resolver(redis, outlets, heed=build_applier(redis, settings).drain),
        prober=Prober(redis, outlets, _probed_in(settings), process_name()),
        firer=Firer({queue.account: Schedules(redis, queue) for queue in queues}),
        steerer=Steerer(redis, {name: outlet.keeper for name, outlet in outlets.items() if outlet.keeper is not None}),
    )


def _probed_in(settings: Settings) -> dict[str, QueueConfig]:
    """The queue of the bucket that a probe counts in, of each account where that is not its sends'."""
    return {
        name: replace(queue, lease=account.timeout + _BESIDE_THE_ANSWER)
        for name, account in settings.accounts.items()
        for queue in asking_queues(name, account)
        if queue.operation == providers.named(account.provider).defaults.probe_bucket
    }


def build_sweeper(redis: Redis, settings: Settings, *, only: str | None = None, by_hand: bool = False) -> Sweeper:
    """What looks after recipients that nobody owns, of all configured accounts or one; `by_hand` whoever else does."""
    queues = [queue_config(name, account) for name, account in settings.accounts.items() if only in {None, name}]
    # Two looks must be further apart than a lease: what a worker that has just died held is in its hand until then.
    apart = max([0.0 if by_hand else settings.sweep_every, *(queue.lease for queue in queues)])
    watched = [_unowned(redis, queue, settings.accounts[queue.account]) for queue in queues]
    ages = {name: Ages(redis, name, one.records_for, one.texts_for, one.attempts_for) for name, one in settings.accounts.items()}
    return Sweeper(
        watched, None if by_hand else process_name(), apart, {name: one for name, one in ages.items() if one.are_shorter}
    )


def _unowned(redis: Redis, queue: QueueConfig, account: Account) -> Unowned:
    return Unowned(redis, queue, account.receipts_for, account.timeout + _BESIDE_THE_ANSWER)


def build_mover(redis: Redis, settings: Settings) -> Mover:
    """What looks after the failover of all configured accounts."""
    queues = [queue_config(name, account) for name, account in settings.accounts.items()]
    return Mover([Carried(redis, queue) for queue in queues], process_name(), settings.failover_every, steady_clock)


def build_gauger(redis: Redis, settings: Settings, broker: TumaBroker) -> Gauger:
    """What shows how all configured accounts stand."""
    queues = [queue_config(name, account) for name, account in settings.accounts.items()]
    return Gauger(redis, queues, broker.take_busy, shows=settings.metrics_port != 0)


def build_probe_answers(redis: Redis, settings: Settings, broker: TumaBroker) -> ProbeAnswers:
    """What answers probes and scalers."""
    return ProbeAnswers(redis, frozenset(settings.accounts), broker.vitals)


@contextmanager
def errands(redis: Redis, settings: Settings, name: str, waiting: Waiting) -> Iterator[Errands]:
    """What makes an operator's calls for the account of this name. Raises `TumaError` where it cannot work."""
    check_accounts(settings)
    with Http() as http:
        yield _errands(redis, settings, name, http, waiting=waiting, lane=OPERATORS)


def _errands(redis: Redis, settings: Settings, name: str, http: Http, *, waiting: Waiting, lane: int) -> Errands:
    account = settings.accounts[name]
    queues = [*all_queues(name, account), *asking_queues(name, account)]
    return Errands(
        redis,
        providers.named(account.provider).caller(account, http),
        {queue.operation: queue for queue in queues},
        maker=process_name(),
        lease=account.timeout + _BESIDE_THE_ANSWER,
        quotas=providers.named(account.provider).quotas,
        name=fresh_name,
        pause=pause,
        waiting=waiting,
        lane=lane,
    )


def build_pollers(redis: Redis, settings: Settings) -> list[Poller]:
    """What asks about calls of which no receipt tells, one for each account: each waits for permits of its own."""
    http = Http()
    return [
        _poller(redis, settings, name, http, inquire)
        for name, account in settings.accounts.items()
        if (inquire := providers.named(account.provider).inquire) is not None and account.poll_after != 0
    ]


def _poller(redis: Redis, settings: Settings, name: str, http: Http, inquire: Inquire) -> Poller:
    account = settings.accounts[name]
    after = providers.named(account.provider).defaults.tells_within if account.poll_after is None else account.poll_after
    return Poller(
        overdue=OverdueCalls(redis, name, after),
        attempts=Attempts(redis, queue_config(name, account)),
        inquire=inquire,
        exchange=_errands(redis, settings, name, http, waiting=lambda _why, _seconds: None, lane=OURS),
        worker=process_name(),
        every=settings.poll_every,
    )


def build_reckoners(redis: Redis, settings: Settings) -> list[Reckoner]:
    """What asks for the balances of accounts that keep a reserve, one for each: each waits for permits of its own."""
    http = Http()
    return [
        Reckoner(
            funds=Funds(redis, name),
            reserve=Reserve.parse(account.reserve),
            ask=ask,
            exchange=_errands(redis, settings, name, http, waiting=lambda _why, _seconds: None, lane=OURS),
            worker=process_name(),
            every=account.balance_every,
            token=fresh_name,
        )
        for name, account in settings.accounts.items()
        if account.reserve is not None and (ask := providers.named(account.provider).ask_balance) is not None
    ]


def build_tokens(redis: Redis) -> Tokens:
    """What keeps the API tokens."""
    return Tokens(redis, fresh_secret)


def build_intake(redis: AsyncRedis, settings: Settings) -> Intake:
    """What the gateway hands webhooks to."""
    doors = {
        name: Door(
            providers.named(account.provider).receipts(account),
            networks=tuple(map(ip_network, account.webhook_from)),
        )
        for name, account in settings.accounts.items()
    }
    return Intake(redis, doors, wall_clock)


def build_applier(redis: Redis, settings: Settings) -> Applier:
    """What applies the receipts of all configured accounts."""
    boxes = [
        Box(Inbox(redis, name, account.raw_receipts_for), providers.named(account.provider).receipts(account), account.stop_words)
        for name, account in settings.accounts.items()
    ]
    return Applier(redis, _waiting(redis, settings), boxes, process_name(), steady_clock)


def _waiting(redis: Redis, settings: Settings) -> Redis:
    """A client whose reads may block for a turn of whoever leads; on a cluster, where none does, the same."""
    return redis if is_cluster(redis) else connect_to_wait(settings.redis_url, max(applying.TURN, pushing.TURN))


def build_pusher(redis: Redis, settings: Settings) -> Pusher:
    """What tells the subscribers of all configured accounts."""
    guard = Guard(tuple(map(ip_network, settings.push_networks)))
    return Pusher(
        redis,
        _waiting(redis, settings),
        list(settings.accounts),
        Poster(guard, settings.push_timeout),
        worker=process_name(),
        most=settings.push_at_once,
        clock=wall_clock,
        choose=up_to,
    )


def build_upkeep(redis: Redis, settings: Settings) -> Upkeep:
    """What keeps the event streams of all configured accounts within their bounds."""
    return Upkeep([Stream(redis, name, round(one.events_for * 1000)) for name, one in settings.accounts.items()], process_name())


def _outlets(redis: Redis, settings: Settings, queues: Iterable[QueueConfig]) -> dict[str, Outlet]:
    http = Http()  # as many connections as there are threads that call
    outlets = {}
    for queue in queues:
        account = settings.accounts[queue.account]
        provider = providers.named(account.provider)
        outlets[queue.account] = Outlet(
            client=provider.client(account, http),
            attempts=Attempts(redis, queue),
            policy=_policy(account, provider.defaults),
            breaker=Breaker(account.breaker_after, account.slow_after, account.breaker_open),
            callbacks=f"{settings.public_url}/receipts/{queue.account}" if settings.public_url else None,
            sender_id=account.sender_id,
            keeps_books=provider.defaults.keeps_books,
            quiet=queue.quiet,
            approved=account.approved,
            holds_back={str(lane): seconds for lane, seconds in account.provider_cancel_within.items()},
            watches_money=account.reserve is not None,
            keeper=_keeper(redis, queue.account, account, http),
        )
    return outlets


def _keeper(redis: Redis, name: str, account: Account, http: Http) -> Keeper | None:
    custodian, keeps = providers.named(account.provider).custodian, keeping_terms(account)
    if custodian is None or keeps is None:
        return None
    return Keeper(custodian(account, http), Custodies(redis, name), keeps)


def _policy(account: Account, defaults: Defaults) -> Policy:
    return Policy(
        resolve_after=account.resolve_after,
        bad_number_ttl=account.bad_number_ttl,
        asks=defaults.tells,
        asking_counts=defaults.probe_counts,
        probe_every=account.probe_every,
        cool_down=account.cool_down,
    )
