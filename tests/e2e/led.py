"""One account at the sandbox whose worker is led by hand, step by step, on clocks that are the test's."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr
from tests.redis.driver import NEW_YEAR, virtual_clock
from tests.support import servers
from tests.support.programs import Tuma
from tests.support.sandbox import Sandbox

from tuma_producer import Producer
from tuma_producer.contract.connection import connect
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.bootstrap import configured, parts
from tuma_worker.dispatch.sending import Sender
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, claim, release
from tuma_worker.settings import Account, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from tests.redis.driver import VirtualClock

    from tuma_producer import Intent
    from tuma_producer.results import Verb
    from tuma_worker.core.answers import Reply
    from tuma_worker.dispatch.sending import Outlet
    from tuma_worker.providers.base import Call
    from tuma_worker.queue.config import QueueConfig

ACCOUNT, KEY = "lisoloo-main", "sk_test_main"
OPEN = ("100000/min",)
VERBS: list[Verb] = ["cancel", "pause", "resume"]


@dataclass
class Interrupted:
    """A provider's client in whose calls something else happens: when the provider has answered, and nobody has read it yet."""

    client: Any
    meanwhile: Callable[[], object] = lambda: None

    def send(self, call: Call) -> Reply:
        reply: Reply = self.client.send(call)
        self._interrupt()
        return reply

    def hand_over(self, call: Call, schedule: Any) -> Reply:  # noqa: ANN401 - as it came
        reply: Reply = self.client.hand_over(call, schedule)
        self._interrupt()
        return reply

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a client can do
        return getattr(self.client, name)

    def _interrupt(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()


class World:
    """One account at the sandbox, with its producer and the parts of its worker."""

    def __init__(self, redis: Redis, url: str, sandbox: Sandbox, clock: VirtualClock) -> None:
        self.redis, self.sandbox, self.clock = redis, sandbox, clock
        account = Account(
            provider="lisoloo", base_url=f"{sandbox.url}/lisoloo", api_key=SecretStr(KEY), environment="sandbox",
            limits=OPEN, control_limits=OPEN, status_limits=OPEN, cold_start="burst",
            schedule_lead=0.0, breaker_after=1000, sender_id="KITOKO", batch_max=3,
        )  # fmt: skip
        made = Settings(redis_url=url, accounts={ACCOUNT: account}, public_url=sandbox.url)
        self._made, self._service = made, parts.build_service(made)
        self.queues = configured.all_queues(ACCOUNT, account)
        outlet = self._service.sender.outlets[ACCOUNT]
        self.provider = Interrupted(outlet.client)
        self._lead(outlet)
        self.producer = Producer(redis, source="test")

    def _lead(self, outlet: Outlet) -> None:
        """Let what the worker asks of the provider go through our hands, and its dice always fall on nothing."""
        assert outlet.keeper is not None
        keeper = replace(outlet.keeper, custodian=Interrupted(outlet.keeper.custodian))
        self.custodian = cast("Interrupted", keeper.custodian)
        led = replace(outlet, client=cast("Any", self.provider), keeper=keeper)
        service = self._service
        sender = Sender({ACCOUNT: led}, choose=lambda _most: 0.0, secret=service.sender.secret, pause=service.sender.pause)
        steerer = replace(service.steerer, keepers={ACCOUNT: keeper})
        self._actors: dict[str, Callable[[Held], None]] = {
            "send": sender.send, "expire": sender.expire, "resolve": service.resolver.resolve, "fire": service.firer.fire,
            "steer": steerer.steer, "look": steerer.look, "probe": service.prober.probe,
            "abandon": steerer.abandon, "park": sender.park,
        }  # fmt: skip

    def anew(self) -> None:
        """An empty server, an empty ledger, and both clocks at the same time, ten seconds past a minute."""
        self.redis.flushall()
        self.sandbox.disarm()
        self.sandbox.forget()
        self.clock.set(NEW_YEAR * 1000)
        configured.register_accounts(self.redis, self._made, by_worker=True)
        self.forward(10)

    def forward(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.sandbox.show(self.clock.now / 1_000_000)

    def claim(self, queue: QueueConfig) -> Held | None:
        found = claim(self.redis, queue, secrets.token_hex(8), "w1", last=False)
        return Held(queue, found, until=1.0, clock=lambda: 0.0) if isinstance(found, Claim) else None

    def work(self, held: Held) -> None:
        """What Dramatiq does with a claimed batch."""
        self._actors[held.claim.actor](held)
        if not held.settled:
            release(self.redis, held.queue, held.claim.batch_id, Release.DONE)

    def work_off(self) -> None:
        """Let the worker go on until nothing is left to do at this time."""
        idle = 0
        while idle < 3:  # a claim that has only put something off is followed by the next one
            found = [held for queue in self.queues if (held := self.claim(queue)) is not None]
            idle = 0 if found else idle + 1
            for held in found:
                self.work(held)

    def get(self, intent_id: str) -> Intent:
        return self.producer.get(intent_id)

    def children(self, schedule_id: str) -> list[str]:
        """The occurrences of a schedule that have fired."""
        events = cast("list[Any]", self.redis.xrange(AccountKeys(ACCOUNT).events))
        short = schedule_id.rpartition(".")[2].encode()
        return [f"{ACCOUNT}.{one[b'o'].decode()}" for _, one in events if one[b"e"] == b"fired" and one[b"i"] == short]


@contextmanager
def open_world() -> Iterator[World]:
    """A world of its own: a server, a sandbox, and a clock for both."""
    limits = {name: [{"count": 1_000_000, "seconds": 1}] for name in ("send", "status", *VERBS)}
    config = {"lisoloo": {"keys": {KEY: {"label": ACCOUNT}}, "limits": limits, "retry_delays": []}}
    with ExitStack() as stack:
        server = servers.start(None)
        stack.callback(server.stop)
        process = Tuma().start("sandbox", "--port", "0", "--config", json.dumps(config))
        stack.callback(process.kill)
        sandbox = Sandbox(process.until("listening").split()[-1])
        stack.callback(sandbox.close)
        redis = stack.enter_context(connect(server.url))
        clock = stack.enter_context(virtual_clock(redis))
        yield World(redis, server.url, sandbox, clock)
