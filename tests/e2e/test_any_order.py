"""Time in any order: whatever is asked about sends for now, for later and for the provider to keep, the answers are true.

A worker is led step by step through real scripts and real calls to the real sandbox, while somebody pauses, resumes, cancels and
edits, also in the middle of a call. Both clocks, Redis's and the provider's, are the test's. What the sandbox's ledger has is the
truth that every answer is held against.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.redis.driver import NEW_YEAR, number, virtual_clock
from tests.support import servers
from tests.support.programs import Tuma
from tests.support.sandbox import Sandbox

from tuma_producer import At, Producer, Send
from tuma_producer.contract.connection import connect
from tuma_producer.contract.keys import AccountKeys
from tuma_worker import bootstrap
from tuma_worker.dispatch.sending import Sender
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, claim, release
from tuma_worker.settings import Account, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis
    from tests.redis.driver import VirtualClock

    from tuma_producer import ControlResult, Intent
    from tuma_producer.intents import Verb
    from tuma_worker.core.answers import Reply
    from tuma_worker.dispatch.sending import Outlet
    from tuma_worker.providers.base import Call
    from tuma_worker.queue.config import QueueConfig

ACCOUNT, CAMPAIGN, KEY = "lisoloo-main", "spring", "sk_test_main"
OPEN = ("100000/min",)
VERBS: list[Verb] = ["cancel", "pause", "resume"]
KINDS = ("accept_then_reset", "reset_before_reading", "refuse_503")
TROUBLE = [(operation, kind) for operation in ("send", *VERBS) for kind in KINDS]
MOST = 6  # sends of a history: more would seldom be asked about twice
LONG = "TUMA_TEST_LONG" in os.environ
EXAMPLES, STEPS = (600, 40) if LONG else (20, 30)


@dataclass
class Interrupted:
    """A provider's client in whose calls something else happens: when the provider has answered, and nobody has read it yet."""

    client: Any
    meanwhile: Callable[[], None] = lambda: None

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


@dataclass
class Asked:
    """What the test knows of a send: to whom, when, kept by whom, and what was promised about it.

    `free` is false from the first verb or edit on that might leave dates out. `promised` are recipients of whom it was said that
    they are not sent to, by which verb, and how often they had been by then; `frozen` is the same of all that comes of it.
    `resumed` is when it was last said that a schedule goes on, and how many dispatches there had been.
    """

    id: str
    to: tuple[str, ...]
    name: str
    dates: tuple[int, ...] = ()
    custody: str = "worker"
    campaign: bool = False
    free: bool = True
    promised: dict[str, tuple[Verb, int]] = field(default_factory=dict)
    frozen: tuple[Verb, int] | None = None
    resumed: tuple[float, int] | None = None


class World:
    """One account at the sandbox, with its producer and the parts of its worker."""

    def __init__(self, redis: Redis, url: str, sandbox: Sandbox, clock: VirtualClock) -> None:
        self.redis, self.sandbox, self.clock = redis, sandbox, clock
        configured = Account(
            provider="lisoloo", base_url=f"{sandbox.url}/lisoloo", api_key=SecretStr(KEY), environment="sandbox",
            limits=OPEN, control_limits=OPEN, status_limits=OPEN, cold_start="burst",
            schedule_lead=0.0, breaker_after=1000, sender_id="KITOKO", batch_max=3,
        )  # fmt: skip
        made = Settings(redis_url=url, accounts={ACCOUNT: configured}, public_url=sandbox.url)
        self._made, self._service = made, bootstrap.build_service(made)
        self.queues = bootstrap.all_queues(ACCOUNT, configured)
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
        bootstrap.register_accounts(self.redis, self._made, by_worker=True)
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


