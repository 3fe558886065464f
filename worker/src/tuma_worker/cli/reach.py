"""How a command reaches Tuma: the settings of this environment, their Redis, and a producer on it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuma_producer import Producer, UnknownAccount
from tuma_producer.contract.connection import connect, server_of, translated
from tuma_worker.bootstrap import configured
from tuma_worker.settings import Settings, load_settings
from tuma_worker.store import routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from tuma_producer.contract.routing import Route

SOURCE = "cli"  # on whose behalf a command acts where it is not told


@dataclass(frozen=True, slots=True)
class Reach:
    """What a command works with."""

    settings: Settings
    redis: Redis
    producer: Producer

    def register(self) -> None:
        """Make the accounts and routes of this environment known, so that they can be used before a worker has ever run."""
        configured.check_accounts(self.settings)
        configured.register_accounts(self.redis, self.settings)

    def expect(self, accounts: Iterable[str]) -> None:
        """Raise `UnknownAccount` for the first of these accounts that is not known."""
        known = self.producer.accounts()
        for account in accounts:
            if account not in known:
                raise UnknownAccount(account, known)

    def route(self, name: str) -> Route:
        """The route of this name as it stands now. Raises `UnknownRoute`."""
        return routes.named(self.redis, name)


@contextmanager
def reach(source: str = SOURCE) -> Iterator[Reach]:
    """Connect as the settings say. Redis errors inside become `StoreUnavailable`."""
    settings = load_settings()
    with connect(settings.redis_url) as redis, translated(server_of(redis)):
        yield Reach(settings, redis, Producer(redis, source=source))
