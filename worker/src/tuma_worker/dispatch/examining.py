"""Look at everything that Tuma rests on, for whoever asks why something does not go, or will not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from redis.exceptions import ResponseError

from tuma_producer.contract.connection import unavailable
from tuma_worker.core import checkup
from tuma_worker.store import servers
from tuma_worker.store.attendance import attendance, comes
from tuma_worker.store.line import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis import Redis

    from tuma_worker.core.checkup import Finding

_LOOKS = 100  # at a bell: two seconds, in which a consumer that waits has long come
_ANSWER_WITHIN = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks once at a Redis, at the workers of some accounts, and at the way in of their receipts.

    `problems` says of each account by its name why its settings cannot work; empty where they can. `public_url` is where providers
    reach the gateway; None where they do not. `now` gives Unix seconds, `pause` waits.
    """

    redis: Redis
    problems: Mapping[str, str]
    public_url: str | None
    now: Callable[[], float]
    pause: Callable[[float], None]

    def examine(self) -> Iterator[Finding]:
        """Each finding as it is made. Raises redis-py's errors where a server goes away meanwhile."""
        for where, server in servers.each(self.redis).items():
            yield from self._server(where, server)
        for account, problem in self.problems.items():
            yield from self._account(account, problem)
        yield self._way_in()

    def _server(self, where: str, server: Redis) -> Iterator[Finding]:
        yield checkup.server(where, *servers.kind(server))
        settings = servers.settings(server)
        yield checkup.persistence(where, settings)
        yield checkup.eviction(where, settings)
        clock = servers.clock(server, self.now)
        yield checkup.clock(where, clock.ahead, clock.give_or_take)
        yield _rights(server)

    def _account(self, account: str, problem: str) -> Iterator[Finding]:
        yield self._limits(account, problem)
        seen = attendance(self.redis, account)
        came = seen.in_flight > 0 or comes(self.redis, account, _LOOKS, self.pause)
        yield checkup.attendance(account, in_flight=seen.in_flight, came=came, registered=seen.registered)

    def _limits(self, account: str, problem: str) -> Finding:
        about = f"account {account}"
        if problem:
            return checkup.wrong(about, problem, "correct its settings; `tuma config` shows them")
        found = look(self.redis, account)
        limits = [f"{one.count:g} {one.unit} per {one.seconds:g} s" for one in found.windows]
        return checkup.fine(about, ", ".join(limits) or "without limits")

    def _way_in(self) -> Finding:
        if self.public_url is None:
            return checkup.no_way_in()
        url = f"{self.public_url}/receipts/"
        try:
            answer = httpx.get(url, timeout=_ANSWER_WITHIN)
        except httpx.HTTPError as error:
            return checkup.way_in(url, None, type(error).__name__)
        return checkup.way_in(url, answer.status_code, _detail(answer))


def _rights(server: Redis) -> Finding:
    try:
        return checkup.rights(servers.load_scripts(server), servers.refused_commands(server))
    except ResponseError as error:
        if unavailable(error):
            raise
        return checkup.wrong("rights", "this user may not load scripts", "grant it what docs/redis.md lists")


def _detail(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return ""
    return str(told.get("detail", "")) if isinstance(told, dict) else ""