class AnyOrder(RuleBasedStateMachine):
    """Somebody who asks for things, a worker that does them, time that passes, and a provider that has bad days."""

    world: World  # set by the test

    @initialize()
    def begin_anew(self) -> None:
        self.world.anew()
        self.asked: dict[str, Asked] = {}
        self.held: list[Held] = []
        self.names = 0
        self.campaign_is_paused = False  # what arrives under its name then arrives paused

    # ------------------------------------------------------------------------------------------------------------- asking

    def _enqueue(self, count: int, *, campaign: bool, dates: Sequence[int] = (), **more: Any) -> None:  # noqa: ANN401 - fields of Send
        self.world.clock.forward(0.001)
        self.names += 1
        name, to = f"m{self.names}:", tuple(number(10 * self.names + place) for place in range(count))
        if dates:
            times = [datetime.fromtimestamp(at, UTC) for at in dates]
            more["schedule"] = At(times=times) if more.get("custody") == "provider" else At(times=times, misfire="all")
        label = {"campaign_name": CAMPAIGN} if campaign else {}
        receipt = self.world.producer.enqueue(Send(account=ACCOUNT, to=list(to), message=name, **label, **more))
        self.asked[receipt.id] = Asked(receipt.id, to, name, tuple(dates), more.get("custody", "worker"), campaign)
        self.asked[receipt.id].free = not (campaign and self.campaign_is_paused)

    def _minutes(self, ahead: Sequence[int]) -> list[int]:
        now = datetime.fromtimestamp(self.world.clock.now / 1_000_000, UTC).replace(second=0, microsecond=0)
        return [int((now + timedelta(minutes=one)).timestamp()) for one in sorted(set(ahead))]

    @precondition(lambda self: self.names < MOST)
    @rule(count=st.integers(1, 2), campaign=st.booleans(), cancel_within=st.sampled_from([None, 30]))
    def send_now(self, count: int, campaign: bool, cancel_within: float | None) -> None:  # noqa: FBT001 - hypothesis calls it by keyword
        self._enqueue(count, campaign=campaign, cancel_within=cancel_within)

    @precondition(lambda self: self.names < MOST)
    @rule(ahead=st.lists(st.integers(1, 6), min_size=1, max_size=3), campaign=st.booleans())
    def send_at(self, ahead: list[int], campaign: bool) -> None:  # noqa: FBT001
        self._enqueue(1, campaign=campaign, dates=self._minutes(ahead))

    @precondition(lambda self: self.names < MOST)
    @rule(ahead=st.lists(st.integers(1, 6), min_size=1, max_size=3), campaign=st.booleans())
    def let_the_provider_send_at(self, ahead: list[int], campaign: bool) -> None:  # noqa: FBT001
        self._enqueue(1, campaign=campaign, dates=self._minutes(ahead), custody="provider")

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), verb=st.sampled_from(VERBS))
    def ask(self, data: st.DataObject, verb: Verb) -> None:
        self._ask(data.draw(st.sampled_from(list(self.asked))), verb)

    def _ask(self, intent_id: str, verb: Verb) -> None:
        result: ControlResult = getattr(self.world.producer, verb)(intent_id)
        self._note(self.asked[intent_id], verb, result)
        self._adopt_children()

    @precondition(lambda self: any(one.campaign for one in self.asked.values()))
    @rule(verb=st.sampled_from(VERBS))
    def ask_of_the_campaign(self, verb: Verb) -> None:
        found = getattr(self.world.producer, f"{verb}_campaign")(ACCOUNT, CAMPAIGN)
        assert found.outcome in {"done", "partly", "too-late", "refused", "requested", "unsupported", "unknown"}
        self.campaign_is_paused = verb == "pause" or (verb == "cancel" and self.campaign_is_paused)
        # What became of each of them is told by asking again, which changes nothing where it holds.
        for asked in [one for one in self.asked.values() if one.campaign]:
            self._note(asked, verb, getattr(self.world.producer, verb)(asked.id))
        self._adopt_children()

    @precondition(lambda self: any(one.dates and one.custody == "worker" for one in self.asked.values()))
    @rule(data=st.data(), ahead=st.none() | st.lists(st.integers(1, 6), min_size=1, max_size=3))
    def edit(self, data: st.DataObject, ahead: list[int] | None) -> None:
        asked = self.asked[
            data.draw(st.sampled_from([one.id for one in self.asked.values() if one.dates and one.custody == "worker"]))
        ]
        intent = self.world.get(asked.id)
        if intent.state not in {"scheduled", "paused"}:
            return
        self.world.clock.forward(0.001)
        if ahead is None:
            self.world.producer.edit(asked.id, message=f"{asked.name}again")
            return
        dates = self._minutes(ahead)
        self.world.producer.edit(asked.id, schedule=At(times=[datetime.fromtimestamp(at, UTC) for at in dates], misfire="all"))
        asked.dates, asked.free, asked.resumed = tuple(dates), False, None

    # ------------------------------------------------------------------------------------------------------------- working

    @rule(place=st.integers(0, 2))
    def claim(self, place: int) -> None:
        held = self.world.claim(self.world.queues[place])
        if held is not None:
            self.held.append(held)

    @rule(place=st.integers(0, 2), verb=st.sampled_from(VERBS))
    def ask_between_claim_and_call(self, place: int, verb: Verb) -> None:
        held = self.world.claim(self.world.queues[place])
        if held is None:
            return
        self.held.append(held)
        for intent_id in self._about(held):
            self._ask(intent_id, verb)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def pause_and_resume(self, data: st.DataObject) -> None:
        intent_id = data.draw(st.sampled_from(list(self.asked)))
        self._ask(intent_id, "pause")
        self._ask(intent_id, "resume")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), verb=st.none() | st.sampled_from(VERBS), trouble=st.none() | st.sampled_from(KINDS))
    def work(self, data: st.DataObject, verb: Verb | None, trouble: str | None) -> None:
        """Do what was claimed; perhaps somebody asks for a verb, mostly about this very send, while its call is under way."""
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if trouble is not None and held.claim.actor == "send":
            self.order_trouble(("send", trouble))
        if verb is not None:
            of = data.draw(st.sampled_from(self._about(held) or list(self.asked)))
            self.world.provider.meanwhile = self.world.custodian.meanwhile = lambda: self._ask(of, verb)
        self.world.work(held)
        self.world.provider.meanwhile = self.world.custodian.meanwhile = lambda: None
        self._adopt_children()
        self._keep_promises()

    @precondition(lambda self: self.names < MOST)
    @rule(verb=st.sampled_from(("pause", "cancel")))
    def ask_while_a_call_is_put_off(self, verb: Verb) -> None:
        """Whoever comes back from a call finds what was asked meanwhile."""
        self.work_off()
        self._enqueue(1, campaign=False)
        asked = list(self.asked)[-1]
        self.world.sandbox.disarm()
        self.order_trouble(("send", "refuse_503"))
        self.world.provider.meanwhile = lambda: self._ask(asked, verb)
        self.work_off()
        self.world.provider.meanwhile = lambda: None

    @precondition(lambda self: any(one.dates and one.custody == "worker" for one in self.asked.values()))
    @rule(verb=st.sampled_from(("pause", "cancel")))
    def ask_while_a_date_is_in_hand(self, verb: Verb) -> None:
        """A worker that has claimed what is due finds it held."""
        self.work_off()
        self.world.forward(60)
        self.ask_between_claim_and_call(0, verb)
        self._work_on()

    def _about(self, held: Held) -> list[str]:
        """The sends that a claimed batch is about."""
        self._adopt_children()
        intents = [f"{ACCOUNT}.{job.subject.partition(':')[0]}" for job in held.claim.jobs]
        return [one for one in dict.fromkeys(intents) if one in self.asked]

    @precondition(lambda self: any(one.custody == "provider" for one in self.asked.values()))
    @rule(data=st.data(), verb=st.sampled_from(VERBS), trouble=st.none() | st.sampled_from(KINDS))
    def ask_until_the_provider_has_answered(self, data: st.DataObject, verb: Verb, trouble: str | None) -> None:
        kept = data.draw(st.sampled_from([one.id for one in self.asked.values() if one.custody == "provider"]))
        self.work_off()
        if trouble is not None:
            self.order_trouble((verb, trouble))
        self._ask(kept, verb)
        self.work_off()
        self._ask(kept, verb)

    @rule()
    def work_off(self) -> None:
        self._let_go()
        self.world.work_off()
        self._adopt_children()
        self._keep_promises()

    @rule(seconds=st.sampled_from([20, 60, 140]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.forward(seconds)
        self._keep_promises()

    @rule(trouble=st.sampled_from(TROUBLE))
    def order_trouble(self, trouble: tuple[str, str]) -> None:
        operation, kind = trouble
        self.world.sandbox.arm(kind, provider="lisoloo", operation=operation)

    def _work_on(self) -> None:
        while self.held:
            self.world.work(self.held.pop())
        self._adopt_children()
        self._keep_promises()

    def _let_go(self) -> None:
        for held in self.held:
            release(self.world.redis, held.queue, held.claim.batch_id, Release.BACK)
        self.held.clear()

    # ---------------------------------------------------------------------------------------------------------- promises

    def _adopt_children(self) -> None:
        """An occurrence that has fired may be asked about like any send."""
        for asked in [one for one in self.asked.values() if one.dates and one.custody == "worker"]:
            for child in self.world.children(asked.id):
                self.asked.setdefault(child, Asked(child, asked.to, f"{asked.name}/"))

    def _note(self, asked: Asked, verb: Verb, result: ControlResult) -> None:
        """Keep what an answer promises."""
        holds = result.outcome in {"done", "partly"}
        if verb == "resume":
            for one in [asked, *self._children(asked)] if result.outcome != "refused" else []:
                one.promised = {to: said for to, said in one.promised.items() if said[0] == "cancel"}
                one.frozen = one.frozen if one.frozen and one.frozen[0] == "cancel" else None
            asked.resumed = (self.world.clock.now / 1_000_000, self._gone(asked)) if holds and asked.dates else None
            return
        asked.free, asked.resumed = False, None
        if not asked.dates:
            self._promise(asked, verb, result.stopped)
        if (holds or not asked.dates) and (asked.frozen is None or asked.frozen[0] != "cancel"):
            asked.frozen = (verb, self._gone(asked))
        if asked.dates and result.outcome == "done":  # nothing more comes of it
            for child in self._children(asked):
                self._promise(child, verb, child.to)

    def _promise(self, asked: Asked, verb: Verb, stopped: Sequence[str]) -> None:
        for to in stopped:
            if to not in asked.promised or asked.promised[to][0] != "cancel":
                asked.promised[to] = (verb, self._copies(asked, to))

    def _children(self, asked: Asked) -> list[Asked]:
        self._adopt_children()
        return [one for one in self.asked.values() if one.name == f"{asked.name}/"]

    def _gone(self, asked: Asked) -> int:
        """How many occurrences of a schedule fired, how often the provider sent, or how many calls a single send has had."""
        if not asked.dates:
            return len(self.world.get(asked.id).attempts)
        if asked.custody == "worker":
            return len(self.world.children(asked.id))
        dispatches = self.world.sandbox.books()["dispatches"]
        return sum(len(one["recipients"]) for one in dispatches if one["message"] == asked.name)

    def _copies(self, asked: Asked, to: str) -> int:
        """How often a number was called for this very intent: the address for its receipts says which attempt a call was."""
        batches = {one.id for one in self.world.get(asked.id).attempts}
        accepted = self.world.sandbox.books()["accepted"]
        return sum(to in one["recipients"] for one in accepted if _batch_of(one) in batches)

    def _keep_promises(self) -> None:
        for asked in self.asked.values():
            for to, (verb, copies) in asked.promised.items():
                assert self._copies(asked, to) == copies, (asked, to, verb)
            if asked.frozen is not None:
                assert self._gone(asked) == asked.frozen[1], asked

    # ------------------------------------------------------------------------------------------------------------- in the end

    def teardown(self) -> None:
        if not hasattr(self, "asked"):
            return
        self.world.sandbox.disarm()
        self._let_go()
        for _ in range(14):  # past all dates, all searches for evidence and all waits
            self.world.work_off()
            self._adopt_children()
            self._keep_promises()
            self.world.forward(60)
        for asked in self.asked.values():
            self._agree(asked, self.world.get(asked.id))

    def _agree(self, asked: Asked, intent: Intent) -> None:
        """What we say of it is what the provider's ledger has."""
        if asked.dates:
            self._agree_on_dates(asked, intent)
            return
        for one in intent.recipients:
            copies = self._copies(asked, one.number)
            if one.state == "submitted":
                assert copies == 1, (asked, one)
            elif one.state == "unknown":
                assert copies <= 1, (asked, one)
            elif one.reason == "worker-died":
                assert copies == 0, (asked, one)
            else:
                assert copies == 0, (asked, one)
                assert one.state == ("cancelled" if intent.state != "paused" else "accepted"), (asked, one)

    def _agree_on_dates(self, asked: Asked, intent: Intent) -> None:
        gone, each = self._gone(asked), 1
        if intent.custody is not None:
            each = len(asked.to)
            if intent.custody.state == "not-handed-over":  # in time, that is: or withdrawn before
                assert {one.state for one in intent.recipients} <= {"expired", "cancelled"}
                assert gone == 0, asked
                return
            if intent.custody.state == "unknown-at-provider":
                return
        if asked.free:
            assert gone == len(asked.dates) * each, asked
        if asked.resumed is not None:
            since, before = asked.resumed
            assert gone - before >= sum(at > since for at in asked.dates) * each, asked


def _batch_of(call: dict[str, Any]) -> str:
    return str(call["callback_url"]).rpartition("/")[2].partition(".")[0]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
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


def test_no_answer_is_untrue_no_promise_broken_and_the_ledger_agrees_with_all_of_it(world: World) -> None:
    AnyOrder.world = world
    lengths = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])],
    )
    with capture_logs():
        run_state_machine_as_test(AnyOrder, settings=lengths)
